import copy
import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModelForAudioFrameClassification, BatchFeature

from modeling_sslam.encoder import step_intervals
from modeling_sslam.feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor
from modeling_sslam.feature_extraction_power_mel import PowerMelFeatureExtractor
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor
from modeling_sslam.pipelines.frame_classification import AudioFrameClassificationPipeline
from tests.families import FAMILIES

RATE = 16000
CLIP = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype("f4") * np.linspace(0, 1, 3 * RATE, dtype="f4")
STEP = 0.16  # seconds of a step of the tiny SSLAM, of which its extractor holds four


def tagger_of(name: str, extractor=None, **config) -> AudioFrameClassificationPipeline:
    """Of a family, with weights large enough for scores to differ."""
    torch.manual_seed(0)
    tiny = copy.deepcopy(FAMILIES[name].config)
    for field, value in config.items():
        setattr(tiny, field, value)
    model = AutoModelForAudioFrameClassification.from_config(tiny).eval()  # as a loaded one is
    torch.nn.init.normal_(model.frame_classifier.dense.weight)
    return AudioFrameClassificationPipeline(
        model, feature_extractor=extractor or FAMILIES[name].feature_extractor, task="audio-frame-classification"
    )


@pytest.fixture(scope="module")
def tagger():
    return tagger_of("sslam")


