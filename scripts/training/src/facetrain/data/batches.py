"""Batches of crops: deterministic, resumable at any step, sharded so that ranks never overlap.

The order of an epoch depends on (seed, epoch) alone. A step takes `world * batch_size` consecutive
pictures of it, and each rank its slice, so that two ranks with batches of 16 together see what one
rank with batches of 32 sees.
"""

# B batch, C channels, H height, W width, N pictures.
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facetrain.data.face_set import FaceSet
from facetrain.data.packed import PackedFaces
from facetrain.data.parallel import ordered_map

PREFETCH_BATCHES = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops of one step.

    Attributes:
        crop_BCHW: (B, 3, 112, 112), uint8 RGB.
        label_B: Identities, int64; -1 where unlabelled.
        index_B: Where the pictures stand in the set, int64.
    """

    crop_BCHW: Tensor
    label_B: Tensor
    index_B: Tensor

    def __len__(self) -> int:
        return len(self.index_B)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on `device`; copies from pinned memory do not wait."""
        crop, label, index = (
            part.to(device, non_blocking=True)
            for part in (self.crop_BCHW, self.label_B, self.index_B)
        )
        return Batch(crop, label, index)


class Batches:
    """Epochs of batches over a set.

    For `PackedFaces` a batch is gathered on the device where the pack lies; for any other set the
    crops are decoded, by `workers` threads two batches ahead.
    """

    def __init__(
        self,
        faces: FaceSet | PackedFaces,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = True,
        workers: int = 0,
        indices: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        shuffle: bool = True,
    ) -> None:
        """Plan epochs over `faces`.

        Args:
            batch_size: Pictures per step and rank.
            seed: With the epoch, all that the order depends on.
            drop_last: Leave out the pictures that fill no whole step. Otherwise the last step is
                shorter; with several ranks it is filled up from the epoch's start to equal shares.
            workers: Decoding threads; 0 decodes in the caller's. No use with `PackedFaces`.
            indices: Pictures (M,) to use; None uses all. `index_B` keeps to the set's own numbers.
            weights: How often each of these pictures is wanted, (M,), relative: an epoch stays as
                long as there are pictures, and one of twice the weight comes twice as often. None:
                each once.
            shuffle: False keeps the set's order, for evaluation.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; at least 1 is needed")
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of world {world}: rank must lie in [0, world)")
        self._faces = faces
        self._indices = np.arange(len(faces)) if indices is None else np.asarray(indices, np.int64)
        self._labels = torch.from_numpy(np.array(faces.labels, dtype=np.int64))
        self._weights = None if weights is None else _checked(weights, len(self._indices))
        self._batch_size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._rank, self._world, self._workers = rank, world, workers
        step_size, count = batch_size * world, len(self._indices)
        self.steps_per_epoch = count // step_size if drop_last else -(-count // step_size)
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"{count} pictures fill no step of {world} x {batch_size}; "
                "take a smaller batch_size or drop_last=False"
            )

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Batches of one epoch from `start_step` on, the same whenever and wherever asked.

        Raises:
            PictureError: A picture cannot be decoded.
        """
        if not 0 <= start_step <= self.steps_per_epoch:
            raise ValueError(f"start_step is {start_step}; allowed are 0 to {self.steps_per_epoch}")
        order = self._order(epoch)
        parts = (self._part(order, step) for step in range(start_step, self.steps_per_epoch))
        if isinstance(self._faces, PackedFaces):
            yield from map(self._gathered, parts)
        else:
            yield from ordered_map(
                self._decoded, parts, self._workers, ahead=max(PREFETCH_BATCHES, self._workers)
            )

    def _order(self, epoch: int) -> np.ndarray:
        if not self._shuffle:
            return self._indices
        rng = np.random.default_rng([self._seed, epoch])
        if self._weights is None:
            return rng.permutation(self._indices)
        # Systematic resampling: every picture comes floor or ceil of its share's times.
        edges = np.cumsum(self._weights) * (len(self._indices) / self._weights.sum())
        edges[-1] = len(self._indices)
        times = np.diff(np.floor(edges + rng.random()), prepend=0.0)
        return rng.permutation(np.repeat(self._indices, times.astype(np.int64)))

    def _part(self, order: np.ndarray, step: int) -> np.ndarray:
        step_size = self._batch_size * self._world
        whole = order[step * step_size : (step + 1) * step_size]
        if len(whole) == step_size:
            share = self._batch_size
        else:
            share = -(-len(whole) // self._world)
            whole = np.resize(np.concatenate([whole, order]), share * self._world)
        return whole[self._rank * share : (self._rank + 1) * share]

    def _gathered(self, part: np.ndarray) -> Batch:
        assert isinstance(self._faces, PackedFaces)
        crops = self._faces.crop_NCHW
        index_B = torch.from_numpy(part)
        on_device = index_B.to(crops.device)
        label_B = self._labels[index_B].to(crops.device)
        return Batch(crops.index_select(0, on_device), label_B, on_device)

    def _decoded(self, part: np.ndarray) -> Batch:
        crop_BHWC = np.stack([self._faces.crop(int(index)) for index in part])
        crop_BCHW = torch.from_numpy(crop_BHWC).permute(0, 3, 1, 2).contiguous()
        if torch.cuda.is_available():
            crop_BCHW = crop_BCHW.pin_memory()
        index_B = torch.from_numpy(part)
        return Batch(crop_BCHW, self._labels[index_B], index_B)


def source_weights(sources: Sequence[str] | np.ndarray, share: dict[str, float]) -> np.ndarray:
    """Weights (N,) under which each source makes up its share of an epoch.

    Args:
        sources: Source of every picture (N,).
        share: Wanted share per source, relative; sources that are not named get 0.

    Raises:
        ValueError: A named source has no picture, or no share is positive.
    """
    column = np.asarray(sources, dtype=str)
    weights = np.zeros(len(column))
    for name, wanted in share.items():
        mine = column == name
        if not mine.any():
            known = ", ".join(np.unique(column))
            raise ValueError(f"no picture of source {name!r}; there are {known}")
        weights[mine] = wanted / mine.sum()
    return _checked(weights, len(column))


def _checked(weights: np.ndarray, count: int) -> np.ndarray:
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all() or (given < 0).any():
        raise ValueError(f"weights must be {count} finite numbers >= 0")
    if given.sum() <= 0:
        raise ValueError("at least one weight must be positive")
    return given
