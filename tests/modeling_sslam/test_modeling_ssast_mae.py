"""The transformer baseline, and with it what SSAM and AxLSTM share with it."""

import pytest
import torch

from modeling_sslam import SsastMaeConfig, SsastMaeForAudioClassification, SsastMaeForPreTraining, SsastMaeModel
from modeling_sslam.tokens_positions import time_frequency_table

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_mel_bins": 32,
    "patch_size": (4, 8),
}


def build(model_class=SsastMaeForPreTraining, **fields):
    torch.manual_seed(0)
    return model_class(SsastMaeConfig(**(SIZES | fields))).eval()


@pytest.fixture
def clips(generator) -> torch.Tensor:
    """(2, 40, 32): 10 x 4 patches."""
    return torch.randn(2, 40, 32, generator=generator)


def masked_predictions(model, clips) -> torch.Tensor:
    """(2, masked patches, P)."""
    with torch.no_grad():
        output = model(clips)
    return output.prediction[output.bool_masked_pos].unflatten(0, (2, -1))


def spread(predictions: torch.Tensor) -> float:
    """Largest difference between two patches of a clip."""
    return (predictions - predictions[:, :1]).abs().max().item()


def test_masked_tokens_without_position_are_all_predicted_alike(clips):
    """The handicap of the published baseline: attention cannot tell one masked patch from another."""
    assert spread(masked_predictions(build(), clips)) < 1e-5


def test_masked_tokens_with_position_are_predicted_by_their_place(clips):
    assert spread(masked_predictions(build(mask_token_has_position=True), clips)) > 0.01


def test_position_of_masked_tokens_is_all_that_the_option_changes(clips):
    """Where nothing is masked, both options see the same."""
    encoders = build(SsastMaeModel), build(SsastMaeModel, mask_token_has_position=True)
    outputs = [encoder(clips).last_hidden_state for encoder in encoders]
    assert torch.equal(*outputs)


@pytest.mark.parametrize(("size", "trainable"), [("tiny", 5_401_024), ("small", 21_492_544), ("base", 85_747_264)])
def test_published_sizes(size, trainable):
    with torch.device("meta"):
        model = SsastMaeForPreTraining(getattr(SsastMaeConfig, size)())
    assert sum(parameter.numel() for parameter in model.parameters()) == trainable


def test_embeddings_are_patches_and_positions_behind_the_class_token(clips):
    embeddings = build(SsastMaeModel).embeddings
    sequence, token_mask = embeddings(clips)
    assert token_mask is None
    assert torch.equal(sequence[:, :1], embeddings.class_token.expand(2, -1, -1))
    expected = embeddings.patch_embeddings(clips) + time_frequency_table(10, 4, 32)
    assert torch.equal(sequence[:, 1:], expected)


def test_masked_patches_are_replaced_and_no_other(clips):
    embeddings = build(SsastMaeModel).embeddings
    mask = torch.arange(40) % 3 == 0
    token = torch.full((1, 1, 32), 7.0)
    sequence, _ = embeddings(clips, bool_masked_pos=mask.expand(2, -1), mask_token=token)
    assert (sequence[:, 1:][:, mask] == 7.0).all()
    assert torch.equal(sequence[:, 1:][:, ~mask], embeddings(clips)[0][:, 1:][:, ~mask])


def test_class_token_stays_out_of_the_outputs_but_not_of_the_blocks(clips):
    output = build(SsastMaeModel)(clips, output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, 40, 32)
    assert output.class_hidden_state.shape == (2, 32)
    assert output.hidden_states[-1].shape == (2, 41, 32)
    without = build(SsastMaeModel, use_class_token=False)(clips, output_hidden_states=True)
    assert without.class_hidden_state is None
    assert without.hidden_states[-1].shape == (2, 40, 32)


def test_noise_decides_what_is_masked(clips, generator):
    model = build()
    noise = torch.rand(2, 40, generator=generator)
    output = model(clips, noise=noise)
    assert output.bool_masked_pos.sum(1).tolist() == [20, 20]
    assert noise[output.bool_masked_pos].min() >= noise.median(dim=1).values.min()
    assert torch.equal(model(clips).bool_masked_pos, model(clips).bool_masked_pos)


