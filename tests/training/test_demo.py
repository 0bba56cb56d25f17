"""The demo with next to no effort: everything is there and has been used, whatever the scores."""

import csv
import json
import pathlib

import pytest
import soundfile
import torch
from transformers import AutoModelForAudioClassification

from training.demo import Effort, real_data, run_demo, summarize
from training.sound_bank import EVENTS

SMALLEST = Effort(clips=40, stage1_steps=2, stage2_steps=2, finetune_steps=2)
PICTURES = {"mask.png", "mixture.png", "probe.png", "training.png"}


def files(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def check(results: dict, output: pathlib.Path) -> None:
    assert {*PICTURES, "results.json", "model", "stage1", "stage2"} <= files(output)
    assert json.loads((output / "results.json").read_text()) == results
    assert all(set(encoders) == {"random weights", "stage 1", "stage 2"} for encoders in results["probe"].values())
    assert results["seconds"]["total"] > 0


def test_generated_sounds(tmp_path, capsys):
    output = tmp_path / "demo"
    results = run_demo(None, output, SMALLEST)
    check(results, output)
    assert set(results["probe"]) == {"single events", "soundscapes"}
    assert set(results["example"]["scores"]) <= set(EVENTS)
    model = AutoModelForAudioClassification.from_pretrained(output / "model")
    assert set(model.config.id2label.values()) == set(EVENTS)
    summarize(results, output)
    printed = capsys.readouterr().out
    assert "soundscapes (mAP): random weights" in printed
    assert "probe.png" in printed


def write_corpus(folder: pathlib.Path) -> pathlib.Path:
    """Noise and silence in the layout of ESC-10: four folds with eight clips each."""
    (folder / "audio").mkdir(parents=True)
    with (folder / "corpus.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category"])
        for index in range(32):
            noise = torch.randn(16_000, generator=torch.Generator().manual_seed(index))
            name, is_loud = f"{index}.flac", index % 2
            soundfile.write(folder / "audio" / name, (0.1 * is_loud + 0.001) * noise.numpy(), 16_000)
            writer.writerow([name, 1 + index % 8 // 2, is_loud, ("quiet", "loud")[is_loud]])
    return folder


def test_real_sounds(tmp_path):
    output = tmp_path / "demo"
    results = run_demo(write_corpus(tmp_path / "corpus"), output, SMALLEST)
    check(results, output)
    assert 0 <= results["finetune"]["eval_accuracy"] <= 1
    assert results["example"]["labels"] == ["quiet"]


def test_a_folder_with_other_things_is_not_deleted(tmp_path):
    (tmp_path / "precious.txt").write_text("data")
    with pytest.raises(ValueError, match="holds something other than an earlier demo: choose another --output"):
        run_demo(None, tmp_path, SMALLEST)
    assert (tmp_path / "precious.txt").exists()


def test_folder_without_a_list(tmp_path):
    with pytest.raises(ValueError, match="must hold one CSV with the columns filename, fold and category"):
        real_data(tmp_path)
