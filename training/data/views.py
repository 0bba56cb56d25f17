"""From undecoded rows to batches of views: the features of whole clips, or independent crops of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from transformers import SequenceFeatureExtractor

from modeling_sslam.audio_io import load_audio
from training.data.processes import one_thread
from training.data.seeding import seeded_generator
from training.data.stream import ClipBatch, Position, RowBatch


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Cuts `num_frames` frames from anywhere in a clip; a shorter one is repeated until it is long enough.

    Where a clip is cut depends on the seed, the process and the clip's place in the stream, not on who decodes it.

    Args:
        num_frames: of the result: columns of a spectrogram, or samples of a waveform.
        seed, rank: of the run, and of this process.
    """

    num_frames: int
    seed: int
    rank: int = 0

    def __call__(self, features: torch.Tensor, position: Position, index: int, view: int = 0) -> torch.Tensor:
        """(T, F) -> (num_frames, F), or (T,) -> (num_frames,), for clip `index` of the batch that ends at `position`.

        The last possible start is never drawn, as in the official code of SSAM and MW-MAE.

        Args:
            view: number of the crop; each is cut by itself.
        """
        if len(features) < self.num_frames:
            repetitions = -(-self.num_frames // len(features))
            features = features.repeat(repetitions, *[1] * (features.ndim - 1))
        spare = len(features) - self.num_frames
        place = position.epoch, position.row, index
        generator = seeded_generator(self.seed, self.rank, *place, *([view] if view else []))
        start = int(torch.randint(max(spare, 1), (), generator=generator))
        return features[start : start + self.num_frames]


class ClipFeatures:
    """Turns a batch of rows into a batch of views, inside a `DataLoader` worker.

    Args:
        feature_extractor: makes and normalises the features, once a clip.
        audio_column: where the audio lies in a row.
        crop: cuts the features of a whole clip; None for the extractor's own rule, its first frames, or padded.
        views: their names, see `Objective.views`.
        load: makes samples of a row's audio, see `Batches`.
    Raises:
        ValueError: several views without random crops, which would all be the same.
    """

    def __init__(
        self,
        feature_extractor: SequenceFeatureExtractor,
        audio_column: str,
        crop: RandomCrop | None = None,
        views: Sequence[str] = ("input_values",),
        load: Callable[[dict, int], torch.Tensor] = load_audio,
    ):
        if crop is None and len(views) > 1:
            raise ValueError(f"the objective compares crops of a clip ({', '.join(views)}): set data.crop=random")
        self.feature_extractor = feature_extractor
        self.audio_column = audio_column
        self.load = load
        self.crop = crop
        self.views = tuple(views)

    def __getitems__(self, batch: RowBatch) -> ClipBatch:
        clips, failures = [], []
        with one_thread():
            for index, row in enumerate(batch.rows):
                try:
                    features = self.features(row[self.audio_column])
                    clips.append(self.views_of(features, batch.position, index))
                except (ValueError, OSError) as error:
                    clips.append(None)
                    failures.append(f"{row[self.audio_column]['path'] or 'clip without a name'}: {error}")
        full = _fill_holes(clips)
        inputs = {name: torch.stack([clip[name] for clip in full]) for name in self.views} if full else {}
        return ClipBatch(inputs, batch.position, batch.epoch_size, failures)

    def features(self, audio: dict) -> torch.Tensor:
        """What the extractor makes of one clip, (T, F) or (T,). Raises ValueError when it has no audio."""
        rate = self.feature_extractor.sampling_rate
        length = {"padding": "longest", "truncation": False} if self.crop else {"padding": "max_length"}
        features = self.feature_extractor(self.load(audio, rate), sampling_rate=rate, return_tensors="pt", **length)
        return features["input_values"][0]

    def views_of(self, features: torch.Tensor, position: Position, index: int) -> dict[str, torch.Tensor]:
        """The views of clip `index` of the batch that ends at `position`."""
        if self.crop is None:
            return {self.views[0]: features}
        return {name: self.crop(features, position, index, number) for number, name in enumerate(self.views)}


def _fill_holes(clips: list[dict[str, torch.Tensor] | None]) -> list[dict[str, torch.Tensor]]:
    """Puts the next decodable clip of the batch, cyclically, in the place of each missing one.

    So a batch keeps its size, which keeps accumulation and processes in step; which clip is repeated depends on the
    batch alone.
    """
    good = {index: clip for index, clip in enumerate(clips) if clip is not None}
    if not good:
        return []
    return [good[min(good, key=lambda other: (other - index) % len(clips))] for index in range(len(clips))]
