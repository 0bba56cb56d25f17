"""Recipes of SSAM, AxLSTM and their transformer baseline."""

import pathlib

import pytest
from transformers import AutoConfig

from training.objectives import OBJECTIVES
from training.settings.recipe import dump_arguments, load_arguments, read_sections

RECIPES = pathlib.Path(__file__).parents[3] / "training" / "recipes"
PROCESSES = {"axlstm_base": 8}
GLOBAL_BATCH = 1024
CLIPS = 2_051_308


@pytest.mark.parametrize("family", ["ssam", "axlstm", "ssast_mae"])
@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_published_recipes(family, size):
    """Sizes of the published models, and the schedule in epochs of whole batches."""
    path = RECIPES / f"{family}_{size}.yaml"
    arguments = load_arguments(path)
    config = AutoConfig.for_model(family, **arguments.model.options)
    assert config.to_dict() == getattr(type(config), size)().to_dict()
    objective = OBJECTIVES[arguments.objective.name].config_class(**arguments.objective.options)
    assert (objective.loss_on, objective.mask_ratio) == ("all", 0.5)
    assert arguments.data.batch_size * PROCESSES.get(path.stem, 4) == GLOBAL_BATCH
    assert arguments.optim.learning_rate == 1.5e-4 * GLOBAL_BATCH / 256
    steps_per_epoch = CLIPS // GLOBAL_BATCH
    assert (arguments.optim.warmup_steps, arguments.optim.total_steps) == (10 * steps_per_epoch, 100 * steps_per_epoch)
    assert arguments.data.target_length == config.window_frames
    assert read_sections(path).keys() == dump_arguments(arguments).keys() - {"evaluation"}
