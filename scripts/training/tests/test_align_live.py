"""Real pictures through `ostiary inspect` and through this package: the same faces and crops.

Needs the reference models and LFW in OSTIARY_SHARED (default ../shared beside the checkout).
"""

import json
import os
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from facetrain.data.align import align_face
from facetrain.data.detect import DetectOptions, Detector, largest_face
from facetrain.data.pictures import decode_picture

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("OSTIARY_SHARED", "../shared")).resolve()
YUNET = SHARED / "data/models/face_detection_yunet_2023mar.onnx"
RETAIL_0095 = SHARED / "data/models/face-reidentification-retail-0095.onnx"
LFW = SHARED / "data/lfw/lfw_pairs.tar"
OSTIARY = ROOT / "scripts/ostiary"
PICTURES = 3

pytestmark = pytest.mark.skipif(
    not all(file.exists() for file in (YUNET, RETAIL_0095, LFW, ROOT / "node_modules")),
    reason=f"SKIPPED: no models or pictures in {SHARED}; set OSTIARY_SHARED",
)


def ostiary(*arguments: str | Path) -> str:
    return subprocess.run(
        [OSTIARY, *arguments], check=True, capture_output=True, text=True, timeout=120
    ).stdout


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("live") / "pack"
    models = ("--detector", YUNET, "--embedder", RETAIL_0095, "--preset", "retail-0095")
    ostiary("models", "import", *models, "--out", directory)
    return directory


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lfw")
    found = []
    with tarfile.open(LFW) as tar:
        files = [member for member in tar if member.name.endswith(".jpg")]
        for member in files[5 :: len(files) // PICTURES][:PICTURES]:
            source = tar.extractfile(member)
            assert source is not None
            found.append(folder / Path(member.name).name)
            found[-1].write_bytes(source.read())
    return found


def test_faces_and_crops_are_the_daemons(pack: Path, pictures: list[Path], tmp_path: Path) -> None:
    detector = Detector(YUNET, DetectOptions(form="square"))
    for file in pictures:
        crop_file = tmp_path / f"{file.stem}.png"
        seen = json.loads(
            ostiary("inspect", file, "--pack", pack, "--json", "--crop-out", crop_file)
        )
        picture = decode_picture(file.read_bytes(), str(file))
        faces = detector.detect(picture)
        assert len(faces) == len(seen["faces"])
        for face, wanted in zip(faces, seen["faces"], strict=True):
            assert face.score == pytest.approx(wanted["score"], abs=1e-3)
            assert face.box == pytest.approx(tuple(wanted["box"].values()), abs=0.05)
            landmarks = [[point["x"], point["y"]] for point in wanted["landmarks"]]
            assert np.allclose(face.landmark_52, landmarks, atol=0.05)
        largest = largest_face(faces)
        assert largest is not None
        crop = align_face(picture, largest.landmark_52)
        assert crop is not None
        wanted_crop = decode_picture(crop_file.read_bytes(), str(crop_file))
        assert np.abs(crop.astype(int) - wanted_crop.astype(int)).mean() <= 1
