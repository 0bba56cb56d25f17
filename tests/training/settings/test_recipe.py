"""Recipes: strict reading, bases, overrides, and the way back to YAML."""

import pathlib

import pytest

from modeling_sslam import SslamConfig
from training.objectives import OBJECTIVES
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import (
    build_arguments,
    dump_arguments,
    load_arguments,
    read_sections,
    write_arguments,
)

RECIPES = sorted((pathlib.Path(__file__).parents[3] / "training" / "recipes").glob("sslam_*.yaml"))


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model: {hidden_size: 32}\nobjective: {name: sslam_stage1, clones: 4}\n"
        "data: {format: folder, path: clips}\noptim: {learning_rate: 5e-4, floor: 0, warmup_steps: 2}\nrun:\n"
    )
    return path


def test_values_and_defaults(recipe):
    arguments = load_arguments(recipe)
    assert arguments.model.options == {"hidden_size": 32}
    assert arguments.objective.options == {"clones": 4}
    assert arguments.optim.learning_rate == 5e-4
    assert type(arguments.optim.floor) is float
    assert arguments.run.seed == 1


def test_overrides_win_and_are_yaml(recipe):
    overrides = ["optim.learning_rate=1e-3", "model.hidden_size=64", "run.resume=true", "data.filters={fold: [1, 2]}"]
    arguments = load_arguments(recipe, overrides)
    assert arguments.optim.learning_rate == 1e-3
    assert arguments.model.options == {"hidden_size": 64}
    assert arguments.run.resume is True
    assert arguments.data.filters == {"fold": [1, 2]}


def test_written_settings_repeat_the_run(recipe, tmp_path):
    arguments = load_arguments(recipe)
    write_arguments(arguments, tmp_path / "resolved.yaml")
    assert load_arguments(tmp_path / "resolved.yaml") == arguments
    assert build_arguments(dump_arguments(arguments)) == arguments


def write(folder: pathlib.Path, **recipes: str) -> pathlib.Path:
    """Writes recipes by name; the path of the last one."""
    for name, text in recipes.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
    return path


def test_a_recipe_changes_fields_of_its_base(recipe, tmp_path):
    middle = "base: recipe.yaml\nmodel: {num_hidden_layers: 2}\nobjective: {clones: 8}\ndata: {filters: {fold: [1]}}\n"
    path = write(tmp_path, middle=middle, last="base: middle.yaml\ndata: {path: other, filters: {kind: [event]}}\n")
    arguments = load_arguments(path, ["model.hidden_size=64"])
    assert arguments.model.options == {"hidden_size": 64, "num_hidden_layers": 2}
    assert (arguments.objective.name, arguments.objective.options) == ("sslam_stage1", {"clones": 8})
    assert (arguments.data.format, arguments.data.path) == ("folder", "other")
    assert arguments.data.filters == {"fold": [1], "kind": ["event"]}
    assert arguments.optim == load_arguments(recipe).optim


def test_what_is_no_mapping_replaces_what_the_base_has(tmp_path):
    path = write(tmp_path, base="data: {filters: {fold: [1, 2]}, std: 4.0}", last="base: base.yaml\ndata: {std: null}")
    assert read_sections(path) == {"data": {"filters": {"fold": [1, 2]}, "std": None}}
    path = write(tmp_path, last="base: base.yaml\ndata: {filters: {fold: [3]}}")
    assert read_sections(path)["data"]["filters"] == {"fold": [3]}


def test_bases_that_lead_nowhere(tmp_path):
    path = write(tmp_path, one="base: two.yaml", two="base: three.yaml", three="base: two.yaml")
    with pytest.raises(ValueError, match="each other's base: three.yaml -> two.yaml -> three.yaml"):
        load_arguments(path)
    with pytest.raises(FileNotFoundError, match="nowhere.yaml"):
        load_arguments(write(tmp_path, one="base: nowhere.yaml"))
    with pytest.raises(ValueError, match="base.yaml holds a list: it must be a mapping of sections"):
        load_arguments(write(tmp_path, base="[1, 2]", one="base: base.yaml"))


@pytest.mark.parametrize("field", ["crop=random", "shuffle_buffer=10"])
def test_fine_tuning_refuses_what_only_pretraining_has(field):
    name = field.partition("=")[0]
    with pytest.raises(ValueError, match=f"unknown field of section data: {name}; known: format, path"):
        load_arguments(None, [f"data.{field}"], FinetuneArguments)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_published_recipes(path):
    """Every field exists, and the class term weighs as much as in the official runs: 192 rows a device batch."""
    arguments = load_arguments(path)
    objective = OBJECTIVES[arguments.objective.name].config_class(**arguments.objective.options)
    sizes = SslamConfig.large() if "large" in path.stem else SslamConfig.base()
    assert SslamConfig(**arguments.model.options).to_dict() == sizes.to_dict()
    copies = 2 if arguments.objective.name == "sslam_stage2" else 1
    assert arguments.data.batch_size * copies * objective.clones == objective.class_loss_rows == 192
    assert read_sections(path).keys() == dump_arguments(arguments).keys() - {"evaluation"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.rate=1", "unknown field of section optim: rate; known: optimizer, schedule, learning_rate, floor"),
        ("trainer.seed=1", "unknown section: trainer; known: model, objective, data, evaluation, optim, run"),
        ("optim.learning_rate=fast", r"optim.learning_rate is 'fast' \(str\): it must be float"),
        ("data.batch_size=1.5", "data.batch_size is 1.5 .*must be int"),
        ("data.batch_size=0", "data.batch_size is 0: it must be at least 1"),
        ("optim.warmup_steps=400000", "warmup_steps is 400000: .* less than optim.total_steps"),
        ("run.seed", "override 'run.seed' is not of the form section.field=value"),
    ],
)
def test_mistakes_are_named(recipe, override, message):
    with pytest.raises(ValueError, match=message):
        load_arguments(recipe, [override])
