import pytest
import torch

from modeling_sslam.layers_mlstm_cell import chunkwise_cell, mlstm_cell, parallel_cell

HEADS, HEAD_DIM = 2, 5


def arguments(length: int, gate_scale: float = 1.0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Query, key, value, input gate and forget gate of two clips, with gradients."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, HEADS, length, HEAD_DIM)] * 3 + [(2, HEADS, length)] * 2
    draws = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    draws[3:] = [gate_scale * draws[3], gate_scale * draws[4] + 2]
    return [draw.to(dtype).requires_grad_() for draw in draws]


def recurrent(query, key, value, input_gate, forget_gate, eps: float = 1e-6) -> torch.Tensor:
    """The definition, step by step: a memory, its norm and the stabiliser, from zero (Beck et al., 2024)."""
    query = query * HEAD_DIM**-0.5
    memory = query.new_zeros(*query.shape[:2], HEAD_DIM, HEAD_DIM)
    norm, stabiliser = query.new_zeros(*query.shape[:2], HEAD_DIM), query.new_full(query.shape[:2], -torch.inf)
    outputs = []
    for step in range(query.shape[2]):
        log_forget = torch.nn.functional.logsigmoid(forget_gate[:, :, step])
        new = torch.maximum(log_forget + stabiliser, input_gate[:, :, step])
        kept, added = (log_forget + stabiliser - new).exp(), (input_gate[:, :, step] - new).exp()
        written = key[:, :, step, :, None] * value[:, :, step, None, :]
        memory = kept[..., None, None] * memory + added[..., None, None] * written
        norm = kept[..., None] * norm + added[..., None] * key[:, :, step]
        stabiliser = new
        size = torch.maximum((norm * query[:, :, step]).sum(-1).abs(), (-stabiliser).exp()) + eps
        outputs.append((query[:, :, step, None] @ memory).squeeze(2) / size[..., None])
    return torch.stack(outputs, dim=2)


def values_and_gradients(cell, *inputs: torch.Tensor) -> list[torch.Tensor]:
    hidden_states = cell(*inputs)
    weights = torch.randn(hidden_states.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return [hidden_states, *torch.autograd.grad((hidden_states * weights).sum(), inputs)]


@pytest.mark.parametrize("gate_scale", [1.0, 8.0], ids=["usual gates", "extreme gates"])
def test_parallel_form_is_the_recurrence(gate_scale):
    """With extreme gates normalisers are small, so that gradients see the eps in them."""
    inputs = arguments(23, gate_scale)
    for got, want in zip(
        values_and_gradients(parallel_cell, *inputs), values_and_gradients(recurrent, *inputs), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gate_scale", [1.0, 8.0], ids=["usual gates", "extreme gates"])
@pytest.mark.parametrize("chunk_size", [1, 5, 8, 23, 40])
def test_chunks_change_neither_values_nor_gradients(chunk_size, gate_scale):
    """Also where the last chunk is shorter, and where one chunk holds everything."""
    inputs = arguments(23, gate_scale)
    in_chunks = values_and_gradients(lambda *inputs: chunkwise_cell(*inputs, chunk_size), *inputs)
    for got, want in zip(in_chunks, values_and_gradients(parallel_cell, *inputs), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "cell", [parallel_cell, lambda *inputs: chunkwise_cell(*inputs, 64)], ids=["parallel", "chunks"]
)
def test_long_forgetting_costs_no_precision(cell):
    """The log of what is left of the first token is -2000, of which float32 keeps three decimals."""
    inputs = [leaf.detach() for leaf in arguments(251)]
    inputs[4] -= 10.0
    want = parallel_cell(*inputs)
    error = cell(*(leaf.float() for leaf in inputs)) - want
    assert error.abs().max() < 5e-6 * want.abs().max()


@pytest.mark.parametrize(
    "cell", [parallel_cell, lambda *inputs: chunkwise_cell(*inputs, 7)], ids=["parallel", "chunks"]
)
def test_gates_far_out_of_range_stay_finite(cell):
    inputs = arguments(30, gate_scale=60.0, dtype=torch.float32)
    hidden_states = cell(*inputs)
    hidden_states.sum().backward()
    assert hidden_states.isfinite().all()
    assert all(leaf.grad.isfinite().all() for leaf in inputs)


def test_the_cell_is_causal():
    inputs = arguments(12)
    before = mlstm_cell(*inputs, chunk_size=2)
    changed = [leaf.detach().clone() for leaf in inputs]
    for leaf in changed:
        leaf[:, :, 8:] += 3.0
    after = mlstm_cell(*changed, chunk_size=2)
    torch.testing.assert_close(after[:, :, :8], before[:, :, :8], rtol=0, atol=1e-12)
    assert not torch.allclose(after[:, :, 8:], before[:, :, 8:])


@pytest.mark.parametrize("length", [10, 40])
def test_float32_whatever_the_inputs_and_under_autocast(length):
    half = [leaf.detach().bfloat16() for leaf in arguments(length)]
    want = mlstm_cell(*(leaf.float() for leaf in half), chunk_size=4)
    with torch.autocast("cpu", torch.bfloat16):
        got = mlstm_cell(*half, chunk_size=4)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)
