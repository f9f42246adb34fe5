"""Canvases: pictures for dense distillation, composed so that a teacher has much to say.

A canvas is a background (generated, a free picture, or a frame of a street scene) with any number
of aligned crops on it, turned in the plane, at 12 to 400 px, most of them on a body's outline, some
cut by the edge; then the camera's faults over all of it. It carries no labels: the teacher looks at
the very canvas.

A canvas depends only on its seed and options, so that shards can be made in any order by anybody.

Axes: H height, W width, C channels (BGR, uint8).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from facetrain.data.face_set import CROP_PX
from facetrain.detector.backgrounds import colour, free_pictures, generated, random_view
from facetrain.detector.camera import degrade
from facetrain.detector.faces import CENTRE, FACE_PX, FacePool, open_pool, soft_mask, spoil, vary

FACES_MAX = 16
PLACES_TRIED = 8
SCENE_CLIPS = ("face-demographics-walking-and-pause.gif", "people-detection.gif")
"""Clips of `../shared/data/clips` for scenes (Intel sample videos, CC BY 4.0). The other two,
`head-pose-face-detection-female` and `classroom`, are held out and never read here."""
SCENE_FRAMES = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class CanvasOptions:
    """What canvases look like."""

    side_px: int = 320
    """Square; a multiple of 32."""
    face_px: tuple[float, float] = (12.0, 400.0)
    """Least and greatest height of a face, drawn log-uniformly; cut to the canvas's side."""
    empty_share: float = 0.12
    """Canvases without a pasted face."""
    spoilt_share: float = 0.07
    """Pasted faces that are turned into something less than a face."""
    degrade_amount: float = 1.0
    """Factor on the probability of each of the camera's faults."""

    def __post_init__(self) -> None:
        if self.side_px % 32 or not 64 <= self.side_px <= 1280:
            raise ValueError(f"side_px is {self.side_px}; allowed are multiples of 32, 64 to 1280")
        low, high = self.face_px
        if not 4 <= low < high:
            raise ValueError(f"face_px is {self.face_px}; allowed is 4 <= least < greatest")
        for name in ("empty_share", "spoilt_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 to 1")


@dataclass(frozen=True, slots=True)
class Materials:
    """What canvases are composed of."""

    pool: FacePool
    pictures: Sequence[np.ndarray] = field(default_factory=free_pictures)
    """Free pictures without faces."""
    scenes: Sequence[np.ndarray] = ()
    """Frames with people in them."""


def open_materials(shared: Path) -> Materials:
    """Crops, free pictures and scenes of the folder that `OSTIARY_SHARED` names."""
    scenes = [
        frame
        for name in SCENE_CLIPS
        if (clip := shared / "data/clips" / name).exists()
        for frame in clip_frames(clip, SCENE_FRAMES)
    ]
    return Materials(open_pool(shared / "data/train"), scenes=scenes)


def clip_frames(clip: Path, count: int) -> list[np.ndarray]:
    """`count` frames of a GIF, evenly spaced, BGR; all of them where there are fewer."""
    with Image.open(clip) as opened:
        total = getattr(opened, "n_frames", 1)
        wanted = set(np.linspace(0, total - 1, min(count, total)).astype(int).tolist())
        return [
            np.asarray(frame.convert("RGB"))[..., ::-1].copy()
            for at, frame in enumerate(ImageSequence.Iterator(opened))
            if at in wanted
        ]


def make_canvas(seed: Sequence[int], materials: Materials, options: CanvasOptions) -> np.ndarray:
    """One canvas: (side, side, 3), BGR uint8."""
    rng = np.random.default_rng(list(seed))
    side = options.side_px
    canvas = background(rng, materials, side)
    if rng.random() >= options.empty_share:
        taken: list[tuple[float, float, float]] = []
        for _ in range(_face_count(rng)):
            place = _place(rng, options, taken)
            if place is not None:
                taken.append(place)
        # The far ones first, as near ones cover them.
        for x, y, size in sorted(taken, key=lambda place: place[2]):
            paste_person(rng, canvas, materials.pool, (x, y), size, options.spoilt_share)
    return degrade(rng, canvas, options.degrade_amount)


def background(rng: np.random.Generator, materials: Materials, side: int) -> np.ndarray:
    """Half generated, a quarter free pictures, a quarter scenes (where there are some)."""
    draw = rng.random()
    if draw < 0.25 and materials.scenes:
        return random_view(rng, materials.scenes[int(rng.integers(len(materials.scenes)))], side)
    if draw < 0.5 and materials.pictures:
        return random_view(
            rng, materials.pictures[int(rng.integers(len(materials.pictures)))], side
        )
    return generated(rng, side)


def _face_count(rng: np.random.Generator) -> int:
    return int(min(FACES_MAX, 1 + rng.geometric(0.28) - 1 + (rng.random() < 0.15) * 6))


