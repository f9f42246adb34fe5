"""New faces from the batch's own: part swaps, morphs, borders filled, and generated occluders.

Crops are aligned, so the same place shows the same part of another face. A swapped or morphed face
is nobody: only for learning without labels, where the teacher looks at the very same picture.
"""

# B batch, C channels, H height, W width.
import torch
from torch import Tensor

from facetrain.data.draw import Draw

PARTS = (
    # Centre x, y and half sizes in crop pixels, of the ArcFace template's parts.
    (56.0, 51.0, 44.0, 15.0),  # eyes and brows
    (38.0, 51.0, 17.0, 12.0),  # one eye
    (74.0, 51.0, 17.0, 12.0),  # the other
    (56.0, 66.0, 15.0, 17.0),  # nose
    (56.0, 93.0, 26.0, 14.0),  # mouth
    (56.0, 98.0, 60.0, 26.0),  # lower face
    (56.0, 20.0, 60.0, 26.0),  # forehead and hair
    (20.0, 60.0, 34.0, 70.0),  # one side
    (92.0, 60.0, 34.0, 70.0),  # the other
)
OCCLUDERS = (
    # As PARTS: what hides a face at a door.
    (56.0, 94.0, 46.0, 24.0),  # mask, scarf
    (56.0, 51.0, 40.0, 10.0),  # dark glasses
    (56.0, 10.0, 70.0, 24.0),  # hat, hood
    (14.0, 80.0, 22.0, 34.0),  # hand, telephone
    (98.0, 80.0, 22.0, 34.0),
    (56.0, 60.0, 14.0, 14.0),  # anything: moved about most
    (56.0, 60.0, 26.0, 18.0),
    (56.0, 60.0, 6.0, 70.0),  # bar
)
BLACK_MAX = 8.0
"""Compressed black is not quite 0."""


def swap_parts(x_BCHW: Tensor, other_BCHW: Tensor, draw: Draw) -> Tensor:
    """One part of each face from another one, its mean colour matched, its edges feathered."""
    batch = len(x_BCHW)
    box_B4 = _boxes(PARTS, draw.whole(len(PARTS), batch), draw, moved=3.0, grown=(0.8, 1.3))
    mask_B1HW = _mask(x_BCHW, box_B4, draw.uniform((0.0, 0.0), batch), power=4.0, feather_px=4.0)
    area = mask_B1HW.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    mine = (x_BCHW * mask_B1HW).sum(dim=(2, 3), keepdim=True) / area
    theirs = (other_BCHW * mask_B1HW).sum(dim=(2, 3), keepdim=True) / area
    matched = (other_BCHW + mine - theirs).clamp(0, 255)
    return torch.lerp(x_BCHW, matched, mask_B1HW)


def morph(x_BCHW: Tensor, other_BCHW: Tensor, share_B: Tensor) -> Tensor:
    """Mix each face with another one, which gets `share_B` in [0, 1]."""
    return torch.lerp(x_BCHW, other_BCHW, share_B[:, None, None, None])


