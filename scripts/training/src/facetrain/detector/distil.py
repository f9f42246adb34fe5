"""A teacher's word on a canvas: soft scores at every cell, faces that several looks agree on.

One look of YuNet jitters: its landmarks move by 5 to 10 % of the eye distance when the picture
moves by a few pixels. So each face's box and landmarks are the mean over the picture, shifted
copies and mirrored ones; the scores are those of the picture itself, since a cell of a shifted
picture is another cell.

Axes: N cells of all strides, F faces, H height, W width, C channels (BGR, uint8).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from facetrain.detector.decode import SAME_FACE_IOU, Faces, decode_boxes, faces_of, overlap
from facetrain.detector.net import BOX, cells

MIRRORED = [1, 0, 2, 4, 3]
"""Landmark of the mirrored picture that is each of the picture's."""
SEEN_AGAIN_SCORE = 0.2
"""Least score of a face in another look; the first look alone decides what is a face."""


class Detector(Protocol):
    """What labels canvases: `YuNetTeacher`, or a stand-in."""

    def dense(self, picture_BHWC: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelOptions:
    """How a teacher labels."""

    score_min: float = 0.3
    """Cells from this score on are told a box and landmarks."""
    overlap_max: float = 0.3
    shifts: int = 2
    """Shifted looks, besides the first."""
    mirrored: int = 2
    """Mirrored looks, all but the first of them shifted too."""
    shift_px: int = 12
    """Greatest shift per axis: a full period of the stride-8 grid and most of the coarser ones."""

    def __post_init__(self) -> None:
        if not 0 < self.score_min < 1:
            raise ValueError(f"score_min is {self.score_min}; allowed is above 0, below 1")
        for name in ("shifts", "mirrored", "shift_px"):
            if not 0 <= getattr(self, name) <= 64:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 to 64")


@dataclass(frozen=True, slots=True)
class Target:
    """A teacher's word on one picture.

    Attributes:
        score_N2: Class and objectness of every cell in [0, 1].
        owner_N: Face that each cell answers for, int16; -1 where the cell's score is too low.
        faces: Boxes and landmarks by consensus, scores of the first look.
    """

    score_N2: np.ndarray
    owner_N: np.ndarray
    faces: Faces


def label(
    teacher: Detector, picture: np.ndarray, rng: np.random.Generator, options: LabelOptions
) -> Target:
    """Let the teacher look at the very picture, and around it.

    Args:
        teacher: Gives scores in [0, 1].
        picture: (H, W, 3), sides multiples of 32.
        rng: Draws the shifts.
        options: Thresholds and number of looks.
    """
    height, width = picture.shape[:2]
    dense = teacher.dense(picture[None])[0]
    first = faces_of(
        dense, height, width, score_min=options.score_min, overlap_max=options.overlap_max
    )
    faces = consensus(teacher, picture, first, rng, options) if len(first) else first
    score = np.sqrt(np.clip(dense[:, 0], 0, 1) * np.clip(dense[:, 1], 0, 1))
    owner = np.full(len(dense), -1, np.int16)
    chosen = np.flatnonzero(score >= options.score_min)
    if len(chosen) and len(faces):
        cell = cells(height, width)[torch.from_numpy(chosen)]
        box = decode_boxes(torch.from_numpy(dense[chosen][:, BOX]), cell).numpy()
        iou = overlap(box, first.box_F4)
        # A cell between two faces, of neither, is told only its scores.
        best = iou.argmax(axis=1)
        owner[chosen] = np.where(iou.max(axis=1) >= SAME_FACE_IOU, best, -1)
    return Target(dense[:, :2], owner, faces)


def consensus(
    teacher: Detector,
    picture: np.ndarray,
    first: Faces,
    rng: np.random.Generator,
    options: LabelOptions,
) -> Faces:
    """`first` with each face's box and landmarks averaged over all looks that find it."""
    height, width = picture.shape[:2]
    box, landmark = first.box_F4.astype(np.float64), first.landmark_F52.astype(np.float64)
    seen = np.ones(len(first))
    for dx, dy, is_mirrored in _looks(rng, options):
        view = shifted(picture[:, ::-1] if is_mirrored else picture, dx, dy)
        found = faces_of(teacher.dense(view[None])[0], height, width, score_min=SEEN_AGAIN_SCORE)
        if len(found) == 0:
            continue
        back = unshifted(found, dx, dy)
        back = unmirrored(back, width) if is_mirrored else back
        iou = overlap(first.box_F4, back.box_F4)
        best = iou.argmax(axis=1)
        same = np.flatnonzero(iou.max(axis=1) >= SAME_FACE_IOU)
        box[same] += back.box_F4[best[same]]
        landmark[same] += back.landmark_F52[best[same]]
        seen[same] += 1
    return Faces(
        (box / seen[:, None]).astype(np.float32),
        (landmark / seen[:, None, None]).astype(np.float32),
        first.score_F,
    )


def _looks(rng: np.random.Generator, options: LabelOptions) -> list[tuple[int, int, bool]]:
    total = options.shifts + options.mirrored
    by = rng.integers(-options.shift_px, options.shift_px + 1, (total, 2))
    if options.mirrored:
        by[options.shifts] = 0
    return [(int(dx), int(dy), at >= options.shifts) for at, (dx, dy) in enumerate(by)]


def shifted(picture: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """The picture moved right and down by whole pixels, its edge repeated."""
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    cols = np.clip(np.arange(width) - dx, 0, width - 1)
    return picture[rows[:, None], cols[None, :]]


def unshifted(faces: Faces, dx: int, dy: int) -> Faces:
    """Faces found in a shifted picture, in the picture's own pixels."""
    by = np.array([dx, dy], np.float32)
    return Faces(faces.box_F4 - [*by, 0, 0], faces.landmark_F52 - by, faces.score_F)


def unmirrored(faces: Faces, width: int) -> Faces:
    """Faces found in the picture mirrored left to right, in the picture's own pixels."""
    box, landmark = faces.box_F4.copy(), faces.landmark_F52[:, MIRRORED].copy()
    # Whole numbers are pixel centres, so column c becomes width - 1 - c.
    box[:, 0] = width - 1 - box[:, 0] - box[:, 2]
    landmark[..., 0] = width - 1 - landmark[..., 0]
    return Faces(box, landmark, faces.score_F)
