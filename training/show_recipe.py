"""Prints a recipe with its bases, overrides and defaults resolved, as YAML that repeats the run.

    python -m training.show_recipe training/recipes/ssam_tiny.yaml [section.field=value ...]

Knows recipes of pretraining (with a section `objective`), of soundscapes (with `mixture`), and of fine-tuning.
"""

from __future__ import annotations

import argparse

from training.settings.finetuning import FinetuneArguments
from training.settings.pretraining import PretrainArguments
from training.settings.recipe import format_arguments, load_arguments, read_sections
from training.settings.synthesis import SynthesisArguments


def resolved(recipe: str, overrides: list[str]) -> str:
    """The complete recipe as YAML. Raises ValueError for what `load_arguments` refuses."""
    sections = read_sections(recipe)
    kinds = {"objective": PretrainArguments, "mixture": SynthesisArguments}
    arguments_class = next((kind for section, kind in kinds.items() if section in sections), FinetuneArguments)
    return format_arguments(load_arguments(recipe, overrides, arguments_class))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a YAML file")
    parser.add_argument("overrides", nargs="*", help="section.field=value, replaces a field of the recipe")
    options = parser.parse_args()
    print(resolved(options.recipe, options.overrides), end="")


if __name__ == "__main__":
    main()