def fill_border(x_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    """Put another picture where black reaches in from an edge (the crop left its source there).

    The other one is taken upside down: most black lies above the brows, and hardly any below.
    """
    dark = (x_BCHW.amax(dim=1, keepdim=True) <= BLACK_MAX).float()
    border = torch.zeros_like(dark)
    for axis in (2, 3):
        border = torch.maximum(border, dark.cumprod(dim=axis))
        border = torch.maximum(border, dark.flip(axis).cumprod(dim=axis).flip(axis))
    # Grown by two pixels, the interpolation's ramp, and feathered. As products: pooling is slow.
    window_HH, window_WW = (_window(side, x_BCHW.device) for side in x_BCHW.shape[2:])
    border = (window_HH @ border @ window_WW * 2.5).clamp_max(1)
    return torch.lerp(x_BCHW, other_BCHW.flip(2), border)


def occlude(x_BCHW: Tensor, draw: Draw) -> Tensor:
    """Hide a part of each face: ellipse or rectangle, turned; flat, shaded, striped or noisy."""
    batch, _, height, width = x_BCHW.shape
    box_B4 = _boxes(
        OCCLUDERS, draw.whole(len(OCCLUDERS), batch), draw, moved=14.0, grown=(0.5, 1.2)
    )
    angle_B = draw.uniform((-0.5, 0.5), batch)
    round_ = _mask(x_BCHW, box_B4, angle_B, power=2.0, feather_px=0.7)
    square = _mask(x_BCHW, box_B4, angle_B, power=16.0, feather_px=0.7)
    mask_B1HW = torch.where(draw.chance(0.5, batch)[:, None, None, None], round_, square)
    colour = draw.uniform((0.0, 255.0), batch, 3, 1, 1)
    # Most things are nearly grey.
    grey = colour.mean(dim=1, keepdim=True)
    colour = torch.lerp(grey.expand_as(colour), colour, draw.uniform((0.0, 1.0), batch, 1, 1, 1))
    y_HW, x_HW = _pixels(height, width, x_BCHW.device)
    phase = draw.uniform((0.0, 1.2), batch, 1, 1, 1) * x_HW
    phase = phase + draw.uniform((0.0, 1.2), batch, 1, 1, 1) * y_HW
    # Long waves are shades, short ones stripes and cloth.
    wave = torch.sin(phase * draw.uniform((0.02, 1.0), batch, 1, 1, 1) ** 2)
    texture = colour + wave * draw.uniform((0.0, 60.0), batch, 1, 1, 1)
    noise = draw.uniform((-1.0, 1.0), batch, 1, height, width)
    strength = draw.uniform((-60.0, 60.0), batch, 1, 1, 1).clamp_min(0)
    return torch.lerp(x_BCHW, (texture + noise * strength).clamp(0, 255), mask_B1HW)


def _window(side: int, device: torch.device) -> Tensor:
    """Matrix (S, S) that averages five neighbours along an axis."""
    at_S = torch.arange(side, device=device)
    return ((at_S[:, None] - at_S[None, :]).abs() <= 2).float() / 5


def _boxes(
    table: tuple[tuple[float, float, float, float], ...],
    kind_B: Tensor,
    draw: Draw,
    *,
    moved: float,
    grown: tuple[float, float],
) -> Tensor:
    """Boxes (B, 4) of the drawn kinds: centre x, y, half width, half height, each varied."""
    batch = len(kind_B)
    box_B4 = torch.tensor(table, device=kind_B.device)[kind_B]
    centre = box_B4[:, :2] + draw.uniform((-moved, moved), batch, 2)
    return torch.cat([centre, box_B4[:, 2:] * draw.uniform(grown, batch, 2)], dim=1)


def _mask(
    x_BCHW: Tensor, box_B4: Tensor, angle_B: Tensor, *, power: float, feather_px: float
) -> Tensor:
    """Soft masks (B, 1, H, W) in [0, 1] of turned superellipses: power 2 is round, 16 square."""
    y_HW, x_HW = _pixels(x_BCHW.shape[2], x_BCHW.shape[3], x_BCHW.device)
    cx, cy, rx, ry = (part[:, None, None] for part in box_B4.unbind(dim=1))
    cos, sin = angle_B.cos()[:, None, None], angle_B.sin()[:, None, None]
    dx, dy = x_HW - cx, y_HW - cy
    u, v = (dx * cos + dy * sin) / rx, (dy * cos - dx * sin) / ry
    if power == 2.0:
        radius = (u * u + v * v + 1e-12).sqrt()
    else:
        # The larger of both, its corners a little rounded.
        largest = torch.maximum(u.abs(), v.abs())
        radius = largest * (1 + (torch.minimum(u.abs(), v.abs()) / (largest + 1e-6)) ** power) ** (
            1 / power
        )
    outside_px = (radius - 1) * torch.minimum(rx, ry)
    return (0.5 - outside_px / (2 * feather_px)).clamp(0, 1)[:, None]


def _pixels(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns (H, W) of every pixel."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    y_HW, x_HW = torch.meshgrid(rows, columns, indexing="ij")
    return y_HW, x_HW
