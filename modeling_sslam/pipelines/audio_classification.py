"""Audio classification of anything that holds audio, of any rate and length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import AudioClassificationPipeline
from transformers.modeling_outputs import SequenceClassifierOutput

from ..audio_windows import check_merge, merge_windows, split_windows
from .inputs import RecordingPipeline, read_input


class SslamAudioClassificationPipeline(RecordingPipeline, AudioClassificationPipeline):
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
            self.check_window(window_s)
            preprocess_params["window_s"] = window_s
        if hop_s is not None:
            preprocess_params["hop_s"] = hop_s
        if merge is not None:
            check_merge(merge)
            postprocess_params["merge"] = merge
        return preprocess_params, forward_params, postprocess_params

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
            yield {**self.features(samples), "is_last": number == len(windows)}

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
        scores = self.scores(torch.cat([window["logits"] for window in model_outputs]), function_to_apply)
        merged = SequenceClassifierOutput(logits=merge_windows(scores, merge).unsqueeze(0))
        return AudioClassificationPipeline.postprocess(self, merged, top_k=top_k, function_to_apply="none")
