"""Mean and standard deviation of the log-mels of any data set, for `data.mean` and `data.std` of a recipe.

    python -m training.data_stats data.format=csv data.path=clips.csv [data.filters='{fold: [1, 2, 3]}']

takes the section `data` of pretraining, as overrides or from a recipe (`--config`). Clips are streamed, so that a data
set of any size needs little memory. Cells of padding do not count, nor frames behind `data.target_length`.
"""

from __future__ import annotations

import dataclasses
import logging
import math

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import SequenceFeatureExtractor

from modeling_sslam.audio_io import load_audio
from training.data.rows import load_rows
from training.data.stream import RowBatch, RowBatches
from training.run.command import recipe_command, start_log
from training.run.initialize import build_config, build_feature_extractor
from training.settings.pretraining import PretrainArguments

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Moments:
    """Count, mean and sum of squared deviations of cells, to which further cells can be added.

    Attributes:
        num_clips: clips that the cells are of.
        failures: clips that could not be decoded, with the reason.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    num_clips: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, spectrogram: torch.Tensor) -> Moments:
        """Of the cells of one clip (T, F)."""
        cells = spectrogram.double()
        mean = cells.mean()
        return cls(cells.numel(), mean.item(), (cells - mean).square().sum().item(), 1)

    def add(self, other: Moments) -> None:
        """Adds the cells of `other` without losing digits (Chan et al., 1979)."""
        total = self.count + other.count
        if other.count:
            difference = other.mean - self.mean
            self.mean += difference * other.count / total
            self.squares += other.squares + difference**2 * self.count * other.count / total
        self.count = total
        self.num_clips += other.num_clips
        self.failures += other.failures

    @property
    def std(self) -> float:
        """With n - 1 in the denominator."""
        return math.sqrt(self.squares / max(self.count - 1, 1))


class ClipMoments:
    """Turns a batch of rows into the `Moments` of its clips, inside a `DataLoader` worker."""

    def __init__(self, feature_extractor: SequenceFeatureExtractor, audio_column: str):
        self.feature_extractor = feature_extractor
        self.audio_column = audio_column

    def __getitems__(self, batch: RowBatch) -> Moments:
        total = Moments()
        for row in batch.rows:
            audio = row[self.audio_column]
            try:
                total.add(Moments.of(self.log_mels(audio)))
            except (ValueError, OSError) as error:
                total.failures.append(f"{audio['path'] or 'clip without a name'}: {error}")
        return total

    def log_mels(self, audio: dict) -> torch.Tensor:
        """(T, F) of one encoded clip, not normalised."""
        rate, extractor = self.feature_extractor.sampling_rate, self.feature_extractor
        features = extractor(load_audio(audio, rate), sampling_rate=rate, padding="longest", return_tensors="pt")
        return extractor.denormalize(features["input_values"][0])


def measure(arguments: PretrainArguments) -> Moments:
    """Moments of all clips of section `data`, as the front end of section `model` hears them.

    Raises:
        ValueError: a family without statistics of a data set, or no clip that can be decoded.
    """
    data = dataclasses.replace(arguments.data, crop="first")
    config = build_config(arguments.model.model_type, arguments.model.options)
    extractor = build_feature_extractor(data, config)
    if not extractor.statistics:
        raise ValueError(f"{config.model_type} standardises every clip by itself: it needs no statistics")
    batches = RowBatches(load_rows(data), data.batch_size, 0, seed=0, endless=False)
    features = ClipMoments(extractor, data.audio_column)
    loader = DataLoader(features, batch_sampler=batches, num_workers=data.num_workers, collate_fn=_as_it_is)
    total = Moments()
    for moments in tqdm(loader, desc="batches", leave=False):
        total.add(moments)
    if not total.num_clips:
        reason = f", for example {total.failures[0]}" if total.failures else ": check data.path and data.filters"
        raise ValueError(f"no clip could be decoded{reason}")
    return total


def _as_it_is(moments: Moments) -> Moments:
    return moments


def main(command: list[str] | None = None) -> None:
    arguments = recipe_command(__doc__, command=command, needs_recipe=False)
    start_log("%(message)s")
    moments = measure(arguments)
    for failure in moments.failures:
        logger.warning("skipped %s", failure)
    logger.info("%d clips, %d cells", moments.num_clips, moments.count)
    print(f"data.mean={moments.mean:.6g} data.std={moments.std:.6g}")


if __name__ == "__main__":
    main()
