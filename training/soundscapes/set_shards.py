"""A set of soundscapes as shards that `datasets` streams: parquet, or tar files as WebDataset has them."""

from __future__ import annotations

import io
import json
import pathlib
import tarfile
from collections.abc import Iterable
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet

from modeling_sslam.annotations.whole_files import written_whole
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.generator import GeneratedSoundscape
from training.soundscapes.set_files import soundscape_name
from training.soundscapes.writing import flac_bytes

EVENT_FEATURES = {
    "onset": datasets.Value("float64"),
    "offset": datasets.Value("float64"),
    "label": datasets.Value("string"),
    "snr": datasets.Value("float64"),
    "source_file": datasets.Value("string"),
}


class _Shards:
    """Files that hold `shard_size` soundscapes each, the last one perhaps less.

    Args:
        arguments: recipe of the set.
    """

    suffix: str

    def __init__(self, arguments: SynthesisArguments):
        self.arguments = arguments
        self.folder = pathlib.Path(arguments.output.folder)

    def parts(self) -> list[range]:
        """Soundscapes of each shard."""
        size, number = self.arguments.output.shard_size, self.arguments.output.num_soundscapes
        return [range(start, min(start + size, number)) for start in range(0, number, size)]

    def is_there(self, part: range) -> bool:
        """Whether its shard was written."""
        return self.path_of(part).exists()

    def finish(self) -> None:
        """Nothing: a shard needs no other file."""

    def path_of(self, part: range) -> pathlib.Path:
        """The shard of a part."""
        return self.folder / f"soundscapes-{part.start // self.arguments.output.shard_size:05d}.{self.suffix}"

    def described(self, made: GeneratedSoundscape) -> dict[str, Any]:
        """What a shard says about a soundscape besides its audio; times in seconds, SNR in dB."""
        events = [
            {"onset": sound.event.onset, "offset": sound.event.offset, "label": sound.label, "snr": float(sound.snr)}
            | {"source_file": sound.source_file}
            for sound in made.soundscape.foreground
        ]
        labels = sorted({event["label"] for event in events})
        return {"labels": labels, "events": events, "seed": self.arguments.output.seed, "index": made.index}

    def audio(self, made: GeneratedSoundscape) -> bytes:
        """The soundscape as FLAC."""
        return flac_bytes(made.samples, self.arguments.mixture.sampling_rate)


class ParquetShards(_Shards):
    """Columns `audio` (encoded, with a name), `labels`, `events`, `seed` and `index`."""

    suffix = "parquet"

    def write(self, part: range, soundscapes: Iterable[GeneratedSoundscape]) -> None:
        """Writes the shard of a part."""
        features = datasets.Features(
            {
                "audio": datasets.Audio(sampling_rate=self.arguments.mixture.sampling_rate),
                "labels": datasets.List(datasets.Value("string")),
                "events": datasets.List(EVENT_FEATURES),
                "seed": datasets.Value("int64"),
                "index": datasets.Value("int64"),
            }
        )
        rows = [
            {"audio": {"bytes": self.audio(made), "path": f"{soundscape_name(made.index)}.flac"}}
            | self.described(made)
            for made in soundscapes
        ]
        with written_whole(self.path_of(part)) as unfinished:
            # The schema tells `datasets` that the first column is audio.
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, features.arrow_schema), unfinished)


class WebDatasetShards(_Shards):
    """Pairs `<index>.flac` and `<index>.json`; the latter holds labels, events, seed and index."""

    suffix = "tar"

    def write(self, part: range, soundscapes: Iterable[GeneratedSoundscape]) -> None:
        """Writes the shard of a part; its entries have no times and owners, which would differ from call to call."""
        with written_whole(self.path_of(part)) as unfinished, tarfile.open(unfinished, "w") as tar:
            for made in soundscapes:
                description = json.dumps(self.described(made)).encode()
                for suffix, content in (("flac", self.audio(made)), ("json", description)):
                    entry = tarfile.TarInfo(f"{soundscape_name(made.index)}.{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
