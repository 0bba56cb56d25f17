import csv

import pytest

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.tables import (
    has_files,
    plain_name,
    read_audacity,
    read_table,
    read_table_of_files,
    read_text,
    write_audacity,
    write_csv,
    write_csv_of_files,
    write_raven,
    write_text,
)
from tests.modeling_sslam.annotations.random_events import random_events

TWO = [SoundEvent(0.5, 1.25, "dog"), SoundEvent(1.0, 2.0, "siren")]


@pytest.fixture
def file(tmp_path):
    """Writes a file of this content and gives its path."""

    def write(content: str | bytes, name: str = "events.txt"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


ROUND_TRIPS = {
    "text": (write_text, read_text, True),
    "csv": (write_csv, read_table, True),
    "raven": (write_raven, read_table, True),
    "audacity": (write_audacity, read_audacity, False),
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trips_keep_every_digit(name, seed, tmp_path):
    write, read, with_confidence = ROUND_TRIPS[name]
    events = random_events(seed, confidence=with_confidence and seed % 2 == 1)
    write(tmp_path / "events", events)
    assert read(tmp_path / "events") == events


@pytest.mark.parametrize("write", [write_text, write_csv, write_raven, write_audacity])
def test_times_are_written_with_all_digits_and_without_exponent(write, tmp_path):
    events = [SoundEvent(0.00001, 2.3592820000000003, "dog")]
    write(tmp_path / "events", events)
    text = (tmp_path / "events").read_text()
    assert "0.00001" in text
    assert "2.3592820000000003" in text


@pytest.mark.parametrize("seed", range(8))
def test_round_trip_of_many_recordings(seed, tmp_path):
    files = {f"folder/{index}, of many.wav": random_events(100 * seed + index) for index in range(5)}
    files["silence.wav"] = []
    write_csv_of_files(tmp_path / "set.csv", files)
    assert read_table_of_files(tmp_path / "set.csv") == files
    assert has_files(tmp_path / "set.csv")


def test_text_is_onset_offset_label(tmp_path):
    write_text(tmp_path / "events.txt", TWO)
    assert (tmp_path / "events.txt").read_bytes() == b"0.5\t1.25\tdog\n1.0\t2.0\tsiren\n"


@pytest.mark.parametrize(
    "content",
    [
        "0.5\t1.25\tdog\n1.0\t2.0\tsiren\n",
        "\ufeff0.5\t1.25\tdog\r\n1.0\t2.0\tsiren\r\n",
        "\n1.0\t2.0\tsiren\n\n\t\t\n0.5\t1.25\tdog",
        "0.5 \t 1.25\tdog \r1\t2\tsiren",
        "onset\toffset\tevent_label\n0.5\t1.25\tdog\n1.0\t2.0\tsiren\n",
    ],
    ids=["plain", "windows", "empty lines", "old mac", "header"],
)
def test_dialects_of_text(content, file):
    assert read_text(file(content)) == TWO


def test_an_empty_text_has_no_events(file):
    assert read_text(file("")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0.5\t1.0\tdog\n0,5\t1,0\tdog", r"events.txt, line 2: onset is '0,5': write it with a decimal point"),
        ("\n\n0.5,1.0,dog", r"events.txt, line 3: expected onset, offset and label with tabs"),
        ("0.5\t1.0", "line 1: expected onset, offset and label with tabs"),
        ("0.5\t1.0\tdog\t0.9\tmore", "line 1: expected onset, offset and label with tabs"),
        ("0.5\t1.0\tdog\tsure", "line 1: confidence is 'sure': expected a number"),
        ("dog\t0.5\t1.0", "line 1: onset is 'dog': expected a number of seconds"),
        ("-0.5\t1.0\tdog", "line 1: 'dog' lasts from -0.5 s to 1.0 s: an event must start at 0"),
        ("2\t1\tdog", "line 1: .* end after its start"),
        ("1\t2\t", "line 1: the event from 1.0 s to 2.0 s has no label"),
        (b"0.5\t1.0\tT\xfcr", "events.txt is not UTF-8 .* at byte 9.: save it as UTF-8"),
    ],
)
def test_text_that_is_refused(content, message, file):
    with pytest.raises(ValueError, match=message):
        read_text(file(content))


@pytest.mark.parametrize("label", ["", " dog", "a\tb", "a\nb"])
@pytest.mark.parametrize("write", [write_text, write_csv, write_raven, write_audacity])
def test_labels_that_cannot_be_written(write, label, tmp_path):
    with pytest.raises(ValueError, match="cannot be written: it must have text, no tab"):
        write(tmp_path / "events", [SoundEvent(0.0, 1.0, label)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "onset,offset,label\n0.5,1.25,dog\n1.0,2.0,siren\n",
        "start;end;event_label\n0.5;1.25;dog\n1.0;2.0;siren\n",
        '"Label","Start (s)","End (s)","note"\n"dog","0.5","1.25","x, y"\n"siren",1,2,\n',
        "\ufeffClass,start-time,END_TIME\r\n\r\ndog,0.5,1.25\r\nsiren,1.0,2.0\r\n",
        "filename\tonset\toffset\tevent_label\nY1.wav\t0.5\t1.25\tdog\nY1.wav\t1.0\t2.0\tsiren\n",
    ],
    ids=["ours", "semicolons", "quoted", "windows", "one file"],
)
def test_headers_as_people_have_them(content, file):
    assert read_table(file(content)) == TWO


def test_the_table_of_desed(file):
    path = file(
        "filename\tonset\toffset\tevent_label\n"
        "Y00pbt6aJV8Y.wav\t0.0\t9.971\tVacuum_cleaner\n"
        "Y1silence.wav\t\t\t\n"
        "Y00pbt6aJV8Y.wav\t1.0\t2.5\tSpeech\n",
        "validation.tsv",
    )
    assert read_table_of_files(path) == {
        "Y00pbt6aJV8Y.wav": [SoundEvent(0.0, 9.971, "Vacuum_cleaner"), SoundEvent(1.0, 2.5, "Speech")],
        "Y1silence.wav": [],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("onset,offset,what\n", "no column of label. Its columns are onset, offset, what; accepted names are label: "),
        ("a,b\n1,2\n", "no column of onset and offset and label. Its columns are a, b; .* offset: offset, end"),
        ("onset,offset,label\n1,2\n", "events.txt, line 2: 2 cells where the header has 3"),
        ("onset;offset;label\n1,5;2,5;dog\n", "line 2: onset is '1,5': write it with a decimal point"),
        ("onset,offset,label\n1,2,dog\n\n1,,dog\n", "line 4: offset is '': expected a number of seconds"),
        ("onset,offset,label,score\n1,2,dog,high\n", "line 2: confidence is 'high': expected a number"),
        ("file,onset,offset,label\na,1,2,x\nb,1,2,x\n", "holds events of 2 recordings, for example a: read_many"),
        ("", "events.txt is empty: expected a header with the columns onset, offset and label"),
    ],
)
def test_tables_that_are_refused(content, message, file):
    with pytest.raises(ValueError, match=message):
        read_table(file(content))


