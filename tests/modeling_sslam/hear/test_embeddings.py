"""HEAR embeddings; the recorded ones of the references are golden cases."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel

from modeling_sslam import (
    EatConfig,
    EatModel,
    KaldiFbankFeatureExtractor,
    PowerMelFeatureExtractor,
    SsastMaeConfig,
    SslamForAudioClassification,
    SslamModel,
)
from modeling_sslam.audio_resampling import resample
from modeling_sslam.hear.embeddings import (
    HearModel,
    get_scene_embeddings,
    get_timestamp_embeddings,
    group_tokens,
    load_model,
)
from modeling_sslam.hear.windows import Windows, pad_reflected, pad_zeros
from modeling_sslam.official.sslam_layouts import ours_to_official_hub
from tests.conftest import tiny_config
from tests.contracts.clips import build
from tests.families import FAMILIES, SSLAM

# Families whose papers say how recordings are heard.
PROTOCOLS = [name for name, family in FAMILIES.items() if family.config.window_padding != "masked"]


def noise(*seconds: float, rate: int = 16000) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(int(rate * length), generator=generator) for length in seconds]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request) -> HearModel:
    family = FAMILIES[request.param]
    return HearModel(build(family), family.feature_extractor)


def rounding(model: HearModel) -> float:
    """What may lie between two ways of computing the same embedding: 1e-5 of the size of a family's values."""
    fields = model.encoder.config.to_dict()
    return 1e-5 * next(family.output_scale for family in FAMILIES.values() if family.config.to_dict() == fields)


def test_shapes_and_times(model):
    (clip,) = noise(5.3)
    embeddings, timestamps = get_timestamp_embeddings(clip, model)
    assert embeddings.shape == (1, timestamps.shape[1], model.timestamp_embedding_size)
    assert timestamps[0, 0] == 0
    steps = timestamps[0].diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=1e-3, atol=0)
    assert steps[0] == pytest.approx(model.hop_ms, rel=0.02)
    assert timestamps[0, -1] < 5300
    assert embeddings.requires_grad is False


def test_scene_is_the_mean_over_time(model):
    clips = torch.stack(noise(2.1, 2.1))
    scenes, (embeddings, _) = get_scene_embeddings(clips, model), get_timestamp_embeddings(clips, model)
    assert scenes.shape == (2, model.scene_embedding_size)
    torch.testing.assert_close(scenes, embeddings.mean(1), rtol=0, atol=1e-5)


def test_a_clip_does_not_notice_its_batch(model):
    """Lengths: shorter than a patch, than a window, one whole window, and several."""
    window = model.windows.hop * 160 / 16000
    clips = noise(0.05, 0.7 * window, window, 2.4 * window, 0.31)
    together, times = get_timestamp_embeddings(clips, model)
    scenes = get_scene_embeddings(clips, model)
    for number, clip in enumerate(clips):
        alone, alone_times = get_timestamp_embeddings(clip, model)
        length = alone.shape[1]
        torch.testing.assert_close(together[number, :length], alone[0], rtol=0, atol=rounding(model))
        torch.testing.assert_close(times[number, :length], alone_times[0], rtol=0, atol=0)
        assert together[number, length:].count_nonzero() == 0
        assert times[number, length:].isnan().all()
        torch.testing.assert_close(scenes[number], alone[0].mean(0), rtol=0, atol=rounding(model))


def test_any_rate_is_heard_as_the_models_own(model):
    (clip,) = noise(1.3, rate=22050)
    other, times = get_timestamp_embeddings(clip, model, sampling_rate=22050)
    own, own_times = get_timestamp_embeddings(resample(clip, 22050, 16000), model)
    torch.testing.assert_close(other, own)
    torch.testing.assert_close(times, own_times, rtol=1e-4, atol=0)


def test_windows_are_encoded_by_themselves(model):
    """The second window of a recording, cut out of its spectrogram, gives the second window's embeddings."""
    windows = model.windows
    (clip,) = noise(2.5 * windows.hop * 160 / 16000)
    embeddings, _ = get_timestamp_embeddings(clip, model)
    frames = model.spectrogram(clip, None)[None, windows.hop : windows.hop + windows.frames]
    with torch.no_grad():
        tokens = model.encoder(frames).last_hidden_state[:, model.encoder.config.num_special_tokens :]
    config = model.encoder.config
    grouped = group_tokens(tokens, config.num_frequency_patches, config.token_grouping)
    torch.testing.assert_close(embeddings[:, windows.steps : 2 * windows.steps], grouped, rtol=0, atol=1e-5)


def test_masked_padding_is_not_heard():
    """Families without a protocol: a clip that ends with a patch has the model's own tokens of that clip alone."""
    torch.manual_seed(0)
    model = HearModel(SslamModel(tiny_config()), KaldiFbankFeatureExtractor(target_length=128))
    (clip,) = noise(0.655)  # 64 frames: 4 patches
    with torch.no_grad():
        tokens = model.encoder(model.spectrogram(clip, None)[None]).last_hidden_state[:, 1:]
    embeddings, timestamps = get_timestamp_embeddings(clip, model)
    torch.testing.assert_close(embeddings, tokens.unflatten(1, (4, 8)).flatten(2), rtol=0, atol=1e-6)
    assert timestamps.tolist() == [[0, 160, 320, 480]]


