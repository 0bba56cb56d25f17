import pytest
import torch
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer as TransformersMixer

from modeling_sslam import SsamConfig
from modeling_sslam.layers_mamba import MambaMixer
from modeling_sslam.tokens_masks import reverse_tokens

HIDDEN, INNER, STATE, KERNEL, RANK = 32, 96, 24, 4, 2


def mixer(bidirectional: bool = False) -> MambaMixer:
    torch.manual_seed(0)
    layer = MambaMixer(HIDDEN, INNER, STATE, KERNEL, RANK, bidirectional)
    for module in (layer, layer.reverse):
        if module is not None:
            module.init_weights(SsamConfig(num_hidden_layers=1))
    return layer


def tokens(length: int) -> torch.Tensor:
    return torch.randn(2, length, HIDDEN, generator=torch.Generator().manual_seed(1))


def order(length: int, *real: int) -> torch.Tensor:
    """`reverse_tokens` of rows with so many real tokens."""
    return reverse_tokens(torch.arange(length) < torch.tensor(real)[:, None])


@pytest.fixture
def oracle() -> TransformersMixer:
    config = MambaConfig(
        hidden_size=HIDDEN, state_size=STATE, conv_kernel=KERNEL, expand=3, use_conv_bias=True, use_bias=False
    )
    return TransformersMixer(config, layer_idx=0)


def test_weights_of_transformers_mixer_load_as_they_are_and_give_the_same(oracle):
    ours = mixer()
    ours.load_state_dict(oracle.state_dict())
    hidden_states = tokens(50)
    got, want = ours(hidden_states), oracle(hidden_states)
    assert torch.allclose(got, want, atol=1e-6)
    got.square().sum().backward()
    want.square().sum().backward()
    gradients = dict(oracle.named_parameters())
    for name, parameter in ours.named_parameters():
        scale = gradients[name].grad.abs().max()
        assert torch.allclose(parameter.grad, gradients[name].grad, atol=2e-6 * scale), name


def test_initial_scan_is_mambas():
    layer = mixer()
    assert torch.allclose(layer.A_log.exp(), torch.arange(1.0, STATE + 1).expand(INNER, -1))
    assert torch.equal(layer.D, torch.ones(INNER))
    time_steps = torch.nn.functional.softplus(layer.dt_proj.bias)
    assert time_steps.min() > 0.00099
    assert time_steps.max() < 0.101
    assert time_steps.log().std() > 1.0  # log-uniform over two decades: 1.33


def test_one_direction_sees_no_later_token_and_two_see_all():
    hidden_states = tokens(12)
    changed = hidden_states.clone()
    changed[:, -1] += 1.0
    causal, both = mixer(), mixer(bidirectional=True)
    assert torch.equal(causal(hidden_states)[:, :-1], causal(changed)[:, :-1])
    difference = both(hidden_states, order(12, 12, 12)) - both(changed, order(12, 12, 12))
    assert (difference.abs().amax(dim=2) > 0).all()


def test_reverse_direction_is_the_forward_one_on_turned_tokens():
    layer = mixer(bidirectional=True)
    weights = layer.state_dict()
    layer.reverse.load_state_dict({name: weights[name] for name in layer.reverse.state_dict()})
    hidden_states, both_ways = tokens(9), order(9, 9, 9)
    turned = layer(hidden_states.flip(1), both_ways)
    assert torch.allclose(turned.flip(1), layer(hidden_states, both_ways), atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_does_not_reach_real_tokens(bidirectional):
    layer = mixer(bidirectional)
    hidden_states = tokens(10)
    alone = layer(hidden_states[1:, :6], order(6, 6))
    assert torch.allclose(layer(hidden_states, order(10, 10, 6))[1:, :6], alone, atol=1e-6)


def test_autocast_multiplies_in_bfloat16_and_scans_in_float32():
    layer = mixer()
    with torch.autocast("cpu", torch.bfloat16):
        scanned = layer.scan(layer.in_proj(tokens(20)).chunk(2, dim=2)[0])
        outputs = layer(tokens(20))
    assert (scanned.dtype, outputs.dtype) == (torch.float32, torch.bfloat16)
    assert torch.allclose(outputs.float(), layer(tokens(20)), atol=2e-2)


def test_bfloat16_weights_work_without_autocast():
    layer = mixer().bfloat16()
    assert layer(tokens(20).bfloat16()).dtype == torch.bfloat16
