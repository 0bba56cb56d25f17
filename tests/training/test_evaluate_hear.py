import json
import sys

import pytest
import torch

from hub_cards.results import read_measurement
from tests.labelled_clips import write_checkpoint, write_clips
from training.evaluate_hear import (
    Embedded,
    TaskArguments,
    build_task_model,
    confidence_half_width,
    cross_validate,
    main,
    rotations,
    train_task_model,
)

QUICK = TaskArguments(hidden_size=32, learning_rate=1e-2, batch_size=16, max_epochs=9, patience=3)
FOLDS = [str(number % 4) for number in range(120)]


def separable(multi_label: bool = False) -> Embedded:
    """120 clips whose first three channels tell the classes."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.eye(3)[torch.randint(3, (120,), generator=generator)]
    if multi_label:
        targets = (torch.rand(120, 3, generator=generator) < 0.5).float()
    scenes = torch.randn(120, 8, generator=generator)
    scenes[:, :3] += 6 * targets
    return Embedded(scenes, targets, multi_label)


def test_every_fold_is_tested_once_and_the_next_one_validates():
    rounds = [[mask.nonzero().flatten().tolist() for mask in masks] for masks in rotations(["a", "b", "b", "c"])]
    assert rounds == [[[3], [1, 2], [0]], [[0], [3], [1, 2]], [[1, 2], [0], [3]]]


def test_two_folds_are_too_few():
    with pytest.raises(ValueError, match="the folds are test, train: training, validation and test need at least"):
        next(rotations(["train", "test"]))


@pytest.mark.parametrize("multi_label", [False, True])
def test_separable_clips_are_told_apart(multi_label):
    assert cross_validate(separable(multi_label), FOLDS, seed=0, task=QUICK) > 0.95


def test_a_run_is_a_function_of_its_seed():
    clips = separable()
    state = torch.get_rng_state()
    models = [train_task_model(clips, clips, 0.25, seed, QUICK)[0] for seed in (0, 0, 1)]
    weights = [model[0].weight for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_training_ends_when_validation_no_longer_improves():
    """Labels without relation to the clips: the best score comes early, and its weights are the ones returned."""
    clips = separable()
    shuffled = Embedded(clips.scenes, clips.targets.roll(1, dims=0), False)
    task = TaskArguments(hidden_size=16, batch_size=120, validate_every=1, patience=2, max_epochs=10_000)
    model, score = train_task_model(clips, shuffled, 0.1, 0, task)
    with torch.no_grad():
        assert shuffled.score(model.eval()(shuffled.scenes)) == score


def test_a_last_batch_of_one_clip_is_left_out():
    task = TaskArguments(hidden_size=16, batch_size=119, max_epochs=3)
    assert train_task_model(separable(), separable(), 0.1, 0, task)[1] > 0


def test_task_model_starts_as_published():
    torch.manual_seed(0)
    model = build_task_model(400, 600, 1000, dropout=0.25)
    assert [type(layer).__name__ for layer in model] == ["Linear", "BatchNorm1d", "Dropout", "ReLU", "Linear"]
    assert model[0].weight.std().item() == pytest.approx((2 / 1400) ** 0.5, rel=0.01)
    assert model[4].weight.std().item() == pytest.approx(2**0.5 * (2 / 1600) ** 0.5, rel=0.01)


def test_confidence_interval():
    # Ten scores with standard deviation s: 2.262 s / sqrt(10), from the table of Student's t.
    scores = [0.0, 1.0] * 5
    assert confidence_half_width(scores) == pytest.approx(2.262 * 0.52705 / 10**0.5, rel=1e-3)
    assert confidence_half_width([0.5]) is None


def test_command(tmp_path, monkeypatch, capsys):
    clips, checkpoint = write_clips(tmp_path / "bank"), write_checkpoint(tmp_path / "model")
    lines = clips.read_text().splitlines()
    with_folds = [lines[0] + ",fold"] + [f"{line},{number % 3}" for number, line in enumerate(lines[1:])]
    clips.write_text("\n".join(with_folds))
    output = tmp_path / "results" / "hear.json"
    data = ["data.label_column=labels", "data.filters={kind: [event]}", "data.num_workers=0", "data.batch_size=7"]
    task = ["task.seeds=2", "task.max_epochs=2", "task.hidden_size=16", "task.dropouts=[0.1]"]
    command = ["evaluate_hear", "--model", str(checkpoint), "--data", str(clips), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*command, *data, *task])
    main()
    results = json.loads(capsys.readouterr().out)
    assert 0 <= results["accuracy"] <= 1
    assert len(results["of_each_seed"]) == 2
    scores = read_measurement(output).scores
    assert [(score.path, score.metric) for score in scores] == [(("hear",), "accuracy")]
