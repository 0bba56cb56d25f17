"""A set of soundscapes as files: FLAC, JAMS and text of each, and a table of all for training and probing."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterable

from modeling_sslam.annotations.events import max_polyphony
from modeling_sslam.annotations.jams import load_jams
from modeling_sslam.annotations.whole_files import write_text_whole
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.generator import GeneratedSoundscape
from training.soundscapes.jams import from_jams
from training.soundscapes.writing import write_soundscape

CLIPS_FILE = "clips.csv"
FOLDER = "soundscapes"
LABEL_SEPARATOR = ";"
COLUMNS = ("filename", "labels", "num_events", "max_polyphony", "seed", "index")


def soundscape_name(index: int) -> str:
    """The name, without an ending, of a soundscape in its set."""
    return f"{index:06d}"


class SoundscapeFiles:
    """`soundscapes/<index>.{flac,jams,txt}` and `clips.csv` in a folder.

    Args:
        arguments: recipe of the set.
        classes: of its events.
    Raises:
        ValueError: a class that has the character in it that joins labels in the table.
    """

    def __init__(self, arguments: SynthesisArguments, classes: list[str]):
        if split := [name for name in classes if LABEL_SEPARATOR in name]:
            raise ValueError(
                f"classes with {LABEL_SEPARATOR!r} in their name, which joins labels in {CLIPS_FILE}: "
                f"{', '.join(split)}; rename them"
            )
        self.arguments = arguments
        self.folder = pathlib.Path(arguments.output.folder)

    def parts(self) -> list[range]:
        """Soundscapes that are written together: each by itself."""
        return [range(index, index + 1) for index in range(self.arguments.output.num_soundscapes)]

    def is_there(self, part: range) -> bool:
        """Whether it was written to its end: the JAMS come last."""
        return self._target(part.start).with_suffix(".jams").exists()

    def write(self, part: range, soundscapes: Iterable[GeneratedSoundscape]) -> None:
        """Writes the files of a part."""
        rate = self.arguments.mixture.sampling_rate
        for made in soundscapes:
            specification = {
                "allow_repeated_label": self.arguments.mixture.repeat_labels,
                "allow_repeated_source": self.arguments.mixture.repeat_sources,
                "seed": self.arguments.output.seed,
                "index": made.index,
                "attempt": made.attempt,
            }
            target = self._target(made.index)
            write_soundscape(target, made.soundscape, made.samples, rate, made.scale_factor, specification)

    def finish(self) -> None:
        """Writes the table; what it says is read from the JAMS, some of which earlier calls have written."""
        content = io.StringIO(newline="")
        table = csv.writer(content, lineterminator="\n")
        table.writerow(COLUMNS)
        for index in range(self.arguments.output.num_soundscapes):
            path = self._target(index).with_suffix(".jams")
            events = from_jams(load_jams(path), str(path)).events
            labels = LABEL_SEPARATOR.join(sorted({event.label for event in events}))
            audio = f"{FOLDER}/{soundscape_name(index)}.flac"
            table.writerow([audio, labels, len(events), max_polyphony(events), self.arguments.output.seed, index])
        write_text_whole(self.folder / CLIPS_FILE, content.getvalue())

    def _target(self, index: int) -> pathlib.Path:
        return self.folder / FOLDER / soundscape_name(index)
