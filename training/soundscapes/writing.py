"""A soundscape as files: its audio, its JAMS and its text."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy
import soundfile

from modeling_sslam.annotations.jams import save_jams
from modeling_sslam.annotations.tables import write_text
from modeling_sslam.annotations.whole_files import written_whole
from training.soundscapes.jams import to_jams
from training.soundscapes.soundscape import Soundscape


def flac_bytes(samples: numpy.ndarray, sampling_rate: int) -> bytes:
    """(N,) samples as FLAC of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, sampling_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def write_soundscape(
    target: pathlib.Path,
    soundscape: Soundscape,
    samples: numpy.ndarray,
    sampling_rate: int,
    scale_factor: float,
    specification: Mapping[str, Any],
) -> None:
    """Writes `<target>.flac`, `<target>.txt` and, when all is there, `<target>.jams`, each whole or not at all.

    Args:
        samples: (N,) audio of the soundscape.
        scale_factor, specification: see `to_jams`.
    """
    # Encoded in memory, because libsndfile does not say that a disk is full.
    with written_whole(target.with_name(f"{target.name}.flac")) as unfinished:
        unfinished.write_bytes(flac_bytes(samples, sampling_rate))
    write_text(target.with_name(f"{target.name}.txt"), soundscape.events)
    save_jams(target.with_name(f"{target.name}.jams"), to_jams(soundscape, sampling_rate, scale_factor, specification))