def logits_of(tagger, samples: np.ndarray) -> torch.Tensor:
    """(S, C) of one window, as the model gives them, padding included."""
    features: BatchFeature = tagger.feature_extractor(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        return tagger.model(**features).logits[0]


def scores_of(result: list[dict], tagger) -> torch.Tensor:
    """(S, C) in the order of the classes."""
    by_label = [{entry["label"]: entry["score"] for entry in step["scores"]} for step in result]
    return torch.tensor([[step[label] for label in tagger.model.config.id2label.values()] for step in by_label])


def assert_close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def encoded(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_labels_the_steps_of_long_recordings(name):
    tagger = tagger_of(name)
    config, extractor = tagger.model.config, tagger.feature_extractor
    result = tagger(CLIP)
    num_steps = config.num_steps(extractor.frames_for(3.0))
    assert len(result) == num_steps
    assert abs(num_steps * config.seconds_per_step - 3.0) <= config.seconds_per_step + 0.03  # Kaldi lacks two frames
    assert [[step["start"], step["end"]] for step in result] == step_intervals(config, num_steps).tolist()
    assert_close(scores_of(result, tagger).sum(dim=1), torch.ones(num_steps))
    for step in result:
        scores = [entry["score"] for entry in step["scores"]]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_windows_in_batches_say_what_single_ones_say(name):
    tagger = tagger_of(name)
    recordings = [CLIP, CLIP[: RATE // 2], CLIP[RATE:]]
    together = tagger(recordings, window_s=0.64, batch_size=3)
    for got, recording in zip(together, recordings, strict=True):
        assert_close(scores_of(got, tagger), scores_of(tagger(recording, window_s=0.64), tagger))


def test_every_window_is_a_clip_of_its_own(tagger):
    """Of four steps of 16 frames each, so that the next one starts 64 frames later."""
    result = tagger(CLIP[:40000])
    windows = [CLIP[start : min(start + 63 * 160 + 400, 40000)] for start in (0, 10240, 20480, 30720)]
    logits = torch.cat([logits_of(tagger, window) for window in windows])[:15]
    assert_close(scores_of(result, tagger), logits.softmax(dim=1))
    assert [step["start"] for step in result] == pytest.approx([STEP * step for step in range(15)])
    assert result[-1]["end"] == pytest.approx(2.4)


def test_of_a_window_the_whole_steps_are_used(tagger):
    result = tagger(CLIP, window_s=0.5)
    assert len(result) == 18
    first = logits_of(tagger, CLIP[: 47 * 160 + 400])[:3]
    second = logits_of(tagger, CLIP[3 * 2560 : 3 * 2560 + 47 * 160 + 400])[:3]
    assert_close(scores_of(result, tagger)[:6], torch.cat([first, second]).softmax(dim=1))


def test_without_a_target_length_a_recording_is_one_window():
    tagger = tagger_of("ssam")
    assert_close(scores_of(tagger(CLIP), tagger), logits_of(tagger, CLIP).softmax(dim=1))
    assert len(tagger(CLIP, window_s=1.0)) == len(tagger(CLIP))


class Strided:
    """Steps of 16 frames at any stride: all that `windows` asks of a configuration."""

    def __init__(self, time_stride: int):
        self.time_stride = time_stride

    def num_steps(self, num_frames: int) -> int:
        return max(0, (num_frames - 16) // self.time_stride + 1)

    def frames_of(self, num_steps: int) -> int:
        return (num_steps - 1) * self.time_stride + 16


@pytest.mark.parametrize("stride", [16, 10, 1])
@pytest.mark.parametrize(
    "extractor",
    [
        KaldiFbankFeatureExtractor(num_mel_bins=32, target_length=None, remove_mean=False),
        KaldiFbankFeatureExtractor(num_mel_bins=32, target_length=None, remove_mean=False, frame_shift_ms=20.0),
        WaveformFeatureExtractor(),
    ],
)
def test_no_step_is_lost_or_doubled(extractor, stride):
    """What the steps of the windows are made of, end to end, is what those of the recording are made of."""
    tagger = tagger_of("ssast patch", extractor)
    tagger.model.config = Strided(stride)
    recording = torch.from_numpy(CLIP[:5000] if isinstance(extractor, WaveformFeatureExtractor) else CLIP)

    def frames_of_steps(samples: torch.Tensor) -> torch.Tensor:
        features = extractor(samples, sampling_rate=RATE, return_tensors="pt")["input_values"][0]
        return features.unfold(0, 16, stride)

    window_s = extractor.seconds_for(50)
    parts = [frames_of_steps(samples)[:count] for samples, count in tagger.windows(recording, window_s)]
    assert len(parts) >= 3
    torch.testing.assert_close(torch.cat(parts), frames_of_steps(recording), atol=1e-5, rtol=0)


def test_no_step_of_centred_frames_is_lost_or_doubled():
    """Their windows see each other's frames mirrored at the ends, so that only their numbers can be compared."""
    tagger = tagger_of("ssam", PowerMelFeatureExtractor(num_mel_bins=32))
    for num_samples in (16000, 16159, 16160, 47999, 48000):
        windows = tagger.windows(torch.zeros(num_samples), 0.48)
        whole = tagger.model.config.num_steps(1 + num_samples // 160)
        assert sum(count for _, count in windows) == whole
        for samples, count in windows:
            assert tagger.model.config.num_steps(1 + len(samples) // 160) == count


@pytest.mark.parametrize(
    ("problem_type", "function_to_apply", "function"),
    [
        (None, None, torch.nn.Softmax(dim=1)),
        ("single_label_classification", None, torch.nn.Softmax(dim=1)),
        ("multi_label_classification", None, torch.nn.Sigmoid()),
        ("regression", None, torch.nn.Identity()),
        ("multi_label_classification", "softmax", torch.nn.Softmax(dim=1)),
        (None, "none", torch.nn.Identity()),
    ],
)
def test_scores_are_what_the_problem_asks_for(problem_type, function_to_apply, function):
    tagger = tagger_of("sslam", problem_type=problem_type)
    result = tagger(CLIP[: 63 * 160 + 400], function_to_apply=function_to_apply)
    assert_close(scores_of(result, tagger), function(logits_of(tagger, CLIP[: 63 * 160 + 400])))


def test_the_best_labels_only(tagger):
    full, best = tagger(CLIP), tagger(CLIP, top_k=2)
    assert [step["scores"] for step in best] == [step["scores"][:2] for step in full]
    assert tagger(CLIP, top_k=99) == full


def test_steps_of_padding_are_left_out(tagger):
    assert len(tagger(CLIP[: 31 * 160 + 400])) == 2
    assert len(tagger(CLIP[: 30 * 160 + 400])) == 1
    assert len(tagger(CLIP[:1000])) == 1


@pytest.mark.parametrize(
    "make_input",
    [
        lambda path: str(path),
        lambda path: path.read_bytes(),
        lambda path: {"path": str(path), "bytes": None},
        lambda path: {"array": np.stack([CLIP * 1.5, CLIP * 0.5]), "sampling_rate": RATE},
        lambda path: torch.from_numpy(CLIP),
    ],
)
def test_a_recording_may_be_a_file_bytes_an_item_or_samples(tagger, tmp_path, make_input):
    path = tmp_path / "clip.flac"
    path.write_bytes(encoded(np.stack([CLIP * 1.5, CLIP * 0.5]), RATE))
    got = scores_of(tagger(make_input(path)), tagger)
    torch.testing.assert_close(got, scores_of(tagger(CLIP), tagger), atol=1e-3, rtol=0)


def test_another_rate_is_resampled(tagger):
    doubled = tagger({"array": np.repeat(CLIP, 2), "sampling_rate": 2 * RATE})
    assert len(doubled) == len(tagger(CLIP))


def test_defaults_of_a_hub_repository_without_extractor():
    model = AutoModelForAudioFrameClassification.from_config(copy.deepcopy(FAMILIES["eat"].config))
    tagger = AudioFrameClassificationPipeline(model, window_s=1.0, task="audio-frame-classification")
    assert tagger.feature_extractor.target_length == 8 * 16
    assert len(tagger(CLIP)) == 18


def test_bad_arguments_are_refused(tagger):
    with pytest.raises(ValueError, match=r"window_s=1 is not within 0 and 0\.64 s, which the extractor's target_len"):
        tagger(CLIP, window_s=1)
    with pytest.raises(ValueError, match=r"window_s=0\.1 is shorter than a step of the model, which hears 0\.16 s"):
        tagger(CLIP, window_s=0.1)
    with pytest.raises(ValueError, match="top_k=0 asks for no label"):
        tagger(CLIP, top_k=0)
    with pytest.raises(ValueError, match="Unknown function_to_apply 'relu': expected one of softmax, sigmoid, none"):
        tagger(CLIP, function_to_apply="relu")
    with pytest.raises(ValueError, match="A clip has 0 samples"):
        tagger(np.zeros(0, dtype="f4"))
    with pytest.raises(ValueError, match="no feature extractor was found beside this sslam model: pass"):
        AudioFrameClassificationPipeline(tagger.model)
