"""What a camera at a door does to a picture: light, blur, noise, compression.

Axes: H height, W width, C channels (BGR, uint8).
"""

from collections.abc import Callable

import cv2
import numpy as np


def degrade(rng: np.random.Generator, picture_HWC: np.ndarray, amount: float) -> np.ndarray:
    """Each fault with its own probability, in the order in which a camera adds them.

    Args:
        amount: Factor on all probabilities; 0 leaves the picture alone.
    """
    faults: list[tuple[float, Callable[[np.random.Generator, np.ndarray], np.ndarray]]] = [
        (0.25, uneven_light),
        (0.50, exposure),
        (0.15, defocus),
        (0.12, motion_blur),
        (0.15, low_resolution),
        (0.35, sensor_noise),
        (0.07, grey),
        (0.40, jpeg),
    ]
    for probability, fault in faults:
        if rng.random() < probability * amount:
            picture_HWC = fault(rng, picture_HWC)
    return picture_HWC


def uneven_light(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A window, a lamp: brightness that changes slowly over the picture."""
    height, width = picture.shape[:2]
    light = cv2.resize(rng.uniform(0.4, 1.3, (3, 3)).astype(np.float32), (width, height))
    return _scaled(picture, light[..., None])


def exposure(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Gamma, gain and white balance by one table per channel."""
    level = np.linspace(0, 1, 256)
    curve = level ** np.exp(rng.uniform(-0.5, 0.7)) * np.exp(rng.uniform(-0.7, 0.25))
    gain = np.exp(rng.normal(0, 0.08, 3))
    table = np.clip(255 * curve[:, None] * gain, 0, 255).astype(np.uint8)
    return cv2.LUT(picture, table.reshape(256, 1, 3))


def defocus(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 2.5)))


def motion_blur(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    middle, angle = (length - 1) / 2, rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    ends = [np.round(middle + sign * reach).astype(int).tolist() for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def low_resolution(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    factor = rng.uniform(1.3, 3)
    small = cv2.resize(picture, (int(width / factor), int(height / factor)), interpolation=3)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def sensor_noise(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Gaussian, one draw for all channels or one each."""
    height, width = picture.shape[:2]
    channels = 3 if rng.random() < 0.6 else 1
    sigma = np.float32(np.exp(rng.uniform(np.log(1.5), np.log(18))))
    noise = sigma * rng.standard_normal((height, width, channels), np.float32)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def grey(_rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """An infrared camera at night."""
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def jpeg(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    quality = int(rng.integers(20, 95))
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def _scaled(picture: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.clip(picture * factor, 0, 255).astype(np.uint8)