def test_a_table_without_files_is_not_of_many(file):
    path = file("onset,offset,label\n1,2,dog\n", "one.csv")
    assert not has_files(path)
    with pytest.raises(
        ValueError, match="no column of files. Its columns are onset, offset, label; accepted names are"
    ):
        read_table_of_files(path)


def test_ravens_second_view_of_a_selection_is_no_second_event(file):
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tTag\tSpecies\n"
    lines = [
        "1\tWaveform 1\t1\t0.5\t1.25\t0.0\t8000.0\tx\tdog",
        "1\tSpectrogram 1\t1\t0.5\t1.25\t100.0\t8000.0\tx\tdog",
        "2\tSpectrogram 1\t1\t1.0\t2.0\t0.0\t8000.0\tx\tsiren",
    ]
    assert read_table(file(header + "\n".join(lines))) == TWO


def test_ravens_table_as_it_is_written(tmp_path):
    write_raven(tmp_path / "table.txt", [TWO[0], SoundEvent(1.0, 2.0, "siren", 0.75)], high_frequency=11025.0)
    with (tmp_path / "table.txt").open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert [row["Selection"] for row in rows] == ["1", "2"]
    assert {row["View"] for row in rows} == {"Spectrogram 1"}
    assert {(row["Channel"], row["Low Freq (Hz)"], row["High Freq (Hz)"]) for row in rows} == {("1", "0.0", "11025.0")}
    assert [(row["Begin Time (s)"], row["End Time (s)"]) for row in rows] == [("0.5", "1.25"), ("1.0", "2.0")]
    assert [(row["Annotation"], row["Confidence"]) for row in rows] == [("dog", ""), ("siren", "0.75")]


def test_audacitys_lines_of_frequencies_are_skipped(file):
    content = "0.500000\t1.250000\tdog\n\\\t100.0\t2000.0\n1.000000\t2.000000\tsiren\n\\\t-1.0\t-1.0\n"
    assert read_audacity(file(content)) == TWO


def test_audacitys_points_and_empty_labels(file, caplog):
    assert read_audacity(file("1.0\t1.0\tclick\n0.5\t1.25\tdog\n")) == TWO[:1]
    assert "left out 1 events" in caplog.text
    with pytest.raises(ValueError, match="line 1: the event from 0.5 s to 1.0 s has no label"):
        read_audacity(file("0.5\t1.0\n"))


def test_plain_names():
    assert plain_name("Begin Time (s)") == "begin time"
    assert plain_name(" event_label ") == "event label"
    assert plain_name("START-TIME") == "start time"
