"""What the commands of `training/` have in common: options, the log, and files of results."""

from __future__ import annotations

import argparse
import json
import logging
import pathlib
from collections.abc import Sequence
from typing import TypeVar

from training.run.provenance import describe_run
from training.settings.pretraining import PretrainArguments
from training.settings.recipe import load_arguments

Arguments = TypeVar("Arguments")


def start_log(message_format: str = "%(asctime)s %(name)s: %(message)s") -> None:
    """The log of a command goes to standard error."""
    logging.basicConfig(level=logging.INFO, format=message_format)


def recipe_command(
    description: str | None,
    arguments_class: type[Arguments] = PretrainArguments,
    command: Sequence[str] | None = None,
    needs_recipe: bool = True,
) -> Arguments:
    """Settings of a command `--config RECIPE section.field=value ...`.

    Args:
        description: docstring of the command.
        command: its words; those of this process when not given.
        needs_recipe: otherwise there are defaults to start from.
    Raises:
        ValueError: what `load_arguments` refuses.
    """
    options = recipe_parser(description, needs_recipe).parse_args(command)
    return load_arguments(options.config, options.overrides, arguments_class)


def recipe_parser(description: str | None, needs_recipe: bool = True) -> argparse.ArgumentParser:
    """Takes `--config` and overrides, for commands with further options; see `recipe_command`."""
    parser = _parser(description)
    parser.add_argument("--config", required=needs_recipe, help="recipe, a YAML file")
    parser.add_argument("overrides", nargs="*", help="section.field=value, replaces a field of the recipe")
    return parser


def model_command(
    description: str | None,
    arguments_class: type[Arguments],
    model: str = "folder of a model and its feature extractor",
    output: str = "also write the results as JSON",
    needs_output: bool = False,
) -> tuple[argparse.Namespace, Arguments]:
    """Options and settings of a command `--model M --data D [--output O] section.field=value ...`.

    Args:
        description: docstring of the command.
        model, output: help of these options.
    Returns:
        options with `model`, `data` and `output`; settings with `data.path` set.
    Raises:
        ValueError: what `load_arguments` refuses.
    """
    parser = _parser(description)
    parser.add_argument("--model", required=True, help=model)
    parser.add_argument("--data", required=True, help="CSV file, folder or glob, see `training/settings/data.py`")
    parser.add_argument("--output", type=pathlib.Path, required=needs_output, help=output)
    sections = ", ".join(arguments_class.__dataclass_fields__)
    parser.add_argument("overrides", nargs="*", help=f"section.field=value; sections {sections}")
    options = parser.parse_args()
    return options, load_arguments(None, [f"data.path={options.data}", *options.overrides], arguments_class)


def write_results(path: pathlib.Path, results: dict, model: str, dataset: str, indent: int = 2) -> None:
    """Writes results, and where they come from, as JSON; see `describe_run`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(describe_run(model, dataset) | results, indent=indent))


def _parser(description: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
