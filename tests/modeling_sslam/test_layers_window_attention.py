"""Heads in windows against the plain definition, one head and one window at a time, gradients included."""

import pytest
import torch
from torch.nn.functional import softmax

from modeling_sslam import MwmaeConfig
from modeling_sslam.layers_window_attention import HeadGroup, WindowAttention

WIDTH = 24
TOKENS = 20


def attention(windows: tuple[int, ...], shifted: bool = False, implementation: str = "sdpa") -> WindowAttention:
    torch.manual_seed(0)
    config = MwmaeConfig()
    config._attn_implementation = implementation
    layer = WindowAttention(config, WIDTH, windows, shifted).double()
    for group in layer.groups:
        if group.window:
            torch.nn.init.normal_(group.relative_position_bias_table)
    return layer


def tables(layer: WindowAttention) -> list[torch.Tensor | None]:
    """The bias table of each head."""
    return [
        group.relative_position_bias_table[head] if group.window else None
        for group in layer.groups
        for head in range(group.num_heads)
    ]


def one_head(query, key, value, table, window: int, shift: int) -> torch.Tensor:
    """Definition of one head on one clip, (L, D / heads): loops over windows, queries and keys."""
    num_tokens = len(query)
    query, key, value = (tensor.roll(-shift, 0) for tensor in (query, key, value))
    window = window or num_tokens
    borders = (num_tokens - window, num_tokens - shift) if shift else (num_tokens, num_tokens)
    outputs = []
    for start in range(0, num_tokens, window):
        for a in range(start, start + window):
            scores = []
            for b in range(start, start + window):
                score = query[a] @ key[b] * len(query[a]) ** -0.5
                if table is not None:
                    score = score + table[a - b + window - 1]
                if any((a < border) != (b < border) for border in borders):
                    score = score - 100
                scores.append(score)
            outputs.append(softmax(torch.stack(scores), dim=0) @ value[start : start + window])
    return torch.stack(outputs).roll(shift, 0)


def oracle(layer: WindowAttention, hidden_states: torch.Tensor, windows: tuple[int, ...], shifted: bool):
    query, key, value = layer.qkv(hidden_states).unflatten(2, (3, len(windows), -1)).unbind(2)
    clips = []
    for clip in range(len(hidden_states)):
        heads = [
            one_head(
                *(tensor[clip, :, head] for tensor in (query, key, value)),
                table,
                window,
                window // 2 if shifted else 0,
            )
            for head, (window, table) in enumerate(zip(windows, tables(layer), strict=True))
        ]
        clips.append(torch.cat(heads, dim=1))
    return layer.out_proj(torch.stack(clips))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("windows", [(2, 5, 10, 0), (4, 4, 0, 20), (0, 5, 0), (5, 5), (0, 0, 0)])
def test_values_and_gradients_are_those_of_the_definition(windows, shifted, implementation):
    layer = attention(windows, shifted, implementation)
    clips = torch.randn(2, TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    inputs = [clips, *layer.parameters()]
    got, _ = layer(clips)
    want = oracle(layer, clips, windows, shifted)
    torch.testing.assert_close(got, want)
    weights = torch.randn_like(want)
    gradients = [torch.autograd.grad((output * weights).sum(), inputs) for output in (got, want)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)  # the eager softmax is float32


def test_bias_is_the_table_at_query_minus_key():
    group = HeadGroup(MwmaeConfig(), 1, 3, shifted=False)
    with torch.no_grad():
        group.relative_position_bias_table.copy_(torch.arange(5.0))
    assert group.relative_position_bias().tolist() == [[[2, 1, 0], [3, 2, 1], [4, 3, 2]]]


def test_weights_on_request_are_zero_between_windows():
    layer = attention((2, 5, 0), implementation="eager")
    clips = torch.randn(2, TOKENS, WIDTH, dtype=torch.float64)
    _, weights = layer(clips, output_attentions=True)
    assert weights.shape == (2, 3, TOKENS, TOKENS)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(2, 3, TOKENS, dtype=torch.float64))
    place = torch.arange(TOKENS)
    for head, window in enumerate((2, 5)):
        assert (weights[:, head].transpose(0, 2)[place[:, None] // window != place // window] == 0).all()
    assert (weights[:, 2] > 0).all()
    assert layer(clips)[1] is None


def test_weights_of_shifted_windows_stand_at_the_tokens_they_are_of():
    layer = attention((4, 10), shifted=True, implementation="eager")
    clips = torch.randn(1, TOKENS, WIDTH, dtype=torch.float64)
    output, weights = layer(clips, output_attentions=True)
    value = layer.qkv(clips).unflatten(2, (3, 2, -1)).unbind(2)[2].transpose(1, 2)
    torch.testing.assert_close(layer.out_proj((weights @ value).transpose(1, 2).flatten(2)), output)


def test_padding_is_not_attended_to():
    layer = attention((2, 5, 0))
    clips = torch.randn(2, TOKENS, WIDTH, dtype=torch.float64)
    mask = torch.arange(TOKENS).expand(2, -1) < 10
    alone, _ = layer(clips[:, :10])
    torch.testing.assert_close(layer(clips, mask)[0][:, :10], alone)


def test_no_matrix_of_all_tokens_for_windowed_heads():
    """The largest tensor of the backward pass is smaller than one n x n matrix a clip."""
    layer, tokens, sizes = attention((2, 4)), 400, []
    clips = torch.randn(1, tokens, WIDTH, dtype=torch.float64)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        layer(clips)
    assert max(sizes) < tokens**2


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_windows_that_do_not_divide_are_refused(implementation):
    with pytest.raises(ValueError, match="windows of 3 do not divide 20 tokens"):
        attention((3, 0), implementation=implementation)(torch.randn(1, TOKENS, WIDTH, dtype=torch.float64))
