"""SSAST's recipes and those of SUPERB against the published settings."""

import pathlib

import pytest

from modeling_sslam import SsastConfig
from modeling_sslam.feature_extraction_kaldi_fbank import NORMALIZATION_PRESETS
from training.objectives.ssast import SsastObjectiveConfig
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import load_arguments

RECIPES = pathlib.Path(__file__).parents[3] / "training" / "recipes"
ADAM = ("adam", 0.95, 0.999, 5e-7, True)


def adam(optim) -> tuple:
    return optim.optimizer, optim.beta1, optim.beta2, optim.weight_decay, optim.epsilon_after_correction


@pytest.mark.parametrize("kind", ["patch", "frame"])
@pytest.mark.parametrize(("size", "batch", "rate", "every"), [("base", 24, 1e-4, 4000), ("tiny", 120, 5e-4, 800)])
def test_pretraining(kind, size, batch, rate, every):
    recipe = load_arguments(RECIPES / f"ssast_{size}_{kind}.yaml")
    assert SsastConfig(**recipe.model.options).to_dict() == getattr(SsastConfig, kind)(size).to_dict()
    assert SsastObjectiveConfig(**recipe.objective.options) == SsastObjectiveConfig()
    optim = recipe.optim
    assert adam(optim) == ADAM
    assert (optim.schedule, optim.warmup_steps, optim.warmup_block, optim.patience) == ("plateau", 1000, 50, 2)
    assert (recipe.data.batch_size, optim.learning_rate, recipe.evaluation.every) == (batch, rate, every)
    assert optim.total_steps == pytest.approx(10 * 2.2e6 / batch, rel=0.01)
    assert NORMALIZATION_PRESETS[recipe.data.normalization]["target_length"] == recipe.data.target_length == 1024


PUBLISHED = {  # frames, batch, rate, warm-up, epochs, decay after, every, by, bands, mixup, noise, loss, stride
    "as20k": (1024, 12, 5e-5, 0, 25, 10, 5, 0.5, 48, 192, 0.5, False, "bce_mean", [10, 10]),
    "esc50_patch": (512, 48, 1e-4, 0, 50, 6, 1, 0.85, 24, 96, 0.0, True, "cross_entropy", [10, 10]),
    "esc50_frame": (512, 48, 1e-4, 0, 50, 6, 1, 0.85, 24, 96, 0.0, True, "cross_entropy", [1, 128]),
    "speech_commands": (128, 128, 2.5e-4, 1000, 30, 5, 1, 0.85, 48, 48, 0.6, True, "bce_mean", [1, 128]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_fine_tuning(name):
    recipe = load_arguments(RECIPES / f"finetune_ssast_{name}.yaml", [], FinetuneArguments)
    data, optim, augment, model = recipe.data, recipe.optim, recipe.augment, recipe.model.options
    found = (data.target_length, data.batch_size, optim.learning_rate, optim.warmup_steps, optim.epochs)
    found += (optim.decay_first, optim.decay_every, optim.decay)
    found += (augment.frequency_mask, augment.time_mask, augment.waveform_mixup, augment.noise)
    assert (*found, optim.loss, model["patch_stride"]) == PUBLISHED[name]
    assert adam(optim) == ADAM
    assert (optim.schedule, optim.layer_decay, optim.head_factor, model["pooling"]) == ("epochs", 1, 1, "mean")
    assert NORMALIZATION_PRESETS[data.normalization]["target_length"] == data.target_length
    averaged = (6, 25) if name == "as20k" else (None, None)
    assert (recipe.average.first_epoch, recipe.average.last_epoch) == averaged


SUPERB = {  # frames, updates, batch, accumulation, evaluation
    "ks1": (100, 20_000, 32, 1, 500),
    "sid": (1000, 40_000, 4, 8, 500),
    "er": (600, 10_000, 4, 8, 200),
}


@pytest.mark.parametrize("name", SUPERB)
def test_superb(name):
    recipe = load_arguments(RECIPES / f"superb_{name}.yaml", [], FinetuneArguments)
    data, optim, run = recipe.data, recipe.optim, recipe.run
    found = (data.target_length, optim.total_steps, data.batch_size, optim.accumulation_steps, run.evaluate_every)
    assert found == SUPERB[name]
    assert (recipe.model.head, recipe.model.freeze_encoder) == ("weighted_layers", True)
    assert optim.floor >= optim.learning_rate  # a constant rate
    assert NORMALIZATION_PRESETS[data.normalization]["target_length"] == data.target_length
