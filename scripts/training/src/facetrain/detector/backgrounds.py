"""Pictures without faces to put faces on: generated ones, and free ones where installed.

Generated: gradients, value noise over several octaves, stripes and checks, scattered shapes, flat
walls. Free pictures come with scikit-image where that is installed (the package itself is BSD; of
its pictures only those that its documentation declares CC0 or public domain, and that show no
human face, are taken).

Axes: H height, W width, C channels (BGR, uint8).
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

FREE_PICTURES = {
    "brick.png": "CC0 (CC0Textures)",
    "cell.png": "CC0",
    "chelsea.png": "CC0 (Stefan van der Walt); a cat",
    "clock_motion.png": "public domain (Stefan van der Walt)",
    "coffee.png": "CC0 (Rachel Michetti)",
    "grass.png": "CC0 (linolafett)",
    "gravel.png": "CC0 (CC0Textures)",
    "horse.png": "CC0 (Andreas Preuss); a silhouette",
    "hubble_deep_field.jpg": "public domain (NASA)",
    "microaneurysms.png": "CC0 (Andreas Maier)",
    "retina.jpg": "CC0",
    "rocket.jpg": "public domain (SpaceX)",
    "text.png": "public domain",
}
"""Files of `skimage/data` and the licence that `skimage.data`'s documentation names."""


def free_pictures() -> list[np.ndarray]:
    """The free pictures that are installed, BGR; none where scikit-image is not."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "data"
    pictures = [cv2.imread(str(folder / name), cv2.IMREAD_COLOR) for name in FREE_PICTURES]
    return [picture for picture in pictures if picture is not None]


def colour(rng: np.random.Generator) -> np.ndarray:
    """A colour, more often muted than pure: (3,) float32."""
    grey = rng.uniform(0, 255)
    return np.clip(grey + rng.normal(0, rng.choice([8, 40, 90]), 3), 0, 255).astype(np.float32)


def generated(rng: np.random.Generator, side: int) -> np.ndarray:
    """A square picture that was never photographed."""
    makers: list[Callable[[np.random.Generator, int], np.ndarray]] = [
        gradient,
        value_noise,
        stripes,
        wall,
        value_noise,
    ]
    picture = makers[rng.integers(len(makers))](rng, side)
    if rng.random() < 0.6:
        scatter_shapes(rng, picture, int(rng.integers(1, 30)))
    return picture


def gradient(rng: np.random.Generator, side: int) -> np.ndarray:
    """Four corner colours, bilinear between them."""
    corners = np.stack([colour(rng) for _ in range(4)]).reshape(2, 2, 3)
    return _uint8(cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR))


def value_noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """Noise on grids of doubling fineness (a fractal texture between two or three colours)."""
    total = np.zeros((side, side), np.float32)
    weight, fall = 1.0, rng.uniform(0.4, 0.9)
    grid = int(rng.integers(2, 8))
    while grid < side:
        shape = (max(2, round(grid * rng.uniform(0.5, 2))), grid)
        layer = rng.random(shape, np.float32)
        total += weight * cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC)
        weight, grid = weight * fall, grid * 2
    low, high = float(total.min()), float(total.max())
    share = ((total - low) / max(high - low, 1e-6))[..., None]
    picture = share * colour(rng) + (1 - share) * colour(rng)
    if rng.random() < 0.3:
        picture = np.where(np.abs(share - 0.5) < rng.uniform(0.02, 0.2), colour(rng), picture)
    return _uint8(picture)


def stripes(rng: np.random.Generator, side: int) -> np.ndarray:
    """Waves in one or two directions: blinds, fences, tiles, cloth."""
    row, col = np.mgrid[0:side, 0:side].astype(np.float32)
    share = np.ones((side, side), np.float32)
    for _ in range(rng.integers(1, 3)):
        angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(side / 2)))
        wave = np.sin((col * np.cos(angle) + row * np.sin(angle)) * (2 * np.pi / period))
        share *= wave if rng.random() < 0.5 else np.sign(wave)
    share = (share[..., None] + 1) / 2
    return _uint8(share * colour(rng) + (1 - share) * colour(rng))


def wall(rng: np.random.Generator, side: int) -> np.ndarray:
    """A flat colour with a slow change of light, a floor and a door frame now and then."""
    picture = np.full((side, side, 3), colour(rng), np.float32)
    if rng.random() < 0.5:
        picture[int(side * rng.uniform(0.5, 0.95)) :] = colour(rng)
    for _ in range(rng.integers(0, 4)):
        left, top = (int(value) for value in rng.uniform(0, side, 2))
        picture[top:, left : left + int(side * rng.uniform(0.01, 0.4))] = colour(rng)
    light = cv2.resize(rng.uniform(0.7, 1.2, (3, 3)).astype(np.float32), (side, side))
    return _uint8(picture * light[..., None])


def scatter_shapes(rng: np.random.Generator, picture: np.ndarray, count: int) -> None:
    """Draws filled or outlined ellipses, rectangles, polygons and lines, in place."""
    side = picture.shape[0]
    for _ in range(count):
        ink = [float(value) for value in colour(rng)]
        centre = [int(value) for value in rng.uniform(0, side, 2)]
        size = [max(1, int(value)) for value in side * np.exp(rng.uniform(-4.5, -0.7, 2))]
        thick = -1 if rng.random() < 0.7 else int(rng.integers(1, 6))
        kind = rng.integers(4)
        if kind == 0:
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(picture, centre, size, angle, 0, 360, ink, thick, cv2.LINE_AA)
        elif kind == 1:
            far = [centre[0] + size[0], centre[1] + size[1]]
            cv2.rectangle(picture, centre, far, ink, thick)
        elif kind == 2:
            points = np.array(centre) + rng.normal(0, max(size), (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(picture, [points.astype(np.int32)], ink, cv2.LINE_AA)
        else:
            far = [int(value) for value in rng.uniform(0, side, 2)]
            cv2.line(picture, centre, far, ink, max(1, thick), cv2.LINE_AA)


def random_view(rng: np.random.Generator, picture: np.ndarray, side: int) -> np.ndarray:
    """A square cut of a photograph: random part, size, mirroring and colour; its own array."""
    height, width = picture.shape[:2]
    cut = int(min(height, width) * rng.uniform(0.3, 1))
    top, left = rng.integers(height - cut + 1), rng.integers(width - cut + 1)
    view = picture[top : top + cut, left : left + cut]
    view = cv2.resize(view, (side, side), interpolation=cv2.INTER_AREA if cut > side else 1)
    if rng.random() < 0.5:
        view = view[:, ::-1]
    if rng.random() < 0.3:
        gain, shift = rng.uniform(0.6, 1.3, 3), rng.uniform(-30, 30)
        return _uint8(view.astype(np.float32) * gain.astype(np.float32) + np.float32(shift))
    return np.ascontiguousarray(view)


def _uint8(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture, 0, 255).astype(np.uint8)
