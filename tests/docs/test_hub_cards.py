"""Model cards: metadata that the hub reads, numbers with their source, and snippets that run."""

from __future__ import annotations

import copy
import json
import re
import shlex

import numpy as np
import pytest
import soundfile
import torch
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from transformers import AutoModelForAudioClassification, AutoModelForPreTraining

from hub_cards.render import build_extractor, card_names, load_card, main, render_card, reported_rows
from hub_cards.results import read_measurement
from tests.families import FAMILIES
from training.finetune import FinetuneArguments
from training.settings.recipe import load_arguments

CARDS = [(name, size) for name in card_names() for size in load_card(name)["sizes"]]
SECTIONS = ["How to use", "Training data and licence", "Results", "Limits", "Citation"]
RESULTS = {
    "command": "python -m training.probe --model outputs/model",
    "machine": {"cores": 2, "torch": "2.13.0"},
    "model": "outputs/model",
    "dataset": "ESC-10, fold 4",
    "date": "2026-11-21",
    "probe": {
        "pretrained": {"linear_mean": {"accuracy": 0.7125}},
        "random weights": {"linear_mean": {"accuracy": 0.4}},
    },
    "finetune": {"eval_mean_average_precision": 0.8, "eval_d_prime": 1.234, "eval_loss": 1.5},
}


def code_blocks(card: ModelCard, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card.text, re.DOTALL)


@pytest.fixture
def results_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(RESULTS))
    return path


@pytest.mark.parametrize(("name", "size"), CARDS)
def test_card_has_metadata_sections_and_only_reported_numbers(name, size):
    card = render_card(name, size)
    metadata = card.data.to_dict()
    assert metadata["library_name"] == "transformers"
    assert metadata["license"] in ("mit", "bsd-3-clause", "other")
    assert metadata["pipeline_tag"] == (
        "audio-classification" if load_card(name)["classifier"] else "feature-extraction"
    )
    assert "model-index" not in metadata
    assert re.findall(r"^## (.*)$", card.text, re.MULTILINE) == SECTIONS
    rows = [line for line in card.text.splitlines() if "reported by" in line]
    assert len(rows) == len(reported_rows(load_card(name), size))
    assert "measured here** |" not in card.text


def test_facts_come_from_the_model():
    assert "24 layers, 1024 wide, 16 heads, 302.6 million parameters" in render_card("eat_pretrained", "large").text
    text = render_card("sslam_pretrained").text
    assert "mean -4.268 and std 4.569" in text
    assert "12 layers, 768 wide, 12 heads, 85.3 million parameters" in text
    assert "512 for 1024 frames" in text


def test_measured_numbers_are_those_of_the_json(tmp_path, results_file):
    main(["sslam_pretrained", "--results", str(results_file), "--output", str(tmp_path / "card")])

    card = ModelCard.load(tmp_path / "card" / "README.md")
    assert [(result.metric_type, result.metric_value) for result in card.data.eval_results] == [
        ("accuracy", 0.7125),
        ("mean_average_precision", 0.8),
        ("d_prime", 1.234),
    ]
    assert card.data.model_name == "outputs/model"
    assert (
        "| ESC-10, fold 4 | accuracy | probe, pretrained, linear mean | outputs/model | 71.2 | **measured" in card.text
    )
    assert (
        "| ESC-10, fold 4 | accuracy | probe, random weights, linear mean | outputs/model | 40.0 | **measured"
        in card.text
    )
    assert "| ESC-10, fold 4 | d' | finetune | outputs/model | 1.23 | **measured" in card.text
    assert RESULTS["command"] in card.text
    assert "measured on cores 2, torch 2.13.0, 2026-11-21, by" in card.text

    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / "card/.eval_results/results.yaml").read_text()))
    assert [(entry.task_id, entry.value) for entry in entries] == [
        ("probe_pretrained_linear_mean_accuracy", 0.7125),
        ("finetune_mean_average_precision", 0.8),
        ("finetune_d_prime", 1.234),
    ]
    assert {entry.dataset_id for entry in entries} == {"local/esc_10_fold_4"}
    assert all("measured here: outputs/model" in entry.notes for entry in entries)


def test_options_complete_the_json(results_file):
    measurement = read_measurement(results_file, dataset_id="ashraq/esc50", machine="another")
    assert measurement.run.machine == "another"
    assert measurement.run.command == RESULTS["command"]
    assert measurement.eval_result_entries()[0].dataset_id == "ashraq/esc50"


def test_numbers_of_unknown_origin_are_refused(tmp_path):
    path = tmp_path / "results.json"
    unknown = ("machine", "dataset", "model")
    path.write_text(json.dumps({name: value for name, value in RESULTS.items() if name not in unknown}))
    with pytest.raises(ValueError, match="does not say the machine and dataset .* --machine ... --dataset ..."):
        read_measurement(path)
    assert read_measurement(path, machine="2 cores", dataset="ESC-10").run.model == str(tmp_path)
    path.write_text(json.dumps({**RESULTS, "probe": {}, "finetune": {"eval_loss": 1.5}}))
    with pytest.raises(ValueError, match="has no scores"):
        read_measurement(path)


def test_unknown_cards_and_sizes_are_refused():
    with pytest.raises(ValueError, match="unknown card 'ast'; choose one of .*eat_pretrained, .*sslam_finetuned"):
        render_card("ast")
    with pytest.raises(ValueError, match="has no size 'large'; choose one of base"):
        render_card("sslam_pretrained", "large")


@pytest.mark.parametrize("name", card_names())
def test_python_snippets_run_in_their_order(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card, num_classes = load_card(name), 5
    family = " ".join(card[key] for key in ("model_type", "variant", "family") if key in card)
    config = copy.deepcopy(FAMILIES[family].config)
    config.num_labels = num_classes
    for field, value in (
        ("max_time_patches", 64),
        ("position_fit", "centre"),
    ):  # for clips longer than those of `FAMILIES`
        if hasattr(config, field):
            setattr(config, field, value)
    auto_class = AutoModelForAudioClassification if card["classifier"] else AutoModelForPreTraining
    auto_class.from_config(config).save_pretrained("checkpoint")
    build_extractor(card, **config.extractor_fields()).save_pretrained("checkpoint")
    clip = np.random.default_rng(0).uniform(-0.5, 0.5, (22_050 * 2, 2))
    soundfile.write("clip.wav", clip, 22_050)

    snippets = code_blocks(render_card(name, repository="checkpoint"), "python")
    names = {}
    for snippet in snippets:
        exec(compile(snippet, f"snippet of {name}", "exec"), names)

    assert len(snippets) == 3
    assert names["clip_embedding"].shape == (1, config.hidden_size)
    assert names["embeddings_over_time"].shape[::2] == (1, config.hidden_size)
    assert names["classifier"].model.config.num_labels == (num_classes if card["classifier"] else 2)
    assert torch.isfinite(names["clip_embedding"]).all()


@pytest.mark.parametrize("name", [name for name in card_names() if "recipe" in load_card(name)])
def test_commands_are_understood(name):
    (command,) = code_blocks(render_card(name, repository="someone/model"), "bash")
    python, dash_m, module, config, recipe, *overrides = shlex.split(command.replace("\\\n", ""))
    assert (python, dash_m, module, config) == ("python", "-m", "training.finetune", "--config")
    arguments = load_arguments(recipe, overrides, FinetuneArguments)
    assert arguments.model.init_from == "someone/model"
