"""The loop as users run it: from the command line, on two processes, in mixed precision, and when it goes wrong."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file

from tests.pretraining import arguments, settings, write_clips
from tests.training.soundscapes.sound_folders import write_collections
from tests.training.soundscapes.sound_folders import write_recipe as write_soundscape_recipe
from tests.two_processes import STAGES, build, part
from training.data.seeding import seeded_generator
from training.objectives import OBJECTIVES, build_objective
from training.objectives.masked_reconstruction import MaskedReconstructionObjective
from training.pretrain import build_accelerator, pretrain
from training.run.checkpoint import latest_checkpoint
from training.run.monitor import CollapseError, CollapseMonitor, check_loss_scale, read_metrics
from training.settings.recipe import build_arguments

REPOSITORY = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(sys.executable).parent
# `accelerate launch --cpu --num_processes 2` starts one process without a word; this starts two. They meet at
# the loopback address, so that it does not matter whether the machine's name can be resolved.
TWO_PROCESSES = ["torchrun", "--standalone", "--local-addr", "127.0.0.1", "--nproc_per_node", "2"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data") / "clips")


def start(*command: str, cwd: pathlib.Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess:
    """Runs a command of the virtual environment on the CPU, one thread a process."""
    variables = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} | environment
    command = [str(BIN / command[0]), *command[1:]]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)


def write_recipe(clips: pathlib.Path, folder: pathlib.Path) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings(clips, folder / "run")))
    return str(path)


def losses(output: pathlib.Path) -> list[float]:
    return [line["loss"] for line in read_metrics(output / "metrics.jsonl")]


def test_accelerate_launch_needs_no_installation(clips, tmp_path):
    """Started as a file, from another folder, in an environment that does not know the repository."""
    script = str(REPOSITORY / "training" / "pretrain.py")
    launch = ["accelerate", "launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
    options = ["--mixed_precision", "no", "--dynamo_backend", "no"]
    run = start(*launch, *options, script, "--config", write_recipe(clips, tmp_path), "run.stop_after=2", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "last checkpoint" in run.stderr
    assert len(losses(tmp_path / "run")) == 2
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_two_processes_train_and_resume(clips, tmp_path):
    recipe, whole, resumed = write_recipe(clips, tmp_path), tmp_path / "run", tmp_path / "resumed"
    command = [*TWO_PROCESSES, "training/pretrain.py", "--config", recipe, "optim.accumulation_steps=2"]
    run = start(*command)
    assert run.returncode == 0, run.stderr
    middle = whole / "checkpoint_00000003"
    assert torch.load(middle / "trainer.pt", weights_only=True)["num_processes"] == 2
    positions = [torch.load(middle / f"process_{rank}.pt", weights_only=True)["position"] for rank in range(2)]
    assert positions == [{"epoch": 4, "row": 2}] * 2  # 3 updates of 2 x 3 clips, 4 clips an epoch and process

    run = start(*command, f"run.resume={middle}", f"run.output_dir={resumed}")
    assert run.returncode == 0, run.stderr
    assert losses(resumed) == losses(whole)[3:]
    weights, again = (load_file(latest_checkpoint(output) / "model.safetensors") for output in (whole, resumed))
    assert all(torch.equal(weights[name], again[name]) for name in weights)

    with pytest.raises(ValueError, match="processes: the checkpoint has 2, this run 1"):
        pretrain(arguments(clips, whole, run__resume=True, optim__accumulation_steps=2))


@pytest.fixture
def explicit_batch() -> dict[str, torch.Tensor]:
    """Four clips with given masks (two clones each) and mix windows, so that nothing is drawn."""
    generator = torch.Generator().manual_seed(1)
    order = torch.rand(8, 64, generator=generator).argsort(dim=1)
    return {
        "input_values": torch.randn(4, 128, 128, generator=generator),
        "bool_masked_pos": order >= 13,
        "mix_windows": torch.tensor([[16, 64]]),
    }


def gradients_of_parts(stage: str, batch: dict[str, torch.Tensor], parts: int) -> dict[str, torch.Tensor]:
    """Mean over the parts of the gradient on each, in this process."""
    model, objective, _ = build(stage)
    for index in range(parts):
        loss, _ = objective(model, part(batch, index, parts), torch.Generator())
        (loss / parts).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_same_gradients(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> None:
    largest = max(gradient.abs().max().item() for gradient in want.values())
    assert got.keys() == want.keys()
    for name in want:
        torch.testing.assert_close(got[name], want[name], rtol=0, atol=1e-6 * largest, msg=name)


def test_gradients_of_two_processes(explicit_batch, tmp_path):
    """Equal to those of one process. Stage 2 mixes within each process, so there the reference does so too."""
    save_file(explicit_batch, tmp_path / "batch.safetensors")
    run = start(*TWO_PROCESSES, "-m", "tests.two_processes", str(tmp_path / "batch.safetensors"), str(tmp_path))
    assert run.returncode == 0, run.stderr
    for stage, parts in zip(STAGES, (1, 2), strict=True):
        found = load_file(tmp_path / f"{stage}.safetensors")
        assert found.pop("num_processes") == 2
        assert_same_gradients(found, gradients_of_parts(stage, explicit_batch, parts))


def test_the_first_update_has_rate_zero(clips, tmp_path):
    pretrain(arguments(clips, tmp_path, run__stop_after=2))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[0]["learning_rate"] == 0.0
    assert lines[0]["teacher_student_distance"] == 0.0
    assert lines[1]["teacher_student_distance"] > 0.0


def test_accumulated_gradients_equal_those_of_one_batch(explicit_batch):
    want = gradients_of_parts("sslam_stage1", explicit_batch, 1)
    model, objective, _ = build("sslam_stage1")
    accelerator = build_accelerator(build_arguments({"optim": {"accumulation_steps": 2}}))
    wrapped = accelerator.prepare(model)
    for index in range(2):
        with accelerator.accumulate(wrapped):
            accelerator.backward(objective(wrapped, part(explicit_batch, index, 2), torch.Generator())[0])
    assert_same_gradients({name: parameter.grad for name, parameter in model.named_parameters()}, want)


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_the_teacher_stays_float32(clips, tmp_path, precision):
    folder = pretrain(arguments(clips, tmp_path, run__mixed_precision=precision, run__stop_after=2))
    weights = load_file(folder / "model.safetensors") | load_file(folder / "teacher.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(loss > 0 for loss in losses(tmp_path))


def test_gradient_checkpointing_changes_no_number(clips, tmp_path):
    pretrain(arguments(clips, tmp_path / "plain"))
    AcceleratorState._reset_state(reset_partial_state=True)
    pretrain(arguments(clips, tmp_path / "again", run__gradient_checkpointing=True))
    assert losses(tmp_path / "plain") == losses(tmp_path / "again")


class TwoCrops(MaskedReconstructionObjective):
    """Reconstructs two crops of a clip, and notes how far they are apart."""

    views = ("input_values", "other")

    def __call__(self, model, batch, generator):
        loss, logs = super().__call__(model, batch, generator)
        other, _ = super().__call__(model, {"input_values": batch["other"]}, generator)
        return loss + other, logs | {"apart": (batch["input_values"] - batch["other"]).abs().mean()}


def test_an_objective_may_want_several_views_of_a_clip(clips, tmp_path, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "two_crops", TwoCrops)
    lines = []
    for workers in (0, 2):
        AcceleratorState._reset_state(reset_partial_state=True)
        sections = settings(clips, tmp_path / str(workers))
        sections["model"] = {"model_type": "ssam", "hidden_size": 32, "num_hidden_layers": 1, "state_size": 4}
        sections["objective"] = {"name": "two_crops"}
        sections["data"] |= {"crop": "random", "target_length": 16, "num_workers": workers}
        sections["evaluation"] = {"filters": {"folder": ["clips"]}, "every": 2}
        pretrain(build_arguments(sections))
        lines.append(read_metrics(tmp_path / str(workers) / "metrics.jsonl"))
    assert all(line["apart"] > 0 for line in lines[0])
    assert "evaluation_apart" in lines[0][1]
    assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]]


def test_random_numbers_are_of_seed_update_and_process():
    def draw(*identity):
        return torch.rand(3, generator=seeded_generator(*identity)).tolist()

    assert draw(1, 2, 0) == draw(1, 2, 0)
    assert len({tuple(draw(*identity)) for identity in [(1, 2, 0), (1, 2, 1), (1, 3, 0), (2, 2, 0), (12, 0, 0)]}) == 5


def test_soundscapes_without_end(tmp_path):
    """Six updates of 3, with epochs of 4; a resumed run hears what the undisturbed one does."""
    soundscapes = write_collections(tmp_path)
    soundscapes.output.num_soundscapes = 4
    recipe = write_soundscape_recipe(tmp_path / "train.yaml", soundscapes)
    soundscapes.output.seed = 1
    held_out = write_soundscape_recipe(tmp_path / "held_out.yaml", soundscapes)

    def run(output: str, **overrides) -> list[float]:
        evaluation = {"evaluation__path": held_out, "evaluation__every": 3}
        pretrain(arguments(recipe, tmp_path / output, data__format="soundscapes", **evaluation, **overrides))
        return losses(tmp_path / output)

    whole = run("whole")
    assert len(set(whole)) == 6
    run("resumed", run__stop_after=3)
    assert run("resumed", run__resume=True, data__num_workers=2) == whole
    evaluations = [
        [line[name] for line in read_metrics(tmp_path / output / "metrics.jsonl") for name in line if "evalu" in name]
        for output in ("whole", "resumed")
    ]
    assert evaluations[0] == evaluations[1] != []


def test_skipped_files_are_counted(clips, tmp_path):
    damaged = shutil.copytree(clips, tmp_path / "clips")
    (damaged / "0.wav").write_bytes(b"no audio")
    pretrain(arguments(damaged, tmp_path / "run"))  # 6 updates of 3 clips: 18 rows, two whole epochs and 2 rows
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["skipped_clips"] >= 2


def test_all_files_corrupt(clips, tmp_path):
    damaged = shutil.copytree(clips, tmp_path / "clips")
    for file in damaged.iterdir():
        file.write_bytes(b"no audio")
    with pytest.raises(ValueError, match="none of .* clips in a row could be decoded"):
        pretrain(arguments(damaged, tmp_path / "run"))


def test_a_batch_of_one_cannot_be_mixed(clips, tmp_path):
    with pytest.raises(ValueError, match="at least 2 clips.*raise data.batch_size"):
        pretrain(arguments(clips, tmp_path, objective__name="sslam_stage2", data__batch_size=1))


def test_unknown_objective_fields_are_named(clips, tmp_path):
    model, _, _ = build("sslam_stage1")
    with pytest.raises(ValueError, match="unknown field temperature of objective 'sslam_stage1'"):
        build_objective("sslam_stage1", {"temperature": 1}, model)


def test_a_run_that_explodes_is_stopped(clips, tmp_path):
    overrides = {"optim__learning_rate": 1e30, "optim__warmup_steps": 0}
    with pytest.raises(CollapseError, match=r"the loss is (nan|inf) after update \d: lower optim.learning_rate"):
        pretrain(arguments(clips, tmp_path, **overrides))


def test_fp16_gives_up_when_no_scale_helps():
    check_loss_scale(1e-5)
    with pytest.raises(CollapseError, match="loss scale fell to 1e-07, below 1e-06: every update overflows"):
        check_loss_scale(1e-7)


def test_a_collapsed_run_is_stopped_without_a_checkpoint(clips, tmp_path):
    with pytest.raises(CollapseError, match="prediction_variance fell to .* below the minimum of 100"):
        pretrain(arguments(clips, tmp_path, run__min_prediction_variance=100.0, run__log_every=3))
    assert latest_checkpoint(tmp_path) is None
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [3]


@pytest.mark.parametrize("name", ["prediction_variance", "target_variance"])
def test_limits_of_the_monitor(name):
    monitor = CollapseMonitor(min_prediction_variance=0.01, min_target_variance=0.01)
    healthy = {"loss": 1.0, "prediction_variance": 0.02, "target_variance": 0.02, "teacher_student_distance": 0.1}
    monitor.check(1, healthy)
    with pytest.raises(CollapseError, match=f"{name} fell to 0.001 after update 7, .* run.min_{name}=0 disables"):
        monitor.check(7, healthy | {name: 0.001})
    CollapseMonitor(0.0, 0.0).check(7, healthy | {name: 0.001})
