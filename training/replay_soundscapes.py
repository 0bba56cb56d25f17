"""Renders official soundscapes again from their JAMS and your own folder of sounds.

    python -m training.replay_soundscapes JAMS_FOLDER OUTPUT --events FOLDER [--background FOLDER]

JAMS of GISE-51 (sounds: its isolated events), of URBAN-SED (sounds: UrbanSound8K), and all others of Scaper. A sound
is looked up by class and file name, whatever the author's folder was; all that are missing are listed. Writes FLAC,
JAMS and text of each; a second call completes what a killed one left. Samples differ from the official ones where sox
stretched or shifted a sound, annotations do not. Prints a summary as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Sequence

from training.run.command import start_log
from training.soundscapes.replay import read_recorded, replay

GISE51_SAMPLING_RATE = 22050  # Hz


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jams", type=pathlib.Path, help="folder of JAMS")
    parser.add_argument("output", type=pathlib.Path, help="folder to write to")
    parser.add_argument("--events", type=pathlib.Path, required=True, help="folder of foreground sounds")
    parser.add_argument("--background", type=pathlib.Path, help="folder of background sounds; no background without")
    parser.add_argument("--sampling-rate", type=int, default=GISE51_SAMPLING_RATE, help="in Hz")
    parser.add_argument("--skip-missing", action="store_true", help="leave out soundscapes that lack a sound")
    options = parser.parse_args(command)
    start_log("%(message)s")
    report = replay(
        read_recorded(options.jams),
        options.output,
        options.events,
        options.background,
        options.sampling_rate,
        options.skip_missing,
    )
    print(json.dumps(dataclasses.asdict(report) | {"num_left_out": len(report.left_out)}, indent=2))


if __name__ == "__main__":
    main()
