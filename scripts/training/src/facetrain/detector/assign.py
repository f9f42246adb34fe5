"""Which cells answer for a labelled face: SimOTA (Ge et al., "YOLOX", 2021), simplified.

Cells inside a face's box, or within 2.5 strides of its centre, are candidates. Each face takes as
many of its cheapest candidates as the sum of its ten best overlaps says (at least one); a cell that
two faces want goes to the cheaper. Cost is -log(score) + 3 * -log(IoU), and a large constant for a
cell that is not both inside the box and near the centre. Left out of YOLOX's rule: class terms, as
there is one class.

Axes: N cells, G labelled faces; a box is x, y, width, height in pixels.
"""

import torch
from torch import Tensor

CENTRE_RADIUS_STRIDES = 2.5
OVERLAPS_SUMMED = 10
IOU_WEIGHT = 3.0
OUTSIDE_COST = 1e5
NEVER = 1e9


@torch.no_grad()
def assign(
    score_N: Tensor, box_N4: Tensor, cell_N3: Tensor, face_G4: Tensor
) -> tuple[Tensor, Tensor]:
    """Assign cells to labelled faces.

    Args:
        score_N: Predicted scores in [0, 1].
        box_N4: Predicted boxes.
        cell_N3: Column, row, stride.
        face_G4: Labelled boxes, sides positive.

    Returns:
        Face of each cell, int64, -1 for background; IoU of each cell with its face, 0 there.
    """
    face_N = torch.full_like(score_N, -1, dtype=torch.int64)
    iou_N = torch.zeros_like(score_N)
    if len(face_G4) == 0:
        return face_N, iou_N
    near_GN, inside_GN = _candidates(cell_N3, face_G4)
    iou_GN = pair_iou(face_G4, box_N4)
    cost_GN = -score_N.clamp(1e-6, 1).log()[None] - IOU_WEIGHT * iou_GN.clamp(min=1e-6).log()
    cost_GN = cost_GN + OUTSIDE_COST * ~(near_GN & inside_GN)
    cost_GN = cost_GN.masked_fill(~(near_GN | inside_GN), NEVER)
    top = iou_GN.masked_fill(~(near_GN | inside_GN), 0).topk(min(OVERLAPS_SUMMED, len(score_N)))
    wanted_GN = torch.zeros_like(cost_GN, dtype=torch.bool)
    for face, count in enumerate(top.values.sum(dim=1).int().clamp(min=1).tolist()):
        best = cost_GN[face].topk(min(count, len(score_N)), largest=False)
        wanted_GN[face, best.indices[best.values < NEVER]] = True
    owner_N = cost_GN.masked_fill(~wanted_GN, NEVER * 2).argmin(dim=0)
    taken = wanted_GN.any(dim=0)
    face_N[taken] = owner_N[taken]
    iou_N[taken] = iou_GN[owner_N[taken], taken.nonzero()[:, 0]]
    return face_N, iou_N


def _candidates(cell_N3: Tensor, face_G4: Tensor) -> tuple[Tensor, Tensor]:
    at_N2 = (cell_N3[:, :2] + 0.5) * cell_N3[:, 2:]
    centre_G2 = face_G4[:, :2] + face_G4[:, 2:] / 2
    apart_GN2 = (at_N2[None] - centre_G2[:, None]).abs()
    near = (apart_GN2 < CENTRE_RADIUS_STRIDES * cell_N3[None, :, 2:]).all(dim=-1)
    return near, (apart_GN2 < face_G4[:, None, 2:] / 2).all(dim=-1)


def pair_iou(a_A4: Tensor, b_B4: Tensor) -> Tensor:
    """IoU of every pair: (A, B)."""
    a, b = a_A4[:, None], b_B4[None]
    corner = torch.maximum(a[..., :2], b[..., :2])
    far = torch.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = (far - corner).clamp(min=0).prod(dim=-1)
    return common / (a[..., 2:].prod(dim=-1) + b[..., 2:].prod(dim=-1) - common).clamp(min=1e-7)
