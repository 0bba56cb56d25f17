"""Audio classification of anything that holds audio, of any rate and length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers import AudioClassificationPipeline, BatchFeature, PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.pipelines.base import ChunkPipeline

from ..audio_io import load_audio, to_mono
from ..audio_windows import check_merge, merge_windows, split_windows
from ..configuration_eat import EatConfig
from ..feature_extraction_kaldi_fbank import SslamFeatureExtractor


class SslamAudioClassificationPipeline(ChunkPipeline, AudioClassificationPipeline):
    """transformers' audio classification with our decoding and resampling, and with windows for long audio.

    Beyond the inputs of the stock pipeline it reads `datasets` Audio items (decoded or not), arrays and tensors at any
    rate with several channels, and files and bytes without ffmpeg or torchaudio. A bare array is taken to be at the
    extractor's rate, as there.

    Call arguments (or constructor arguments, as defaults), besides the stock `top_k` and `function_to_apply`:
        window_s: length of a window in seconds; without it a clip is cut to the extractor's `target_length`. Every
            window is treated as a clip of its own, so its own mean is removed.
        hop_s: seconds between the starts of windows; `window_s` when not given. The last window ends with the audio.
        merge: "mean" (default) or "max" over the windows, of the scores, that is after softmax or sigmoid.
        batch_size: windows in one forward pass, of one or of several recordings.

    Example:
        classifier = pipeline(
            "audio-classification", model="folder", pipeline_class=SslamAudioClassificationPipeline
        )
        classifier("street.flac", window_s=10, hop_s=5, merge="max", top_k=3, batch_size=8)
    """

    _load_feature_extractor = None  # where the folder has one: the hub repositories of EAT and SSLAM have none

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.feature_extractor is None:
            self.feature_extractor = default_extractor(self.model.config)

    def _sanitize_parameters(
        self,
        window_s: float | None = None,
        hop_s: float | None = None,
        merge: str | None = None,
        **kwargs: Any,
    ) -> tuple[dict, dict, dict]:
        _, forward_params, postprocess_params = super()._sanitize_parameters(**kwargs)
        preprocess_params = {}
        if window_s is not None:
            self._check_window(window_s)
            preprocess_params["window_s"] = window_s
        if hop_s is not None:
            preprocess_params["hop_s"] = hop_s
        if merge is not None:
            check_merge(merge)
            postprocess_params["merge"] = merge
        return preprocess_params, forward_params, postprocess_params

    def _check_window(self, window_s: float) -> None:
        extractor = self.feature_extractor
        longest = math.inf
        if extractor.target_length is not None:
            longest = extractor.target_length * extractor.frame_shift_ms / 1000
        if not 0 < window_s <= longest:
            raise ValueError(
                f"window_s={window_s} is not within 0 and {longest} s, which the extractor's target_length of "
                f"{extractor.target_length} frames holds: choose shorter windows or set a larger target_length."
            )

    def preprocess(
        self, inputs: Any, window_s: float | None = None, hop_s: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """The features of one window after another, with `is_last` at the last one of the recording."""
        rate = self.feature_extractor.sampling_rate
        waveform = read_input(inputs, rate)
        windows = [waveform]
        if window_s is not None:
            hop_s = window_s if hop_s is None else hop_s
            windows = split_windows(waveform, round(window_s * rate), round(hop_s * rate))
        for number, samples in enumerate(windows, start=1):
            features: BatchFeature = self.feature_extractor(samples, sampling_rate=rate, return_tensors="pt")
            if self.dtype is not None:
                features = features.to(dtype=self.dtype)
            yield {**features, "is_last": number == len(windows)}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        is_last = model_inputs.pop("is_last")
        return {"logits": self.model(**model_inputs).logits, "is_last": is_last}

    def postprocess(
        self,
        model_outputs: list[dict[str, torch.Tensor]],
        top_k: int = 5,
        function_to_apply: str | None = None,
        merge: str = "mean",
    ) -> list[dict[str, Any]]:
        """[{"score", "label"}] of a recording, best first."""
        logits = torch.cat([window["logits"] for window in model_outputs]).float()
        function_to_apply = function_to_apply or self._default_function()
        if function_to_apply == "softmax":
            scores = logits.softmax(dim=-1)
        elif function_to_apply == "sigmoid":
            scores = logits.sigmoid()
        else:
            scores = logits
        merged = SequenceClassifierOutput(logits=merge_windows(scores, merge).unsqueeze(0))
        return AudioClassificationPipeline.postprocess(self, merged, top_k=top_k, function_to_apply="none")

    def _default_function(self) -> str:
        """The stock pipeline's choice, by what the model was trained for."""
        by_problem = {"regression": "none", "multi_label_classification": "sigmoid"}
        return by_problem.get(self.model.config.problem_type, "softmax")


def default_extractor(config: PreTrainedConfig) -> SslamFeatureExtractor:
    """The extractor of the official hub repositories, which all take AudioSet's normalisation.

    Raises:
        ValueError: a model of another kind, whose extractor nobody can guess.
    """
    if not isinstance(config, EatConfig):
        raise ValueError(
            f"no feature extractor was found beside this {config.model_type} model: pass `feature_extractor=`, or "
            "save one into its folder"
        )
    extractor = SslamFeatureExtractor.from_preset("audioset", num_mel_bins=config.num_mel_bins)
    extractor.target_length = min(extractor.target_length, config.max_time_patches * config.patch_size)
    return extractor


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
