"""Files of noise for the tests of rows, streams and views."""

import io
import pathlib

import soundfile
import torch

RATE = 16000
NUM_CLIPS = 10


def clip_bytes(index: int) -> bytes:
    """A flac of noise, a little longer for each index."""
    noise = torch.randn(1600 + 160 * index, generator=torch.Generator().manual_seed(index))
    file = io.BytesIO()
    soundfile.write(file, 0.1 * noise.numpy(), RATE, format="flac")
    return file.getvalue()


def write_clips(folder: pathlib.Path) -> pathlib.Path:
    """Ten flac files and a CSV that lists them with a fold."""
    clips = folder / "clips"
    clips.mkdir()
    for index in range(NUM_CLIPS):
        (clips / f"{index}.flac").write_bytes(clip_bytes(index))
    lines = [f"{index}.flac,{index % 5}" for index in range(NUM_CLIPS)]
    (clips / "list.csv").write_text("\n".join(["filename,fold", *lines]))
    return clips


def names(rows) -> list[int]:
    """Numbers of the clips in rows."""
    return [int(row["audio"]["path"].rsplit("/")[-1].removesuffix(".flac")) for row in rows]
