"""`runs/bundled-embedder.sh` on a handful of pictures: from tars to kept weights and figures.

Needs OSTIARY_SHARED (default ../shared beside the checkout).
"""

import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from facetrain.data.sources import open_faces
from facetrain.engine.checkpoint import load_backbone

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("OSTIARY_SHARED", "../shared")).resolve() / "data"
RUN = ROOT / "scripts/training/runs/bundled-embedder.sh"
SMALL = ("sfhq", "pixabay", "webmorph", "faker", "interfaces", "congress")

pytestmark = pytest.mark.skipif(
    not (SHARED / "train/fairface_aligned112.tar").exists(),
    reason=f"SKIPPED: no pictures in {SHARED}; set OSTIARY_SHARED",
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared folder with two to four pictures of everything."""
    folder = tmp_path_factory.mktemp("shared")
    data = folder / "data"
    for name in ("train", "lfw", "models"):
        (data / name).mkdir(parents=True)
    first_of(data, "train/fairface_aligned112.tar", 4, key=lambda name: name.split("/")[-2])
    for source in SMALL:
        first_of(data, f"train/{source}_aligned112.tar", 2)
    first_of(data, "lfw/lfw_pairs.tar", 2)
    first_of(data, "orl_att_faces.tar", 2, key=lambda name: name.split("/")[-2])
    for part in ("train", "val"):
        file = f"train/fairface_label_{part}.csv"
        shutil.copy(SHARED / file, data / file)
    for name in ("face_detection_yunet_2023mar", "face-reidentification-retail-0095"):
        (data / f"models/{name}.onnx").symlink_to(SHARED / f"models/{name}.onnx")
    return folder


def first_of(
    data: Path, tar: str, count: int, *, key: Callable[[str], str] = lambda name: ""
) -> None:
    """Copy a tar's first pictures, so many of each key."""
    taken: Counter[str] = Counter()
    with tarfile.open(SHARED / tar) as whole, tarfile.open(data / tar, "w") as part:
        for member in whole:
            picture = Path(member.name).suffix in (".jpg", ".webp", ".pgm", ".png")
            if not picture or taken[key(member.name)] == count:
                continue
            taken[key(member.name)] += 1
            part.addfile(member, whole.extractfile(member))


def test_from_tars_to_kept_weights(shared: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    environment = {
        **os.environ,
        "OSTIARY_SHARED": str(shared),
        "WORK": str(work),
        "PYTHON": sys.executable,
        "DEVICE": "cpu",
        "PROCESSES": "1",
        "STEPS": "1",
        "KEEP": str(tmp_path / "kept.pt"),
    }
    settings = ["loop.batch_size=4", "held_out.pictures=2", "held_out.every_steps=1"]
    done = subprocess.run(
        [RUN, *(word for setting in settings for word in ("--set", setting))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cosine" in done.stdout
    assert "equal error rate" in done.stdout
    assert load_backbone(tmp_path / "kept.pt").embedding_dim == 256
    train, dev = open_faces(work / "train.pack"), open_faces(work / "dev.pack")
    assert len(train) == 4 + 2 * len(SMALL)
    assert {name.split("/")[-2] for name in dev.names} == {"val"}
    assert not any("val" in name.split("/") for name in train.names)
    assert open_faces(work / "people.pack").num_identities == 40
