"""Aligned crops as things that can be put into a scene: cut out softly, varied, sometimes spoiled.

A crop is 112x112 and aligned to the ArcFace template, so its face is about 80 px high around
(56, 62). Black borders, where the crop left its source picture, are never pasted.

Axes: H height, W width, C channels (BGR, uint8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facetrain.data.face_set import CROP_PX, FaceSet
from facetrain.data.tar_set import TarSet

FACE_PX = 80.0
"""Height of YuNet's box in an aligned crop."""
CENTRE = (56.0, 62.0)
BORDER_LEVEL = 10
"""A pixel with no channel above this is border if it touches the crop's edge."""

SHARES = {
    "fairface_aligned112.tar": 0.58,
    "sfhq_aligned112.tar": 0.14,
    "pixabay_aligned112.tar": 0.10,
    "congress_aligned112.tar": 0.06,
    "webmorph_aligned112.tar": 0.05,
    "faker_aligned112.tar": 0.04,
    "interfaces_aligned112.tar": 0.03,
}
"""Share of each source in `../shared/data/train`: diversity first, the old portraits of one group
of people least for their number."""


@dataclass(frozen=True, slots=True)
class FacePool:
    """Sets of aligned crops and how often each is drawn."""

    sets: Sequence[FaceSet]
    shares: np.ndarray

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A crop, BGR."""
        faces = self.sets[int(rng.choice(len(self.sets), p=self.shares))]
        return np.ascontiguousarray(faces.crop(int(rng.integers(len(faces))))[..., ::-1])


def open_pool(folder: Path) -> FacePool:
    """The training tars of a folder; FairFace without its `val` part, the development set.

    Raises:
        ValueError: None of the tars is there.
    """
    sets: list[FaceSet] = []
    shares: list[float] = []
    for name, share in SHARES.items():
        tar = folder / name
        if tar.exists():
            sets.append(TarSet(tar, part="train" if name.startswith("fairface") else None))
            shares.append(share)
    if not sets:
        raise ValueError(f"{folder} has none of {', '.join(SHARES)}")
    return FacePool(sets, np.array(shares) / sum(shares))


def soft_mask(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """How much of each pixel is pasted: (112, 112) float32 in [0, 1].

    Mostly an oval of random reach with a soft edge; sometimes the whole square (a poster, an open
    picture frame). Black borders are cut off with the same softness.
    """
    mask = np.zeros((CROP_PX, CROP_PX), np.float32)
    soft = float(rng.uniform(1.0, 5.0))
    if rng.random() < 0.85:
        half = (int(rng.uniform(42, 60)), int(rng.uniform(50, 64)))
        cv2.ellipse(mask, (56, int(rng.uniform(54, 60))), half, 0, 0, 360, 1.0, -1)
    else:
        edge = int(2 * soft)
        mask[edge:-edge, edge:-edge] = 1
    mask[border_of(crop)] = 0
    # The last pixels must be empty, or the paste would end in a straight edge.
    mask[[0, -1], :] = mask[:, [0, -1]] = 0
    # 1.5 sigma inside, the blur leaves 7 % at the edge itself.
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=round(1.5 * soft))
    return cv2.GaussianBlur(inner, (0, 0), soft, borderType=cv2.BORDER_CONSTANT)


def border_of(crop: np.ndarray) -> np.ndarray:
    """Pixels (H, W), bool, of black areas that touch the crop's edge."""
    dark = (crop.max(axis=2) <= BORDER_LEVEL).astype(np.uint8)
    if not (dark[0].any() or dark[-1].any() or dark[:, 0].any() or dark[:, -1].any()):
        return np.zeros(dark.shape, bool)
    _, labels = cv2.connectedComponents(dark)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.isin(labels, touching[touching > 0])


def spoil(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """Something that has a face's colours and parts but is less of a face, or none.

    Parts exchanged, mirrored top to bottom, a half covered, negated, smeared: the teacher says what
    each is worth, and the student learns where faces end.
    """
    kind = rng.integers(5)
    if kind == 0:
        tiles = [int(rng.integers(2, 5))] * 2
        step = [CROP_PX // tiles[0], CROP_PX // tiles[1]]
        parts = [
            crop[r * step[0] : (r + 1) * step[0], c * step[1] : (c + 1) * step[1]]
            for r in range(tiles[0])
            for c in range(tiles[1])
        ]
        order = rng.permutation(len(parts))
        rows = [
            np.concatenate([parts[i] for i in order[r * tiles[1] : (r + 1) * tiles[1]]], axis=1)
            for r in range(tiles[0])
        ]
        return cv2.resize(np.concatenate(rows), (CROP_PX, CROP_PX))
    if kind == 1:
        return np.ascontiguousarray(crop[::-1])
    if kind == 2:
        spoilt, edge = crop.copy(), int(rng.uniform(0.3, 0.75) * CROP_PX)
        spoilt[edge:] = rng.integers(0, 255, 3)
        return spoilt if rng.random() < 0.5 else np.ascontiguousarray(spoilt[::-1])
    if kind == 3:
        return 255 - crop
    return cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(5, 14)))


def occlude(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """A mask, glasses, a bar, a hand-sized blob."""
    covered = crop.copy()
    ink = [float(value) for value in rng.integers(0, 255, 3)]
    kind = rng.integers(4)
    if kind == 0:
        edge = int(rng.uniform(68, 76))
        points = np.array([[22, edge], [56, edge - 6], [90, edge], [84, 108], [56, 112], [28, 108]])
        cv2.fillPoly(covered, [points.astype(np.int32)], ink, cv2.LINE_AA)
    elif kind == 1:
        for x in (38, 74):
            cv2.ellipse(covered, (x, 52), (15, 11), 0, 0, 360, ink, -1, cv2.LINE_AA)
        cv2.line(covered, (22, 50), (90, 50), ink, 2, cv2.LINE_AA)
    else:
        centre = [int(value) for value in rng.uniform(20, 92, 2)]
        half = [int(value) for value in rng.uniform(6, 28, 2)]
        cv2.ellipse(covered, centre, half, float(rng.uniform(0, 180)), 0, 360, ink, -1, cv2.LINE_AA)
    return covered


def vary(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """Mirroring, light and colour of one face, an occluder now and then."""
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    if rng.random() < 0.12:
        crop = occlude(rng, crop)
    if rng.random() < 0.6:
        gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.05, 3))
        shift = rng.normal(0, 12)
        table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
        crop = cv2.LUT(crop, table.reshape(256, 1, 3))
    return crop
