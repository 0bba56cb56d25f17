"""GISE-51's fine-tuning recipes against the published settings, and small runs of the first one."""

import pathlib

import pytest
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from modeling_sslam import SpectrogramCnnConfig
from tests.labelled_clips import data_section, evaluation_section, write_clips
from training.finetune import finetune
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import load_arguments
from training.sound_bank import EVENTS

RECIPES = pathlib.Path(__file__).parents[3] / "training" / "recipes"
PUBLISHED = {  # architecture, batch, epochs, precision, loss, weight decay, frames of training, evaluation and test
    "": ("resnet18", 64, 50, "no", "bce_mean", 0.0, 500, 1000, 501),
    "_resnet50": ("resnet50", 64, 100, "fp16", "bce_mean", 0.0, 500, 1000, 501),
    "_densenet121": ("densenet121", 64, 100, "fp16", "bce_mean", 0.0, 500, 1000, 501),
    "_efficientnet_b0": ("efficientnet-b0", 128, 100, "fp16", "bce_mean", 0.0, 500, 1000, 501),
    "_efficientnet_b1": ("efficientnet-b1", 64, 100, "fp16", "bce_mean", 0.0, 500, 1000, 501),
    "_audioset": ("resnet18", 32, 50, "no", "focal", 0.0, 1000, 1000, 1001),
    "_vggsound": ("resnet18", 64, 100, "fp16", "cross_entropy", 0.0, 500, 1000, 1001),
    "_esc50": ("resnet18", 64, 50, "fp16", "cross_entropy", 1e-4, 300, 502, None),
}
MIXUP = {"": (1.0, True), "_vggsound": (0.0, True), "_esc50": (1.0, False)}  # alpha, and whether inputs are mixed


def load(name: str, *overrides: str) -> FinetuneArguments:
    return load_arguments(RECIPES / f"finetune_gise51{name}.yaml", overrides, FinetuneArguments)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes(name):
    recipe = load(name)
    data, optim, augment, run = recipe.data, recipe.optim, recipe.augment, recipe.run
    architecture = SpectrogramCnnConfig(**recipe.model.options).architecture
    found = architecture, data.batch_size, optim.epochs, run.mixed_precision, optim.loss, optim.weight_decay
    frames = data.target_length, recipe.evaluation.target_length, recipe.test.target_length
    assert (*found, *frames) == PUBLISHED[name]
    adam = (
        optim.optimizer,
        optim.learning_rate,
        optim.beta1,
        optim.beta2,
        optim.epsilon,
        optim.epsilon_after_correction,
    )
    assert adam == ("adam", 1e-3, 0.9, 0.999, 1e-8, True)
    assert (optim.schedule, optim.patience, optim.plateau_factor, run.early_stop) == ("plateau", 5, 0.1, 10)
    assert (optim.warmup_steps, optim.clip_norm, optim.layer_decay, run.evaluate_every) == (0, 0.0, 1, None)
    assert (data.fit, augment.minimum_padding) == ("crop", 0.5)
    masks = (
        augment.random_masks,
        augment.random_masks_probability,
        augment.random_mask_bins,
        augment.random_mask_frames,
    )
    assert masks == (2, 0.5, 0.15, 0.2)
    alpha, mixes_inputs = MIXUP.get(name, MIXUP[""])
    assert (augment.mixup_alpha, augment.mixup_inputs) == (alpha, mixes_inputs)
    assert (augment.mixup_pairs, augment.mixup_seed, augment.mixup_probability) == ("permutation", 1233, 1.0)
    assert run.softmax_metrics == (name == "_vggsound")


def test_every_recipe_is_checked():
    assert {path.stem.removeprefix("finetune_gise51") for path in RECIPES.glob("finetune_gise51*.yaml")} == set(
        PUBLISHED
    )


@pytest.mark.parametrize("name", ["_audioset", "_vggsound", "_esc50"])
def test_a_transfer_starts_from_a_checkpoint(name):
    model = load(name, "model.model_type=null", "model.init_from=checkpoint").model
    assert (model.model_type, model.init_from, model.options) == (None, "checkpoint", {})


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("bank"))


FAMILIES = {
    "spectrogram_cnn": {"architecture": "cifar-resnet8", "width_multiplier": 0.125},
    "sslam": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_one_command_for_every_family(family, clips, tmp_path):
    """Soundscapes of 1.3 s, cut to half in training, heard twice when the model is chosen, and once in the end."""
    sizes = [f"model.{name}={value}" for name, value in FAMILIES[family].items()]
    data, held_out = data_section(clips, "soundscape"), evaluation_section("soundscape")
    recipe = load(
        "",
        f"model.model_type={family}",
        *sizes,
        f"data.path={clips}",
        f"data.filters={data['filters']}",
        f"evaluation.filters={held_out['filters']}",
        *("data.target_length=65", "evaluation.target_length=260", "test.target_length=130"),
        *("data.batch_size=3", "data.num_workers=0", "optim.epochs=2", f"run.output_dir={tmp_path}"),
    )
    results = finetune(recipe)
    assert 0 < results["eval_mean_average_precision"] <= 1
    assert 0 < results["test_mean_average_precision"] <= 1
    model = AutoModelForAudioClassification.from_pretrained(tmp_path)
    assert list(model.config.id2label.values()) == sorted(EVENTS)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    whole_clips = family == "spectrogram_cnn"  # it has no statistics of a data set and takes any length
    assert extractor.target_length == (None if whole_clips else 65)
    assert extractor.sampling_rate == (22050 if whole_clips else 16000)
