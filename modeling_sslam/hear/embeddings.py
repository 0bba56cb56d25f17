"""Embeddings of any audio by the three functions of the HEAR benchmark (Turian et al., PMLR 2022), for every family.

    model = load_model("folder")
    scenes = get_scene_embeddings(waveforms, model)                         # (B, E)
    embeddings, timestamps = get_timestamp_embeddings(waveforms, model)     # (B, S, E), (B, S) in milliseconds

The spectrogram of a recording is normalised as a whole and cut into windows, and every window is encoded by itself.
The embedding of a time step is its patch tokens, one a frequency band, concatenated from low to high; the scene
embedding is the mean over time. Class tokens are left out.

Families whose papers report HEAR (SSAM, AxLSTM, their baseline, MW-MAE) keep their papers' protocol: windows of
`config.window_frames`, the last one filled up as `config.window_padding` says, with what the encoder takes for sound;
timestamps that divide the duration evenly; and, in the first three, the regrouping of tokens that
`config.token_grouping` describes. The others have no protocol of their own. Here their windows are the extractor's
`target_length`, padding is masked (only the rest of the last step is filled up, with the reflected recording), and a
timestamp is where the step starts.

Differs from the references: they append one more window to a recording that ends with a window, and drop its steps
again; here it is not computed.
"""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from transformers import AutoFeatureExtractor, AutoModel

from ..encoder import AudioPreTrainedModel
from ..feature_extraction_base import AudioFeatureExtractor, as_clips
from ..official.checkpoints import load_official
from ..official.file import CONFIG_FILE
from ..registration import default_extractor
from .windows import Windows

WINDOWS_PER_FORWARD = 8  # bounds the memory of long recordings; more make a CPU no faster


class HearModel(nn.Module):
    """An encoder and what turns waveforms into its input; `load_model` makes it.

    Attributes:
        sample_rate: in Hz, of waveforms that come without a rate.
        scene_embedding_size, timestamp_embedding_size: E.
        hop_ms: milliseconds from one time step to the next.
    """

    def __init__(self, encoder: AudioPreTrainedModel, feature_extractor: AudioFeatureExtractor):
        super().__init__()
        config = encoder.config
        self.encoder = encoder.eval()
        self.feature_extractor = feature_extractor
        self.windows = Windows(config, feature_extractor)
        self.sample_rate = feature_extractor.sampling_rate
        self.timestamp_embedding_size = config.num_frequency_patches * config.hidden_size
        self.scene_embedding_size = self.timestamp_embedding_size
        self.hop_ms = 1000 * config.seconds_per_step

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    def spectrogram(self, clip: Any, sampling_rate: int | None) -> torch.Tensor:
        """(T, F) normalised spectrogram of a whole recording, on the model's device; its samples (N,) for an encoder
        of waveforms.
        """
        features = self.feature_extractor(
            clip,
            sampling_rate=sampling_rate or self.sample_rate,
            padding="longest",
            truncation=False,
            return_tensors="pt",
            device=self.device,
        )
        return features["input_values"][0]

    def step_ms(self, duration_ms: float, num_steps: int) -> float:
        """Milliseconds from one time step to the next in a recording."""
        return self.hop_ms if self.windows.masks_padding else duration_ms / num_steps

    def embed(self, spectrograms: Iterable[torch.Tensor]) -> Iterator[tuple[int, torch.Tensor]]:
        """Window after window of one recording after another: its number, and the embeddings (S, E) of its steps."""
        config = self.encoder.config
        cut = (
            window for clip, spectrogram in enumerate(spectrograms) for window in self.windows.cut(clip, spectrogram)
        )
        while windows := list(itertools.islice(cut, WINDOWS_PER_FORWARD)):
            bands, _ = self.encoder.bands(**self.windows.stack(windows))
            steps = group_tokens(bands[:, 0].flatten(1, 2), config.num_frequency_patches, config.token_grouping)
            for window, embeddings in zip(windows, steps, strict=True):
                yield window.clip, embeddings[: window.num_steps]


