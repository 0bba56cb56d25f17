"""The study of mixtures on generated sounds: what it makes and runs, and that it goes on where it was killed."""

import csv
import json
import pathlib

import pytest

from tests.training.soundscapes.sound_folders import write_sound
from training import study
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import load_arguments
from training.studies.mixtures import ARMS, Effort, MixturesArguments, study_mixtures
from training.studies.runs import Run, complete

EFFORT = Effort(["cifar-resnet8"], sizes=[16, 20], num_tests=6, seeds=[1, 2], updates=1, transfer_updates=1)
RATE = 16000
NUM_RUNS = 2 * (2 + 2 * len(ARMS))  # seeds; sizes, and tasks in all arms


def write_table(path: pathlib.Path, rows: list[dict], seconds: float) -> None:
    for number, row in enumerate(rows):
        write_sound(path.parent / "audio" / row["filename"], seconds, seed=number, rate=RATE)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data(tmp_path):
    folds = [(fold, label, take) for fold in (1, 2, 3, 4) for label in ("dog", "rain") for take in range(3)]
    rows = [{"filename": f"{f}-{label}-{take}.flac", "fold": f, "category": label} for f, label, take in folds]
    write_table(tmp_path / "data" / "esc10" / "esc10.csv", rows, seconds=2.0)
    digits = [(digit, take) for digit in (0, 1) for take in range(13)]
    rows = [{"filename": f"{digit}-{take}.flac", "digit": digit, "take": take} for digit, take in digits]
    write_table(tmp_path / "data" / "fsdd" / "fsdd.csv", rows, seconds=0.4)
    return tmp_path / "data"


def test_study(data, tmp_path):
    results = study_mixtures(data, tmp_path / "study", 1, MixturesArguments(EFFORT))
    assert set(results["soundscapes"]["cifar-resnet8"]) == {16, 20}
    assert set(results["soundscapes"]["cifar-resnet8"][16]) == {"test_1_3", "test_2_5"}
    assert list(results["transfer"]["digits"]["cifar-resnet8"]) == list(ARMS)
    arms = results["transfer"]["esc10"]["cifar-resnet8"]
    gain, back = arms["pretrained"]["gain_over"]["scratch"], arms["scratch"]["gain_over"]["pretrained"]
    assert gain["mean"] == pytest.approx(arms["pretrained"]["mean"] - arms["scratch"]["mean"], abs=0.01)
    assert gain == {"mean": -back["mean"], "half_width": back["half_width"]}
    assert len(results["runs"]) == NUM_RUNS

    recipes = tmp_path / "study" / "runs"
    longer = load_arguments(recipes / "esc10_cifar-resnet8_scratch_longer_1" / "recipe.yaml", (), FinetuneArguments)
    assert longer.optim.total_steps == EFFORT.updates + EFFORT.transfer_updates
    pretrained = load_arguments(recipes / "digits_cifar-resnet8_pretrained_2" / "recipe.yaml", (), FinetuneArguments)
    assert pretrained.model.init_from.endswith("cifar-resnet8_20_2")

    smaller, larger = ((tmp_path / "study" / f"train_{size}" / "clips.csv").read_text() for size in EFFORT.sizes)
    assert larger.startswith(smaller)
    for line in csv.DictReader((tmp_path / "study" / "test_2_5" / "clips.csv").open(newline="")):
        assert 2 <= int(line["num_events"]) <= 5
    manifest = (tmp_path / "study" / "test_1_3" / "manifest.json").read_text()
    assert "4-rain-0.flac" in manifest
    assert "1-rain-0.flac" not in manifest

    file = recipes / "digits_cifar-resnet8_pretrained_2" / "results.json"
    file.write_text(json.dumps({"finetune": {"eval_accuracy": 0.125}}))
    again = study_mixtures(data, tmp_path / "study", 1, MixturesArguments(EFFORT))
    assert again["runs"]["digits_cifar-resnet8_pretrained_2"] == {"eval_accuracy": 0.125}  # found, not run again
    assert again["soundscapes"] == results["soundscapes"]


def test_results_of_other_settings(tmp_path):
    run = Run("run", "study_mixtures_esc10.yaml")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("data: {path: other.csv}")
    (tmp_path / "run" / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="run holds the results of other settings: remove it, or choose another fold"):
        complete([run], tmp_path)


def test_command_hands_on_its_options(tmp_path, monkeypatch, capsys):
    calls = []

    def small_study(*arguments):
        calls.append(arguments)
        return {"soundscapes": {}}

    monkeypatch.setitem(study.STUDIES, "mixtures", (small_study, MixturesArguments))
    file = tmp_path / "results.json"
    options = ["--data", "data", "--output", "out", "--jobs", "2", "--json", str(file)]
    study.main(["mixtures", *options, "effort.seeds=[4, 5]", "effort.updates=7"])
    arguments = MixturesArguments(Effort(seeds=[4, 5], updates=7))
    assert calls == [(pathlib.Path("data"), pathlib.Path("out"), 2, arguments)]
    assert json.loads(capsys.readouterr().out) == {"soundscapes": {}}
    assert json.loads(file.read_text())["dataset"] == "data"
