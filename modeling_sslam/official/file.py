"""An official checkpoint as a file, and as what becomes of it; shared by the readers of all families."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from ..feature_extraction_base import AudioFeatureExtractor
from .flax_msgpack import is_msgpack, load_flax
from .restricted_pickle import load_restricted

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PICKLE_ENDINGS = (".pt", ".pth", ".bin", ".ckpt")
FLAX_BEGINNING = "checkpoint_"


@dataclasses.dataclass(frozen=True)
class OfficialFile:
    """What an official file holds.

    Attributes:
        path: of the file itself.
        weights: official name -> tensor.
        content: all of the file, the weights and what was saved beside them.
    """

    path: pathlib.Path
    weights: Mapping[str, Tensor]
    content: Mapping


@dataclasses.dataclass(frozen=True)
class OfficialModel:
    """An official checkpoint in this package's terms.

    Attributes:
        config: sizes and oddities of the model.
        model_class: the class of ours that has just these weights.
        weights: under the names of `model_class`.
        feature_extractor: as the model was trained.
        teacher: weights of its teacher under the names of the base model, None where there is none.
    """

    config: PreTrainedConfig
    model_class: type[PreTrainedModel]
    weights: dict[str, Tensor]
    feature_extractor: AudioFeatureExtractor
    teacher: dict[str, Tensor] | None = None

    def build(self) -> PreTrainedModel:
        """The model with its weights."""
        model = self.model_class(self.config)
        model.load_state_dict(self.weights)
        return model


def open_official(path: str | os.PathLike) -> OfficialFile:
    """Opens a file, or the only file of weights in a folder, without running code that it may hold.

    Raises:
        ValueError: no such file, several, or one without a dictionary of weights.
    """
    path = _weights_file(pathlib.Path(path))
    content = _read(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    weights = content.get("model", content)
    if not isinstance(weights, Mapping):
        raise ValueError(f"{path} is no official checkpoint: its entry 'model' is a {type(weights).__name__}")
    return OfficialFile(path, weights, content)


def _read(path: pathlib.Path) -> object:
    """The content of a file of any of the three formats."""
    if path.suffix == ".safetensors":
        return load_file(path)
    return load_flax(path) if is_msgpack(path) else load_restricted(path)


def _weights_file(path: pathlib.Path) -> pathlib.Path:
    """The one file of weights that a path means."""
    if path.is_file():
        return path
    if (path / WEIGHTS_FILE).is_file():
        return path / WEIGHTS_FILE
    files = [file for file in path.glob("*") if file.suffix in PICKLE_ENDINGS or file.name.startswith(FLAX_BEGINNING)]
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "no pickled weights"
        raise ValueError(f"{path} has no {WEIGHTS_FILE}, but {found}: name one file")
    return files[0]


def check_fit(model_class: type[PreTrainedModel], config: PreTrainedConfig, weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError listing every missing or surplus name and every shape that a model does not have."""
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in model_class(config).state_dict().items()}
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in expected]
    problems += [
        f"{name} is {tuple(weights[name].shape)} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape
    ]
    if problems:
        raise ValueError(f"the checkpoint does not fit {model_class.__name__} (our names): {'; '.join(problems)}")


def rename_weights(weights: Mapping[str, Tensor], table: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Renames every weight by the one row `(from, to)` that matches its whole name.

    Args:
        table: `#` in a row is the number of a block; a name may be followed by `.weight` or `.bias`.
    Raises:
        ValueError: names that match no row; all of them are listed.
    """
    rules = [
        (re.compile(re.escape(source).replace(r"\#", r"(\d+)") + r"((?:\.weight|\.bias)?)"), target)
        for source, target in table
    ]
    renamed, unknown = {}, []
    for name, tensor in weights.items():
        new_name = next((_fill(target, match) for rule, target in rules if (match := rule.fullmatch(name))), None)
        if new_name is None:
            unknown.append(name)
        else:
            renamed[new_name] = tensor
    if unknown:
        raise ValueError(f"{len(unknown)} parameter names belong to no known layout: {', '.join(sorted(unknown))}")
    return renamed


def _fill(target: str, match: re.Match) -> str:
    *block_number, ending = match.groups()
    return target.replace("#", *block_number) + ending if block_number else target + ending
