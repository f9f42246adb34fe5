"""Muon: momentum whose singular values are made alike before the step.

For weights that mix channels. A matrix's momentum M = UΣVᵀ is replaced by about UVᵀ, so that
directions which seldom see a gradient move as far as the others: more is learned from as many
pictures, for a few small matrix products a step. (Jordan et al. 2024, "Muon: an optimizer for the
hidden layers of neural networks"; the scale that lets it share AdamW's learning rate and decay is
Liu et al. 2025, arXiv 2502.16982.)
"""

# N matrices of one shape, R rows, C columns

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the Newton-Schulz iteration: singular values land between 0.7 and 1.2, which is enough."""
LARGE = 256
"""Matrices with as many rows and columns are iterated in bfloat16."""
RMS = 0.2
"""Of an update's entries: about what AdamW's has."""


class Muon(AdamW):
    """Muon for the groups with ``orthogonal`` set, AdamW for the others, as one optimiser.

    The decay is decoupled and times the rate in both.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Take the groups.

        Args:
            momentum: Of the orthogonal groups: Nesterov's, as a moving sum.
            betas: Of the others.
        """
        self._momentum = momentum
        super().__init__([{"orthogonal": False, **group} for group in groups], lr=lr, betas=betas)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update; there is no closure. The orthogonal groups' gradients are gone after it."""
        for group in self.param_groups:
            if group["orthogonal"]:
                self._turn(group)
        super().step()

    def _turn(self, group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                # AdamW looks for "step" in every state that it loads.
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))
            kept = state["momentum"]
            kept.mul_(self._momentum).add_(weight.grad)
            ahead_RC = weight.grad.add(kept, alpha=self._momentum).flatten(1)
            by_shape.setdefault((ahead_RC.shape[0], ahead_RC.shape[1]), []).append(
                (weight, ahead_RC)
            )
            # AdamW passes over weights without a gradient.
            weight.grad = None
        for shape, pairs in by_shape.items():
            update_NRC = orthogonalised(torch.stack([ahead for _, ahead in pairs]))
            rate = group["lr"] * RMS * max(shape) ** 0.5
            for (weight, _), update_RC in zip(pairs, update_NRC, strict=True):
                weight.mul_(1.0 - group["lr"] * group["weight_decay"])
                weight.add_(update_RC.view_as(weight), alpha=-rate)


def orthogonalised(matrix_NRC: Tensor) -> Tensor:
    """About UVᵀ of each matrix UΣVᵀ, by a Newton-Schulz iteration of odd degree five."""
    # Its rounding is far below what the iteration leaves; small products are not quicker by it.
    large = min(matrix_NRC.shape[1:]) >= LARGE
    x_NRC = matrix_NRC.bfloat16() if large else matrix_NRC.float()
    tall = x_NRC.shape[1] > x_NRC.shape[2]
    if tall:
        x_NRC = x_NRC.mT
    x_NRC = x_NRC / (x_NRC.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram_NRR = x_NRC @ x_NRC.mT
        x_NRC = a * x_NRC + (b * gram_NRR + c * gram_NRR @ gram_NRR) @ x_NRC
    return (x_NRC.mT if tall else x_NRC).float()
