"""What cameras at doors do to a picture: blur, motion, few pixels, little light, compression.

All operations take and give float32 RGB in [0, 255], (B, 3, H, W), and treat every picture with its
own drawn strength at once. Blur and low resolution are matrices: along an axis, a Gaussian, an area
average and a cubic interpolation are all linear, so one product per axis does them together.
"""

# B batch, C channels, H height, W width, S side, K kernel side; U, V frequencies of a block.
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrain.data.draw import Draw

Span = tuple[float, float]

JPEG_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""ITU-T T.81, table K.1."""
JPEG_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
"""ITU-T T.81, table K.2."""
FULL_WELL = 4000.0
"""Electrons at grey level 255 of a small sensor: sets the shot noise."""


def gaussian_blur(x_BCHW: Tensor, sigma_B: Tensor) -> Tensor:
    """Blur each picture by its own sigma, in pixels; edges are renormalised, not darkened."""
    return _both_axes(x_BCHW, gaussian_rows(x_BCHW.shape[-1], sigma_B))


def low_resolution(x_BCHW: Tensor, side_B: Tensor, sharpness_B: Tensor) -> Tensor:
    """Shrink each square picture to `side_B` pixels (area average) and magnify it again (cubic).

    Args:
        side_B: In [1, side of the picture]; need not be whole, as no detector's box is.
        sharpness_B: Cubic parameter -a in [0, 1]: 0 is soft, 0.5 Catmull-Rom, 0.75 OpenCV's.
    """
    return _both_axes(x_BCHW, resampling_rows(x_BCHW.shape[-1], side_B, sharpness_B))


def gaussian_rows(side: int, sigma_B: Tensor) -> Tensor:
    """Matrices (B, S, S) that blur along an axis; rows add up to 1."""
    at_S = torch.arange(side, device=sigma_B.device, dtype=torch.float32)
    distance_SS = at_S[:, None] - at_S[None, :]
    weight_BSS = torch.exp(-0.5 * (distance_SS / sigma_B.clamp_min(1e-3)[:, None, None]) ** 2)
    return weight_BSS / weight_BSS.sum(dim=-1, keepdim=True)


def resampling_rows(side: int, side_B: Tensor, sharpness_B: Tensor) -> Tensor:
    """Matrices (B, S, S): area average down to `side_B` cells, cubic interpolation back up."""
    step_B11 = (side / side_B.clamp(1.0, float(side)))[:, None, None]
    at_S = torch.arange(side, device=side_B.device, dtype=torch.float32)
    cell_S1, pixel_1S = at_S[:, None], at_S[None, :]
    # Overlap of pixel [j, j + 1) with cell [k step, (k + 1) step); cells past the end have none.
    end_BSS = torch.minimum(pixel_1S + 1, (cell_S1 + 1) * step_B11)
    begin_BSS = torch.maximum(pixel_1S, cell_S1 * step_B11)
    down_BSS = (end_BSS - begin_BSS).clamp_min(0)
    filled_BSS = down_BSS.sum(dim=-1, keepdim=True)
    down_BSS = down_BSS / filled_BSS.clamp_min(1e-6)
    distance_BSS = ((at_S[:, None] + 0.5) / step_B11 - 0.5 - at_S[None, :]).abs()
    up_BSS = _cubic(distance_BSS, -sharpness_B[:, None, None])
    up_BSS = up_BSS * (filled_BSS > 1e-6).transpose(1, 2)
    return (up_BSS / up_BSS.sum(dim=-1, keepdim=True)) @ down_BSS


def motion_blur(x_BCHW: Tensor, length_B: Tensor, angle_B: Tensor, kernel_px: int = 13) -> Tensor:
    """Blur each picture along a line.

    Args:
        length_B: Pixels, at most `kernel_px`.
        angle_B: Radians.
        kernel_px: Odd side of the kernels.
    """
    reach = kernel_px // 2
    at_K = torch.arange(-reach, reach + 1, device=x_BCHW.device, dtype=torch.float32)
    y_KK, x_KK = torch.meshgrid(at_K, at_K, indexing="ij")
    cos, sin = angle_B.cos()[:, None, None], angle_B.sin()[:, None, None]
    along, across = (x_KK * cos + y_KK * sin).abs(), (y_KK * cos - x_KK * sin).abs()
    # A line one pixel wide with soft ends.
    half = (length_B / 2)[:, None, None]
    kernel_BKK = (1 - across).clamp_min(0) * (half + 0.5 - along).clamp(0, 1)
    kernel_BKK = kernel_BKK / kernel_BKK.sum(dim=(1, 2), keepdim=True)
    return _own_kernels(x_BCHW, kernel_BKK)


def low_light(
    x_BCHW: Tensor, exposure_B: Tensor, gain_B: Tensor, read_B: Tensor, draw: Draw
) -> Tensor:
    """Take the picture with less light: shot and read noise, then the camera's gain.

    Args:
        exposure_B: Share of the light, in (0, 1].
        gain_B: How much of the loss is made up again, in [0, 1] (in the exponent).
        read_B: Read noise in grey levels, before the gain.
    """
    exposure = exposure_B[:, None, None, None]
    dark_BCHW = x_BCHW * exposure
    # Photon noise is Poisson: its variance is proportional to the light.
    variance = dark_BCHW * (255.0 / FULL_WELL) + read_B[:, None, None, None] ** 2
    noisy = dark_BCHW + draw.normal(*x_BCHW.shape) * variance.clamp_min(0).sqrt()
    return (noisy * exposure ** -gain_B[:, None, None, None]).clamp(0, 255)


def jpeg(x_BCHW: Tensor, quality_B: Tensor) -> Tensor:
    """What JPEG (baseline, 4:2:0, standard tables) loses at each picture's quality, 1 to 100.

    The entropy coding, which loses nothing, is left out. Sides must be multiples of 16. Rounding
    has no gradient.
    """
    red, green, blue = x_BCHW.unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma_B2HW = torch.stack([0.564 * (blue - luma), 0.713 * (red - luma)], dim=1)
    half_B2HW = F.avg_pool2d(chroma_B2HW, 2)
    scale_B = torch.where(quality_B < 50, 5000 / quality_B.clamp_min(1), 200 - 2 * quality_B)
    luma = _quantised((luma - 128)[:, None], JPEG_LUMA, scale_B)[:, 0] + 128
    half_B2HW = _quantised(half_B2HW, JPEG_CHROMA, scale_B)
    cb, cr = F.interpolate(half_B2HW, scale_factor=2, mode="bilinear").unbind(dim=1)
    red = luma + 1.403 * cr
    blue = luma + 1.773 * cb
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], dim=1).round().clamp(0, 255)


def _quantised(plane_BCHW: Tensor, table: tuple[tuple[int, ...], ...], scale_B: Tensor) -> Tensor:
    """Through the DCT of 8x8 blocks, rounded to multiples of the scaled table, and back."""
    size, device = plane_BCHW.shape, plane_BCHW.device
    batch, channels, height, width = size
    base_UV = torch.tensor(table, dtype=torch.float32, device=device)
    # libjpeg's scaling, jcparam.c.
    table_BUV = ((base_UV * scale_B[:, None, None] + 50) / 100).floor().clamp(1, 255)
    step = table_BUV[:, None, None, :, None, :]
    dct_UH = _dct(device)
    blocks = plane_BCHW.reshape(batch, channels, height // 8, 8, width // 8, 8)
    # Along the width, then along the height: two plain products over all blocks.
    spectrum = torch.einsum("bchyws,us->bchywu", blocks, dct_UH)
    spectrum = torch.einsum("bchywu,vy->bchvwu", spectrum, dct_UH)
    spectrum = (spectrum / step).round() * step
    blocks = torch.einsum("bchvwu,vy->bchywu", spectrum, dct_UH)
    return torch.einsum("bchywu,us->bchyws", blocks, dct_UH).reshape(size)


def _dct(device: torch.device) -> Tensor:
    """Orthonormal DCT-II of eight points: rows are frequencies, columns samples."""
    rows = [
        [
            math.sqrt((1 if u == 0 else 2) / 8) * math.cos((2 * s + 1) * u * math.pi / 16)
            for s in range(8)
        ]
        for u in range(8)
    ]
    return torch.tensor(rows, dtype=torch.float32, device=device)


def _both_axes(x_BCHW: Tensor, rows_BSS: Tensor) -> Tensor:
    """`rows_BSS` along the height and along the width of square pictures."""
    rows_B1SS = rows_BSS[:, None]
    return rows_B1SS @ x_BCHW @ rows_B1SS.transpose(2, 3)


def _own_kernels(x_BCHW: Tensor, kernel_BKK: Tensor) -> Tensor:
    """Each picture through its own kernel, edges reflected."""
    batch, channels, height, width = x_BCHW.shape
    reach = kernel_BKK.shape[-1] // 2
    padded = F.pad(x_BCHW, (reach, reach, reach, reach), mode="reflect")
    kernels = kernel_BKK.repeat_interleave(channels, dim=0)[:, None]
    flat = padded.reshape(1, batch * channels, *padded.shape[2:])
    return F.conv2d(flat, kernels, groups=batch * channels).reshape(batch, channels, height, width)


def _cubic(distance: Tensor, a: Tensor) -> Tensor:
    """Keys' cubic convolution kernel (1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
