"""Annotated soundscapes of isolated sounds, drawn and mixed as those of GISE-51 (Yadav and Foster, 2021).

    python -m training.synthesize events.path=EVENTS [background.path=NOISES] output.folder=SET [--processes 8]

EVENTS has a folder for each class; `--config training/recipes/gise51_mixtures.yaml` takes the published values, any of
which may be replaced (sections `events`, `background`, `mixture` and `output`, see `training/settings/synthesis.py`).
Soundscape i is a function of output.seed and i: the number of processes does not matter, a second call completes what
a killed one left, and `manifest.json` says what the set was made of. Prints a summary as JSON.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from training.run.command import recipe_parser, start_log
from training.settings.recipe import load_arguments
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.production import produce


def main(command: Sequence[str] | None = None) -> None:
    parser = recipe_parser(__doc__, needs_recipe=False)
    parser.add_argument("--processes", type=int, default=1, help="that draw and write")
    options = parser.parse_args(command)
    start_log("%(message)s")
    arguments = load_arguments(options.config, options.overrides, SynthesisArguments)
    print(json.dumps(dataclasses.asdict(produce(arguments, options.processes)), indent=2))


if __name__ == "__main__":
    main()
