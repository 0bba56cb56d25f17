"""Reads and writes recipes: YAML files, perhaps with a base, and `section.field=value` overrides.

Reading is strict: an unknown key or a value of the wrong type is an error that names the alternatives.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing

import yaml

from training.settings.pretraining import PretrainArguments

BASE = "base"  # key of a recipe that names the recipe from which it differs


class _RecipeLoader(yaml.SafeLoader):
    """Safe YAML in which `5e-4` is a number, as in YAML 1.2 (PyYAML alone reads it as text)."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


Arguments = typing.TypeVar("Arguments")


def load_arguments(
    recipe: str | pathlib.Path | None,
    overrides: list[str] | tuple[str, ...] = (),
    arguments_class: type[Arguments] = PretrainArguments,
) -> Arguments:
    """Reads a recipe and applies `section.field=value` overrides, whose values are YAML.

    Args:
        recipe: YAML file, or None for the defaults.
        arguments_class: dataclass with one dataclass a section.
    Raises:
        ValueError: unknown section or field, value of the wrong type, or an override of another form.
        FileNotFoundError: there is no such recipe.
    """
    sections = {} if recipe is None else read_sections(recipe)
    for override in overrides:
        _apply_override(sections, override)
    return build_arguments(sections, arguments_class)


def read_sections(recipe: str | pathlib.Path, _above: tuple[pathlib.Path, ...] = ()) -> dict[str, dict | None]:
    """The sections of a recipe, those of its base included.

    `base: other.yaml` names the recipe that it starts from, relative to its own folder; that may have a base too.
    Mappings are merged field by field, anything else replaces what the base has.

    Raises:
        ValueError: something other than a mapping of sections, or a recipe that is its own base.
        FileNotFoundError: there is no such recipe, or base.
    """
    path = pathlib.Path(recipe)
    above = (*_above, path.resolve())
    if path.resolve() in _above:
        raise ValueError(f"recipes are each other's base: {' -> '.join(file.name for file in above)}")
    sections = yaml.load(path.read_text(), _RecipeLoader) or {}
    if not isinstance(sections, dict):
        raise ValueError(f"{recipe} holds a {type(sections).__name__}: it must be a mapping of sections")
    base = sections.pop(BASE, None)
    return sections if base is None else _merged(read_sections(path.parent / base, above), sections)


def build_arguments(
    sections: dict[str, dict | None], arguments_class: type[Arguments] = PretrainArguments
) -> Arguments:
    """The arguments from one mapping a section, as `dump_arguments` makes them. Raises ValueError as above."""
    known = typing.get_type_hints(arguments_class)
    _refuse_unknown("section", sections, known)
    return arguments_class(**{name: _build_section(name, known[name], sections[name] or {}) for name in sections})


def dump_arguments(arguments: typing.Any) -> dict[str, dict]:
    """The complete settings as one mapping a section, defaults included; `build_arguments` reads them back."""
    sections = dataclasses.asdict(arguments)
    for section in sections.values():
        section.update(section.pop("options", {}))
    return sections


def format_arguments(arguments: typing.Any) -> str:
    """The complete settings as YAML, a recipe that repeats the run."""
    return yaml.safe_dump(dump_arguments(arguments), sort_keys=False)


def write_arguments(arguments: typing.Any, path: pathlib.Path) -> None:
    """Writes the complete settings as a recipe that repeats the run."""
    path.write_text(format_arguments(arguments))


def _merged(base: dict, changes: dict) -> dict:
    """`base` with `changes`; what is a mapping in both is merged likewise."""
    merged = dict(base)
    for key, value in changes.items():
        of_base = base.get(key)
        both = isinstance(of_base, dict) and isinstance(value, dict)
        merged[key] = _merged(of_base, value) if both else value
    return merged


def _apply_override(sections: dict, override: str) -> None:
    keys, equals, value = override.partition("=")
    section, dot, field = keys.partition(".")
    if not (equals and dot and field):
        raise ValueError(f"override {override!r} is not of the form section.field=value")
    sections[section] = (sections.get(section) or {}) | {field: yaml.load(value, _RecipeLoader)}


def _build_section(name: str, section_class: type, values: dict):
    """An instance of the section; keys without a field of their own go to `options` where the section has that."""
    if not isinstance(values, dict):
        raise ValueError(f"section {name} is {values!r}: it must be a mapping of fields")
    types = typing.get_type_hints(section_class)
    takes_options = types.pop("options", None) is not None
    own = {key: value for key, value in values.items() if key in types}
    options = {key: value for key, value in values.items() if key not in types}
    if not takes_options:
        _refuse_unknown(f"field of section {name}", options, types)
    own = {key: _coerce(f"{name}.{key}", value, types[key]) for key, value in own.items()}
    return section_class(**own, options=options) if takes_options else section_class(**own)


def _coerce(name: str, value: object, wanted: type) -> object:
    """`value` when it is of the wanted type (an integer also serves as a float)."""
    choices = typing.get_args(wanted) or (wanted,)
    if type(value) in choices:
        return value
    if float in choices and type(value) is int:
        return float(value)
    names = " or ".join("null" if choice is type(None) else choice.__name__ for choice in choices)
    raise ValueError(f"{name} is {value!r} ({type(value).__name__}): it must be {names}")


def _refuse_unknown(what: str, given: typing.Iterable[str], known: typing.Iterable[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"unknown {what}: {', '.join(map(str, unknown))}; known: {', '.join(known)}")
