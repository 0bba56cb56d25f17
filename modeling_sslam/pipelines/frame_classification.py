"""What is heard when: the classes of every time step of recordings of any rate and length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES

from ..encoder import step_intervals
from .inputs import RecordingPipeline, read_input

FUNCTION_NAMES = ("softmax", "sigmoid", "none")


class AudioFrameClassificationPipeline(RecordingPipeline):
    """Scores of the classes for every time step, by any `...ForAudioFrameClassification` of this package.

    It takes a recording in all forms that `SslamAudioClassificationPipeline` takes, and cuts it into windows whose
    steps lie end to end: a window starts where the step behind the last one of the window before does, and is as long
    as its steps need. Every window is treated as a clip of its own.

    Call arguments (or constructor arguments, as defaults):
        window_s: length of a window in seconds, of which the whole steps are used. When not given, what the
            extractor's `target_length` frames stand for or the model takes at once, whichever is shorter, and the
            whole recording if there is no such length.
        top_k: how many labels to return for a step, the best ones; None for all of them.
        function_to_apply: "softmax", "sigmoid" or "none"; when not given, "sigmoid" for a model with
            `problem_type="multi_label_classification"`, "none" for "regression", and "softmax" otherwise.
        batch_size: windows in one forward pass, of one or of several recordings.

    Returns:
        For each recording a list with a `{"start", "end", "scores": [{"label", "score"}]}` for each step, in the order
        of time, `start` and `end` in seconds as `step_intervals` says, scores best first. What is left at the end and
        fills no step is left out; a recording shorter than a step has one step nevertheless.

    Example:
        tagger = pipeline("audio-frame-classification", model="folder")
        tagger("street.flac", top_k=1, batch_size=8)
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.check_model_type(MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES)

    def _sanitize_parameters(
        self,
        window_s: float | None = None,
        top_k: int | None = None,
        function_to_apply: str | None = None,
    ) -> tuple[dict, dict, dict]:
        preprocess_params, postprocess_params = {}, {}
        if window_s is not None:
            self.check_window(window_s)
            preprocess_params["window_s"] = window_s
        if top_k is not None:
            if top_k < 1:
                raise ValueError(f"top_k={top_k} asks for no label: expected at least 1, or None for all labels.")
            postprocess_params["top_k"] = top_k
        if function_to_apply is not None:
            if function_to_apply not in FUNCTION_NAMES:
                raise ValueError(
                    f"Unknown function_to_apply {function_to_apply!r}: expected one of {', '.join(FUNCTION_NAMES)}."
                )
            postprocess_params["function_to_apply"] = function_to_apply
        return preprocess_params, {}, postprocess_params

    def preprocess(self, inputs: Any, window_s: float | None = None) -> Iterator[dict[str, Any]]:
        """The features of one window after another, how many steps count of each, and which is the last one."""
        waveform = read_input(inputs, self.feature_extractor.sampling_rate)
        windows = self.windows(waveform, self.default_window() if window_s is None else window_s)
        for number, (samples, num_steps) in enumerate(windows, start=1):
            yield {**self.features(samples), "num_steps": num_steps, "is_last": number == len(windows)}

    def default_window(self) -> float:
        """Seconds that extractor and model take at once."""
        config = self.model.config
        longest = math.inf if config.longest_clip is None else config.longest_clip * config.seconds_per_frame
        return min(self.feature_extractor.longest_seconds, longest)

    def windows(self, waveform: torch.Tensor, window_s: float) -> list[tuple[torch.Tensor, int]]:
        """The windows (N,) of a waveform, views, and the number of steps of each.

        Raises:
            ValueError: a window shorter than a step.
        """
        extractor, config = self.feature_extractor, self.model.config
        # A recording shorter than a step still gives one: the model fills it up with padding, if the extractor pads.
        total = max(1, config.num_steps(extractor.num_frames(len(waveform))))
        if math.isinf(window_s):
            return [(waveform, total)]
        steps_of_window = config.num_steps(round(window_s / extractor.seconds_per_step))
        if steps_of_window == 0:
            shortest = extractor.seconds_for(config.frames_of(1))
            raise ValueError(f"window_s={window_s} is shorter than a step of the model, which hears {shortest} s.")
        length = extractor.num_samples(config.frames_of(steps_of_window))
        hop = extractor.num_samples(1 + steps_of_window * config.time_stride) - extractor.num_samples(1)
        starts = [first // steps_of_window * hop for first in range(0, total, steps_of_window)]
        counts = [min(steps_of_window, total - first) for first in range(0, total, steps_of_window)]
        return [(waveform[start : start + length], count) for start, count in zip(starts, counts, strict=True)]

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        of_window = {name: model_inputs.pop(name) for name in ("num_steps", "is_last")}
        return {"logits": self.model(**model_inputs).logits, **of_window}

    def postprocess(
        self,
        model_outputs: list[dict[str, Any]],
        top_k: int | None = None,
        function_to_apply: str | None = None,
    ) -> list[dict[str, Any]]:
        """[{"start", "end", "scores"}] of a recording, a step after the other."""
        config = self.model.config
        logits = torch.cat([window["logits"][0, : window["num_steps"]] for window in model_outputs])
        best = self.scores(logits, function_to_apply).topk(min(top_k or config.num_labels, config.num_labels))
        intervals = step_intervals(config, len(logits)).tolist()
        return [
            {
                "start": start,
                "end": end,
                "scores": [
                    {"label": config.id2label[label], "score": score}
                    for label, score in zip(labels, scores, strict=True)
                ],
            }
            for (start, end), scores, labels in zip(
                intervals, best.values.tolist(), best.indices.tolist(), strict=True
            )
        ]