@pytest.mark.parametrize(("num_frames", "num_steps"), [(531, 133), (201, 51), (200, 50), (78, 20), (1, 1)])
def test_steps_of_the_references(num_frames, num_steps):
    windows = Windows(SsastMaeConfig(), PowerMelFeatureExtractor())
    cut = list(windows.cut(0, torch.ones(num_frames, 80)))
    assert windows.num_steps(num_frames) == sum(window.num_steps for window in cut) == num_steps
    assert all(window.frames.shape == (200, 80) for window in cut)
    assert sum(int(window.frames[:, 0].sum()) for window in cut) == num_frames  # all others are zero
    assert "attention_mask" not in windows.stack(cut)


@pytest.mark.parametrize(
    "name", [name for name, family in FAMILIES.items() if family.config.window_padding != "masked"]
)
def test_padding_of_a_protocol_is_heard(name):
    """The last window of a family with a protocol is what the encoder makes of it filled up, without a mask."""
    family = FAMILIES[name]
    torch.manual_seed(0)
    model = HearModel(AutoModel.from_config(family.config), family.feature_extractor)
    (clip,) = noise(0.4)
    spectrogram = model.spectrogram(clip, None)
    pad = {"zeros": pad_zeros, "reflected": pad_reflected}[family.config.window_padding]
    with torch.no_grad():
        tokens = model.encoder(pad(spectrogram, model.windows.frames)[None]).last_hidden_state
    config = family.config
    tokens = tokens[:, config.num_special_tokens :]
    wanted = group_tokens(tokens, config.num_frequency_patches, config.token_grouping)
    embeddings, timestamps = get_timestamp_embeddings(clip, model)
    torch.testing.assert_close(embeddings, wanted[:, : embeddings.shape[1]], rtol=0, atol=1e-6)
    torch.testing.assert_close(timestamps[0], torch.arange(len(timestamps[0])) * 400 / len(timestamps[0]))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_pooled_output_of_a_window_is_its_scene_embedding(name):
    family = FAMILIES[name]
    torch.manual_seed(0)
    model = HearModel(AutoModel.from_config(family.config), family.feature_extractor)
    (clip,) = noise(2.5)
    window = model.spectrogram(clip, None)[: model.windows.frames]
    assert len(window) == model.windows.frames
    with torch.no_grad():
        pooled = model.encoder(window[None]).pooler_output
        ((_, steps),) = model.embed([window])
    torch.testing.assert_close(pooled[0], steps.mean(dim=0), rtol=0, atol=1e-5)


def test_reflection_repeats_as_in_numpy():
    spectrogram = torch.arange(10.0).reshape(5, 2)
    for length in (5, 6, 9, 10, 23):
        wanted = np.pad(spectrogram.numpy(), ((0, length - 5), (0, 0)), mode="reflect")
        assert pad_reflected(spectrogram, length).numpy().tolist() == wanted.tolist()
    assert pad_reflected(spectrogram[:1], 3).tolist() == [[0, 1]] * 3
    assert pad_zeros(spectrogram[:1], 2).tolist() == [[0, 1], [0, 0]]


def test_token_groupings():
    tokens = torch.arange(6)[None, :, None]  # three time steps of two frequencies
    assert group_tokens(tokens, 2, "time").tolist() == [[[0, 1], [2, 3], [4, 5]]]
    assert group_tokens(tokens, 2, "reference").tolist() == [[[0, 3], [1, 4], [2, 5]]]


@pytest.mark.parametrize("model_class", [SslamModel, SslamForAudioClassification])
def test_folder(model_class, tmp_path):
    model, extractor = model_class(tiny_config()), KaldiFbankFeatureExtractor(target_length=64)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    clips = noise(0.4, 0.9)
    wanted = get_scene_embeddings(clips, HearModel(model.base_model, extractor))
    torch.testing.assert_close(get_scene_embeddings(clips, load_model(tmp_path)), wanted, rtol=0, atol=0)


def test_official_checkpoint(tmp_path):
    model = SslamModel(tiny_config(hidden_size=768, num_attention_heads=12, num_hidden_layers=1))
    save_file(ours_to_official_hub(model.state_dict(), "pretrain"), tmp_path / "model.safetensors")
    clips = noise(0.4)
    wanted = get_scene_embeddings(clips, HearModel(model, KaldiFbankFeatureExtractor()))
    for path in (tmp_path, tmp_path / "model.safetensors"):
        torch.testing.assert_close(get_scene_embeddings(clips, load_model(path)), wanted, rtol=0, atol=0)


def test_repository_of_eat_has_no_extractor(tmp_path):
    model = EatModel(EatConfig(**SSLAM))
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.feature_extractor.mean == -4.268
    assert loaded.windows.frames == SSLAM["max_time_patches"] * 16


def test_other_models_need_their_extractor(tmp_path):
    SslamModel(tiny_config()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no feature extractor was found beside this sslam model"):
        load_model(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_twenty_minutes_need_less_than_two_gibibytes(name):
    """The published base model, in a process of its own, whose peak includes Python and the result.

    Two of its blocks are enough, as the others run in the same memory; the weights of those are added.
    """
    script = f"""
        import resource
        import torch
        from transformers import AutoModel
        from modeling_sslam.hear.embeddings import HearModel, get_timestamp_embeddings
        from tests.families import FAMILIES

        family = FAMILIES["{name}"]
        config = type(family.config)
        encoder = AutoModel.from_config(config(num_hidden_layers=2))
        model = HearModel(encoder, type(family.feature_extractor)())
        audio = 0.1 * torch.randn(20 * 60 * 16000)
        embeddings, timestamps = get_timestamp_embeddings(audio, model)
        assert embeddings.sum().isfinite() and abs(timestamps[0, -1] - 1_200_000) < 2 * model.hop_ms
        with torch.device("meta"):
            missing = AutoModel.from_config(config()).num_parameters() - encoder.num_parameters()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 + 4 * missing / 2**30)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2
