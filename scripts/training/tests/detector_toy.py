"""Stand-ins for the detector's tests: drawn faces, and a detector whose answers are known."""

import cv2
import numpy as np
import torch

from facetrain.detector.canvas import CanvasOptions, Materials
from facetrain.detector.decode import encode_boxes
from facetrain.detector.faces import FacePool
from facetrain.detector.net import cells
from facetrain.detector.shards import ShardOptions

SIDE = 64
OPTIONS = ShardOptions(
    canvases=6, sides_px=(SIDE, 96), canvas=CanvasOptions(side_px=SIDE, face_px=(12, 60))
)


class DrawnFaces:
    """A set of crops with dark eyes and mouth on bright ovals."""

    labels = np.full(5, -1)
    num_identities = 0
    groups: dict[str, np.ndarray] = {}  # noqa: RUF012
    names = tuple("abcde")

    def __len__(self) -> int:
        return 5

    def crop(self, index: int) -> np.ndarray:
        crop = np.full((112, 112, 3), 60 + 10 * index, np.uint8)
        cv2.ellipse(crop, (56, 60), (38, 48), 0, 0, 360, (200, 180, 170), -1)
        for x in (38, 74):
            cv2.circle(crop, (x, 52), 6, (20, 20, 20), -1)
        cv2.line(crop, (42, 92), (71, 92), (120, 20, 20), 4)
        return crop


POINTS = torch.tensor([[-4.0, -4], [4, -4], [0, 0], [-4, 4], [4, 4]])


class BrightSpot:
    """A detector that finds the brightest pixel's 16 px face, and jitters with its column."""

    def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
        batch, height, width = picture_BHWC.shape[:3]
        cell = cells(height, width)
        dense = np.zeros((batch, len(cell), 16), np.float32)
        dense[..., 0] = 0.6
        for at, picture in enumerate(picture_BHWC):
            row, col = np.unravel_index(picture.max(axis=2).argmax(), (height, width))
            at_N2, spot_2 = (cell[:, :2] + 0.5) * 8, torch.tensor([float(col), float(row)])
            near = (cell[:, 2] == 8) & ((at_N2 - spot_2).abs() < 8).all(dim=1)
            jitter = 1.0 if col % 2 else -1.0
            box = torch.tensor([[col - 8.0, row - 8.0, 16, 16]]).expand(len(cell), 4)
            dense[at, :, 2:6] = encode_boxes(box, cell).numpy()
            point = spot_2 + POINTS + torch.tensor([jitter, 0.0])
            dense[at, :, 6:] = (point[None] / cell[:, None, 2:] - cell[:, None, :2]).flatten(1)
            dense[at, near.numpy(), :2] = 0.9
        return dense


def drawn_materials() -> Materials:
    return Materials(FacePool([DrawnFaces()], np.ones(1)), pictures=[], scenes=[])


def spot(col: int, row: int) -> np.ndarray:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[row, col] = 255
    return picture


FACE_SHAPE = np.array([[-0.2, -0.15], [0.2, -0.15], [0.04, 0.05], [-0.16, 0.25], [0.17, 0.25]])
"""Landmarks from the box's centre, in its sides: not its own mirror image."""


class Blob:
    """Finds the bright square of a picture; its landmarks are `off` sides too far right."""

    def __init__(self, off: float = 0.0) -> None:
        self._off = off

    def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
        height, width = picture_BHWC.shape[1:3]
        cell = cells(height, width).numpy()
        dense = np.zeros((1, len(cell), 16), np.float32)
        ys, xs = np.nonzero(picture_BHWC[0, ..., 0] > 127)
        if len(xs) == 0:
            return dense
        # Whole numbers are pixel centres, so the square ends half a pixel beyond its last one.
        side = float(np.ptp(xs)) + 1
        centre = np.array([xs.mean(), ys.mean()])
        # A mirrored face has its longer mouth half on the other side, seen by the marker in it.
        red_ys, red_xs = np.nonzero(
            (picture_BHWC[0, ..., 2] < 127) & (picture_BHWC[0, ..., 0] > 127)
        )
        mirrored = len(red_ys) and red_xs.mean() < centre[0]
        shape = FACE_SHAPE * np.array([-1, 1]) if mirrored else FACE_SHAPE
        shape = shape[[1, 0, 2, 4, 3]] if mirrored else shape
        fine = cell[: (height // 8) * (width // 8)]
        at = int(np.abs(fine[:, :2] * 8 - centre).sum(axis=1).argmin())
        grid = cell[at, :2]
        dense[0, at, :2] = 0.9
        dense[0, at, 2:4] = centre / 8 - grid
        dense[0, at, 4:6] = np.log(side / 8)
        points = centre + (shape + np.array([self._off, 0])) * side
        dense[0, at, 6:] = (points / 8 - grid).ravel()
        return dense


def blob_picture(x: int, y: int, side: int, *, width: int = 320, height: int = 256) -> np.ndarray:
    """A white square with a marker in its right half."""
    picture = np.zeros((height, width, 3), np.uint8)
    cv2.rectangle(picture, (x, y), (x + side - 1, y + side - 1), (255, 255, 255), -1)
    marker = (x + side * 3 // 4, y + side // 4)
    cv2.rectangle(picture, marker, (marker[0] + side // 8, y + side * 3 // 4), (255, 255, 0), -1)
    return picture
