"""Recipes of MW-MAE and MAE."""

import pathlib

import pytest

from modeling_sslam import MwmaeConfig
from training.settings.recipe import dump_arguments, load_arguments, read_sections

RECIPES = pathlib.Path(__file__).parents[3] / "training" / "recipes"
PROCESSES = 8
GLOBAL_BATCH = 1024
CLIPS = 2_032_320
MAE = {"use_class_token": True, "decoder_window_sizes": 0}
PUBLISHED = {f"mwmae_{size}": (size, {}) for size in ("tiny", "medium", "base", "large", "huge")}
PUBLISHED["mae_base"] = ("base", MAE)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes(name):
    """Sizes of the published models, and the schedule in epochs of whole batches."""
    path, (size, fields) = RECIPES / f"{name}.yaml", PUBLISHED[name]
    arguments = load_arguments(path)
    config = MwmaeConfig(**arguments.model.options)
    assert config.to_dict() == getattr(MwmaeConfig, size)(**fields).to_dict()
    assert arguments.objective.options == {"mask_ratio": 0.8, "loss_on": "masked"}
    assert arguments.data.batch_size * PROCESSES == GLOBAL_BATCH
    assert arguments.data.target_length == config.window_frames
    optim, steps_per_epoch = arguments.optim, CLIPS // GLOBAL_BATCH
    assert optim.learning_rate == 1.5e-5 * GLOBAL_BATCH / 256
    assert (optim.warmup_steps, optim.total_steps) == (10 * steps_per_epoch, 100 * steps_per_epoch)
    assert (optim.beta1, optim.beta2, optim.exclude_bias_and_norm) == (0.9, 0.999, False)
    assert read_sections(path).keys() == dump_arguments(arguments).keys() - {"evaluation"}


@pytest.mark.parametrize("recipe", ["mwmae_base", "mae_base"])
@pytest.mark.parametrize(("patch_size", "heads"), [("[8, 16]", 4), ("[8, 8]", 8), ("[4, 8]", 12), ("[5, 5]", 16)])
def test_ablations_of_the_patches_have_the_published_heads(recipe, patch_size, heads):
    arguments = load_arguments(RECIPES / f"{recipe}.yaml", [f"model.patch_size={patch_size}"])
    assert MwmaeConfig(**arguments.model.options).decoder_num_attention_heads == heads


def test_recipe_of_the_small_run():
    arguments = load_arguments(RECIPES / "mwmae_esc10.yaml")
    config = MwmaeConfig(**arguments.model.options)
    assert config.decoder_window_sizes == MwmaeConfig().decoder_window_sizes
