"""Saved folders load with `trust_remote_code=True` in a process that cannot import this package."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from modeling_sslam import (
    EatConfig,
    EatForAudioClassification,
    SslamConfig,
    SslamFeatureExtractor,
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_mel_bins": 32,
    "max_time_patches": 8,
    "decoder_hidden_size": 32,
    "decoder_num_layers": 1,
    "decoder_groups": 4,
    "num_labels": 5,
}
TARGET_LENGTH = 64

# Runs where the package is blocked: loads each folder through the given Auto classes and keeps what the models say.
STRANGER = """
import sys

sys.modules["modeling_sslam"] = None  # importing it raises
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoFeatureExtractor, pipeline

root, result_file, *pairs = sys.argv[1:]
clip = torch.linspace(-1, 1, 16000).sin().numpy()
results = {}
for pair in pairs:
    folder, auto_class = pair.split(":")
    folder = f"{root}/{folder}"
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    assert type(model.config) is type(config)
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    features = extractor(clip, sampling_rate=16000, return_tensors="pt")
    if auto_class == "AutoModelForPreTraining":
        features["bool_masked_pos"] = torch.arange(8)[None] % 2 == 0
    with torch.no_grad():
        results[pair] = model(**features)[0].contiguous()
classifier = pipeline("audio-classification", model=f"{root}/classification", trust_remote_code=True, top_k=None)
scores = {entry["label"]: entry["score"] for entry in classifier(clip)}
results["pipeline"] = torch.tensor([scores[label] for label in sorted(scores)])
model.save_pretrained(f"{root}/again")
save_file(results, result_file)
"""

CASES = {
    "base:AutoModel": SslamModel,
    "pretraining:AutoModelForPreTraining": SslamForPreTraining,
    "pretraining:AutoModel": SslamModel,
    "classification:AutoModelForAudioClassification": SslamForAudioClassification,
    "classification:AutoModel": SslamModel,
    "frames:AutoModelForAudioFrameClassification": SslamForAudioFrameClassification,
    "eat:AutoModelForAudioClassification": EatForAudioClassification,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> pathlib.Path:
    """One folder for each class of model, saved as anybody would save it."""
    root = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    extractor = SslamFeatureExtractor(num_mel_bins=SIZES["num_mel_bins"], target_length=TARGET_LENGTH)
    models = {
        "base": SslamModel(SslamConfig(**SIZES)),
        "pretraining": SslamForPreTraining(SslamConfig(**SIZES)),
        "classification": SslamForAudioClassification(SslamConfig(**SIZES)),
        "frames": SslamForAudioFrameClassification(SslamConfig(**SIZES)),
        "eat": EatForAudioClassification(EatConfig(**SIZES)),
    }
    for name, model in models.items():
        model.save_pretrained(root / name)
        extractor.save_pretrained(root / name)
    return root


@pytest.fixture(scope="module")
def strangers_results(root) -> dict[str, torch.Tensor]:
    """What another process, without the package and without a terminal to answer prompts, gets from the folders."""
    script, results = root / "stranger.py", root / "results.safetensors"
    script.write_text(STRANGER)
    environment = os.environ | {"HF_MODULES_CACHE": str(root / "modules"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-I", str(script), str(root), str(results), *CASES]
    done = subprocess.run(
        command, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return load_file(results)


@pytest.mark.parametrize("case", CASES)
def test_a_stranger_gets_our_outputs(case, root, strangers_results):
    folder = case.split(":")[0]
    model = CASES[case].from_pretrained(root / folder).eval()
    extractor = SslamFeatureExtractor.from_pretrained(root / folder)
    clip = torch.linspace(-1, 1, 16000).sin().numpy()
    features = extractor(clip, sampling_rate=16000, return_tensors="pt")
    if CASES[case] is SslamForPreTraining:
        features["bool_masked_pos"] = torch.arange(8)[None] % 2 == 0
    with torch.no_grad():
        torch.testing.assert_close(strangers_results[case], model(**features)[0])


def test_a_stranger_gets_our_pipeline_scores(strangers_results):
    logits = strangers_results["classification:AutoModelForAudioClassification"][0]
    torch.testing.assert_close(strangers_results["pipeline"], logits.softmax(0))


def test_a_folder_saved_by_a_stranger_is_complete(root, strangers_results):
    config = json.loads((root / "again" / "config.json").read_text())
    assert config["auto_map"] == EatConfig.auto_classes
    for reference in config["auto_map"].values():
        assert (root / "again" / f"{reference.split('.')[0]}.py").is_file()


def test_every_folder_names_all_classes_of_its_family(root):
    for folder in ("base", "pretraining", "classification", "frames"):
        assert json.loads((root / folder / "config.json").read_text())["auto_map"] == SslamConfig.auto_classes


def test_saved_code_needs_nothing_but_the_core_packages(root):
    allowed = {"torch", "transformers", "numpy", "safetensors", "huggingface_hub", "soundfile"}
    from transformers.dynamic_module_utils import get_imports

    for file in (root / "eat").glob("*.py"):
        third_party = {name for name in get_imports(file) if name not in sys.stdlib_module_names}
        assert third_party <= allowed, file.name
