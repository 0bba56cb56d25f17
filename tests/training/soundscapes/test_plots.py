import matplotlib.image
import pytest
import torch

from modeling_sslam.annotations.events import SoundEvent
from training.soundscapes.plots import class_colours, event_lanes, plot_recording, plot_statistics
from training.soundscapes.statistics import AnnotatedRecording, describe

RATE = 8000
EVENTS = [SoundEvent(0.1, 0.5, "dog"), SoundEvent(0.2, 0.9, "siren", 0.4), SoundEvent(0.3, 0.6, "dog")]


@pytest.mark.parametrize("events", [EVENTS, []], ids=["events", "none"])
@pytest.mark.parametrize("view", ["spectrogram", "waveform"])
def test_recording(picture, view, events, generator):
    plot_recording(picture, 0.1 * torch.randn(RATE, generator=generator), RATE, events, view, "a clip")


@pytest.mark.parametrize("samples", [torch.zeros(RATE), torch.ones(1), torch.ones(7)], ids=["silence", "1", "7"])
@pytest.mark.parametrize("view", ["spectrogram", "waveform"])
def test_silence_and_very_short_recordings(tmp_path, view, samples):
    plot_recording(tmp_path / "a.png", samples, RATE, [], view)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_recordings_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="view is 'cepstrum': choose spectrogram or waveform"):
        plot_recording(tmp_path / "a.png", torch.ones(9), RATE, [], "cepstrum")
    with pytest.raises(ValueError, match="a clip has no samples to draw"):
        plot_recording(tmp_path / "a.png", torch.ones(0), RATE, [], title="a clip")


@pytest.mark.parametrize("snr", [[10.0, 20.0, 15.0], []], ids=["snr", "without"])
def test_statistics(picture, snr):
    plot_statistics(picture, describe([AnnotatedRecording("one", 1.0, EVENTS, snr)]), "a set")


def test_statistics_of_many_classes_and_of_silence(tmp_path):
    events = [SoundEvent(0.0, 1.0, f"a class with a very long name, number {number}") for number in range(60)]
    plot_statistics(tmp_path / "many.png", describe([AnnotatedRecording("one", 1.0, events)]))
    plot_statistics(tmp_path / "none.png", describe([AnnotatedRecording("one", 1.0, [])]))
    heights = [matplotlib.image.imread(tmp_path / name).shape[0] for name in ("many.png", "none.png")]
    assert heights[0] > heights[1]


def test_events_of_a_lane_do_not_overlap():
    lanes = event_lanes([*EVENTS, SoundEvent(0.5, 0.8, "dog")])
    assert [[(event.label, event.onset) for event in lane] for lane in lanes] == [
        [("dog", 0.1), ("dog", 0.5)],
        [("dog", 0.3)],
        [("siren", 0.2)],
    ]


@pytest.mark.parametrize("number", [1, 10, 20, 51, 300])
def test_every_class_has_its_own_colour(number):
    labels = [f"class {index:03d}" for index in range(number)]
    colours = class_colours(reversed(labels))
    assert list(colours) == labels
    assert len(set(colours.values())) >= min(number, 200)  # a map has 256 colours
