"""What SSAM, AxLSTM and their transformer baseline share, on the last of these."""

import pytest
import torch

from modeling_sslam.modeling_masked_patch import MaskedPatchEmbeddings, MaskedPatchModelOutput, PredictionHead
from modeling_sslam.tokens_masks import kept_tokens
from modeling_sslam.tokens_positions import time_frequency_table
from tests.modeling_sslam.test_modeling_ssast_mae import SsastMaeModel, build

POSITIONS = time_frequency_table(10, 4, 32)


@pytest.fixture
def clips(generator) -> torch.Tensor:
    """(2, 40, 32): 10 x 4 patches."""
    return torch.randn(2, 40, 32, generator=generator)


@pytest.fixture
def mask() -> torch.Tensor:
    """(2, 40), every third patch is masked."""
    return (torch.arange(40) % 3 == 0).expand(2, -1)


def first_hidden_states(model, clips, mask) -> torch.Tensor:
    """(2, 40, 32): what enters the blocks, less the class token."""
    with torch.no_grad():
        return model(clips, bool_masked_pos=mask, output_hidden_states=True).hidden_states[0][:, 1:]


def test_the_sequence_is_patches_and_positions_behind_the_class_token(clips):
    encoder = build(SsastMaeModel)
    with torch.no_grad():
        sequence = encoder(clips, output_hidden_states=True).hidden_states[0]
    embeddings = encoder.embeddings
    assert torch.equal(sequence[:, :1], embeddings.class_token.expand(2, -1, -1))
    assert torch.equal(sequence[:, 1:], embeddings.patch_embeddings(clips) + POSITIONS)


@pytest.mark.parametrize("has_position", [False, True])
def test_masked_patches_are_replaced_and_no_other(clips, mask, has_position):
    model = build(mask_token_has_position=has_position)
    with torch.no_grad():
        model.mask_token.fill_(7.0)
    sequence = first_hidden_states(model, clips, mask)
    masked = mask[0]
    expected = 7.0 + POSITIONS[masked] if has_position else torch.full_like(sequence[0, masked], 7.0)
    assert torch.equal(sequence[:, masked], expected.expand(2, -1, -1))
    patches = model.encoder.embeddings.patch_embeddings(clips) + POSITIONS
    assert torch.equal(sequence[:, ~masked], patches[:, ~masked])


def test_the_blocks_see_the_same_whichever_way_the_mask_is_told(clips, mask):
    model = build()
    shuffled = kept_tokens(mask).flip(1)
    assert torch.equal(model(clips, kept_indices=shuffled).prediction, model(clips, bool_masked_pos=mask).prediction)


def test_content_of_masked_patches_is_not_heard(clips, mask):
    model = build()
    cells = mask.unflatten(1, (10, 4)).repeat_interleave(4, 1).repeat_interleave(8, 2)
    changed = torch.where(cells, clips + 1, clips)
    with torch.no_grad():
        assert torch.equal(
            model(changed, bool_masked_pos=mask).prediction, model(clips, bool_masked_pos=mask).prediction
        )


def test_outputs_of_pretraining_are_those_of_the_encoder_on_the_masked_sequence(clips, mask):
    model = build()
    output = model(clips, bool_masked_pos=mask, attention_mask=torch.ones(2, 40))
    encoded = model.encoder(clips, patch_embeds=first_hidden_states(model, clips, mask))
    assert torch.equal(output.last_hidden_state, encoded.last_hidden_state)
    assert torch.equal(output.prediction, model.prediction_head(encoded))
    assert output.prediction.shape == (2, 40, 32)
    assert output.token_mask.all()


def test_class_token_stays_out_of_the_outputs_but_not_of_the_blocks(clips):
    output = build(SsastMaeModel)(clips, output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, 40, 32)
    assert output.class_hidden_state.shape == (2, 32)
    assert output.hidden_states[-1].shape == (2, 41, 32)
    without = build(SsastMaeModel, use_class_token=False)(clips, output_hidden_states=True)
    assert without.class_hidden_state is None
    assert without.hidden_states[-1].shape == (2, 40, 32)


@pytest.mark.parametrize("use_class_token", [True, False])
def test_special_tokens_are_the_class_token_where_there_is_one(clips, use_class_token):
    encoder = build(SsastMaeModel, use_class_token=use_class_token)
    output = encoder(clips)
    special, content, mask = encoder.tokens(output)
    assert special.shape == (2, int(use_class_token), 32)
    assert not use_class_token or torch.equal(special[:, 0], output.class_hidden_state)
    assert torch.equal(content, output.last_hidden_state)
    assert mask is None


def test_sequence_of_an_output_has_the_class_token_in_front():
    tokens, mask = torch.randn(1, 2, 4), torch.tensor([[True, False]])
    class_token = torch.randn(1, 4)
    sequence, is_real = MaskedPatchModelOutput(tokens, token_mask=mask, class_hidden_state=class_token).sequence()
    assert torch.equal(sequence, torch.cat([class_token[:, None], tokens], dim=1))
    assert is_real.tolist() == [[True, True, False]]
    sequence, is_real = MaskedPatchModelOutput(tokens).sequence()
    assert torch.equal(sequence, tokens)
    assert is_real is None


def test_any_length_of_clip_has_positions(generator):
    model = build(SsastMaeModel)
    assert model(torch.randn(1, 4000, 32, generator=generator)).last_hidden_state.shape == (1, 4000, 32)


def test_residual_stream_keeps_the_precision_of_the_weights(clips, mask):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = build()(clips, bool_masked_pos=mask, output_hidden_states=True)
    assert {state.dtype for state in output.hidden_states} == {torch.float32}
    half = build().to(torch.bfloat16)
    assert half(clips.bfloat16(), bool_masked_pos=mask).last_hidden_state.dtype == torch.bfloat16


def test_prediction_is_two_linear_layers_with_gelu_between(generator):
    head, tokens = PredictionHead(6, (2, 3)), torch.randn(2, 5, 6, generator=generator)
    expected = head.output(torch.nn.functional.gelu(head.dense(tokens)))
    assert expected.shape == (2, 5, 6)
    assert torch.equal(head(MaskedPatchModelOutput(tokens)), expected)


def test_wrong_arguments_are_refused(clips, mask):
    encoder = build(SsastMaeModel)
    with pytest.raises(ValueError, match="has 16 mel bins, but the model expects 32"):
        encoder(clips[..., :16])
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 39\)"):
        encoder(clips, attention_mask=torch.ones(2, 39))
    with pytest.raises(
        ValueError, match=r"bool_masked_pos has shape \(2, 39\): expected 2 rows .clips. and 40 columns"
    ):
        build()(clips, bool_masked_pos=mask[:, 1:])
    with pytest.raises(ValueError, match=r"kept_indices has shape \(1, 20\), but there are 2 clips of 40 patches"):
        build()(clips, kept_indices=torch.arange(20)[None])


def test_embeddings_without_class_token_leave_the_sequence_alone():
    embeddings = MaskedPatchEmbeddings(build(use_class_token=False).config)
    patches, mask = torch.randn(2, 3, 32), torch.ones(2, 3, dtype=torch.bool)
    assert embeddings.add_class_token(patches, mask) == (patches, mask)
