import pytest
import torch

from modeling_sslam import layers_selective_scan as scan_module
from modeling_sslam.layers_selective_scan import CHUNK, fused_kernel, fused_scan, selective_scan


def arguments(batch: int, length: int, channels: int, state_size: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    inputs, time_steps = draw(batch, length, channels), draw(batch, length, channels).exp() * 0.1
    A, B, C = -draw(channels, state_size).exp(), draw(batch, length, state_size), draw(batch, length, state_size)
    return [tensor.to(dtype).requires_grad_() for tensor in (inputs, time_steps, A, B, C)]


def definition(inputs, time_steps, A, B, C) -> torch.Tensor:
    """The recurrence as the module's docstring has it, one step after the other."""
    state, outputs = torch.zeros(len(inputs), *A.shape, dtype=inputs.dtype), []
    for u, dt, write, read in zip(*(tensor.unbind(1) for tensor in (inputs, time_steps, B, C)), strict=True):
        state = (dt[..., None] * A).exp() * state + (dt * u)[..., None] * write[:, None]
        outputs.append((state * read[:, None]).sum(2))
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3])
def test_values_and_gradients_are_those_of_the_definition(length):
    ours = arguments(2, length, 5, 3, torch.float64)
    theirs = arguments(2, length, 5, 3, torch.float64)
    outputs, wanted = selective_scan(*ours), definition(*theirs)
    assert torch.allclose(outputs, wanted, atol=1e-12)
    weights = torch.randn(outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (outputs * weights).sum().backward()
    (wanted * weights).sum().backward()
    for got, want in zip(ours, theirs, strict=True):
        assert torch.allclose(got.grad, want.grad, atol=1e-12)


def test_gradients_against_finite_differences():
    assert torch.autograd.gradcheck(selective_scan, arguments(1, CHUNK + 2, 2, 2, torch.float64))


def test_one_step_by_hand():
    number = torch.tensor
    outputs = selective_scan(
        number([[[2.0], [3.0]]]),
        number([[[0.5], [1.0]]]),
        number([[-1.0]]),
        number([[[4.0], [5.0]]]),
        torch.ones(1, 2, 1),
    )
    # s = 0.5 * 2 * 4, then e^-1 s + 1 * 3 * 5
    assert outputs.flatten().tolist() == pytest.approx([4.0, 4.0 * 0.36787944 + 15.0])


def test_no_step_sees_a_later_one():
    inputs, *others = arguments(1, 3 * CHUNK, 4, 3, torch.float32)
    changed = inputs.detach().clone()
    changed[:, 20:] += 1.0
    assert torch.equal(selective_scan(inputs, *others)[:, :20], selective_scan(changed, *others)[:, :20])


def test_extreme_decays_give_finite_gradients():
    inputs, time_steps, A, B, C = arguments(1, 100, 4, 3, torch.float32)
    time_steps = (time_steps.detach() * 1e4).requires_grad_()
    selective_scan(inputs, time_steps, A, B, C).sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (inputs, time_steps, A, B, C))


def test_half_precision_inputs_are_scanned_in_float32_also_under_autocast():
    half = [tensor.detach().bfloat16().requires_grad_() for tensor in arguments(2, 70, 6, 4, torch.float32)]
    single = [tensor.detach().float().requires_grad_() for tensor in half]
    with torch.autocast("cpu", torch.bfloat16):
        outputs = selective_scan(*half)
        outputs.sum().backward()
    wanted = selective_scan(*single)
    wanted.sum().backward()
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, wanted)
    for got, want in zip(half, single, strict=True):
        assert torch.equal(got.grad, want.grad.bfloat16())


def test_backward_keeps_a_state_a_chunk_and_none_in_between():
    """What is saved besides the arguments: the memory that grows with the length."""
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.numel()), lambda index: None):
        selective_scan(*arguments(2, 10 * CHUNK, 5, 3, torch.float32))
    arguments_size = sum(tensor.numel() for tensor in arguments(2, 10 * CHUNK, 5, 3, torch.float32))
    assert sum(saved) == arguments_size + 10 * (2 * 5 * 3)


@pytest.mark.skipif(not torch.cuda.is_available() or fused_kernel() is None, reason="needs CUDA and mamba-ssm")
def test_the_fused_kernel_equals_the_plain_scan():
    plain = [tensor.detach().cuda().requires_grad_() for tensor in arguments(2, 250, 64, 24, torch.float32)]
    fused = [tensor.detach().clone().requires_grad_() for tensor in plain]
    wanted, outputs = scan_module.ChunkedScan.apply(*plain), fused_scan(fused_kernel(), *fused)
    assert torch.allclose(outputs, wanted, atol=1e-4, rtol=1e-4)
    wanted.sum().backward()
    outputs.sum().backward()
    for got, want in zip(fused, plain, strict=True):
        assert torch.allclose(got.grad, want.grad, atol=1e-3, rtol=1e-3)
