"""The detector's losses: cross-entropy for scores, EIoU for boxes, smooth L1 for landmarks.

Axes: P positive cells (one face each); a box is x, y, width, height in pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-7
EYES = 0.45
"""Eye distance of a frontal face as a share of its box's mean side."""


def score_loss(logit: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Summed binary cross-entropy with targets in [0, 1], less its least possible value.

    Soft targets have entropy of their own; without it the loss is 0 where the student equals them.
    """
    loss = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    floor = -(torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target))
    excess = loss - floor
    return (excess if weight is None else excess * weight).sum()


def eiou_loss(box_P4: Tensor, target_P4: Tensor) -> Tensor:
    """1 - EIoU of each pair: overlap, centre distance and both sides' differences.

    Zhang et al., "Focal and Efficient IOU Loss for Accurate Bounding Box Regression", 2022.
    """
    corner = torch.maximum(box_P4[:, :2], target_P4[:, :2])
    far_box, far_target = (b[:, :2] + b[:, 2:] for b in (box_P4, target_P4))
    common = (torch.minimum(far_box, far_target) - corner).clamp(min=0).prod(dim=1)
    union = box_P4[:, 2:].prod(dim=1) + target_P4[:, 2:].prod(dim=1) - common
    hull = torch.maximum(far_box, far_target) - torch.minimum(box_P4[:, :2], target_P4[:, :2])
    apart = (box_P4[:, :2] + box_P4[:, 2:] / 2) - (target_P4[:, :2] + target_P4[:, 2:] / 2)
    side = box_P4[:, 2:] - target_P4[:, 2:]
    return (
        1
        - common / (union + EPS)
        + apart.square().sum(dim=1) / (hull.square().sum(dim=1) + EPS)
        + (side.square() / (hull.square() + EPS)).sum(dim=1)
    )


def landmark_loss(
    landmark_P52: Tensor, target_P52: Tensor, size_P: Tensor, *, beta: float = 0.02
) -> Tensor:
    """Smooth L1 of each face's landmark error as a share of its size, mean over the ten numbers.

    Args:
        landmark_P52: Pixels.
        target_P52: Pixels; NaN marks a landmark without a label, which costs nothing.
        size_P: The face's size in pixels: its box's mean side, or `eye_size`.
        beta: Share of the size below which the loss is quadratic.
    """
    known = torch.isfinite(target_P52)
    target = torch.where(known, target_P52, landmark_P52.detach())
    error = (landmark_P52 - target) / size_P[:, None, None].clamp(min=1)
    loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none")
    return loss.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)


def eye_size(box_P4: Tensor, landmark_P52: Tensor) -> Tensor:
    """Sizes in pixels by the eye distance, by which landmarks are measured: as the box for a
    frontal face, less for a turned one, but half of the box at least."""
    eyes_P = (landmark_P52[:, 0] - landmark_P52[:, 1]).norm(dim=1)
    return torch.maximum(eyes_P / EYES, box_P4[:, 2:].mean(dim=1) / 2)
