"""Random numbers for batched picture operations: all from one explicit generator.

Numbers are drawn where the generator lives and moved to the pictures, so a CPU generator gives the
same numbers for a batch on the CPU and on a GPU, and a GPU generator never waits for the host.
"""

# B batch, M pictures of a subset.
import math
from collections.abc import Callable

import torch
from torch import Tensor


class Draw:
    """Draws for pictures on `device`."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self._generator = generator
        self._device = device

    def uniform(self, span: tuple[float, float], *shape: int) -> Tensor:
        """Float32 in [low, high]."""
        low, high = span
        unit = torch.rand(shape, generator=self._generator, device=self._generator.device)
        return (unit * (high - low) + low).to(self._device, non_blocking=True)

    def log_uniform(self, span: tuple[float, float], *shape: int) -> Tensor:
        """Float32 in [low, high], uniform in the logarithm."""
        return self.uniform((math.log(span[0]), math.log(span[1])), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, float32."""
        drawn = torch.randn(shape, generator=self._generator, device=self._generator.device)
        return drawn.to(self._device, non_blocking=True)

    def whole(self, high: int, *shape: int) -> Tensor:
        """Int64 in [0, high)."""
        drawn = torch.randint(high, shape, generator=self._generator, device=self._generator.device)
        return drawn.to(self._device, non_blocking=True)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Bool, true with `probability`."""
        return self.uniform((0.0, 1.0), *shape) < probability

    def subset(self, total: int, share: float) -> Tensor:
        """Indices (M,) of a random part of a batch; M = ceil(share * total)."""
        count = min(total, math.ceil(share * total))
        order = torch.randperm(total, generator=self._generator, device=self._generator.device)
        return order[:count].to(self._device, non_blocking=True)

    def other(self, total: int) -> Tensor:
        """For every picture (B,) another one of the batch; itself where there is only one."""
        step = 1 + self.whole(max(1, total - 1), 1)
        return (torch.arange(total, device=self._device) + step) % total


def on_subset(
    x_BCHW: Tensor, share: float, draw: Draw, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """Apply `change` to a random share of the batch, the rest as it is.

    The number of pictures is fixed (rounded up), so shapes do not depend on chance.
    """
    if share <= 0:
        return x_BCHW
    chosen_M = draw.subset(len(x_BCHW), share)
    if len(chosen_M) == len(x_BCHW):
        return change(x_BCHW)
    return x_BCHW.index_copy(0, chosen_M, change(x_BCHW.index_select(0, chosen_M)))
