"""What a step shows: the batch's crops as augmented for this step, the same after a resume."""

# B batch, C channels, H height, W width

from collections.abc import Callable

import torch
from torch import Tensor

from facetrain.engine.seed import generator_for

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""(crop_BCHW uint8, generator on its device) → crops 0..255, uint8 or float."""


class Views:
    """One view per picture and step; student and teacher are both given it."""

    def __init__(self, augment: Augmentation | None, *, seed: int, rank: int = 0) -> None:
        self._augment, self._seed, self._rank = augment, seed, rank

    def of(self, crop_BCHW: Tensor, step: int) -> Tensor:
        """The crops themselves without augmentation."""
        if self._augment is None:
            return crop_BCHW
        generator = generator_for(self._seed, step, self._rank, crop_BCHW.device)
        return self._augment(crop_BCHW, generator)


def flip(crop_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every other picture at random: all the augmentation that PocketNet trains with."""
    flipped_B = torch.rand(len(crop_BCHW), generator=generator, device=crop_BCHW.device) < 0.5
    return torch.where(flipped_B.view(-1, 1, 1, 1), crop_BCHW.flip(3), crop_BCHW)
