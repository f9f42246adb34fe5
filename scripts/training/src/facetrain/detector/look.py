"""A second look at one face, mirrored and at one size, as the daemon takes it before it aligns a
face (`src/face/look.ts`): the mean of both looks' landmarks is nearer to the truth than either.

Axes: H height, W width, C channels (BGR, uint8), F faces; a box is x, y, width, height in pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from facetrain.data.detect import LINEAR_MAX, UPSCALE_MAX
from facetrain.detector.decode import SAME_FACE_IOU, Faces, faces_of, overlap
from facetrain.detector.distil import Detector, unmirrored

SIDE_PX = 160
"""Of the view, a square."""
FACE_PX = 90
"""Longer side of the face's box in the view."""
REACH = 1.6
"""Side of what the view shows, in longer sides of the face's box."""


@dataclass(frozen=True, slots=True)
class View:
    """A face's surroundings, scaled, mirrored, in the top left corner of a black square.

    Attributes:
        picture_HWC: What the detector sees.
        width: Of the part that shows the picture.
        corner_2: x, y of the part in the picture.
        step_2: The picture's pixels per pixel of the view, x and y.
    """

    picture_HWC: np.ndarray
    width: int
    corner_2: np.ndarray
    step_2: np.ndarray

    def back(self, faces: Faces) -> Faces:
        """Faces of the view in the picture's pixels, where left is left again."""
        return unmirrored(faces, self.width).scaled(self.step_2, self.corner_2)


def view_of(picture_HWC: np.ndarray, box_4: np.ndarray) -> View | None:
    """What a second look at the face with this box sees; None if the box lies outside.

    The part of the picture begins and ends on even pixels, as the daemon's NV12 frames demand.
    """
    height, width = picture_HWC.shape[:2]
    size = float(max(box_4[2:]))
    centre = np.asarray(box_4[:2], float) + np.asarray(box_4[2:], float) / 2
    low = np.maximum(np.floor(centre - REACH * size / 2), 0) // 2 * 2
    high = np.minimum(np.ceil((centre + REACH * size / 2) / 2) * 2, (width, height))
    if not (low < high).all():
        return None
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    part = picture_HWC[top:bottom, left:right]
    scale = min(FACE_PX / size, UPSCALE_MAX, SIDE_PX / max(part.shape[:2]))
    scaled = [max(1, round(side * scale)) for side in (right - left, bottom - top)]
    step = np.array([right - left, bottom - top]) / scaled
    how = cv2.INTER_AREA if step[0] > LINEAR_MAX else cv2.INTER_LINEAR
    view = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    view[: scaled[1], : scaled[0]] = cv2.resize(part, scaled, interpolation=how)[:, ::-1]
    return View(view, scaled[0], low, step)


def look_again(
    detector: Detector, picture_HWC: np.ndarray, faces: Faces, *, score_min: float
) -> tuple[Faces, np.ndarray]:
    """`faces` with the mean of their landmarks and those of a second look at each.

    Args:
        detector: Of both looks.
        picture_HWC: The picture at full size, any sides.
        faces: In the picture's pixels.
        score_min: Least score of a face.

    Returns:
        The faces, and which of them the second look finds again (F,): others keep their landmarks,
        and the daemon does not use them.
    """
    landmark, is_found = faces.landmark_F52.copy(), np.zeros(len(faces), bool)
    for face, box in enumerate(faces.box_F4):
        view = view_of(picture_HWC, box)
        if view is None:
            continue
        dense = detector.dense(view.picture_HWC[None])[0]
        found = view.back(
            faces_of(dense, SIDE_PX, SIDE_PX, score_min=score_min, landmarks="blended")
        )
        iou = overlap(box[None], found.box_F4)[0]
        if len(found) and iou.max() >= SAME_FACE_IOU:
            landmark[face] = (landmark[face] + found.landmark_F52[iou.argmax()]) / 2
            is_found[face] = True
    return Faces(faces.box_F4, landmark, faces.score_F), is_found
