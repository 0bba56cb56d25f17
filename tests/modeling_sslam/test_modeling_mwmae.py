"""MW-MAE and MAE: published sizes, windows of attention and of clips, masking, positions."""

import copy

import pytest
import torch

from modeling_sslam import MwmaeConfig, MwmaeForAudioClassification, MwmaeForPreTraining, MwmaeModel
from modeling_sslam.configuration_mwmae import published_windows
from modeling_sslam.modeling_mwmae import initial_decoder_positions, initial_positions

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_mel_bins": 32,
    "patch_size": (4, 16),
    "window_frames": 40,
    "decoder_hidden_size": 24,
    "decoder_num_layers": 2,
}
PLAIN = {"use_class_token": True, "decoder_window_sizes": 0}


def build(model_class: type = MwmaeModel, **fields) -> torch.nn.Module:
    torch.manual_seed(0)
    return model_class(MwmaeConfig(**(TINY | fields))).eval()


def clips(num_frames: int = 40, num_clips: int = 2) -> torch.Tensor:
    return torch.randn(num_clips, num_frames, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("num_tokens", "windows"),
    [
        (125, (5, 25, 0, 0)),
        (250, (2, 5, 10, 25, 50, 125, 0, 0)),
        (500, (2, 4, 5, 10, 20, 25, 50, 100, 125, 250, 0, 0)),
        (640, (2, 4, 5, 8, 10, 16, 20, 32, 40, 64, 80, 128, 160, 320, 0, 0)),
    ],
)
def test_published_rule_gives_the_published_windows(num_tokens, windows):
    assert published_windows(num_tokens) == windows


@pytest.mark.parametrize(
    ("patch_size", "heads"), [((8, 16), 4), ((4, 16), 8), ((8, 8), 8), ((4, 8), 12), ((5, 5), 16)]
)
def test_decoder_has_the_heads_of_the_published_rule_also_without_windows(patch_size, heads):
    assert len(MwmaeConfig(patch_size=patch_size).decoder_window_sizes) == heads
    assert MwmaeConfig(patch_size=patch_size, **PLAIN).decoder_window_sizes == (0,) * heads


