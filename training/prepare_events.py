"""Makes isolated events of raw recordings of one class each, as GISE-51 was made of FSD50K.

    python -m training.prepare_events RAW OUTPUT [--format flac] [--sampling-rate 22050]

RAW has folders of classes, `<class>/<file>` or `<split>/<class>/<file>`, and so has OUTPUT. Recordings become mono,
their silence is cut out (see `training/soundscapes/raw_events.py`), events of less than 10 ms are dropped, and those
of less than 1.25 s are repeated. A second call completes what a killed one left. Prints a summary as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import pathlib
from collections import Counter
from collections.abc import Sequence

import soundfile
from tqdm.auto import tqdm

from modeling_sslam.annotations.whole_files import write_text_whole, written_whole
from modeling_sslam.audio_io import AudioDecodingError, load_audio
from training.run.command import start_log
from training.soundscapes.raw_events import prepare_event, silence_window
from training.soundscapes.sources import some_of, sound_files

logger = logging.getLogger(__name__)

FORMATS = ("wav", "flac")
SETTINGS_FILE = "preparation.json"
GISE51_SAMPLING_RATE = 22050  # Hz


@dataclasses.dataclass(frozen=True)
class Preparation:
    """
    Attributes:
        format: of the events, "wav" or "flac", both with 16 bits.
        sampling_rate: of the events in Hz.
        published_names: see `silence_window`.
    """

    format: str = FORMATS[0]
    sampling_rate: int = GISE51_SAMPLING_RATE
    published_names: bool = True


@dataclasses.dataclass
class PreparationReport:
    """
    Attributes:
        made: events that were written.
        already_there: those that an earlier call has written.
        dropped: recordings of which less than 10 ms is left.
        unreadable: recording -> reason.
    """

    made: int = 0
    already_there: int = 0
    dropped: list[str] = dataclasses.field(default_factory=list)
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)


def prepare_events(raw: pathlib.Path, output: pathlib.Path, preparation: Preparation) -> PreparationReport:
    """Writes the event of each recording below a folder; each file is whole or not there.

    Recordings that cannot be read are left out and named in the log.

    Raises:
        ValueError: no folder, no recordings in it or some in no folder of a class, two of one name in one folder, or
            an output folder with events that were prepared otherwise.
    """
    recordings = _recordings(raw)
    targets = [output / file.with_suffix(f".{preparation.format}") for file in recordings]
    if twice := sorted(str(target) for target, number in Counter(targets).items() if number > 1):
        raise ValueError(f"{raw} has several recordings for one event: {some_of(twice)}; rename them")
    _claim(output, preparation)
    report = PreparationReport()
    for file, target in tqdm(list(zip(recordings, targets, strict=True)), desc="recordings", leave=False):
        if target.exists():
            report.already_there += 1
            continue
        try:
            samples = load_audio(raw / file, preparation.sampling_rate).numpy()
        except AudioDecodingError as error:
            logger.warning("left out: %s", error)
            report.unreadable[file.as_posix()] = str(error)
            continue
        window = silence_window(file.parent.name, preparation.published_names)
        event = prepare_event(samples, preparation.sampling_rate, window)
        if event is None:
            report.dropped.append(file.as_posix())
            continue
        with written_whole(target) as unfinished:
            soundfile.write(unfinished, event, preparation.sampling_rate, subtype="PCM_16")
        report.made += 1
    return report


def _recordings(raw: pathlib.Path) -> list[pathlib.Path]:
    if not raw.is_dir():
        raise ValueError(f"there is no folder {raw} of raw recordings")
    recordings = sound_files(raw)
    if not recordings:
        raise ValueError(f"{raw} has no recordings: expected <class>/<file> or <split>/<class>/<file>")
    if loose := [str(file) for file in recordings if len(file.parts) < 2]:
        raise ValueError(f"{raw} has recordings that lie in no folder of a class: {some_of(loose)}")
    return recordings


def _claim(output: pathlib.Path, preparation: Preparation) -> None:
    """Writes how events are prepared into their folder. Raises ValueError where it says something else already."""
    settings, path = dataclasses.asdict(preparation), output / SETTINGS_FILE
    if not path.exists():
        write_text_whole(path, json.dumps(settings, indent=2))
    elif (found := json.loads(path.read_text())) != settings:
        raise ValueError(f"{output} has events that were prepared with {found}, not {settings}: choose another folder")


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=pathlib.Path, help="folder of recordings")
    parser.add_argument("output", type=pathlib.Path, help="folder to write to")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the events, with 16 bits")
    parser.add_argument("--sampling-rate", type=int, default=GISE51_SAMPLING_RATE, help="of the events in Hz")
    parser.add_argument(
        "--official-table",
        action="store_true",
        help="treat Zipper_(clothing) and Rattle_(instrument) as the official code, which does not know these names",
    )
    options = parser.parse_args(command)
    start_log("%(message)s")
    preparation = Preparation(options.format, options.sampling_rate, not options.official_table)
    print(json.dumps(dataclasses.asdict(prepare_events(options.raw, options.output, preparation)), indent=2))


if __name__ == "__main__":
    main()
