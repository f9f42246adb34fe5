"""Hints: feature maps of the teacher that the student's are led to on the way to its embedding.

A target at every position of a map instead of one vector per picture, and short ways for the
gradient: the more so the fewer pictures can be looked at. A 1x1 convolution (an adapter) brings the
student's channels to the teacher's; it is trained along and dropped afterwards. (Romero et al.,
FitNets, ICLR 2015, arXiv 1412.6550.)
"""

# B batch, C channels, H height, W width

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HintAdapters(nn.Module):
    """One adapter per hint, and the loss of all of them."""

    def __init__(
        self, channels: Sequence[tuple[int, int]], weights: Sequence[tuple[float, float]]
    ) -> None:
        """Make fresh adapters.

        Args:
            channels: Of each hint's student map and teacher map.
            weights: Of each hint in the loss, at the run's start and at its end.
        """
        super().__init__()
        self.adapters = nn.ModuleList(nn.Conv2d(mine, its, 1) for mine, its in channels)
        self._weights = list(weights)
        self._share = 0.0

    def on_share(self, share: float) -> None:
        """Weigh the hints for this share of the run."""
        self._share = share

    def forward(self, student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
        """The weighted sum, over hints, of what the adapted student map leaves unexplained.

        Args:
            student_maps: (B, C, H, W) each, with gradient.
            teacher_maps: Of the same views, one per hint; size and channels may differ.

        Returns:
            Scalar, float32. A hint counts 1 where the student says no more than each channel's mean
            and 0 where the maps agree.
        """
        total = student_maps[0].new_zeros((), dtype=torch.float32)
        trios = zip(self.adapters, student_maps, teacher_maps, strict=True)
        for (first, last), (adapter, mine_BCHW, its_BCHW) in zip(self._weights, trios, strict=True):
            weight = first + (last - first) * self._share
            mine_BCHW = adapter(mine_BCHW).float()
            size = min(mine_BCHW.shape[-1], its_BCHW.shape[-1])
            target_BCHW = standardised(resized(its_BCHW.float(), size))
            total = total + weight * F.mse_loss(resized(mine_BCHW, size), target_BCHW)
        return total


def standardised(map_BCHW: Tensor) -> Tensor:
    """Each channel with mean 0 and variance 1 over the batch and all positions."""
    var_1C11, mean_1C11 = torch.var_mean(map_BCHW, dim=(0, 2, 3), keepdim=True, correction=0)
    return (map_BCHW - mean_1C11) * (var_1C11 + 1e-8).rsqrt()


def resized(map_BCHW: Tensor, size: int) -> Tensor:
    """A square map at another size: means of whole blocks where it fits, else bilinear."""
    side = map_BCHW.shape[-1]
    if side == size:
        return map_BCHW
    if side % size == 0:
        return F.avg_pool2d(map_BCHW, side // size)
    return F.interpolate(
        map_BCHW, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