def group_tokens(tokens: torch.Tensor, num_frequency: int, grouping: str) -> torch.Tensor:
    """Time-major tokens (B, S * num_frequency, D) to one vector a time step, (B, S, num_frequency * D).

    Args:
        grouping: "time" for the tokens of that time step; "reference" for what the code of SSAM and AxLSTM does, which
            takes these tokens for frequency-major: step s then holds one token from each of num_frequency parts of the
            window.
    """
    if grouping == "time":
        return tokens.unflatten(1, (-1, num_frequency)).flatten(2)
    return tokens.unflatten(1, (num_frequency, -1)).transpose(1, 2).flatten(2)


def load_model(model_file_path: str | os.PathLike) -> HearModel:
    """The model for the two functions below, float32, on the CPU; `.to(device)` moves it.

    Args:
        model_file_path: a folder of ours with its feature extractor, a name on the hub, or an official checkpoint of
            any family.
    Raises:
        ValueError: no checkpoint of a known layout, or a folder without feature extractor.
    """
    path = pathlib.Path(model_file_path)
    encoder: AudioPreTrainedModel
    if path.is_file() or (path.is_dir() and not (path / CONFIG_FILE).is_file()):
        official = load_official(path)
        encoder = cast(AudioPreTrainedModel, official.build().base_model)
        return HearModel(encoder, official.feature_extractor)
    encoder = AutoModel.from_pretrained(model_file_path, dtype="float32")
    try:
        feature_extractor = cast(AudioFeatureExtractor, AutoFeatureExtractor.from_pretrained(model_file_path))
    except OSError:  # no such file: true of the official hub repositories, whose extractor is known
        feature_extractor = default_extractor(encoder.config)
    return HearModel(encoder, feature_extractor)


@torch.no_grad()
def get_timestamp_embeddings(
    audio: Any, model: HearModel, sampling_rate: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings over time.

    Args:
        audio: recordings in [-1, 1]: (N,), (B, N), or a list of (N,) of any lengths.
        model: as `load_model` returns it.
        sampling_rate: of `audio` in Hz; the model's when not given.
    Returns:
        Embeddings (B, S, E), and the times (B, S) in milliseconds at which their steps start; float32 on the model's
        device. Behind the end of a shorter recording, embeddings are 0 and times NaN.
    Raises:
        ValueError: audio that the feature extractor refuses.
    """
    clips = as_clips(audio)
    spectrograms = [model.spectrogram(clip, sampling_rate) for clip in clips]
    num_steps = [model.windows.num_steps(len(spectrogram)) for spectrogram in spectrograms]
    shape = len(clips), max(num_steps)
    embeddings = torch.zeros(*shape, model.timestamp_embedding_size, device=model.device)
    filled = [0] * len(clips)
    for clip, steps in model.embed(spectrograms):
        embeddings[clip, filled[clip] : filled[clip] + len(steps)] = steps
        filled[clip] += len(steps)
    timestamps = torch.full(shape, torch.nan)
    for row, clip, count in zip(timestamps, clips, num_steps, strict=True):
        duration_ms = 1000 * np.shape(clip)[-1] / (sampling_rate or model.sample_rate)
        row[:count] = torch.arange(count) * model.step_ms(duration_ms, count)
    return embeddings, timestamps.to(model.device)


@torch.no_grad()
def get_scene_embeddings(audio: Any, model: HearModel, sampling_rate: int | None = None) -> torch.Tensor:
    """One embedding a recording, (B, E) float32 on the model's device: the mean over its time steps.

    Arguments and errors are those of `get_timestamp_embeddings`.
    """
    spectrograms = [model.spectrogram(clip, sampling_rate) for clip in as_clips(audio)]
    scenes = torch.zeros(len(spectrograms), model.scene_embedding_size, device=model.device)
    for clip, steps in model.embed(spectrograms):
        scenes[clip] += steps.sum(dim=0)
    num_steps = [model.windows.num_steps(len(spectrogram)) for spectrogram in spectrograms]
    return scenes / scenes.new_tensor(num_steps)[:, None]
