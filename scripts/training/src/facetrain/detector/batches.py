"""Batches for the detector's tasks, as `facetrain.engine` takes them.

Axes: B batch, C channels (BGR), H height, W width, N cells, P told cells, G faces of a picture
(padded to the most in the batch).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor

from facetrain.data.parallel import ordered_map
from facetrain.detector.decode import Faces
from facetrain.detector.distil import unmirrored
from facetrain.detector.net import INPUT_MULTIPLE
from facetrain.detector.shards import Shard, load_shard
from facetrain.detector.wider import Labels

MIXED_SHARDS = 4
"""Shards that batches are drawn from at a time: 1,000 canvases, some 50 MB."""


class _Moving:
    """Moves all tensors of a dataclass to a device."""

    picture_BCHW: Tensor

    def __len__(self) -> int:
        return len(self.picture_BCHW)

    def to(self, device: torch.device, /) -> Self:
        parts = (getattr(self, part.name) for part in fields(self))  # pyright: ignore[reportArgumentType]
        return type(self)(*(part.to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True, slots=True)
class CanvasBatch(_Moving):
    """Canvases and the teacher's word on them.

    Attributes:
        picture_BCHW: uint8.
        score_BN2: Class and objectness at all cells, float32 in [0, 1].
        cell_P: Cells with a face, int64, numbered through the batch (b * N + n).
        box_P4: x, y, width, height in pixels.
        landmark_P52: Pixels.
        weight_P: The teacher's score of the cell.
    """

    picture_BCHW: Tensor
    score_BN2: Tensor
    cell_P: Tensor
    box_P4: Tensor
    landmark_P52: Tensor
    weight_P: Tensor


@dataclass(frozen=True, slots=True)
class LabelBatch(_Moving):
    """Pictures and labelled faces.

    Attributes:
        picture_BCHW: uint8.
        box_BG4: x, y, width, height in pixels; zero where there is no further face.
        landmark_BG52: Pixels; NaN where there is no label.
        count_B: Faces of each picture, int64.
    """

    picture_BCHW: Tensor
    box_BG4: Tensor
    landmark_BG52: Tensor
    count_B: Tensor


class CanvasBatches:
    """Epochs over shards: shards of one size are drawn from, four at a time, in a new order.

    The order depends on (seed, epoch) alone, so an epoch can be entered at any step.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        """Looks into every shard once.

        Args:
            files: Shards.
            batch_size: Canvases per step and process.
            seed: Of the order.
            rank: Of this process.
            world: Processes.
            workers: Decoding threads.
        """
        self._seed, self._batch_size = seed, batch_size
        self._rank, self._world, self._workers = rank, world, workers
        self._by_side: dict[int, list[tuple[Path, int]]] = {}
        for file in files:
            shard = load_shard(file)
            side = shard.picture(0).shape[0]
            self._by_side.setdefault(side, []).append((file, len(shard)))
        self.steps_per_epoch = sum(self._steps(group) for group in self._groups(0))
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"{len(files)} shards fill no step of {world} x {batch_size}; make more canvases"
            )

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[CanvasBatch]:
        """Batches of one epoch from `start_step` on."""
        step = 0
        for at, group in enumerate(self._groups(epoch)):
            count = self._steps(group)
            if step + count > start_step:
                yield from self._group(group, [self._seed, epoch, at], max(0, start_step - step))
            step += count

    def _groups(self, epoch: int) -> list[list[tuple[Path, int]]]:
        rng = np.random.default_rng([self._seed, epoch])
        groups: list[list[tuple[Path, int]]] = []
        for side in sorted(self._by_side):
            shards = self._by_side[side]
            # Shards of unequal length keep their groups: every epoch has as many steps.
            order = rng.permutation(len(shards)) if _alike(shards) else np.arange(len(shards))
            mixed = [shards[i] for i in order]
            groups += [mixed[i : i + MIXED_SHARDS] for i in range(0, len(mixed), MIXED_SHARDS)]
        return [groups[i] for i in rng.permutation(len(groups))]

    def _steps(self, group: list[tuple[Path, int]]) -> int:
        return sum(count for _, count in group) // (self._batch_size * self._world)

    def _group(
        self, group: list[tuple[Path, int]], seed: list[int], first: int
    ) -> Iterator[CanvasBatch]:
        shards = [load_shard(file) for file, _ in group]
        members = [(shard, i) for shard in shards for i in range(len(shard))]
        order = np.random.default_rng(seed).permutation(len(members))
        size = self._batch_size * self._world
        parts = []
        for step in range(first, self._steps(group)):
            start = step * size + self._rank * self._batch_size
            parts.append([members[i] for i in order[start : start + self._batch_size]])
        yield from ordered_map(collate_canvases, parts, self._workers, ahead=self._workers + 1)


def _alike(shards: Sequence[tuple[Path, int]]) -> bool:
    return len({count for _, count in shards}) == 1