@pytest.mark.parametrize(("size", "millions"), [("tiny", 5.4), ("medium", 38.0), ("base", 85.3), ("large", 302.6)])
def test_published_sizes(size, millions):
    with torch.device("meta"):
        model = MwmaeModel(getattr(MwmaeConfig, size)())
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_default_has_the_parameters_of_the_published_base_model():
    with torch.device("meta"):
        model = MwmaeForPreTraining(MwmaeConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 92_814_576
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 85_297_920


def test_configuration_survives_json(tmp_path):
    config = MwmaeConfig(**TINY)
    config.save_pretrained(tmp_path)
    assert MwmaeConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoder_window_sizes": (3, 0)}, r"\(3, 0\) do not all divide 20 tokens \(20 patches\)"),
        ({"use_class_token": True, "decoder_window_sizes": (5, 0)}, "21 tokens .20 patches and a class token"),
        ({"encoder_window_sizes": (3, 0)}, "encoder_window_sizes"),
        ({"decoder_window_sizes": (2, 0), "decoder_num_attention_heads": 3}, "2 windows for 3 attention heads"),
        ({"decoder_hidden_size": 26}, "decoder_hidden_size 26 is not a multiple"),
        ({"hidden_size": 18}, "multiple of 4, not 18"),
        ({"window_frames": 42}, "window_frames 42 is not a multiple of the 4"),
        ({"num_mel_bins": 30}, "num_mel_bins 30 is not a multiple of the 16"),
        ({"patch_size": (4, 16, 1)}, "patch_size"),
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MwmaeConfig(**(TINY | fields))


@pytest.mark.parametrize("fields", [{}, PLAIN])
def test_positions_start_as_sines_and_are_trained_and_saved(fields, tmp_path):
    model = build(MwmaeForPreTraining, **fields)
    special = model.config.num_special_tokens
    torch.testing.assert_close(model.encoder.embeddings.position_embeddings, initial_positions(model.config))
    torch.testing.assert_close(model.decoder.position_embeddings, initial_decoder_positions(model.config))
    assert not model.encoder.embeddings.position_embeddings[:, :special].any()
    with torch.no_grad():
        model.encoder.embeddings.position_embeddings += 1.0
    model.save_pretrained(tmp_path)
    loaded = MwmaeForPreTraining.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("fields", [{}, PLAIN, {"shift_windows": True}])
def test_gradient_of_pretraining_reaches_every_parameter(fields):
    model = build(MwmaeForPreTraining, **fields).train()
    model(clips()).prediction.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_only_kept_patches_enter_the_encoder():
    model, noise = build(MwmaeForPreTraining), torch.rand(2, 20, generator=torch.Generator().manual_seed(1))
    values = clips()
    output = model(values, noise=noise)
    assert output.last_hidden_state.shape == (2, 4, 16)
    assert output.bool_masked_pos.sum(dim=1).tolist() == [16, 16]
    masked_cells = output.bool_masked_pos.unflatten(1, (10, 2)).repeat_interleave(4, 1).repeat_interleave(16, 2)
    changed = torch.where(masked_cells, values + 1, values)
    torch.testing.assert_close(model(changed, noise=noise).prediction, output.prediction, rtol=0, atol=0)


def test_prediction_is_a_function_of_clips_and_noise():
    model = build(MwmaeForPreTraining)
    torch.testing.assert_close(model(clips()).prediction, model(clips()).prediction, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"noise has shape \(2, 19\): expected \(2, 20\)"):
        model(clips(), noise=torch.rand(2, 19))


def test_hidden_states_and_attentions_of_encoder_and_decoder_on_request():
    model = build(MwmaeForPreTraining, **PLAIN, decoder_num_attention_heads=3)
    model.set_attn_implementation("eager")
    output = model(clips(), output_hidden_states=True, output_attentions=True)
    assert [tuple(weights.shape) for weights in output.attentions] == [(2, 2, 5, 5)] * 2
    assert [tuple(weights.shape) for weights in output.decoder_attentions] == [(2, 3, 21, 21)] * 2
    assert [tuple(states.shape) for states in output.decoder_hidden_states] == [(2, 21, 24)] * 3
    assert len(output.hidden_states) == 3
    assert model(clips()).decoder_hidden_states is None


@pytest.mark.parametrize("fields", [{}, PLAIN])
def test_long_clips_are_encoded_window_by_window(fields):
    model, values = build(**fields), clips(100)
    special = model.config.num_special_tokens
    with torch.no_grad():
        whole = model(values).last_hidden_state
        windows = [model(window).last_hidden_state for window in values.split(40, dim=1)]
    torch.testing.assert_close(
        whole[:, special:], torch.cat([window[:, special:] for window in windows], dim=1), atol=1e-5, rtol=0
    )
    means = torch.stack([window[:, :special] for window in windows]).mean(dim=0)
    torch.testing.assert_close(whole[:, :special], means, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fields", [{}, PLAIN])
@pytest.mark.parametrize("model_class", [MwmaeModel, MwmaeForAudioClassification])
def test_padding_does_not_change_clips_of_several_windows(model_class, fields):
    model, values = build(model_class, **fields), clips(120)
    mask = (torch.arange(120) < torch.tensor([[120], [52]])).int()
    with torch.no_grad():
        batch, alone = model(values * mask[..., None], attention_mask=mask)[0], model(values[1:, :52])[0]
    num_tokens = alone.shape[1]
    torch.testing.assert_close(batch[1, :num_tokens], alone[0], atol=1e-5, rtol=0)


def test_windows_in_the_encoder_are_an_option():
    model = build(encoder_window_sizes=(2, 0))
    assert [group.window for group in model.layers[0].attention.groups] == [2, 0]
    with pytest.raises(ValueError, match="windows of 5 do not divide 18 tokens"):
        build(encoder_window_sizes=(5, 0))(clips(36))


def test_shift_moves_windows_of_odd_blocks():
    model = build(MwmaeForPreTraining, decoder_window_sizes=(4, 0), shift_windows=True)
    assert [layer.attention.groups[0].shift for layer in model.decoder.layers] == [0, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(2, 40, 16), "16 mel bins, but the model expects 32"),
        (torch.zeros(2, 1, 40, 32), "squeeze"),
        (torch.zeros(2, 3, 32), "less than one patch"),
    ],
)
def test_spectrograms_of_another_shape_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        build()(values)


def test_what_pretraining_cannot_take_is_refused():
    model = build(MwmaeForPreTraining)
    with pytest.raises(ValueError, match="takes one window of at most 40"):
        model(clips(80))
    with pytest.raises(ValueError, match="windows of 4 do not divide 18 tokens"):
        model(clips(36))
    with pytest.raises(ValueError, match="attention_mask has shape"):
        model(clips(), attention_mask=torch.ones(2, 39))


def test_initial_weights_are_those_of_the_official_code():
    model = build(MwmaeForPreTraining, hidden_size=256, decoder_hidden_size=240, intermediate_size=512)
    qkv = model.encoder.layers[0].attention.qkv.weight
    assert qkv.abs().max() <= (6 / (256 + 768)) ** 0.5
    assert qkv.std().item() == pytest.approx((2 / (256 + 768)) ** 0.5, rel=0.02)
    embed = model.decoder.embed.weight
    assert embed.std().item() == pytest.approx(256**-0.5, rel=0.02)
    assert embed.abs().max() <= 2 * 256**-0.5 / 0.879
    group = model.decoder.layers[0].attention.groups[3]
    assert group.relative_position_bias_table.std().item() == pytest.approx((0.02 / 19) ** 0.5, rel=0.5)
    assert model.encoder.layers[0].mlp.fc1.bias.abs().max() == 0


def test_attention_implementation_can_be_changed_afterwards():
    model = build(MwmaeForPreTraining)
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    torch.testing.assert_close(other(clips()).prediction, model(clips()).prediction, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fields", [{}, PLAIN])
def test_residual_stream_keeps_its_precision_under_autocast(fields):
    model = build(MwmaeForPreTraining, **fields)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(clips(), output_hidden_states=True)
    assert {states.dtype for states in output.hidden_states + output.decoder_hidden_states} == {torch.float32}
    torch.testing.assert_close(output.prediction.float(), model(clips()).prediction, atol=0.1, rtol=0)
