"""SSAM's blocks and directions; what it shares with AxLSTM is in `test_modeling_masked_patch.py`."""

import pytest
import torch

from modeling_sslam import SsamConfig, SsamForAudioClassification, SsamForPreTraining, SsamModel

NUM_MEL_BINS = 32


def tiny_config(**overrides) -> SsamConfig:
    fields = {"hidden_size": 32, "num_hidden_layers": 2, "num_mel_bins": NUM_MEL_BINS, "state_size": 4}
    return SsamConfig(**(fields | overrides))


def clips(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, NUM_MEL_BINS, generator=generator) for length in lengths]


@pytest.fixture(params=[False, True], ids=["causal", "bidirectional"])
def config(request) -> SsamConfig:
    return tiny_config(bidirectional=request.param)


@pytest.mark.parametrize(
    ("size", "trainable", "blocks"),
    [("tiny", 4_760_512, 4_697_856), ("small", 17_889_088, 17_690_112), ("base", 69_250_624, 68_557_824)],
)
def test_published_sizes(size, trainable, blocks):
    with torch.device("meta"):
        model = SsamForPreTraining(getattr(SsamConfig, size)())
    assert sum(parameter.numel() for parameter in model.parameters()) == trainable
    assert sum(parameter.numel() for parameter in model.encoder.layers.parameters()) == blocks


def test_class_token_is_blind_in_one_direction_and_sees_in_two():
    first, second = (clip[None] for clip in clips(40, 40))
    causal, both = SsamModel(tiny_config()).eval(), SsamModel(tiny_config(bidirectional=True)).eval()
    assert torch.equal(causal(first).class_hidden_state, causal(second).class_hidden_state)
    assert not torch.allclose(both(first).class_hidden_state, both(second).class_hidden_state, atol=1e-3)


def test_tokens_see_earlier_ones_only_unless_bidirectional():
    (clip,) = clips(40)
    changed = clip.clone()
    changed[20:] += 1.0
    half = 20 // 4 * NUM_MEL_BINS // 16
    for bidirectional, sees_later in ((False, False), (True, True)):
        model = SsamModel(tiny_config(bidirectional=bidirectional)).eval()
        before, after = (model(values[None]).last_hidden_state[:, :half] for values in (clip, changed))
        assert torch.equal(before, after) is not sees_later


def test_a_block_adds_its_mixer_to_what_it_was_given(config):
    layer = SsamModel(config).layers[0].eval()
    hidden_states = torch.randn(2, 5, config.hidden_size)
    order = torch.arange(5).flip(0).expand(2, -1)
    wanted = hidden_states + layer.mixer(layer.norm(hidden_states), order)
    assert torch.equal(layer(hidden_states, order), wanted)


def test_residual_stream_stays_float32_under_autocast(config):
    model = SsamForAudioClassification(config).eval()
    values = torch.stack(clips(40, 40))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(values, output_hidden_states=True)
    assert {states.dtype for states in output.hidden_states} == {torch.float32}
    assert torch.allclose(output.logits.float(), model(values).logits, atol=0.05)


def test_forward_runs_without_data(config):
    """On the meta device: shapes of a model that nobody has to load."""
    with torch.device("meta"):
        output = SsamModel(config)(torch.empty(1, 200, NUM_MEL_BINS))
    assert output.last_hidden_state.shape == (1, 100, config.hidden_size)
