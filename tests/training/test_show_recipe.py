"""Resolved recipes as YAML that repeats the run."""

import pathlib

import pytest

from training.settings.finetuning import FinetuneArguments
from training.settings.pretraining import PretrainArguments
from training.settings.recipe import load_arguments
from training.show_recipe import main

RECIPES = pathlib.Path(__file__).parents[2] / "training" / "recipes"


@pytest.mark.parametrize(
    ("name", "arguments_class"), [("ssam_tiny", PretrainArguments), ("linear_spass", FinetuneArguments)]
)
def test_the_printed_recipe_is_the_resolved_one(name, arguments_class, tmp_path, monkeypatch, capsys):
    overrides = ["optim.learning_rate=3e-3", "run.seed=7"]
    monkeypatch.setattr("sys.argv", ["show_recipe", str(RECIPES / f"{name}.yaml"), *overrides])
    main()
    printed = capsys.readouterr().out
    assert "base:" not in printed
    (tmp_path / "printed.yaml").write_text(printed)
    want = load_arguments(RECIPES / f"{name}.yaml", overrides, arguments_class)
    assert load_arguments(tmp_path / "printed.yaml", [], arguments_class) == want
    assert want.run.seed == 7


def test_mistakes_are_named(monkeypatch):
    monkeypatch.setattr("sys.argv", ["show_recipe", str(RECIPES / "ssam_tiny.yaml"), "optim.rate=1"])
    with pytest.raises(ValueError, match="unknown field of section optim: rate"):
        main()
