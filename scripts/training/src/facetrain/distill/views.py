"""What a step shows: the batch's crops as augmented for this step, the same after a resume."""

# B batch, C channels, H height, W width

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrain.data.face_set import CROP_PX
from facetrain.engine.seed import generator_for

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""(crop_BCHW uint8, generator on its device) → crops 0..255, uint8 or float."""


class Views:
    """One view per picture and step; student and teacher are both given it."""

    def __init__(
        self,
        augment: Augmentation | None,
        *,
        seed: int,
        rank: int = 0,
        sizes: Sequence[tuple[float, int]] = (),
    ) -> None:
        self._augment, self._seed, self._rank = augment, seed, rank
        self._sizes, self._side_px = list(sizes), sizes[0][1] if sizes else CROP_PX

    def of(self, crop_BCHW: Tensor, step: int) -> Tensor:
        """The crops themselves without augmentation."""
        if self._augment is None:
            return crop_BCHW
        generator = generator_for(self._seed, step, self._rank, crop_BCHW.device)
        return self._augment(crop_BCHW, generator)

    def on_share(self, share: float) -> None:
        """Choose the size for this share of the run."""
        for until, side_px in self._sizes:
            if share < until:
                self._side_px = side_px
                break

    def sized(self, x_BCHW: Tensor) -> Tensor:
        """The student's input at the size of the moment. (Progressive resizing: early on small
        views teach nearly as much, at a fraction of the cost.)"""
        if x_BCHW.shape[-1] == self._side_px:
            return x_BCHW
        side = (self._side_px, self._side_px)
        return F.interpolate(x_BCHW, size=side, mode="bilinear", antialias=True)


def flip(crop_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every other picture at random: all the augmentation that PocketNet trains with."""
    flipped_B = torch.rand(len(crop_BCHW), generator=generator, device=crop_BCHW.device) < 0.5
    return torch.where(flipped_B.view(-1, 1, 1, 1), crop_BCHW.flip(3), crop_BCHW)
