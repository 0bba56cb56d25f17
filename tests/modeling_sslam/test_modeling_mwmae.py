"""MW-MAE and MAE: published sizes, windows of clips, masking, positions."""

import copy

import pytest
import torch

from modeling_sslam import MwmaeConfig, MwmaeForAudioClassification, MwmaeForPreTraining, MwmaeModel
from modeling_sslam.modeling_mwmae import cut_windows, initial_decoder_positions, initial_positions, join_windows
from modeling_sslam.tokens_masks import masked_positions

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


def kept(num_patches: int = 20, num_kept: int = 4) -> torch.Tensor:
    """(2, num_kept) patches, in no order: a fifth of those of two clips."""
    noise = torch.rand(2, num_patches, generator=torch.Generator().manual_seed(1))
    return noise.argsort(dim=1)[:, :num_kept]


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
    model(clips(), kept_indices=kept()).prediction.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


@pytest.mark.parametrize("fields", [{}, PLAIN])
def test_only_kept_patches_enter_the_encoder(fields):
    model, values = build(MwmaeForPreTraining, **fields), clips()
    special = model.config.num_special_tokens
    output = model(values, kept_indices=kept())
    assert output.last_hidden_state.shape == (2, special + 4, 16)
    assert output.prediction.shape == (2, 20, 64)
    mask = masked_positions(kept(), 20)
    assert mask.sum(dim=1).tolist() == [16, 16]
    masked_cells = mask.unflatten(1, (10, 2)).repeat_interleave(4, 1).repeat_interleave(16, 2)
    changed = torch.where(masked_cells, values + 1, values)
    torch.testing.assert_close(model(changed, kept_indices=kept()).prediction, output.prediction, rtol=0, atol=0)


def test_kept_patches_enter_the_blocks_in_the_order_in_which_they_are_given():
    model = build(MwmaeForPreTraining)
    states = model(clips(), kept_indices=kept(), output_hidden_states=True).hidden_states[0]
    embeddings = model.encoder.embeddings
    patches = embeddings.with_positions(embeddings.patches(clips()))
    for row in range(2):
        assert torch.equal(states[row], patches[row, kept()[row]])


def test_order_of_kept_patches_matters_to_windows_in_the_encoder_only():
    for windows, matters in ((0, False), ((2, 0), True)):
        model = build(MwmaeForPreTraining, encoder_window_sizes=windows, initializer_range=0.5)
        with torch.no_grad():
            predictions = [
                model(clips(), kept_indices=kept()[:, order]).prediction for order in ([0, 1, 2, 3], [0, 2, 1, 3])
            ]
        assert torch.allclose(*predictions, atol=1e-6) is not matters


@pytest.mark.parametrize("fields", [{}, PLAIN])
def test_decoder_has_the_mask_token_where_nothing_was_kept(fields):
    model = build(MwmaeForPreTraining, **fields)
    special, decoder = model.config.num_special_tokens, model.decoder
    output = model(clips(), kept_indices=kept(), output_hidden_states=True)
    found = output.decoder_hidden_states[0] - decoder.position_embeddings
    mask = masked_positions(kept(), 20)
    expected = decoder.embed(output.last_hidden_state)
    torch.testing.assert_close(found[:, :special], expected[:, :special], atol=1e-6, rtol=0)
    for row in range(2):
        torch.testing.assert_close(found[row, special + kept()[row]], expected[row, special:], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            found[row, special:][mask[row]], decoder.mask_token[0].expand(16, -1), atol=1e-6, rtol=0
        )


def test_prediction_is_a_function_of_clips_and_mask():
    model = build(MwmaeForPreTraining)
    first, again = (model(clips(), kept_indices=kept()).prediction for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"bool_masked_pos has shape \(2, 19\): expected 2 rows .* and 20 columns"):
        model(clips(), bool_masked_pos=torch.zeros(2, 19, dtype=torch.bool))


def test_hidden_states_and_attentions_of_encoder_and_decoder_on_request():
    model = build(MwmaeForPreTraining, **PLAIN, decoder_num_attention_heads=3)
    model.set_attn_implementation("eager")
    output = model(clips(), kept_indices=kept(), output_hidden_states=True, output_attentions=True)
    assert [tuple(weights.shape) for weights in output.attentions] == [(2, 2, 5, 5)] * 2
    assert [tuple(weights.shape) for weights in output.decoder_attentions] == [(2, 3, 21, 21)] * 2
    assert [tuple(states.shape) for states in output.decoder_hidden_states] == [(2, 21, 24)] * 3
    assert len(output.hidden_states) == 3
    assert model(clips(), kept_indices=kept()).decoder_hidden_states is None


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
    """Also the class token, which is the mean over windows with sound; the third window of this clip has none."""
    model, values = build(model_class, **fields), clips(120)
    mask = (torch.arange(120) < torch.tensor([[120], [52]])).int()
    with torch.no_grad():
        batch, alone = model(values * mask[..., None], attention_mask=mask)[0], model(values[1:, :52])[0]
    num_tokens = alone.shape[1]
    torch.testing.assert_close(batch[1, :num_tokens], alone[0], atol=1e-5, rtol=0)


def test_windows_cut_and_joined_by_hand():
    tokens = torch.arange(1.0, 6)[None, :, None]
    windows, is_real = cut_windows(tokens, None, 2)
    assert windows.squeeze(2).tolist() == [[1, 2], [3, 4], [5, 0]]
    assert is_real.tolist() == [[True, True], [True, True], [True, False]]
    windows, is_real = cut_windows(tokens, torch.tensor([[True, True, True, False, False]]), 2)
    assert is_real.tolist() == [[True, True], [True, False], [False, False]]
    special = torch.tensor([10.0, 20.0, 60.0])[:, None, None]
    joined = join_windows(torch.cat([special, windows], dim=1), is_real, num_clips=1, num_patches=5, num_special=1)
    assert joined.flatten().tolist() == [15, 1, 2, 3, 4, 5]  # the third window is silent


def test_the_pooled_embedding_of_several_windows_is_the_mean_over_time():
    model, values = build(**PLAIN), clips(100)
    with torch.no_grad():
        output = model(values)
        assert model(values[:, :40], kept_indices=kept()).pooler_output is None
    wanted = output.last_hidden_state[:, 1:].unflatten(1, (25, 2)).mean(dim=1).flatten(1)
    torch.testing.assert_close(output.pooler_output, wanted)


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
        model(clips(80), kept_indices=kept(40))
    with pytest.raises(ValueError, match="windows of 4 do not divide 18 tokens"):
        model(clips(36), kept_indices=kept(18))
    with pytest.raises(ValueError, match="attention_mask has shape"):
        model(clips(), kept_indices=kept(), attention_mask=torch.ones(2, 39))


def test_attention_implementation_can_be_changed_afterwards():
    model = build(MwmaeForPreTraining)
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    predictions = (each(clips(), kept_indices=kept()).prediction for each in (other, model))
    torch.testing.assert_close(*predictions, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fields", [{}, PLAIN])
def test_residual_stream_keeps_its_precision_under_autocast(fields):
    model = build(MwmaeForPreTraining, **fields)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(clips(), kept_indices=kept(), output_hidden_states=True)
    assert {states.dtype for states in output.hidden_states + output.decoder_hidden_states} == {torch.float32}
    wanted = model(clips(), kept_indices=kept()).prediction
    torch.testing.assert_close(output.prediction.float(), wanted, atol=0.1, rtol=0)
