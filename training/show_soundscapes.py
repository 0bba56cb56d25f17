"""Pictures of annotated sounds.

    python -m training.show_soundscapes AUDIO --annotations FILE --output picture.png [--view waveform]

draws one recording with its events as bars below it. Annotations are text, CSV, a selection table of Raven, labels of
Audacity, or JAMS; of a table with a column of files, the rows of this recording count.

    python -m training.show_soundscapes FOLDER --output statistics.png

draws polyphony, durations, SNR and classes of a set, and prints them as JSON. Instead of a folder of JAMS or text
there may be a glob of them, or a table with a column of files.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Sequence

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.files import check_inside, read_events
from modeling_sslam.annotations.tables import has_files, read_table_of_files
from modeling_sslam.audio_io import decode_audio
from training.run.command import start_log
from training.soundscapes.plots import VIEWS, plot_recording, plot_statistics
from training.soundscapes.statistics import describe, read_recordings


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a recording with --annotations; otherwise a set of annotations")
    parser.add_argument("--annotations", type=pathlib.Path, help="events of the recording")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="picture to write")
    parser.add_argument("--view", choices=VIEWS, default=VIEWS[0], help="of the recording")
    parser.add_argument("--duration", type=float, help="seconds of a recording, for annotations that do not say it")
    options = parser.parse_args(command)
    start_log("%(message)s")
    if options.annotations is not None:
        show_recording(pathlib.Path(options.source), options.annotations, options.output, options.view)
        return
    statistics = describe(read_recordings(options.source, options.duration))
    plot_statistics(options.output, statistics, pathlib.Path(options.source).name)
    print(json.dumps(statistics.summary(), indent=2))


def show_recording(audio: pathlib.Path, annotations: pathlib.Path, output: pathlib.Path, view: str) -> None:
    """Writes a picture of a recording with its events.

    Raises:
        ValueError: annotations without this recording, or with events outside of it.
    """
    samples, sampling_rate = decode_audio(audio)
    events = check_inside(recorded_events(audio, annotations), len(samples) / sampling_rate, str(audio))
    plot_recording(output, samples, sampling_rate, events, view, audio.name)


def recorded_events(audio: pathlib.Path, annotations: pathlib.Path) -> list[SoundEvent]:
    """The events of a recording; of a table of many, those of the file with its name.

    Raises:
        ValueError: a table without this recording, or with several files of its name.
    """
    if not has_files(annotations):
        return read_events(annotations)
    files = read_table_of_files(annotations)
    named = [file for file in files if pathlib.PurePath(file).name in (audio.name, audio.stem)]
    if len(named) != 1:
        raise ValueError(
            f"{annotations} has {len(named)} recordings with the name {audio.name}, expected one of its {len(files)}"
        )
    return files[named[0]]


if __name__ == "__main__":
    main()