def test_time_steps_are_masked_as_a_whole(clips):
    masked = build(masking="timestep")(clips).bool_masked_pos.unflatten(1, (10, 4))
    assert torch.equal(masked.any(2), masked.all(2))
    assert masked.all(2).sum(1).tolist() == [5, 5]


def test_transformer_head_sees_the_class_token(clips):
    model = build(prediction_num_layers=1, prediction_hidden_size=16, prediction_num_attention_heads=2)
    before = model(clips).prediction
    assert before.shape == (2, 40, 32)
    encoded = model.encoder(clips)
    changed = model.prediction_head(type(encoded)(**(dict(encoded) | {"class_hidden_state": torch.zeros(2, 32)})))
    assert not torch.allclose(changed, model.prediction_head(encoded))


def test_padding_changes_nothing(clips):
    model = build(SsastMaeForAudioClassification, num_labels=3)
    mask = torch.ones(2, 40)
    mask[1, 22:] = 0  # two frames of the last patch are real, which do not count
    with torch.no_grad():
        logits = model(clips, attention_mask=mask).logits
        alone = model(clips[1:, :20]).logits
    assert torch.allclose(logits[1:], alone, atol=1e-5)


def test_residual_stream_keeps_the_precision_of_the_weights(clips):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = build()(clips, output_hidden_states=True)
    assert {state.dtype for state in output.hidden_states} == {torch.float32}
    half = build(SsastMaeModel).to(torch.bfloat16)
    assert half(clips.bfloat16()).last_hidden_state.dtype == torch.bfloat16


def test_any_length_of_clip_has_positions(generator):
    model = build(SsastMaeModel)
    assert model(torch.randn(1, 4000, 32, generator=generator)).last_hidden_state.shape == (1, 4000, 32)


def test_initial_values():
    model = build(hidden_size=64)
    block = model.encoder.layers[0]
    bound = (6 / (64 + 3 * 64)) ** 0.5
    assert block.attention.qkv.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert not block.attention.qkv.bias.any()
    assert model.prediction_head.dense.bias.abs().max().item() == pytest.approx(64**-0.5, rel=0.2)
    assert model.mask_token.std().item() == pytest.approx(0.02, rel=0.3)
    patches = model.encoder.embeddings.patch_embeddings.projection
    assert patches.weight.abs().max().item() == pytest.approx((6 / (32 + 32 * 64)) ** 0.5, rel=0.01)


def test_wrong_arguments_are_refused(clips):
    encoder, mask = build(SsastMaeModel), torch.zeros(2, 40, dtype=torch.bool)
    with pytest.raises(ValueError, match="has 16 mel bins, but the model expects 32"):
        encoder(clips[..., :16])
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 39\)"):
        encoder(clips, attention_mask=torch.ones(2, 39))
    with pytest.raises(ValueError, match="bool_masked_pos needs mask_token"):
        encoder(clips, bool_masked_pos=mask)
    with pytest.raises(ValueError, match=r"has shape \(2, 39\), but there are \(2, 40\) clips and patches"):
        encoder(clips, bool_masked_pos=mask[:, 1:], mask_token=torch.zeros(1, 1, 32))
    with pytest.raises(ValueError, match=r"noise has shape \(2, 10\): expected \(2, 40\), one number a patch"):
        build()(clips, noise=torch.rand(2, 10))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch_size": (4, 12)}, "num_mel_bins 32 is not a multiple of the 12 bins of a patch"),
        ({"patch_size": (4,)}, "expected .frames, mel bins. of a patch"),
        ({"window_frames": 50}, "window_frames 50 is not a multiple of the 4 of a patch"),
        ({"hidden_size": 30, "num_attention_heads": 3}, "hidden_size 30 is not a multiple of 4"),
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0: expected a share between 0 and 1"),
        ({"masking": "blocks"}, "masking is 'blocks': choose one of random, timestep"),
        ({"token_grouping": "frequency"}, "token_grouping is 'frequency': choose one of reference, time"),
        ({"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        ({"prediction_hidden_size": 100}, "prediction_hidden_size 100 is not a multiple of prediction_num_att"),
    ],
)
def test_wrong_configurations_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SsastMaeConfig(**(SIZES | fields))


def test_a_square_patch_may_be_one_number():
    assert SsastMaeConfig(**(SIZES | {"patch_size": 8})).patch_size == (8, 8)
