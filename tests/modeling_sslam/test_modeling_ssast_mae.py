"""The transformer baseline; what it shares with SSAM and AxLSTM is in `test_modeling_masked_patch.py`."""

import pytest
import torch

from modeling_sslam import SsastMaeConfig, SsastMaeForPreTraining, SsastMaeModel

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
    """(2, 20, P) of every other patch, which are masked."""
    mask = (torch.arange(40) % 2 == 0).expand(2, -1)
    with torch.no_grad():
        return model(clips, bool_masked_pos=mask).prediction[mask].unflatten(0, (2, -1))


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


def test_transformer_head_sees_the_class_token(clips):
    model = build(prediction_num_layers=1, prediction_hidden_size=16, prediction_num_attention_heads=2)
    encoded = model.encoder(clips)
    before = model.prediction_head(encoded)
    assert before.shape == (2, 40, 32)
    changed = model.prediction_head(type(encoded)(**(dict(encoded) | {"class_hidden_state": torch.zeros(2, 32)})))
    assert not torch.allclose(changed, before)


def test_transformer_head_does_not_hear_padding(clips):
    model = build(prediction_num_layers=2, prediction_hidden_size=16, prediction_num_attention_heads=2)
    mask = torch.ones(2, 40)
    mask[1, 20:] = 0
    with torch.no_grad():
        batch = model.prediction_head(model.encoder(clips, attention_mask=mask))
        alone = model.prediction_head(model.encoder(clips[1:, :20]))
    torch.testing.assert_close(batch[1:, :20], alone, atol=1e-5, rtol=0)
