"""Margin softmax: ArcFace, CosFace and their combination, safe at cos = ±1.

The target's cosine becomes cos(m1·θ + m2) − m3 before scaling (Deng et al., CVPR 2019, arXiv
1801.07698; CosFace: Wang et al., CVPR 2018, arXiv 1801.09414).
"""

# B batch, D embedding, K classes

import math
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# sin θ is the root of 1 − cos² and has no slope at its ends; below this the slope is set to 0.
SINE_SQUARED_MIN = 1e-7
KERNEL_STD = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """cos(m1·θ + m2) − m3 of the target class, all logits times ``scale``."""

    scale: float = 64.0
    m1: float = 1.0
    m2_rad: float = 0.0
    m3: float = 0.0

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"scale is {self.scale}; it must be greater than 0")
        if not 1.0 <= self.m1 <= 4.0:
            raise ValueError(f"m1 is {self.m1}; it must lie in [1, 4]")
        if not 0.0 <= self.m2_rad < math.pi:
            raise ValueError(f"m2_rad is {self.m2_rad}; it must lie in [0, π)")
        if not 0.0 <= self.m3 <= 1.0:
            raise ValueError(f"m3 is {self.m3}; it must lie in [0, 1]")

    @classmethod
    def arcface(cls, margin_rad: float = 0.5, scale: float = 64.0) -> Self:
        return cls(scale=scale, m2_rad=margin_rad)

    @classmethod
    def cosface(cls, margin: float = 0.4, scale: float = 64.0) -> Self:
        return cls(scale=scale, m3=margin)


def margin_logits(cos_BK: Tensor, label_B: Tensor, margin: Margin) -> Tensor:
    """Put the margin on the target class, then scale.

    Args:
        cos_BK: Cosine similarities, float32; rounding beyond [-1, 1] is allowed.
        label_B: Target columns, int64; -1 marks rows without a target here.
        margin: Margin and scale.

    Returns:
        Logits (B, K), float32. Gradients are finite everywhere.
    """
    owned_B1 = (label_B >= 0).unsqueeze(1)
    column_B1 = label_B.clamp(min=0).unsqueeze(1)
    target_B1 = cos_BK.gather(1, column_B1)
    moved_B1 = torch.where(owned_B1, _with_margin(target_B1, margin), target_B1)
    return cos_BK.scatter(1, column_B1, moved_B1) * margin.scale


def _with_margin(cos: Tensor, margin: Margin) -> Tensor:
    if margin.m1 == 1.0 and margin.m2_rad == 0.0:
        return cos - margin.m3
    bounded = cos.clamp(-1.0, 1.0)
    sine = (1.0 - bounded * bounded).clamp(min=SINE_SQUARED_MIN).sqrt()
    if margin.m1 == 1.0:
        moved = cos * math.cos(margin.m2_rad) - sine * math.sin(margin.m2_rad)
        # Beyond θ = π − m2 the cosine would rise again: ArcFace goes on with a straight line.
        beyond = cos <= math.cos(math.pi - margin.m2_rad)
        moved = torch.where(beyond, cos - margin.m2_rad * math.sin(margin.m2_rad), moved)
    else:
        angle = margin.m1 * torch.atan2(sine, bounded) + margin.m2_rad
        # Each further half turn continues downwards, as in SphereFace (Liu et al., CVPR 2017).
        turns = torch.floor(angle.detach() / math.pi)
        sign = 1.0 - 2.0 * torch.remainder(turns, 2.0)
        moved = sign * torch.cos(angle) - 2.0 * turns
    return moved - margin.m3


class MarginHead(nn.Module):
    """Class centres (K, D) and the cross-entropy of margin logits."""

    def __init__(self, embedding_dim: int, num_classes: int, margin: Margin) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"{num_classes} classes; a softmax needs at least 2")
        self.margin = margin
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.normal_(self.weight, std=KERNEL_STD)

    def forward(self, e_BD: Tensor, label_B: Tensor) -> Tensor:
        """Mean loss over the labelled rows.

        Args:
            e_BD: Embeddings, normalised or not.
            label_B: Identities, int64; rows with -1 do not count.
        """
        cos_BK = cosines(e_BD, self.weight)
        logits_BK = margin_logits(cos_BK, label_B, self.margin)
        return labelled_cross_entropy(logits_BK, label_B)


def cosines(e_BD: Tensor, centre_KD: Tensor) -> Tensor:
    """Cosines (B, K) in float32, also within a bf16 forward pass."""
    with torch.autocast(e_BD.device.type, enabled=False):
        return F.linear(F.normalize(e_BD.float()), F.normalize(centre_KD.float()))


def labelled_cross_entropy(logits_BK: Tensor, label_B: Tensor) -> Tensor:
    """Mean cross-entropy over rows whose label is not -1; 0 where there is none."""
    total = F.cross_entropy(logits_BK, label_B, ignore_index=-1, reduction="sum")
    return total / (label_B >= 0).sum().clamp(min=1)
