import pytest

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.files import (
    FORMATS,
    annotation_files,
    check_inside,
    format_of,
    read_events,
    read_many,
    write_events,
)
from tests.modeling_sslam.annotations.random_events import random_events

TWO = [SoundEvent(0.5, 1.25, "dog"), SoundEvent(1.0, 2.0, "siren")]
ENDINGS = {"text": "txt", "csv": "csv", "raven": "txt", "audacity": "txt", "jams": "jams"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_without_saying_the_format(format, seed, tmp_path):
    events, path = random_events(seed), tmp_path / f"events.{ENDINGS[format]}"
    write_events(path, events, format, duration=14.0)
    for read in (read_events(path), read_events(path, format)):
        assert [(event.onset, event.label) for event in read] == [(event.onset, event.label) for event in events]
        assert [event.offset for event in read] == pytest.approx([event.offset for event in events], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.JAMS", "", "jams"),
        ("a.csv", "onset,offset,label\n", "csv"),
        ("a.tsv", "filename\tonset\toffset\tevent_label\n", "csv"),
        ("a.txt", "0.5\t1.0\tdog\n", "text"),
        ("a.txt", "", "text"),
        ("a.txt", "0.5\t1.0\tdog\n\\\t10\t20\n", "audacity"),
        ("a.selections.txt", "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n", "raven"),
    ],
)
def test_the_format_is_told_by_ending_and_content(name, content, format, tmp_path):
    (tmp_path / name).write_text(content)
    assert format_of(tmp_path / name) == format


def test_formats_and_endings_that_are_unknown(tmp_path):
    with pytest.raises(ValueError, match="format of annotations is 'xml': choose text, csv, raven, audacity, jams"):
        read_events(tmp_path / "a.txt", "xml")
    with pytest.raises(ValueError, match="format of annotations is 'xml'"):
        write_events(tmp_path / "a.txt", TWO, "xml")
    with pytest.raises(ValueError, match=r"a.doc ends in '.doc', not in .jams, .* say which format it has"):
        read_events(tmp_path / "a.doc")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_recordings(tmp_path):
    for name in ("train/one", "test/two"):
        write_events(tmp_path / f"{name}.txt", TWO, "text")
    (tmp_path / "train" / "one.flac").write_bytes(b"audio")
    assert read_many(tmp_path) == {"test/two": TWO, "train/one": TWO}


def test_jams_come_before_text(tmp_path):
    write_events(tmp_path / "one.txt", TWO, "text")
    write_events(tmp_path / "one.jams", TWO, "jams")
    (tmp_path / ".unfinished-two.jams").write_text("{")
    assert annotation_files(tmp_path) == [tmp_path / "one.jams"]


def test_a_folder_without_annotations(tmp_path):
    with pytest.raises(ValueError, match="has no annotations: expected files that end in .jams, .txt, .tsv"):
        read_many(tmp_path)


def test_a_table_of_recordings(tmp_path):
    (tmp_path / "set.csv").write_text("filename,onset,offset,label\na.wav,0.5,1.25,dog\nb.wav,1,2,siren\n")
    assert read_many(tmp_path / "set.csv") == {"a.wav": TWO[:1], "b.wav": TWO[1:]}


def test_events_outside_of_a_recording_are_listed():
    events = [SoundEvent(0.0, 1.005, "in time"), SoundEvent(0.5, 1.5, "dog"), SoundEvent(3.0, 4.0, "siren")]
    message = r"a.wav lasts 1.0 s, but 2 of its events end later: dog \(0.5 s to 1.5 s\), siren \(3.0 s to 4.0 s\)$"
    with pytest.raises(ValueError, match=message):
        check_inside(events, 1.0, "a.wav")
    assert check_inside(events, 4.0, "a.wav") is events
    with pytest.raises(ValueError, match="3 of its events end later"):
        check_inside(events, 1.0, "a.wav", tolerance=0.0)


def test_a_message_lists_no_thousands_of_events():
    events = [SoundEvent(second, second + 1.0, "dog") for second in range(100)]
    with pytest.raises(ValueError, match="100 of its events end later.*, and 80 more$"):
        check_inside(events, 0.5, "a.wav")


def test_events_outside_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="lasts 1.0 s, but 2 of its events end later"):
        write_events(tmp_path / "a.jams", TWO, "jams", duration=1.0)
    assert list(tmp_path.iterdir()) == []
