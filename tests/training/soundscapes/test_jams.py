import copy
import json
import math

import pytest

from modeling_sslam.annotations.files import read_events
from modeling_sslam.annotations.jams import jams_recording, load_jams, save_jams
from tests.training.soundscapes.official import URBAN_SED, needs_urban_sed
from tests.training.soundscapes.random_soundscapes import random_soundscape
from training.soundscapes.jams import VALUE_FIELDS, from_jams, scaper_annotation, scaper_fields, to_jams
from training.soundscapes.polyphony import seconds_by_polyphony
from training.soundscapes.soundscape import BACKGROUND, PlacedSound, Soundscape

OFFICIAL = sorted(URBAN_SED.rglob("*.jams"))


@pytest.mark.parametrize("seed", range(10))
def test_round_trip_is_identical(seed, tmp_path):
    soundscape = random_soundscape(seed, stretched=seed > 4)
    jams = to_jams(soundscape, 22050, scale_factor=0.7, specification={"fg_labels": ["Dog"], "seed": seed})
    save_jams(tmp_path / "a.jams", jams)
    read = load_jams(tmp_path / "a.jams")
    assert read == jams
    assert from_jams(read) == soundscape
    specification = {"fg_labels": ["Dog"], "seed": seed}
    assert to_jams(from_jams(read), 22050, scale_factor=0.7, specification=specification) == jams


def test_what_is_written():
    background = PlacedSound("noise", "noise/0.wav", 3.5, 0.0, 5.0, 0.0, BACKGROUND)
    late = PlacedSound("Dog", "Dog/1.wav", 0.25, 2.0, 1.5, 20.0, time_stretch=1.1)
    early = PlacedSound("Glass", "Glass/2.wav", 0.0, 0.5, 2.0, 10.0)
    jams = to_jams(Soundscape(5.0, -60.0, (late, background, early)), 22050, scale_factor=0.5)
    annotation = scaper_annotation(jams, "a")
    assert annotation["namespace"] == "scaper"
    assert [(line["time"], line["value"]["label"]) for line in annotation["data"]] == [
        (0.0, "noise"),
        (0.5, "Glass"),
        (2.0, "Dog"),
    ]
    dog = annotation["data"][2]
    assert dog["duration"] == pytest.approx(1.65)
    assert dog["value"] == {
        "label": "Dog",
        "source_file": "Dog/1.wav",
        "source_time": 0.25,
        "event_time": 2.0,
        "event_duration": 1.5,
        "snr": 20.0,
        "role": "foreground",
        "pitch_shift": None,
        "time_stretch": 1.1,
    }
    scaper = scaper_fields(annotation, "a")
    assert (scaper["duration"], scaper["sr"], scaper["n_events"], scaper["polyphony_max"]) == (5.0, 22050, 2, 2)
    assert (scaper["ref_db"], scaper["fade_in_len"], scaper["fade_out_len"], scaper["fix_clipping"]) == (
        -60.0,
        0.01,
        0.01,
        True,
    )
    assert scaper["scale_factor"] == 0.5
    assert scaper["ref_db_change"] == pytest.approx(-6.0206, abs=1e-4)
    assert scaper["ref_db_generated"] == pytest.approx(-66.0206, abs=1e-4)
    assert (scaper["fg_labels"], scaper["bg_labels"]) == (["Dog", "Glass"], ["noise"])


def test_a_soundscape_that_was_not_scaled_has_no_change_of_loudness():
    scaper = scaper_fields(scaper_annotation(to_jams(random_soundscape(0), 22050), "a"), "a")
    assert (scaper["scale_factor"], scaper["ref_db_change"]) == (1.0, 0.0)


@needs_urban_sed
@pytest.mark.parametrize("file", OFFICIAL, ids=lambda file: file.stem)
def test_official_jams_of_2017(file):
    jams = load_jams(file)
    annotation = scaper_annotation(jams, str(file))
    official, soundscape = scaper_fields(annotation, str(file)), from_jams(jams, str(file))
    assert annotation["namespace"] == "sound_event"
    assert (soundscape.duration, soundscape.ref_db, soundscape.fix_clipping) == (10.0, -50.0, False)
    assert soundscape.sounds[0].role == BACKGROUND
    onsets = [sound.event_time for sound in soundscape.sounds]
    assert onsets == sorted(onsets)

    text = read_events(file.with_suffix(".txt"))
    of_jams = jams_recording(jams, str(file)).events
    for events in (of_jams, sorted(soundscape.events)):
        assert [event.label for event in events] == [event.label for event in text]
        for times in ("onset", "offset"):
            want = [getattr(event, times) for event in text]
            assert [getattr(event, times) for event in events] == pytest.approx(want, abs=2e-6)

    today = to_jams(soundscape, 44100)
    ours = scaper_fields(scaper_annotation(today, ""), "")
    assert ours["n_events"] == official["n_events"] == len(text)
    assert ours["polyphony_max"] == official["polyphony_max"]
    assert ours["polyphony_gini"] == pytest.approx(official["polyphony_gini"], abs=3e-3)
    by_time = sorted(annotation["data"], key=lambda line: (line["value"]["role"] != BACKGROUND, line["time"]))
    assert [line["value"] for line in scaper_annotation(today, "")["data"]] == [line["value"] for line in by_time]
    assert from_jams(json.loads(json.dumps(today))) == soundscape


@needs_urban_sed
def test_official_statistics_of_polyphony():
    """As ATTRIBUTION.md says: 1 to 9 events in 10 s, and in about 30 % of the time two or more at once."""
    soundscapes = [from_jams(load_jams(file), str(file)) for file in OFFICIAL]
    assert len(soundscapes) == 50
    assert {len(soundscape.events) for soundscape in soundscapes} <= set(range(1, 10))
    overlapping = total = 0.0
    for soundscape in soundscapes:
        seconds = seconds_by_polyphony(soundscape.events, soundscape.duration)
        total += sum(seconds.values())
        overlapping += sum(share for number, share in seconds.items() if number >= 2)
    assert total == pytest.approx(500.0)
    assert overlapping / total == pytest.approx(0.30, abs=0.01)


def changed(change) -> dict:
    jams = copy.deepcopy(to_jams(random_soundscape(1), 22050))
    change(jams["annotations"][0])
    return jams


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda annotation: annotation.update(namespace="tag_open"),
            "a.jams has no annotation of sound events: found tag_open, expected scaper or sound_event",
        ),
        (
            lambda annotation: annotation["sandbox"].clear(),
            "a.jams is no soundscape of Scaper: sandbox.scaper has no duration, ref_db, fade_in_len, fade_out_len",
        ),
        (
            lambda annotation: [annotation["data"][1]["value"].pop(field) for field in ("snr", "source_time")],
            "a.jams, observation 1 is no sound of Scaper: its value has no source_time, snr",
        ),
        (
            lambda annotation: annotation["data"][1].update(value="dog"),
            f"a.jams, observation 1 is no sound of Scaper: its value has no {VALUE_FIELDS[0]}, ",
        ),
        (
            lambda annotation: annotation["data"][1]["value"].update(role="middle"),
            "a.jams, observation 1: role is 'middle': expected foreground or background",
        ),
    ],
)
def test_jams_that_are_no_soundscape(change, message):
    with pytest.raises(ValueError, match=message):
        from_jams(changed(change), "a.jams")


def test_numbers_are_finite():
    scaper = scaper_fields(scaper_annotation(to_jams(random_soundscape(3), 22050, 1e-3), ""), "")
    assert all(math.isfinite(value) for value in scaper.values() if isinstance(value, float))
