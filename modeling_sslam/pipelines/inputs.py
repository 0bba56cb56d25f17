"""What our pipelines have in common: what they take as a recording, their extractor, and how scores come of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import BatchFeature, PreTrainedModel
from transformers.pipelines.base import ChunkPipeline

from ..audio_io import load_audio, to_mono
from ..feature_extraction_base import AudioFeatureExtractor
from ..registration import default_extractor

# What a model was trained for -> what makes scores of its logits, as in transformers' audio classification.
FUNCTIONS = {"regression": "none", "multi_label_classification": "sigmoid"}


class RecordingPipeline(ChunkPipeline):
    """Base of pipelines that run a model over recordings in windows, one chunk a window.

    Args:
        model: of this package.
        feature_extractor: of the model; when not given, see `default_extractor`.
        kwargs: of transformers' `Pipeline`, and call arguments as defaults.
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = None  # where the folder has one: the hub repositories of EAT and SSLAM have none
    _load_tokenizer = False

    def __init__(
        self, model: PreTrainedModel, *, feature_extractor: AudioFeatureExtractor | None = None, **kwargs: Any
    ):
        if feature_extractor is None:
            feature_extractor = default_extractor(model.config)
        super().__init__(model=model, feature_extractor=feature_extractor, **kwargs)

    def check_window(self, window_s: float) -> None:
        """Raises ValueError for a window that the extractor would cut."""
        extractor = self.feature_extractor
        if not 0 < window_s <= extractor.longest_seconds:
            raise ValueError(
                f"window_s={window_s} is not within 0 and {extractor.longest_seconds} s, which the extractor's "
                f"target_length of {extractor.target_length} frames holds: choose shorter windows or set a larger "
                "target_length."
            )

    def features(self, waveform: torch.Tensor) -> BatchFeature:
        """What the extractor makes of a window (N,) at its own rate."""
        features = self.feature_extractor(
            waveform, sampling_rate=self.feature_extractor.sampling_rate, return_tensors="pt"
        )
        return features if self.dtype is None else features.to(dtype=self.dtype)

    def scores(self, logits: torch.Tensor, function_to_apply: str | None) -> torch.Tensor:
        """(..., C) float32 scores: logits after "softmax", "sigmoid" or "none"; None for what the problem asks for."""
        function_to_apply = function_to_apply or FUNCTIONS.get(self.model.config.problem_type, "softmax")
        logits = logits.float()
        if function_to_apply == "softmax":
            return logits.softmax(dim=-1)
        return logits.sigmoid() if function_to_apply == "sigmoid" else logits


def read_input(inputs: Any, sampling_rate: int) -> torch.Tensor:
    """Mono waveform (N,) at `sampling_rate` of a pipeline input: what `load_audio` takes, a URL, or a bare array."""
    if isinstance(inputs, (np.ndarray, torch.Tensor)):
        return to_mono(inputs)
    if isinstance(inputs, str) and inputs.startswith(("http://", "https://")):
        inputs = download(inputs)
    return load_audio(inputs, sampling_rate)


def download(url: str) -> bytes:
    """The content behind a URL."""
    from huggingface_hub.utils import httpx

    response = httpx.get(url, follow_redirects=True)
    response.raise_for_status()
    return response.content
