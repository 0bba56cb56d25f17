"""Claims of papers measured in small, on a CPU: several seeds, the same budget, and intervals.

    python -m training.study mixtures --data ../shared/data --output outputs/study_mixtures [--jobs 2] [--json FILE]
        [effort.field=value ...]

What a killed call has finished stays, and the next one goes on. Prints the results as JSON. `mixtures`: networks of
GISE-51 on soundscapes of ESC-10's sounds, and what that transfers to, see `training/studies/mixtures.py`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Sequence

from training.run.command import start_log, write_results
from training.settings.recipe import load_arguments
from training.studies.mixtures import MixturesArguments, study_mixtures

STUDIES = {"mixtures": (study_mixtures, MixturesArguments)}


def main(command: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with the data sets")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for everything that is made")
    parser.add_argument("--jobs", type=int, default=1, help="processes, with one thread each")
    parser.add_argument("--json", type=pathlib.Path, help="also write the results there")
    parser.add_argument("overrides", nargs="*", help="effort.field=value: seeds, sizes and so on")
    options = parser.parse_intermixed_args(command)
    start_log("%(message)s")
    run_study, arguments_class = STUDIES[options.study]
    arguments = load_arguments(None, options.overrides, arguments_class)
    results = run_study(options.data, options.output, options.jobs, arguments)
    if options.json:
        write_results(options.json, results, "named in each row", str(options.data))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
