"""An encoder for the X-ARES benchmark (Zhang et al., Interspeech 2025): the HEAR timestamp embeddings of any family.

    XARES_MODEL=outputs/model python -m xares.run --max-jobs 1 modeling_sslam/hear/xares_encoder.py tasks/*.py

X-ARES makes the one class of the file whose name ends in "Encoder", without arguments: hence the variable.
"""

from __future__ import annotations

import os

import torch
from torch import nn

from .embeddings import get_timestamp_embeddings, load_model

MODEL_VARIABLE = "XARES_MODEL"


class HearTimestampEncoder(nn.Module):
    """Waveforms (B, N) or (N,) to embeddings (B, T, D).

    Args:
        model_file_path: what `modeling_sslam.hear.load_model` takes; the environment variable `XARES_MODEL` when not
            given.

    Attributes:
        sampling_rate: in Hz, of the waveforms.
        output_dim: D.
        hop_size_in_ms: milliseconds from one embedding to the next.
    Raises:
        ValueError: neither argument nor variable, or what `load_model` refuses.
    """

    def __init__(self, model_file_path: str | os.PathLike | None = None):
        super().__init__()
        model_file_path = model_file_path or os.environ.get(MODEL_VARIABLE)
        if not model_file_path:
            raise ValueError(f"no model: set the environment variable {MODEL_VARIABLE} to a folder or checkpoint")
        self.model = load_model(model_file_path)
        self.sampling_rate = self.model.sample_rate
        self.output_dim = self.model.timestamp_embedding_size
        self.hop_size_in_ms = self.model.hop_ms

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Embeddings of equally long waveforms at `sampling_rate`, up to 20 minutes."""
        return get_timestamp_embeddings(audio, self.model)[0]
