"""Every family is probed, fine-tuned and pretrained by the same commands, and labels time steps in a pipeline."""

import copy
import dataclasses
import json
import pathlib

import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForAudioClassification, PreTrainedConfig, pipeline

from modeling_sslam.encoder import step_intervals
from tests.contracts.clips import build, clips
from tests.families import FAMILIES, NUM_LABELS, Family
from tests.labelled_clips import data_section, evaluation_section, write_clips
from training.finetune import build_trainer, finetune
from training.pretrain import pretrain
from training.probe import PROBES, ProbeOptions, probe_model
from training.probes.features import load_probe_data
from training.settings.data import EvaluationArguments, LabelledDataArguments
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import build_arguments

SECONDS = 1.2


@pytest.fixture(params=FAMILIES)
def family(request) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> pathlib.Path:
    return write_clips(tmp_path_factory.mktemp("bank"))


def own_fields(family: Family) -> dict:
    """The fields of the tiny configuration that differ from the family's defaults, as a recipe would give them."""
    default, general = type(family.config)(), {field.name for field in dataclasses.fields(PreTrainedConfig)}
    names = {field.name for field in dataclasses.fields(family.config)} - general
    given = {name: getattr(family.config, name) for name in names}
    changed = {name: value for name, value in given.items() if value != getattr(default, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def sections(family: Family, bank: pathlib.Path, output: pathlib.Path) -> dict[str, dict]:
    """A fine-tuning run of two updates on single events."""
    data = data_section(bank, "event") | {"target_length": family.feature_extractor.frames_for(SECONDS)}
    return {
        "data": data,
        "evaluation": evaluation_section("event"),
        "optim": {"learning_rate": 1e-3, "warmup_steps": 0, "total_steps": 2, "loss": "cross_entropy"},
        "run": {"output_dir": str(output), "log_every": 1, "evaluate_every": 2},
    }


def save(family: Family, folder: pathlib.Path, auto_class: str = "AutoModel") -> pathlib.Path:
    build(family, auto_class).save_pretrained(folder)
    family.feature_extractor.save_pretrained(folder)
    return folder


def test_every_probe(family, bank):
    """Linear, attentive, weighted layers and scenes, on clips longer than the windows of some families."""
    data = data_section(bank, "event") | {"target_length": family.feature_extractor.frames_for(SECONDS)}
    for name in ("crop", "shuffle_buffer"):
        data.pop(name, None)
    probe_data = load_probe_data(
        LabelledDataArguments(**data), EvaluationArguments(**evaluation_section("event")), family.feature_extractor
    )
    names = [name for name in PROBES if family.config.has_class_token or name != "linear_class_token"]
    results = probe_model(build(family), probe_data, ProbeOptions(probes=",".join(names), epochs=2))
    assert list(results) == names
    assert all(0 <= result["accuracy"] <= 1 for result in results.values())


def test_fine_tuning_from_scratch(family, bank, tmp_path):
    recipe = sections(family, bank, tmp_path / "run")
    recipe["model"] = {"model_type": family.config.model_type} | own_fields(family)
    results = finetune(build_arguments(recipe, FinetuneArguments))
    assert 0 <= results["eval_accuracy"] <= 1
    assert json.loads((tmp_path / "run" / "results.json").read_text())["finetune"] == results
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "run")
    assert model.config.hidden_size == family.config.hidden_size
    tagging = pipeline("audio-tagging", model=str(tmp_path / "run"))
    assert len(tagging(clips(1.0)[0].numpy(), top_k=2)) == 2


@pytest.mark.parametrize("head", ["own", "weighted_layers"])
def test_fine_tuning_of_a_pretrained_encoder(family, bank, tmp_path, head):
    """The encoder's weights are taken, and two updates move them, the more the closer they are to the head."""
    folder = save(family, tmp_path / "pretrained")
    recipe = sections(family, bank, tmp_path / "run")
    recipe["model"] = {"init_from": str(folder), "head": head}
    recipe["optim"]["layer_decay"] = 0.1
    trainer = build_trainer(build_arguments(recipe, FinetuneArguments))
    encoder = trainer.model.base_model
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    pretrained = AutoModel.from_pretrained(folder).state_dict()
    refitted = [name for name in before if before[name].shape != pretrained[name].shape]
    assert set(refitted) <= {"embeddings.position_embeddings"}
    for name in before.keys() - set(refitted):
        torch.testing.assert_close(before[name].cpu(), pretrained[name], rtol=0, atol=0)
    trainer.train()
    moved = {
        name: (weight - before[name]).abs().max().item()
        for name, weight in encoder.named_parameters()
        if ".layers." in f".{name}"
    }
    first = max(size for name, size in moved.items() if ".layers.0." in f".{name}")
    last = max(size for name, size in moved.items() if ".layers.1." in f".{name}")
    assert 0 < first < last


def test_frames_are_labelled_with_their_times(family, tmp_path):
    """In a recording longer than a window; its steps are those of the whole recording, end to end."""
    folder = save(family, tmp_path, "AutoModelForAudioFrameClassification")
    labelling = pipeline("audio-frame-classification", model=str(folder))
    (clip,) = clips(2.5)
    frames = labelling({"raw": clip.numpy(), "sampling_rate": 16000}, top_k=2)
    num_steps = family.config.num_steps(family.feature_extractor.frames_for(2.5))
    intervals = step_intervals(family.config, num_steps).tolist()
    assert [[frame["start"], frame["end"]] for frame in frames] == intervals
    assert all(len(frame["scores"]) == 2 for frame in frames)
    assert {entry["label"] for frame in frames for entry in frame["scores"]} <= set(family.config.label2id)
    if labelling.default_window() > 2.5:  # one window: the model's own answer
        model = labelling.model
        inputs = family.feature_extractor(clip, 16000, return_tensors="pt", padding="longest", truncation=False)
        with torch.no_grad():
            scores = model(**inputs).logits[0].softmax(dim=1)
        wanted = scores.max(dim=1).values.tolist()
        assert [frame["scores"][0]["score"] for frame in frames] == pytest.approx(wanted, abs=1e-5)


def test_pretraining_goes_on_from_a_folder_and_resumes(family, bank, tmp_path):
    """Two updates from scratch, then one more: a checkpoint of this family is one that every tool loads."""
    if family.objective is None:
        pytest.skip("this family is not pretrained under its own name")
    steps = family.config.num_steps(family.feature_extractor.frames_for(0.5))
    options = {
        "sslam_stage1": {"clones": 2, "mask_block_size": 2, "mask_prob": 0.5},
        "ssast": {"num_masked": max(1, steps * family.config.num_frequency_patches // 8)},
        "masked_reconstruction": {"mask_ratio": 0.5},
    }
    recipe = {
        "model": {"model_type": family.config.model_type} | own_fields(family),
        "objective": {"name": family.objective} | options[family.objective],
        "data": {
            "format": "folder",
            "path": str(bank.parent),
            "target_length": family.config.frames_of(steps),
            "batch_size": 4,
            "num_workers": 0,
        },
        "optim": {"learning_rate": 1e-3, "warmup_steps": 0, "total_steps": 3},
        "run": {"output_dir": str(tmp_path), "log_every": 1, "checkpoint_every": 2, "stop_after": 2},
    }
    first = pretrain(build_arguments(recipe))
    recipe["run"] |= {"resume": True, "stop_after": None}
    last = pretrain(build_arguments(recipe))
    assert [first.name, last.name] == ["checkpoint_00000002", "checkpoint_00000003"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(line["loss"] > 0 for line in lines)
    encoder = AutoModel.from_pretrained(last)
    assert type(encoder).__name__ == family.config.auto_classes["AutoModel"].rpartition(".")[2]


def test_a_classifier_is_of_as_many_classes_as_its_labels(family):
    config = copy.deepcopy(family.config)
    config.id2label = {0: "yes", 1: "no"}
    model = transformers.AutoModelForAudioClassification.from_config(config)
    assert config.num_labels != NUM_LABELS
    assert model.classifier.dense.out_features == 2
