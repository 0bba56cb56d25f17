"""Outputs of convolutional networks by hand; what every family keeps is in `tests/contracts/`."""

import copy

import pytest
import torch

from modeling_sslam import (
    SpectrogramCnnConfig,
    SpectrogramCnnForAudioClassification,
    SpectrogramCnnForAudioFrameClassification,
    SpectrogramCnnModel,
)
from tests.contracts.clips import build
from tests.families import FAMILIES

NETWORKS = [name for name in FAMILIES if name.startswith("spectrogram_cnn")]
# (number of parameters with 51 classes; spec section 9)
PUBLISHED = {
    "resnet18": 11_196_403,
    "resnet34": 21_304_563,
    "resnet50": 23_606_259,
    "cifar-resnet20": 1_079_955,
    "cifar-resnet44": 2_631_827,
    "cifar-resnet56": 3_407_763,
    "densenet121": 6_999_859,
    "efficientnet-b0": 4_072_303,
    "efficientnet-b1": 6_577_939,
}


def clips(num_frames: int = 150, num_clips: int = 2) -> torch.Tensor:
    """(B, T, 33) with the deviation of decibels."""
    return 15 * torch.randn(num_clips, num_frames, 33, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=NETWORKS)
def model(request) -> SpectrogramCnnModel:
    return build(FAMILIES[request.param])


@pytest.mark.parametrize(("architecture", "num_parameters"), PUBLISHED.items())
def test_published_networks_have_their_numbers_of_parameters(architecture, num_parameters):
    with torch.device("meta"):
        model = SpectrogramCnnForAudioClassification(SpectrogramCnnConfig(architecture=architecture, num_labels=51))
    assert model.num_parameters() == num_parameters


