"""Saved folders load with `trust_remote_code=True` in a process that cannot import this package."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.dynamic_module_utils import get_imports

from tests.contracts.clips import build
from tests.families import FAMILIES

# Runs where the package is blocked: loads each folder through its Auto class and keeps what the models say.
STRANGER = """
import sys

sys.modules["modeling_sslam"] = None  # importing it raises
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoFeatureExtractor, pipeline

root, result_file, *cases = sys.argv[1:]
clip = torch.linspace(-1, 1, 16000).sin().numpy()
results = {}
for case in cases:
    name, auto_class = case.split(":")
    folder = f"{root}/{name}_{auto_class}"
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    assert type(model.config) is type(config)
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    features = extractor(clip, sampling_rate=extractor.sampling_rate, return_tensors="pt")  # as pipelines take arrays
    with torch.no_grad():
        results[case] = model(**features, **load_file(f"{folder}/more_inputs.safetensors"))[0].contiguous()
    if auto_class == "AutoModelForAudioClassification":
        encoder = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
        with torch.no_grad():
            results[f"{name}:encoder"] = encoder(**features)[0].contiguous()
        classifier = pipeline("audio-classification", model=folder, trust_remote_code=True, top_k=None)
        scores = {entry["label"]: entry["score"] for entry in classifier(clip)}
        results[f"{name}:pipeline"] = torch.tensor([scores[label] for label in sorted(scores)])
        model.save_pretrained(f"{root}/{name}_again")
save_file(results, result_file)
"""

CASES = [
    f"{name}:{auto_class}"
    for name, family in FAMILIES.items()
    for auto_class in family.config.auto_classes
    if auto_class != "AutoConfig"
]


def clip_features(name: str) -> dict[str, torch.Tensor]:
    clip = torch.linspace(-1, 1, 16000).sin().numpy()
    extractor = FAMILIES[name].feature_extractor
    return extractor(clip, sampling_rate=extractor.sampling_rate, return_tensors="pt")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> pathlib.Path:
    """One folder for each class of model, saved as anybody would save it."""
    root = tmp_path_factory.mktemp("saved")
    for case in CASES:
        name, auto_class = case.split(":")
        folder, family = root / f"{name}_{auto_class}", FAMILIES[name]
        build(family, auto_class).save_pretrained(folder)
        family.feature_extractor.save_pretrained(folder)
        more = {}
        if auto_class == "AutoModelForPreTraining":
            more = family.pretraining_inputs(clip_features(name)["input_values"])
        save_file({key: value.contiguous() for key, value in more.items()}, folder / "more_inputs.safetensors")
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


def ours(root: pathlib.Path, case: str, auto_class: str) -> torch.Tensor:
    """The first output of what the folder of `case` gives here, where the package is."""
    folder = root / case.replace(":", "_")
    model = getattr(transformers, auto_class).from_pretrained(folder).eval()
    more = load_file(folder / "more_inputs.safetensors")
    with torch.no_grad():
        return model(**clip_features(case.split(":")[0]), **more)[0]


@pytest.mark.parametrize("case", CASES)
def test_a_stranger_gets_our_outputs(case, root, strangers_results):
    torch.testing.assert_close(strangers_results[case], ours(root, case, case.split(":")[1]))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stranger_gets_our_encoder_and_pipeline_scores_from_a_classifier(name, root, strangers_results):
    case = f"{name}:AutoModelForAudioClassification"
    torch.testing.assert_close(strangers_results[f"{name}:encoder"], ours(root, case, "AutoModel"))
    torch.testing.assert_close(strangers_results[f"{name}:pipeline"], strangers_results[case][0].softmax(0))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_folder_names_all_classes_of_its_family(name, root, strangers_results):
    """Also one that a stranger saved again."""
    auto_classes = FAMILIES[name].config.auto_classes
    for folder in (root / f"{name}_AutoModelForAudioClassification", root / f"{name}_again"):
        assert json.loads((folder / "config.json").read_text())["auto_map"] == auto_classes
        for reference in auto_classes.values():
            assert (folder / f"{reference.split('.')[0]}.py").is_file()


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_code_needs_nothing_but_the_core_packages(name, root):
    allowed = {"torch", "transformers", "numpy", "safetensors", "huggingface_hub", "soundfile"}
    for file in (root / f"{name}_AutoModelForAudioClassification").glob("*.py"):
        third_party = {module for module in get_imports(file) if module not in sys.stdlib_module_names}
        assert third_party <= allowed, file.name
