"""Tiny checkpoints that version 0.1 saved load, and give what they gave.

`checkpoints/` holds one folder for each class of each family: what `save_pretrained` wrote (without code), and in
`io.safetensors` an input with what the model made of it.
"""

import logging
import pathlib
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModel

import modeling_sslam

CHECKPOINTS = pathlib.Path(__file__).parent / "checkpoints"
AUTO_CLASSES = {
    "encoder": "AutoModel",
    "pretraining": "AutoModelForPreTraining",
    "clips": "AutoModelForAudioClassification",
    "frames": "AutoModelForAudioFrameClassification",
}
NAMES = sorted(path.name for path in CHECKPOINTS.iterdir())
HEADS = [name for name in NAMES if name.endswith(("clips", "frames"))]


def kind_of(name: str) -> str:
    return name.rpartition("_")[2]


def load(folder: pathlib.Path, kind: str) -> torch.nn.Module:
    return getattr(transformers, AUTO_CLASSES[kind]).from_pretrained(folder).eval()


@torch.no_grad()
def outputs(model: torch.nn.Module, recorded: dict[str, torch.Tensor], mask: str | None) -> dict[str, torch.Tensor]:
    """What the model gives for each recorded output; its mask in one of the two spellings."""
    inputs = {name: recorded[name] for name in ("input_values", "attention_mask", mask) if name in recorded}
    output = model(**inputs)
    names = [name.removeprefix("output.") for name in recorded if name.startswith("output.")]
    return {f"output.{name}": output[name] for name in names}


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        (name, mask)
        for name in NAMES
        for mask in (("bool_masked_pos", "kept_indices") if kind_of(name) == "pretraining" else (None,))
    ],
)
def test_outputs_are_those_of_version_01(name, mask):
    recorded = load_file(CHECKPOINTS / name / "io.safetensors")
    found = outputs(load(CHECKPOINTS / name, kind_of(name)), recorded, mask)
    for output, tensor in found.items():
        torch.testing.assert_close(tensor, recorded[output], rtol=1e-5, atol=1e-6, msg=f"{output} of {name}")


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_saved_again_under_its_present_names(name, tmp_path):
    recorded = load_file(CHECKPOINTS / name / "io.safetensors")
    load(CHECKPOINTS / name, kind_of(name)).save_pretrained(tmp_path)
    found = outputs(load(tmp_path, kind_of(name)), recorded, None)
    torch.testing.assert_close(found["output.logits"], recorded["output.logits"], rtol=1e-5, atol=1e-6)
    if not name.startswith("eat"):
        own = "frame_classifier." if kind_of(name) == "frames" else "classifier."
        names = load_file(tmp_path / "model.safetensors")
        assert {f"{own}norm.weight", f"{own}dense.weight"} < names.keys()


@pytest.mark.parametrize("name", HEADS)
def test_the_encoder_of_a_head_is_that_of_version_01(name):
    encoder = AutoModel.from_pretrained(CHECKPOINTS / name)
    whole = load(CHECKPOINTS / name, kind_of(name)).base_model
    torch.testing.assert_close(encoder.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_of_the_other_kind_is_announced_as_new(name, caplog):
    """Both had the same names, so that a frame head passed for a clip head without a word."""
    other = "clips" if kind_of(name) == "frames" else "frames"
    transformers.utils.logging.enable_propagation()
    with caplog.at_level(logging.WARNING):
        load(CHECKPOINTS / name, other)
    transformers.utils.logging.disable_propagation()
    head = "classifier.dense.weight" if other == "clips" else "frame_classifier.dense.weight"
    assert head in caplog.text
    assert "newly initialized" in caplog.text or "MISSING" in caplog.text


@pytest.mark.parametrize("name", [name for name in HEADS if not name.startswith("eat")])  # saved under the hub's names
def test_weights_of_a_training_checkpoint_load_into_the_same_model(name):
    """`Trainer` resumes through `load_state_dict`."""
    model = load(CHECKPOINTS / name, kind_of(name))
    fresh = type(model)(model.config)
    fresh.load_state_dict(load_file(CHECKPOINTS / name / "model.safetensors"))
    torch.testing.assert_close(fresh.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if (CHECKPOINTS / name / "preprocessor_config.json").exists()]
)
def test_extractors_of_version_01(name, tmp_path):
    """Under their old class names, in a folder with the model and in one by themselves."""
    for file in ("preprocessor_config.json", "config.json"):
        shutil.copy(CHECKPOINTS / name / file, tmp_path)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    is_kaldi = name.startswith(("sslam", "eat", "ssast_patch", "ssast_frame"))
    wanted = modeling_sslam.SslamFeatureExtractor if is_kaldi else modeling_sslam.PowerMelFeatureExtractor
    assert type(extractor) is wanted
    assert extractor.num_mel_bins == 32
    if is_kaldi:
        assert (extractor.mean, extractor.std, extractor.target_length) == (-5.0, 3.0, 64)