def _place(
    rng: np.random.Generator, options: CanvasOptions, taken: list[tuple[float, float, float]]
) -> tuple[float, float, float] | None:
    """Centre and height of the next face, apart from the others; None if it finds no room."""
    side = options.side_px
    low, high = np.log(options.face_px[0]), np.log(min(options.face_px[1], side * 0.95))
    for _ in range(PLACES_TRIED):
        size = float(np.exp(rng.uniform(low, high)))
        margin = -0.3 * size if rng.random() < 0.1 else min(0.5 * size, side / 2)
        x, y = (float(value) for value in rng.uniform(margin, side - margin, 2))
        if all(np.hypot(x - u, y - v) > 0.55 * (size + other) for u, v, other in taken):
            return x, y, size
    return None


def _angle(rng: np.random.Generator) -> float:
    draw = rng.random()
    if draw < 0.75:
        return float(rng.normal(0, 10))
    return float(rng.uniform(-50, 50) if draw < 0.93 else rng.uniform(-180, 180))


def paste_person(
    rng: np.random.Generator,
    canvas: np.ndarray,
    pool: FacePool,
    centre: tuple[float, float],
    size: float,
    spoilt_share: float,
) -> None:
    """Puts one face of `size` px in height at `centre`, in place, with a body or without."""
    crop = vary(rng, pool.draw(rng))
    mask = soft_mask(rng, crop)
    angle, scale = _angle(rng), size / FACE_PX
    if rng.random() < 0.55:
        _draw_body(rng, canvas, crop, centre, size, angle)
    if rng.random() < spoilt_share:
        crop = spoil(rng, crop)
    if scale > 1.2:
        crop, mask, scale = _enlarge(rng, crop, mask, scale)
    elif scale < 0.7:
        # Warping samples single pixels: without a blur first, small faces would be noise.
        crop = cv2.GaussianBlur(crop, (0, 0), 0.4 / scale)
    matrix = cv2.getRotationMatrix2D((0, 0), angle, scale)
    ratio = crop.shape[0] / CROP_PX
    matrix[:, 2] = np.array(centre) - matrix[:, :2] @ (np.array(CENTRE) * ratio)
    _blend(canvas, crop, mask, matrix)


def _enlarge(
    rng: np.random.Generator, crop: np.ndarray, mask: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """A crop of its final size, sharpened and grained: enlarged ones alone would all be soft."""
    side = round(CROP_PX * scale)
    large = cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.6:
        soft = cv2.GaussianBlur(large, (0, 0), scale * float(rng.uniform(0.5, 1)))
        amount = float(rng.uniform(0.5, 2))
        large = cv2.addWeighted(large, 1 + amount, soft, -amount, 0)
    if rng.random() < 0.4:
        grain = rng.standard_normal((side, side, 1), np.float32) * np.float32(rng.uniform(1, 8))
        large = np.clip(large + grain, 0, 255).astype(np.uint8)
    return large, cv2.resize(mask, (side, side)), 1.0


def _blend(canvas: np.ndarray, crop: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> None:
    """Warps crop and mask into the canvas, in place; only the part of it that they touch."""
    side = crop.shape[0]
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]) @ matrix.T
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, canvas.shape[1::-1])
    if left >= right or top >= bottom:
        return
    local = matrix - np.array([[0, 0, left], [0, 0, top]])
    size = (int(right - left), int(bottom - top))
    warped = cv2.warpAffine(crop, local, size, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, local, size)[..., None]
    under = canvas[top:bottom, left:right]
    under[:] = (under + alpha * (warped.astype(np.float32) - under)).astype(np.uint8)


def _draw_body(
    rng: np.random.Generator,
    canvas: np.ndarray,
    crop: np.ndarray,
    centre: tuple[float, float],
    size: float,
    angle: float,
) -> None:
    """Shoulders, neck, and hair or a head behind the face, in place."""
    turn = np.deg2rad(-angle)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def ellipse(at: tuple[float, float], half: tuple[float, float], ink: np.ndarray) -> None:
        x, y = np.array(centre) + axes @ (np.array(at) * size)
        reach = (max(1, int(half[0] * size)), max(1, int(half[1] * size)))
        inks = [float(value) for value in ink]
        cv2.ellipse(canvas, (int(x), int(y)), reach, -angle, 0, 360, inks, -1, cv2.LINE_AA)

    skin = crop[70:90, 40:72].reshape(-1, 3).mean(axis=0)
    ellipse((0, 1.45), (rng.uniform(0.8, 1.3), rng.uniform(0.6, 0.8)), colour(rng))
    ellipse((0, 0.65), (rng.uniform(0.2, 0.35), 0.35), skin * rng.uniform(0.7, 1))
    if rng.random() < 0.7:
        hair = np.clip(rng.normal(45, 35) + rng.normal(0, 10, 3), 0, 255)
        ellipse((0, -0.12), (rng.uniform(0.45, 0.65), rng.uniform(0.6, 0.75)), hair)
    else:
        ellipse((0, -0.05), (0.42, 0.6), skin)
