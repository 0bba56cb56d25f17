"""Loads the official checkpoints of every family: each family's reader says whether a file is one of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor

from . import masked_patch as official_masked_patch
from . import mwmae as official_mwmae
from . import spectrogram_cnn as official_spectrogram_cnn
from . import ssast as official_ssast
from . import sslam as official_sslam
from .file import OfficialModel, open_official

READERS = (official_sslam, official_ssast, official_masked_patch, official_mwmae, official_spectrogram_cnn)

# Beginnings of parameter names that people confuse with these, and what has them.
OTHER_LAYOUTS = {
    "sslam.": "a checkpoint of this package, which loads with from_pretrained as it is",
    "encoder.embeddings.": "a checkpoint of this package, which loads with from_pretrained as it is",
    "embeddings.": "a checkpoint of this package, which loads with from_pretrained as it is",
    "audio_spectrogram_transformer.": "an Audio Spectrogram Transformer of transformers",
    "mask_emb": "a wav2vec 2.0 or data2vec of fairseq",
}


def load_official(path: str | os.PathLike, num_attention_heads: int | None = None) -> OfficialModel:
    """Reads an official checkpoint of any family.

    Args:
        path: a file, or a folder with one file of weights.
        num_attention_heads: needed only for transformers of a width that was never published: no shape tells it.
    Raises:
        ValueError: none of the known layouts; unknown or missing names, or shapes that do not fit (all are listed); a
            pickle that would run code.
    """
    file = open_official(path)
    for reader in READERS:
        if reader.recognises(file):
            return reader.read(file, num_attention_heads)
    raise ValueError(f"{file.path} is not one of the official layouts: {_describe(file.weights)}")


def _describe(weights: Mapping[str, Tensor]) -> str:
    """Names what a foreign state dictionary looks like."""
    for beginning, description in OTHER_LAYOUTS.items():
        if any(name.startswith(beginning) for name in weights):
            return f"it looks like {description}"
    return f"it holds {', '.join(list(weights)[:3]) or 'nothing'}"