def collate_canvases(members: Sequence[tuple[Shard, int]]) -> CanvasBatch:
    """One batch of canvases of one size."""
    pictures = np.stack([shard.picture(i) for shard, i in members])
    targets = [shard.targets[i] for shard, i in members]
    cells, faces, weights = [], [], []
    count = len(targets[0].owner_N)
    for b, target in enumerate(targets):
        told = np.flatnonzero(target.owner_N >= 0)
        cells.append(told + b * count)
        faces.append(target.faces.take(target.owner_N[told]))
        weights.append(np.sqrt(target.score_N2[told].prod(axis=1)))
    return CanvasBatch(
        torch.from_numpy(pictures).permute(0, 3, 1, 2),
        torch.from_numpy(np.stack([target.score_N2 for target in targets])),
        torch.from_numpy(np.concatenate(cells)),
        torch.from_numpy(np.concatenate([f.box_F4 for f in faces])),
        torch.from_numpy(np.concatenate([f.landmark_F52 for f in faces])),
        torch.from_numpy(np.concatenate(weights)),
    )


class LabelBatches:
    """Epochs over labelled pictures: a random square of each, scaled, mirrored or not."""

    def __init__(
        self,
        pictures: Sequence[Labels],
        root: Path,
        *,
        batch_size: int,
        side_px: int = 640,
        seed: int = 1,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        """Plans epochs.

        Args:
            pictures: Labels, for example of `read_wider`.
            root: Folder of the pictures.
            batch_size: Pictures per step and process.
            side_px: Of the square input, a multiple of 32.
            seed: Of order and augmentation.
            rank: Of this process.
            world: Processes.
            workers: Decoding threads.
        """
        if side_px % INPUT_MULTIPLE:
            raise ValueError(f"side_px is {side_px}; it must be a multiple of {INPUT_MULTIPLE}")
        self._pictures, self._root, self._side = pictures, root, side_px
        self._seed, self._batch_size, self._workers = seed, batch_size, workers
        self._rank, self._world = rank, world
        self.steps_per_epoch = len(pictures) // (batch_size * world)
        if self.steps_per_epoch == 0:
            raise ValueError(f"{len(pictures)} pictures fill no step of {world} x {batch_size}")

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[LabelBatch]:
        """Batches of one epoch from `start_step` on, the same whenever asked.

        Raises:
            ValueError: A picture is missing or cannot be decoded.
        """
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._pictures))
        size = self._batch_size * self._world
        parts = []
        for step in range(start_step, self.steps_per_epoch):
            start = step * size + self._rank * self._batch_size
            chosen = order[start : start + self._batch_size].tolist()
            parts.append([(index, [self._seed, epoch, index]) for index in chosen])
        yield from ordered_map(self._batch, parts, self._workers, ahead=self._workers + 1)

    def _batch(self, members: list[tuple[int, list[int]]]) -> LabelBatch:
        views = [self._view(self._pictures[index], seed) for index, seed in members]
        most = max([1, *(len(faces) for _, faces in views)])
        box = np.zeros((len(views), most, 4), np.float32)
        landmark = np.full((len(views), most, 5, 2), np.nan, np.float32)
        for at, (_, faces) in enumerate(views):
            box[at, : len(faces)] = faces.box_F4
            landmark[at, : len(faces)] = faces.landmark_F52
        return LabelBatch(
            torch.from_numpy(np.stack([picture for picture, _ in views])).permute(0, 3, 1, 2),
            torch.from_numpy(box),
            torch.from_numpy(landmark),
            torch.tensor([len(faces) for _, faces in views]),
        )

    def _view(self, labels: Labels, seed: list[int]) -> tuple[np.ndarray, Faces]:
        file = self._root / labels.name
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{file} is missing or no picture; the labels name it")
        ones = np.ones(len(labels.box_G4), np.float32)
        faces = Faces(labels.box_G4, labels.landmark_G52, ones)
        return random_square(np.random.default_rng(seed), picture, faces, self._side)


def random_square(
    rng: np.random.Generator, picture: np.ndarray, faces: Faces, side: int
) -> tuple[np.ndarray, Faces]:
    """A random square of 0.3 to 1 of the shorter side, with the faces whose centre lies in it.

    RetinaFace's augmentation (Deng et al., 2020), without its photometric part.
    """
    height, width = picture.shape[:2]
    cut = int(min(height, width) * rng.choice([0.3, 0.45, 0.6, 0.8, 1.0]))
    left, top = int(rng.integers(width - cut + 1)), int(rng.integers(height - cut + 1))
    view = cv2.resize(picture[top : top + cut, left : left + cut], (side, side))
    scale = np.float32(side / cut)
    corner = np.array([left, top], np.float32)
    box = np.concatenate([faces.box_F4[:, :2] - corner, faces.box_F4[:, 2:]], axis=1) * scale
    landmark = (faces.landmark_F52 - corner) * scale
    centre = box[:, :2] + box[:, 2:] / 2
    is_inside = np.asarray(((centre >= 0) & (centre < side)).all(axis=1))
    kept = Faces(box, landmark, faces.score_F).take(is_inside)
    if rng.random() < 0.5:
        return np.ascontiguousarray(view[:, ::-1]), unmirrored(kept, side)
    return view, kept
