"""What a golden case is, how handlers register for a case kind, and how a comparison is scored."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from safetensors.torch import load_file

from .inputs import cases_below


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison of a case: passed when `error <= tolerance` (NaN never passes)."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


Tensors = dict[str, torch.Tensor]
Handler = Callable[[pathlib.Path, dict, Tensors], Iterable[Check]]
HANDLERS: dict[str, Handler] = {}


def case(kind: str) -> Callable[[Handler], Handler]:
    """Registers the decorated function `(path, config, tensors) -> checks` for one `case_kind`."""

    def register(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return register


def close(name: str, got: torch.Tensor, want: torch.Tensor, atol: float = 0.0, rtol: float = 0.0) -> Check:
    """Largest absolute difference, against the tolerance `atol + rtol * max|want|`."""
    tolerance = atol + rtol * want.double().abs().max().item() if want.numel() else atol
    if got.shape != want.shape:
        return Check(f"{name}: shape {tuple(got.shape)} is not {tuple(want.shape)}", float("inf"), tolerance)
    error = (got.double() - want.double()).abs().max().item() if want.numel() else 0.0
    return Check(name, error, tolerance)


def exact(name: str, got: object, want: object) -> Check:
    """Error 0 when the two are equal (tensors: same shape and values), 1 otherwise."""
    if isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor):
        equal = got.shape == want.shape and bool((got == want).all())
    else:
        equal = got == want
    return Check(name, 0.0 if equal else 1.0, 0.0)


def find_cases(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every folder at or below `root` that holds a `config.json` with a `case_kind`, in name order."""
    for config in sorted(root.rglob("config.json")):
        if "case_kind" in json.loads(config.read_text()):
            yield config.parent


def load_case(path: pathlib.Path) -> tuple[dict, Tensors]:
    """The `config.json` and `io.safetensors` of a case."""
    return json.loads((path / "config.json").read_text()), load_file(path / "io.safetensors")


def check_options(config: Mapping, **values: object) -> None:
    """Raises ValueError where a case was recorded with an option of the official code that this package does not have.

    Args:
        values: of the options, as they are in all published models.
    """
    for name, value in values.items():
        if config.get(name, value) != value:
            raise ValueError(f"the case was recorded with {name} = {config[name]!r}: this package has only {value!r}")


def run_case(path: pathlib.Path, root: pathlib.Path | None = None) -> tuple[str, list[Check]]:
    """Runs the handler of one case.

    Args:
        root: folder below which the cases lie that it may refer to; those beside it are found without.
    Returns:
        The case kind and its checks.
    Raises:
        ValueError: no handler is registered for the kind.
    """
    config, tensors = load_case(path)
    kind = config["case_kind"]
    if kind not in HANDLERS:
        raise ValueError(f"no handler for case_kind {kind!r}; known kinds: {', '.join(sorted(HANDLERS))}")
    with cases_below(root):
        return kind, list(HANDLERS[kind](path, config, tensors))
