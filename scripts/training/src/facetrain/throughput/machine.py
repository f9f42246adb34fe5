"""What the machine can do at most: multiply-adds of large operations, bytes of a large copy."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d

# B batch, C channels, H height, W width

GEMM_SIDE = 1536
CONV_BATCH, CONV_CHANNELS, CONV_PX = 16, 256, 14
COPY_BYTES = 256 * 2**20
"""Far more than any cache holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Measured ceilings.

    Attributes:
        flops: Per second, a multiply-add being two, in float32: of a product of square matrices or
            of a 3x3 convolution, whichever goes quicker (their libraries differ).
        bytes_per_s: Read and written by a copy in memory.
    """

    flops: float
    bytes_per_s: float


def measure_machine(device: torch.device, *, seconds: float = 1.0) -> Machine:
    """Measure with as many threads as torch has now."""
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE, device=device) for _ in range(2))
    product = torch.empty_like(a)
    gemm_s = best_s(lambda: torch.mm(a, b, out=product), device, seconds=seconds)
    x_BCHW = torch.randn(CONV_BATCH, CONV_CHANNELS, CONV_PX, CONV_PX, device=device)
    weight = torch.randn(CONV_CHANNELS, CONV_CHANNELS, 3, 3, device=device)
    x_BCHW, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x_BCHW, weight))
    with torch.inference_mode():
        conv_s = best_s(lambda: conv2d(x_BCHW, weight, padding=1), device, seconds=seconds)
    conv_flops = 2 * x_BCHW.numel() * CONV_CHANNELS * 9 / conv_s
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copy_s = best_s(lambda: target.copy_(source), device, seconds=seconds)
    return Machine(
        flops=max(2 * GEMM_SIDE**3 / gemm_s, conv_flops), bytes_per_s=2 * COPY_BYTES / copy_s
    )


def best_s(
    run: Callable[[], object], device: torch.device, *, seconds: float, least: int = 3
) -> float:
    """Seconds of the quickest repetition: whatever else runs can only make one slower.

    One is not counted; then there are as many as fit into `seconds`, and at least `least`.
    """
    run()
    _wait(device)
    taken: list[float] = []
    while len(taken) < least or sum(taken) < seconds:
        begun = time.perf_counter()
        run()
        _wait(device)
        taken.append(time.perf_counter() - begun)
    return min(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
