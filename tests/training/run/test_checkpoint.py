"""Checkpoints: what is in a folder, exact resume, and refusals."""

import json
import pathlib

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForPreTraining

from tests.pretraining import arguments, write_clips
from training.pretrain import pretrain
from training.run.checkpoint import differing_settings, find_resume, latest_checkpoint, read_recipe
from training.run.initialize import build_model
from training.run.monitor import read_metrics
from training.settings.recipe import dump_arguments


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data") / "clips")


@pytest.fixture(scope="module")
def straight(clips, tmp_path_factory):
    """A run of six updates without a break, which keeps the checkpoints of updates 3 and 6."""
    output = tmp_path_factory.mktemp("straight")
    pretrain(arguments(clips, output))
    AcceleratorState._reset_state(reset_partial_state=True)
    return output


def losses(output: pathlib.Path) -> list[float]:
    return [line["loss"] for line in read_metrics(output / "metrics.jsonl")]


@pytest.mark.parametrize(("workers", "workers_later"), [(0, 0), (2, 0), (0, 2)])
def test_resume_gives_the_same_losses(clips, straight, tmp_path, workers, workers_later):
    pretrain(arguments(clips, tmp_path, data__num_workers=workers, run__stop_after=3))
    assert losses(tmp_path) == losses(straight)[:3]
    AcceleratorState._reset_state(reset_partial_state=True)
    last = pretrain(arguments(clips, tmp_path, data__num_workers=workers_later, run__resume=True))
    assert losses(tmp_path) == losses(straight)
    for name in ("model.safetensors", "teacher.safetensors"):
        resumed, whole = load_file(last / name), load_file(latest_checkpoint(straight) / name)
        assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_resume_with_dropout_draws_the_same_numbers(clips, tmp_path):
    dropped = {"model__drop_path_rate": 0.5, "model__hidden_dropout_prob": 0.1}
    pretrain(arguments(clips, tmp_path / "straight", **dropped))
    AcceleratorState._reset_state(reset_partial_state=True)
    middle = str(tmp_path / "straight" / "checkpoint_00000003")
    pretrain(arguments(clips, tmp_path / "resumed", run__resume=middle, **dropped))
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")[3:]


def test_a_crash_between_checkpoints_costs_only_repeated_updates(clips, straight, tmp_path):
    pretrain(arguments(clips, tmp_path, run__stop_after=3))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 0.0}\n')
    AcceleratorState._reset_state(reset_partial_state=True)
    pretrain(arguments(clips, tmp_path, run__resume=True))
    assert losses(tmp_path) == losses(straight)


def test_a_checkpoint_is_a_model_folder(straight):
    folder = latest_checkpoint(straight)
    model = AutoModelForPreTraining.from_pretrained(folder)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert model.config.hidden_size == 32
    assert extractor.target_length == 128
    features = extractor(torch.zeros(4000), sampling_rate=16000, return_tensors="pt")["input_values"]
    assert AutoModel.from_pretrained(folder)(features).last_hidden_state.shape == (1, 1 + 64, 32)


def test_the_oldest_checkpoints_are_removed(clips, tmp_path):
    pretrain(arguments(clips, tmp_path, run__checkpoint_every=1))
    kept = sorted(path.name for path in tmp_path.glob("*checkpoint*"))
    assert kept == ["checkpoint_00000005", "checkpoint_00000006"]


def test_a_finished_run_has_nothing_to_do(clips, straight):
    assert pretrain(arguments(clips, straight, run__resume=True)) == latest_checkpoint(straight)
    assert len(losses(straight)) == 6


def test_another_run_is_refused(clips, straight, tmp_path):
    middle = str(straight / "checkpoint_00000003")
    other = arguments(clips, tmp_path, run__resume=middle, optim__learning_rate=2e-3, objective__clones=4)
    with pytest.raises(ValueError, match=r"(?s)objective.clones: .* has 2, this run 4.*optim.learning_rate: .*0.002"):
        pretrain(other)


def test_what_changes_no_number_may_change(clips, tmp_path):
    changed = arguments(clips, tmp_path / "b", data__num_workers=3, run__log_every=7, run__stop_after=2)
    assert differing_settings(arguments(clips, tmp_path / "a"), changed) == []


def test_a_new_run_does_not_write_among_old_checkpoints(clips, straight):
    with pytest.raises(ValueError, match="already holds checkpoint_00000006: set run.resume=true"):
        find_resume(arguments(clips, straight))


def test_resume_from_something_else(clips, tmp_path):
    assert find_resume(arguments(clips, tmp_path, run__resume=True)) is None
    with pytest.raises(ValueError, match="is not a checkpoint folder of a pretraining run"):
        find_resume(arguments(clips, tmp_path, run__resume=str(clips)))


def test_the_second_stage_starts_from_student_and_teacher(clips, straight, tmp_path):
    first = latest_checkpoint(straight)
    second = {"model__init_from": str(first), "objective__name": "sslam_stage2", "run__stop_after": 1}
    model, teacher = build_model(arguments(clips, tmp_path, **second).model)
    saved_student, saved_teacher = load_file(first / "model.safetensors"), load_file(first / "teacher.safetensors")
    assert all(torch.equal(weight, saved_student[name]) for name, weight in model.state_dict().items())
    assert all(torch.equal(weight, saved_teacher[name]) for name, weight in teacher.items())
    assert not torch.equal(saved_teacher["layers.0.mlp.fc1.weight"], saved_student["sslam.layers.0.mlp.fc1.weight"])
    pretrain(arguments(clips, tmp_path, **second))
    (line,) = read_metrics(tmp_path / "metrics.jsonl")
    assert line["loss_retention"] > 0


@pytest.mark.parametrize(("in_recipe", "in_config"), [({"mask_ratio": 0.6, "masking": "random"}, 0.6), ({}, 0.8)])
def test_a_run_of_version_01_keeps_its_share_of_masked_patches(clips, tmp_path, in_recipe, in_config):
    """It stood in the model's configuration, and in its recipe only where it was not the family's default."""
    sections = dump_arguments(arguments(clips, tmp_path, objective__name="masked_reconstruction"))
    sections["model"] = {"model_type": "mwmae", "init_from": None} | in_recipe
    sections["objective"] = {"name": "masked_reconstruction"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(sections))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mwmae", "mask_ratio": in_config}))
    recipe = read_recipe(tmp_path)
    assert recipe.objective.options == {"mask_ratio": in_config}
    assert recipe.model.options == {}


def test_a_default_that_is_written_out_is_no_other_setting(clips, tmp_path):
    plain = arguments(clips, tmp_path)
    written = arguments(clips, tmp_path, objective__mask_prob=0.8)
    other = arguments(clips, tmp_path, objective__mask_prob=0.7)
    assert differing_settings(plain, written) == []
    assert differing_settings(plain, other) == ["objective.mask_prob: the checkpoint has 0.8, this run 0.7"]
