"""Golden vectors: drawn crops and the embeddings that they must give wherever the pack runs.

The crops are smooth ovals with eyes and mouth in changing light, drawn as `src/vision/golden.ts`
draws them, so that a pack holds no picture of a person.
"""

# H height, W width, C channels, D embedding.
import base64
from typing import Any

import numpy as np

from facetrain.data.face_set import CROP_PX
from facetrain.data.pictures import encode_png
from facetrain.evaluate.embed import Embedder, normalised

CROPS = 4
COSINE_MIN = {"cpu": 0.9995, "cuda": 0.998, "tensorrt": 0.99}
"""Least cosine between machines: float32 on other instructions, TF32 on CUDA, half on TensorRT."""

_TONES_RGB = ((200, 150, 120), (120, 80, 60), (220, 170, 150), (170, 120, 90))


def drawn_crop(index: int) -> np.ndarray:
    """Crop (112, 112, 3), uint8 RGB; the same on every machine, since only integers leave it."""
    y_HW, x_HW = np.mgrid[0:CROP_PX, 0:CROP_PX].astype(np.float64)

    def blob(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return 1 / (1 + (((x_HW - cx) / rx) ** 2 + ((y_HW - cy) / ry) ** 2) ** 4)

    face_HW1 = blob(56, 60, 42, 58)[..., None]
    dark_HW = blob(38, 52, 7, 4) + blob(74, 52, 7, 4) + blob(56, 92, 15 + index, 4)
    dark_HW = np.minimum(1, dark_HW + 0.4 * blob(56, 72, 6, 6))
    light_HW = 0.75 + 0.25 * (x_HW if index % 2 == 0 else CROP_PX - x_HW) / CROP_PX
    tone_C = np.array(_TONES_RGB[index % len(_TONES_RGB)], dtype=np.float64)
    skin_HWC = tone_C * (light_HW * (1 - 0.75 * dark_HW))[..., None]
    pixels_HWC = skin_HWC * face_HW1 + (40 + 30 * index) * (1 - face_HW1)
    return np.floor(pixels_HWC + 0.5).astype(np.uint8)


def golden_vectors(embedder: Embedder, count: int = CROPS) -> dict[str, Any]:
    """The `golden` part of pack.json.

    Raises:
        ValueError: The model gives no finite vector for a drawn crop.
    """
    crop_BHWC = np.stack([drawn_crop(index) for index in range(count)])
    e_BD = normalised(embedder.embed(crop_BHWC))
    if np.isnan(e_BD).any():
        raise ValueError("the embedder gives no finite vector for a drawn crop; train it further")
    return {
        "vectors": [
            {
                "cropPng": base64.b64encode(encode_png(crop)).decode(),
                "embedding": [round(float(value), 7) for value in e_D],
            }
            for crop, e_D in zip(crop_BHWC, e_BD, strict=True)
        ],
        "cosineMin": dict(COSINE_MIN),
    }
