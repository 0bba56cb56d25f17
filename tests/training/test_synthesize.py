"""The command, and what reads the sets that it writes."""

import json
import pathlib

import datasets
import pytest
import soundfile

from modeling_sslam.audio_io import decode_audio
from tests.training.soundscapes.sound_folders import RATE, write_collections
from training.data.labelled import load_labelled_rows
from training.data.rows import ENCODED_AUDIO
from training.settings.data import LabelledDataArguments
from training.settings.recipe import write_arguments
from training.show_recipe import resolved
from training.soundscapes.generator import SoundscapeGenerator
from training.synthesize import main

RECIPES = pathlib.Path(__file__).parents[2] / "training" / "recipes"


@pytest.fixture
def arguments(tmp_path):
    arguments = write_collections(tmp_path)
    arguments.output.folder, arguments.output.num_soundscapes = str(tmp_path / "set"), 5
    arguments.output.shard_size = 3
    write_arguments(arguments, tmp_path / "recipe.yaml")
    return arguments


def labels_of(arguments) -> list[list[str]]:
    generator = SoundscapeGenerator(arguments)
    return [sorted({event.label for event in generator.draw(index).events}) for index in range(5)]


def test_the_command_prints_what_it_did(arguments, tmp_path, capsys):
    main(["--config", str(tmp_path / "recipe.yaml"), "output.num_soundscapes=2"])
    printed = json.loads(capsys.readouterr().out)
    assert (printed["made"], printed["already_there"], printed["skipped"]) == (2, 0, {})


def test_files_are_read_for_training(arguments, tmp_path):
    main(["--config", str(tmp_path / "recipe.yaml")])
    clips = tmp_path / "set" / "clips.csv"
    data = LabelledDataArguments(path=str(clips), label_column="labels", label_separator=";")
    labelled = load_labelled_rows(data)
    assert labelled.names == labels_of(arguments)
    samples, rate = soundfile.read(labelled.rows[4]["audio"]["path"])
    assert (len(samples), rate) == (2 * RATE, RATE)
    made = SoundscapeGenerator(arguments).render(4).samples
    assert abs(samples - made).max() < 1 / 2**15


@pytest.mark.parametrize(
    ("set_format", "pattern", "audio"), [("parquet", "*.parquet", "audio"), ("webdataset", "*.tar", "flac")]
)
def test_shards_are_streamed(arguments, tmp_path, set_format, pattern, audio):
    main(["--config", str(tmp_path / "recipe.yaml"), f"output.format={set_format}"])
    shards = str(tmp_path / "set" / pattern)
    rows = datasets.load_dataset(set_format, data_files=shards, split="train", streaming=True)
    rows = list(rows.cast_column(audio, ENCODED_AUDIO))
    described = [row if set_format == "parquet" else row["json"] for row in rows]
    assert [list(row["labels"]) for row in described] == labels_of(arguments)
    assert [row["index"] for row in described] == list(range(5))
    expected = SoundscapeGenerator(arguments).draw(3).foreground[0]
    event = described[3]["events"][0]
    assert (event["onset"], event["label"], event["source_file"]) == (
        expected.event.onset,
        expected.label,
        expected.source_file,
    )
    samples, rate = decode_audio(rows[3][audio]["bytes"])
    assert (len(samples), rate) == (2 * RATE, RATE)


def test_published_values():
    recipe = resolved(str(RECIPES / "gise51_mixtures.yaml"), [])
    assert "num_soundscapes: 60000" in recipe
    assert "time_stretch:\n  - uniform\n  - 0.95\n  - 1.05\n" in recipe
