import pytest

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.rows import Row, events_of, seconds_of


def test_events_are_sorted_by_onset_offset_and_label():
    rows = [Row("", 1.0, 2.0, "b"), Row("", 1.0, 2.0, "a"), Row("", 1.0, 1.5, "c"), Row("", 0.0, 9.0, "d", 0.5)]
    assert events_of(rows, "file") == [
        SoundEvent(0.0, 9.0, "d", 0.5),
        SoundEvent(1.0, 1.5, "c"),
        SoundEvent(1.0, 2.0, "a"),
        SoundEvent(1.0, 2.0, "b"),
    ]


def test_events_that_last_no_time_are_left_out_with_one_warning(caplog):
    rows = [Row("", 1.0, 1.0, "a"), Row("", 2.0, 2.0, "a"), Row("", 2.0, 3.0, "b")]
    assert events_of(rows, "calls.txt") == [SoundEvent(2.0, 3.0, "b")]
    assert [record.getMessage() for record in caplog.records] == [
        "calls.txt: left out 2 events whose offset is their onset"
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("f, line 3", -0.5, 1.0, "a"), r"f, line 3: 'a' lasts from -0.5 s to 1.0 s: an event must start at 0"),
        (Row("f, line 3", 2.0, 1.0, "a"), "f, line 3: 'a' lasts from 2.0 s to 1.0 s: .* end after its start"),
        (Row("f, line 3", 1.0, 2.0, ""), "f, line 3: the event from 1.0 s to 2.0 s has no label"),
    ],
)
def test_what_is_no_event(row, message):
    with pytest.raises(ValueError, match=message):
        events_of([row], "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,5", "line 2: onset is '1,5': write it with a decimal point, not with a comma"),
        ("soon", "line 2: onset is 'soon': expected a number of seconds"),
        ("", "line 2: onset is '': expected a number of seconds"),
        ("nan", "line 2: onset is 'nan': expected a number of seconds"),
        ("inf", "line 2: onset is 'inf': expected a number of seconds"),
        ("1,2,3", "line 2: onset is '1,2,3': expected a number of seconds"),
    ],
)
def test_what_is_no_number_of_seconds(text, message):
    with pytest.raises(ValueError, match=message):
        seconds_of(text, "onset", "line 2")


def test_numbers_of_seconds():
    assert [seconds_of(text, "onset", "") for text in ("1.5", "3", "2.3592820000000003", "1e-3")] == [
        1.5,
        3.0,
        2.3592820000000003,
        0.001,
    ]
