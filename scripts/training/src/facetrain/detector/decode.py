"""Dense cells → faces, as the daemon decodes them (`decode.ts`, `suppress.ts` and `blend.ts` of
`src/face`).

A score is the geometric mean of class and objectness, a box is a centre offset and log sizes,
landmarks are offsets, all in strides (Wu et al., YuNet, 2023).

Axes: B batch, N cells of all strides in order, F faces; a box is x, y, width, height in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from facetrain.detector.net import BOX, KPS, STRIDES, cells

CANDIDATES_MAX = 5000
"""Bound on what suppression looks at, as in OpenCV's FaceDetectorYN."""
SAME_FACE_IOU = 0.5
BLEND_POWER = 8
"""Of the score, in a cell's weight."""
LandmarksOf = Literal["best", "blended"]


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces of one picture, best first, in pixels of the detector's input."""

    box_F4: np.ndarray
    landmark_F52: np.ndarray
    score_F: np.ndarray

    def __len__(self) -> int:
        return len(self.score_F)

    def take(self, which: np.ndarray) -> "Faces":
        """The faces of an index or mask array."""
        return Faces(self.box_F4[which], self.landmark_F52[which], self.score_F[which])

    def scaled(self, step_2: np.ndarray, corner_2: np.ndarray | float = 0.0) -> "Faces":
        """Faces of a scaled part of a picture in that picture's own pixels.

        Args:
            step_2: The picture's pixels per pixel of the part, x and y.
            corner_2: x, y of the part in the picture. Whole numbers are pixel centres.
        """

        def to(point: np.ndarray) -> np.ndarray:
            return (point + 0.5) * step_2 - 0.5 + corner_2

        box = np.concatenate([to(self.box_F4[:, :2]), self.box_F4[:, 2:] * step_2], axis=1)
        landmark = to(self.landmark_F52)
        return Faces(box.astype(np.float32), landmark.astype(np.float32), self.score_F)

    @staticmethod
    def none() -> "Faces":
        return Faces(
            np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
        )


def stack_outputs(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Twelve arrays (B, N of the stride, k) → one (B, N, 16) float32, cells of all strides."""
    levels = [
        np.concatenate([outputs[f"{what}_{s}"] for what in ("cls", "obj", "bbox", "kps")], axis=2)
        for s in STRIDES
    ]
    return np.concatenate(levels, axis=1).astype(np.float32, copy=False)


def decode_boxes(raw_BN4: Tensor, cell_N3: Tensor) -> Tensor:
    """Centre offset and log size in strides → x, y, width, height in pixels; differentiable."""
    at_N2, stride_N1 = cell_N3[:, :2], cell_N3[:, 2:]
    size = raw_BN4[..., 2:].exp() * stride_N1
    centre = (raw_BN4[..., :2] + at_N2) * stride_N1
    return torch.cat([centre - size / 2, size], dim=-1)


def encode_boxes(box_N4: Tensor, cell_N3: Tensor) -> Tensor:
    """The inverse of `decode_boxes`; sizes must be positive."""
    at_N2, stride_N1 = cell_N3[:, :2], cell_N3[:, 2:]
    size = box_N4[..., 2:]
    centre = box_N4[..., :2] + size / 2
    return torch.cat([centre / stride_N1 - at_N2, (size / stride_N1).log()], dim=-1)


def decode_landmarks(raw_BN10: Tensor, cell_N3: Tensor) -> Tensor:
    """Offsets in strides → five (x, y) in pixels: (B, N, 5, 2)."""
    raw = raw_BN10.unflatten(-1, (5, 2))
    return (raw + cell_N3[:, None, :2]) * cell_N3[:, None, 2:]


def faces_of(
    dense_N16: np.ndarray,
    height: int,
    width: int,
    *,
    score_min: float = 0.7,
    overlap_max: float = 0.3,
    faces_max: int = 750,
    landmarks: LandmarksOf = "best",
) -> Faces:
    """Decode one picture's cells and suppress what overlaps.

    Args:
        dense_N16: Class and objectness as probabilities, then raw box and landmarks.
        height: Of the detector's input.
        width: Of the detector's input.
        score_min: Least score of a face.
        overlap_max: A face goes when it overlaps a better one by more than this IoU.
        faces_max: Bound on the result.
        landmarks: Of a face's best cell, or blended from all its cells.
    """
    square = np.clip(dense_N16[:, 0], 0, 1) * np.clip(dense_N16[:, 1], 0, 1)
    # NaN fails the comparison, so a broken cell is no face.
    chosen = np.flatnonzero((square >= score_min * score_min) & (square > 0))
    if len(chosen) == 0:
        return Faces.none()
    dense = torch.from_numpy(np.ascontiguousarray(dense_N16[chosen], np.float32))
    cell = cells(height, width)[torch.from_numpy(chosen)]
    box = decode_boxes(dense[:, BOX], cell).numpy()
    landmark = decode_landmarks(dense[:, KPS], cell).numpy()
    finite = np.isfinite(box).all(axis=1) & np.isfinite(landmark).all(axis=(1, 2))
    faces = Faces(box, landmark, np.sqrt(square[chosen]).astype(np.float32)).take(
        np.asarray(finite)
    )
    kept = suppress(faces, overlap_max, faces_max)
    return blended(kept, faces) if landmarks == "blended" else kept


def blended(kept: Faces, cells: Faces) -> Faces:
    """`kept` with the mean landmarks of its cells, the best counting most (`src/face/blend.ts`).

    Args:
        kept: What suppression kept of `cells`.
        cells: Each speaks of the face that it overlaps best, if by half.
    """
    if len(kept) == 0:
        return kept
    best = cells.take(np.argsort(-cells.score_F, kind="stable")[:CANDIDATES_MAX])
    iou = overlap(best.box_F4, kept.box_F4)
    owner = np.where(iou.max(axis=1) >= SAME_FACE_IOU, iou.argmax(axis=1), -1)
    landmark = kept.landmark_F52.copy()
    for face in range(len(kept)):
        mine = best.take(owner == face)
        weight = mine.score_F.astype(np.float64) ** BLEND_POWER
        if weight.sum() > 0:
            landmark[face] = np.average(mine.landmark_F52, axis=0, weights=weight)
    return Faces(kept.box_F4, landmark, kept.score_F)


def suppress(faces: Faces, overlap_max: float, faces_max: int) -> Faces:
    """Greedy suppression on boxes cut to whole pixels; equal scores keep their order."""
    order = np.argsort(-faces.score_F, kind="stable")[:CANDIDATES_MAX]
    best = faces.take(order)
    whole = np.trunc(best.box_F4)
    alive = np.ones(len(best), bool)
    kept: list[int] = []
    for index in range(len(best)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) >= faces_max:
            break
        alive[index + 1 :] &= (
            overlap(whole[index : index + 1], whole[index + 1 :])[0] <= overlap_max
        )
    return best.take(np.array(kept, int))


def overlap(a_A4: np.ndarray, b_B4: np.ndarray) -> np.ndarray:
    """IoU of every pair of boxes: (A, B). Two empty boxes count as the same one."""
    a, b = a_A4[:, None, :], b_B4[None, :, :]
    corner = np.maximum(a[..., :2], b[..., :2])
    far = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.prod(np.clip(far - corner, 0, None), axis=-1)
    area = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1)
    union = area - common
    return np.where(area <= 0, 1.0, common / np.where(union > 0, union, 1))