@pytest.mark.parametrize(
    ("fields", "momentum"),
    [
        ({}, 0.1),
        ({"architecture": "efficientnet-b0"}, 0.01),
        ({"architecture": "densenet121", "norm_momentum": 0.5}, 0.5),
    ],
)
def test_running_statistics_take_their_share_of_a_batch(fields, momentum):
    config = SpectrogramCnnConfig(width_multiplier=0.25, **fields)
    model = SpectrogramCnnModel(config).train()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {config.norm_momentum} == {momentum}
    first, maps = norms[0], []
    first.register_forward_hook(lambda module, inputs, output: maps.append(inputs[0]))
    model(torch.randn(2, 64, config.num_frequency_bins))
    wanted = momentum * maps[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(first.running_mean, wanted, atol=1e-5, rtol=1e-4)


def test_tokens_are_the_cells_of_the_last_map_by_time_and_the_embedding_is_their_mean(model):
    config, values = model.config, clips()
    with torch.no_grad():
        output = model(values, output_hidden_states=True)
    last = output.hidden_states[-1]
    num_steps, num_bands = 150 // config.time_stride, last.shape[2]
    assert num_bands == config.num_frequency_patches
    assert output.last_hidden_state.shape == (2, num_steps * num_bands, config.hidden_size)
    for step in range(num_steps):
        for band in range(num_bands):
            cell = output.last_hidden_state[:, step * num_bands + band]
            torch.testing.assert_close(cell, last[:, :, band, step], rtol=0, atol=0)
    torch.testing.assert_close(output.pooler_output, last.mean(dim=(2, 3)))
    assert output.token_mask is None


def test_maps_are_those_behind_stem_and_stages(model):
    with torch.no_grad():
        maps = model(clips(), output_hidden_states=True).hidden_states
        stem, _ = model.stem(clips().transpose(1, 2)[:, None])
    torch.testing.assert_close(maps[0], stem, rtol=0, atol=0)
    assert tuple(of_layer.shape[1] for of_layer in maps) == model.config.sizes.channels
    for before, after, layer in zip(maps[:-1], maps[1:], model.layers, strict=True):
        torch.testing.assert_close(after, layer.eval()(before)[0].detach(), rtol=0, atol=1e-5)


def test_an_incomplete_last_step_is_in_the_embedding_and_no_token():
    model = build(FAMILIES["spectrogram_cnn resnet"])
    values = clips(140)  # 4 steps of 32 frames, and 12 frames
    with torch.no_grad():
        output = model(values, output_hidden_states=True)
    last = output.hidden_states[-1]
    assert (last.shape[3], output.last_hidden_state.shape[1]) == (5, 4 * model.config.num_frequency_patches)
    assert not torch.allclose(output.pooler_output, output.last_hidden_state.mean(dim=1), atol=1e-3)


def test_padding_is_not_heard_at_all(model):
    """In float64, where rounding hides nothing; garbage behind the clips, of which one ends within a step."""
    model, values = copy.deepcopy(model).double(), clips(200, 3).double()
    lengths = (200, 131, 97)
    mask = torch.arange(200) < torch.tensor(lengths)[:, None]
    values[~mask] = 1e4
    with torch.no_grad():
        together = model(values, attention_mask=mask.int())
        for row, length in enumerate(lengths):
            alone = model(values[row : row + 1, :length])
            num_tokens = alone.last_hidden_state.shape[1]
            assert together.token_mask[row].sum() == num_tokens
            assert together.token_mask[row, :num_tokens].all()
            found = together.last_hidden_state[row, :num_tokens]
            torch.testing.assert_close(found, alone.last_hidden_state[0], rtol=0, atol=1e-9)
            torch.testing.assert_close(together.pooler_output[row], alone.pooler_output[0], rtol=0, atol=1e-9)


def test_a_full_mask_changes_nothing(model):
    values = clips()
    with torch.no_grad():
        masked, plain = model(values, attention_mask=torch.ones(2, 150)), model(values)
    torch.testing.assert_close(masked.last_hidden_state, plain.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(masked.pooler_output, plain.pooler_output, rtol=0, atol=1e-5)


def test_a_clip_shorter_than_a_step_has_its_first_one():
    model = build(FAMILIES["spectrogram_cnn resnet"])
    values = clips(100)
    mask = (torch.arange(100) < torch.tensor([[100], [20]])).int()
    with torch.no_grad():
        together, alone = model(values, attention_mask=mask), model(values[1:, :20])
    bands = model.config.num_frequency_patches
    assert together.token_mask.sum(dim=1).tolist() == [3 * bands, bands]
    assert alone.last_hidden_state.shape[1] == bands
    torch.testing.assert_close(together.last_hidden_state[1, :bands], alone.last_hidden_state[0], rtol=0, atol=1e-4)


def test_layers_over_time_are_means_over_the_cells_of_the_last_map():
    model = build(FAMILIES["spectrogram_cnn resnet"])
    values = clips(128)
    with torch.no_grad():
        bands, is_real = model.bands(values, layers=[1, 3, 4])
        maps = model(values, output_hidden_states=True).hidden_states
    assert bands.shape == (2, 3, 4, 2, 32)
    assert is_real.all()
    # Of 9 x 32 cells behind the first stage, 5 rows (adaptively) x 8 columns are of the first cell of the last map.
    torch.testing.assert_close(bands[:, 0, 0, 0, :4], maps[1][..., :5, :8].mean(dim=(2, 3)))
    torch.testing.assert_close(bands[:, 1, 2, 1, :16], maps[3][..., 1:3, 4:6].mean(dim=(2, 3)))
    torch.testing.assert_close(bands[:, 2, 3], maps[4][..., 3].transpose(1, 2))
    assert not bands[:, 0, ..., 4:].any()


def test_the_published_classifier_is_linear_in_the_embedding():
    model = build(FAMILIES["spectrogram_cnn resnet"], "AutoModelForAudioClassification")
    with torch.no_grad():
        pooled, logits = model.encoder(clips()).pooler_output, model(clips()).logits
        torch.testing.assert_close(logits, model.classifier.dense(pooled), rtol=0, atol=0)
    assert {name for name, _ in model.classifier.named_parameters()} == {"dense.weight", "dense.bias"}


def test_efficientnet_has_dropout_before_its_classifier():
    config = FAMILIES["spectrogram_cnn efficientnet"].config
    assert SpectrogramCnnForAudioClassification(config).classifier.dropout.p == 0.2


def test_frames_are_classified_by_step():
    model = build(FAMILIES["spectrogram_cnn cifar"], "AutoModelForAudioFrameClassification")
    assert isinstance(model, SpectrogramCnnForAudioFrameClassification)
    with torch.no_grad():
        steps, _ = model.encoder.steps(clips(70))
        torch.testing.assert_close(model(clips(70)).logits, model.frame_classifier(steps[:, 0]))
    assert steps.shape[2] == 4


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_keeps_the_norms_in_float32(name):
    model = build(FAMILIES[name], "AutoModelForAudioClassification")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = model(clips()).logits.float()
    with torch.no_grad():
        exact = model(clips()).logits
    assert (rounded - exact).abs().max() < 0.2 * exact.abs().max()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(2, 1, 33, 64), r"must be \(batch, frames, frequency bins\), .* image of the original code needs"),
        (torch.zeros(2, 64, 32), "has 32 frequency bins, but the model expects 33"),
        (torch.zeros(2, 12, 33), "has 12 frames, of which densenet121 leaves nothing: .* 32 frames"),
    ],
)
def test_bad_spectrograms_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        build(FAMILIES["spectrogram_cnn densenet"])(values)


def test_a_mask_of_other_frames_is_refused():
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 63\), but input_values has \(2, 64\) clips"):
        build(FAMILIES["spectrogram_cnn resnet"])(clips(64), attention_mask=torch.ones(2, 63))
