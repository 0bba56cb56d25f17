"""What commands have in common."""

import json

import pytest

from hub_cards.results import read_measurement
from training.probe import ProbeArguments
from training.run.command import model_command, recipe_command, write_results
from training.settings.finetuning import FinetuneArguments


def test_settings_of_a_recipe_and_overrides(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("run: {seed: 3}")
    arguments = recipe_command("doc", FinetuneArguments, ["--config", str(recipe), "data.path=clips.csv"])
    assert (arguments.run.seed, arguments.data.path) == (3, "clips.csv")
    assert recipe_command("doc", command=["data.path=clips"], needs_recipe=False).data.path == "clips"


def test_a_recipe_may_be_demanded(capsys):
    with pytest.raises(SystemExit):
        recipe_command("doc", command=["data.path=clips"])
    assert "--config" in capsys.readouterr().err


def test_options_and_settings_of_a_model(monkeypatch):
    words = ["probe", "--model", "folder", "--data", "clips.csv", "probe.epochs=7"]
    monkeypatch.setattr("sys.argv", words)
    options, arguments = model_command("doc", ProbeArguments)
    assert (options.model, options.output) == ("folder", None)
    assert (arguments.data.path, arguments.probe.epochs) == ("clips.csv", 7)


def test_results_say_where_they_come_from(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_results(path, {"probe": {"pretrained": {"linear_mean": {"accuracy": 0.5}}}}, "folder", "clips.csv")
    assert json.loads(path.read_text())["probe"]["pretrained"]["linear_mean"] == {"accuracy": 0.5}
    assert read_measurement(path).run.dataset == "clips.csv"
