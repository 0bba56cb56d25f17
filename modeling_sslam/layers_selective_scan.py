"""The selective scan of Mamba (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023).

Every channel carries a state of N numbers through the sequence, with `s[-1] = 0`:

    s[t] = exp(dt[t] A) s[t - 1] + dt[t] u[t] B[t],    y[t] = s[t] C[t]

Everything is float32 (float64 stays), whatever the inputs are and also under autocast: in half precision the product
of many decays would lose its digits.

The states of a clip are N times its inputs, so they are never kept. The sequence is cut into chunks; forward keeps the
state at each chunk's start, and backward computes the states of one chunk at a time again. Time and memory grow
linearly with the length in both directions. On a GPU a fused kernel is used where one is installed.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import torch
from torch.autograd.function import once_differentiable
from transformers.utils import is_kernels_available
from transformers.utils.generic import maybe_autocast
from transformers.utils.import_utils import is_mamba_ssm_available

logger = logging.getLogger(__name__)

# Steps whose states exist at a time. Few enough for a CPU's cache, and enough to keep few states at chunk starts.
CHUNK = 16


def selective_scan(
    inputs: torch.Tensor, time_steps: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> torch.Tensor:
    """
    Args:
        inputs: (B, L, D) u.
        time_steps: (B, L, D) positive dt.
        A: (D, N) negative rates of decay.
        B, C: (B, L, N) what is written into the state, and what is read from it, at each step.
    Returns:
        (B, L, D) y, float32 (float64 where `inputs` is).
    """
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    arguments = [tensor.to(dtype) for tensor in (inputs, time_steps, A, B, C)]
    kernel = fused_kernel() if inputs.is_cuda and dtype == torch.float32 else None
    return ChunkedScan.apply(*arguments) if kernel is None else fused_scan(kernel, *arguments)


@functools.cache
def fused_kernel() -> Callable | None:
    """`selective_scan_fn` of the package mamba-ssm or, with the package kernels, of the hub; None without either."""
    if is_mamba_ssm_available():
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        return selective_scan_fn
    if is_kernels_available():
        from transformers.integrations.hub_kernels import get_kernel

        try:
            return get_kernel("kernels-community/mamba-ssm", version=4).selective_scan_fn
        except OSError as error:
            logger.warning("no fused selective scan from the kernels hub, the plain one is used: %s", error)
    return None


def fused_scan(
    kernel: Callable,
    inputs: torch.Tensor,
    time_steps: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
) -> torch.Tensor:
    """The same by a kernel that has time last."""
    inputs, time_steps, B, C = (tensor.transpose(1, 2).contiguous() for tensor in (inputs, time_steps, B, C))
    return kernel(inputs, time_steps, A.contiguous(), B, C).transpose(1, 2)


def without_autocast(method: Callable) -> Callable:
    """For forward and backward of an autograd function, which may each be called under autocast."""

    @functools.wraps(method)
    def wrapped(ctx, *tensors):
        with maybe_autocast(tensors[0].device.type, enabled=False):
            return method(ctx, *tensors)

    return wrapped


class ChunkedScan(torch.autograd.Function):
    """The scan in plain torch. States are (B, steps, N, D): with channels last, all operations run over long rows."""

    @staticmethod
    @without_autocast
    def forward(ctx, inputs, time_steps, A, B, C):
        A = A.T.contiguous()
        start = inputs.new_zeros(len(inputs), *A.shape)
        buffers = chunk_buffers(2, inputs, A)
        starts, outputs = [], []
        for u, dt, write, read in chunks(inputs, time_steps, B, C):
            decays, states = buffers[:, :, : u.shape[1]]
            compute_states(u * dt, dt, A, write, start, decays, states)
            outputs.append((read[:, :, None] @ states).squeeze(2))
            starts.append(start)
            start = states[:, -1].clone()
        ctx.save_for_backward(inputs, time_steps, A, B, C, *starts)
        return torch.cat(outputs, dim=1)

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx, grad_outputs):
        """The recurrence from the last step to the first: the gradient g of the states is

        g[t] = dy[t] C[t] + exp(dt[t + 1] A) g[t + 1].
        """
        inputs, time_steps, A, B, C, *starts = ctx.saved_tensors
        grad_A, from_later = torch.zeros_like(A), torch.zeros_like(starts[0])
        buffers = chunk_buffers(3, inputs, A)
        gradients = []
        steps = zip(starts, chunks(inputs, time_steps, B, C, grad_outputs), strict=True)
        for start, (u, dt, write, read, grad) in reversed(list(steps)):
            decays, states, grad_states = buffers[:, :, : u.shape[1]]
            compute_states(u * dt, dt, A, write, start, decays, states)
            torch.mul(grad[:, :, None], read[..., None], out=grad_states)
            from_later = accumulate_backwards(grad_states, decays, from_later)

            grad_read = (states @ grad[..., None]).squeeze(3)
            grad_write = (grad_states @ (u * dt)[..., None]).squeeze(3)
            grad_drive = (write[:, :, None] @ grad_states).squeeze(2)
            # The gradient of dt[t] A is g[t] exp(dt[t] A) s[t - 1]; buffers that are no longer needed take it.
            grad_exponents = decays.mul_(grad_states)
            grad_exponents[:, 1:].mul_(states[:, :-1])
            grad_exponents[:, 0].mul_(start)
            grad_dt = torch.mul(grad_exponents, A, out=states).sum(2).addcmul_(grad_drive, u)
            grad_A += grad_exponents.mul_(dt[:, :, None]).sum((0, 1))
            gradients.append((grad_drive * dt, grad_dt, grad_write, grad_read))
        grad_inputs, grad_time_steps, grad_B, grad_C = (
            torch.cat(parts[::-1], dim=1) for parts in zip(*gradients, strict=True)
        )
        return grad_inputs, grad_time_steps, grad_A.T, grad_B, grad_C


def chunks(*tensors: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Cuts (B, L, ...) tensors together into chunks of `CHUNK` steps; the last one may be shorter."""
    return list(zip(*(tensor.split(CHUNK, dim=1) for tensor in tensors), strict=True))


def chunk_buffers(number: int, inputs: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
    """(number, B, CHUNK, N, D), used for one chunk after the other: fresh memory costs as much as an operation."""
    return inputs.new_empty(number, len(inputs), min(CHUNK, inputs.shape[1]), *A.shape)


def compute_states(
    drive: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    write: torch.Tensor,
    start: torch.Tensor,
    decays: torch.Tensor,
    states: torch.Tensor,
) -> None:
    """Runs one chunk from the state `start` (B, N, D), filling `decays` and `states` (B, steps, N, D)."""
    torch.mul(dt[:, :, None], A, out=decays).exp_()
    torch.mul(drive[:, :, None], write[..., None], out=states)
    previous = start
    for state, decay in zip(states.unbind(1), decays.unbind(1), strict=True):
        previous = state.addcmul_(decay, previous)


def accumulate_backwards(grads: torch.Tensor, decays: torch.Tensor, from_later: torch.Tensor) -> torch.Tensor:
    """Adds to each step's gradient (B, steps, N, D), in place, what reaches it through all later states.

    Args:
        from_later: (B, N, D) what reaches the last step from the chunk behind it.
    Returns:
        (B, N, D) the same for the chunk in front.
    """
    for grad, decay in zip(reversed(grads.unbind(1)), reversed(decays.unbind(1)), strict=True):
        from_later = grad.add_(from_later) * decay
    return from_later


__all__ = ["selective_scan"]
