"""Against golden/crops.json, made by the daemon's code (tests/make-crops.ts)."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facetrain.data.align import align_face, similarity
from facetrain.data.detect import (
    DetectOptions,
    decode_faces,
    in_picture,
    is_plausible,
    letterbox,
    scaled_picture,
    suppress,
)

HERE = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((HERE / "crops.json").read_text())


def points(landmarks: list[dict[str, float]]) -> np.ndarray:
    return np.array([[point["x"], point["y"]] for point in landmarks])


def decoded(png: str | bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


PICTURE = decoded(base64.b64encode((HERE / "crops.png").read_bytes()))


@pytest.mark.parametrize("golden", GOLDEN["crops"])
def test_crops_are_the_daemons(golden: dict[str, Any]) -> None:
    landmark_52 = points(golden["landmarks"])
    transform = similarity(landmark_52)
    assert transform is not None
    assert np.allclose(transform.ravel(), golden["transform"], rtol=0, atol=1e-9)
    crop = align_face(PICTURE, landmark_52)
    assert crop is not None
    difference = np.abs(crop.astype(int) - decoded(golden["png"]).astype(int))
    assert difference.max() <= 1


@pytest.mark.parametrize("golden", GOLDEN["none"])
def test_faces_that_give_no_crop(golden: dict[str, Any]) -> None:
    landmark_52 = points(golden["landmarks"])
    assert (similarity(landmark_52) is not None) == golden["hasTransform"]
    assert align_face(PICTURE, landmark_52) is None
    assert align_face(PICTURE, landmark_52 * np.nan) is None


def test_a_crop_keeps_the_channel_order() -> None:
    landmark_52 = points(GOLDEN["crops"][0]["landmarks"])
    bgr, rgb = align_face(PICTURE, landmark_52), align_face(PICTURE[..., ::-1], landmark_52)
    assert bgr is not None
    assert rgb is not None
    assert np.array_equal(bgr[..., ::-1], rgb)


@pytest.mark.parametrize("golden", GOLDEN["scaled"])
def test_the_detectors_picture_is_the_daemons(golden: dict[str, Any]) -> None:
    scaled = scaled_picture(PICTURE, golden["width"], golden["height"])
    difference = np.abs(scaled.astype(int) - decoded(golden["png"]).astype(int))
    assert difference.max() <= 1


@pytest.mark.parametrize("golden", GOLDEN["letterboxes"])
def test_letterboxes(golden: dict[str, Any]) -> None:
    letter = letterbox(golden["width"], golden["height"], golden["longerSide"])
    wanted = golden["letter"]
    assert (letter.scaled_width, letter.scaled_height, letter.input_width, letter.input_height) == (
        wanted["scaledWidthPx"],
        wanted["scaledHeightPx"],
        wanted["inputWidthPx"],
        wanted["inputHeightPx"],
    )
    assert (letter.step_x, letter.step_y) == pytest.approx((wanted["stepX"], wanted["stepY"]))
    faces = decode_faces(one_cell(), 32, 0.5)
    (face,) = (in_picture(letter, face) for face in faces)
    x, y, width, height = golden["box"].values()
    assert face.box == pytest.approx((x, y, width, height), abs=1e-3)
    assert face.landmark_52[2].tolist() == pytest.approx(list(golden["point"].values()), abs=1e-4)


def one_cell() -> dict[str, np.ndarray]:
    """One face of box (10, 20, 30, 40), its nose at (3, 5), in the single cell of stride 32."""
    outputs = {}
    for stride in (8, 16, 32):
        cells = (32 // stride) ** 2
        score = np.float32(stride == 32)
        outputs[f"cls_{stride}"] = np.full((1, cells, 1), score)
        outputs[f"obj_{stride}"] = np.full((1, cells, 1), score)
        bbox = np.array([25 / 32, 40 / 32, np.log(30 / 32), np.log(40 / 32)], np.float32)
        outputs[f"bbox_{stride}"] = np.tile(bbox, (1, cells, 1))
        kps = np.array([0, 0, 0, 0, 3 / 32, 5 / 32, 0, 0, 0, 0], np.float32)
        outputs[f"kps_{stride}"] = np.tile(kps, (1, cells, 1))
    return outputs


def test_outputs_become_the_daemons_faces() -> None:
    golden = GOLDEN["detection"]
    outputs = {
        f"{name}_{entry['stride']}": np.frombuffer(base64.b64decode(entry[name]), np.float32)
        for entry in golden["outputs"]
        for name in ("cls", "obj", "bbox", "kps")
    }
    found = decode_faces(outputs, golden["inputPx"], golden["scoreMin"])
    assert len(found) == golden["decoded"]
    faces = suppress(found, golden["overlapMax"], golden["facesMax"])
    assert len(faces) == len(golden["faces"])
    for face, wanted in zip(faces, golden["faces"], strict=True):
        assert face.score == pytest.approx(wanted["score"], abs=1e-12)
        assert face.box == pytest.approx(tuple(wanted["box"].values()), abs=1e-4)
        assert np.allclose(face.landmark_52, points(wanted["landmarks"]), atol=1e-4)
        assert is_plausible(face) == wanted["isPlausible"]


def test_options_state_their_range() -> None:
    with pytest.raises(ValueError, match="size_px is 100; allowed are multiples of 32"):
        DetectOptions(size_px=100)
