"""The daemon's aligned crops, in numpy and OpenCV: `src/face/align.ts` and `src/vision/crop.ts`.

A crop is the picture under the similarity that carries a face's five landmarks best onto the
ArcFace template: sampled bilinearly, black where it leaves the picture.
"""

# H height, W width, C channels; landmark_52: five points (x, y).
import math

import cv2
import numpy as np

from facetrain.data.face_set import CROP_PX

ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Template (Deng et al. 2019, as published by InsightFace), in YuNet's order: the person's right
eye, left eye, nose tip, right and left mouth corner."""

MARGIN_PX = 2
"""Interpolation reads one pixel further than the crop's footprint."""


def similarity(from_52: np.ndarray, to_52: np.ndarray = ARCFACE_112) -> np.ndarray | None:
    """Least-squares similarity without mirroring (Umeyama 1991, closed form in the plane).

    Args:
        from_52: Points (N, 2), pixels of the picture.
        to_52: Where they should come to lie, (N, 2).

    Returns:
        Rows (2, 3), float64, picture -> crop; None when the points coincide or are not finite.
    """
    source = np.asarray(from_52, dtype=np.float64)
    source_mean, target_mean = source.mean(axis=0), to_52.mean(axis=0)
    p, g = source - source_mean, to_52 - target_mean
    dot = float((p * g).sum())
    cross = float((p[:, 0] * g[:, 1] - p[:, 1] * g[:, 0]).sum())
    spread = float((p * p).sum())
    if not (spread > 1e-9 and math.isfinite(dot) and math.isfinite(cross) and spread < math.inf):
        return None
    a, b = dot / spread, cross / spread
    if a * a + b * b < 1e-18:
        return None
    (sx, sy), (tx, ty) = source_mean, target_mean
    return np.array([[a, -b, tx - a * sx + b * sy], [b, a, ty - b * sx - a * sy]])


def align_face(picture_HWC: np.ndarray, landmark_52: np.ndarray) -> np.ndarray | None:
    """The crop that the daemon makes of a face.

    Args:
        picture_HWC: uint8, any channel order; the crop has the same.
        landmark_52: Pixels of the picture; whole numbers are pixel centres.

    Returns:
        (112, 112, 3), uint8; None when the landmarks coincide or the crop lies outside the picture.
    """
    transform = similarity(landmark_52)
    region = None if transform is None else _footprint(transform, picture_HWC.shape)
    if transform is None or region is None:
        return None
    x, y, right, bottom = region
    # The daemon warps the region, not the picture: fixed-point interpolation rounds by position.
    moved = transform.copy()
    moved[:, 2] += transform[:, 0] * x + transform[:, 1] * y
    part = np.ascontiguousarray(picture_HWC[y:bottom, x:right])
    return cv2.warpAffine(
        part, moved, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def _footprint(transform: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what the crop is made from, on even pixels (NV12 needs it)."""
    (a, b, c), (d, e, f) = transform
    determinant = a * e - b * d
    if determinant == 0 or not math.isfinite(determinant):
        return None
    corners = np.array([[0, 0], [CROP_PX, 0], [0, CROP_PX], [CROP_PX, CROP_PX]]) - [c, f]
    back = corners @ (np.array([[e, -b], [-d, a]]) / determinant).T
    left, top = back.min(axis=0) - MARGIN_PX
    far_x, far_y = back.max(axis=0) + MARGIN_PX
    height, width = shape[:2]
    x, y = (value - value % 2 for value in (max(0, math.floor(left)), max(0, math.floor(top))))
    right, bottom = min(width, math.ceil(far_x / 2) * 2), min(height, math.ceil(far_y / 2) * 2)
    return (x, y, right, bottom) if right > x and bottom > y else None
