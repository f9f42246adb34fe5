import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from facetrain.data.face_set import PictureError
from facetrain.data.pictures import encode_png
from facetrain.evaluate.acquire import (
    Acquisition,
    FolderPictures,
    MappedPictures,
    ReadyCrops,
    TarPictures,
    crops_of,
)

CROP = encode_png(np.full((112, 112, 3), 90, dtype=np.uint8))
SMALL = encode_png(np.zeros((20, 20, 3), dtype=np.uint8))


def tar_of(file: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def test_failures_are_counted_by_reason_and_keep_their_place() -> None:
    pictures = MappedPictures({"a": CROP, "small": SMALL, "bad": b"no picture"})
    acquisition = Acquisition()
    found = list(crops_of(pictures, ["small", "a", "bad", "gone"], ReadyCrops(), acquisition))
    assert [crop is not None for crop in found] == [False, True, False, False]
    assert acquisition.pictures == 4
    assert acquisition.failures == {"wrong_size": 1, "not_a_picture": 1, "missing": 1}
    assert acquisition.failed == 3


def test_a_tar_is_read_with_and_without_the_folder_around_it(tmp_path: Path) -> None:
    file = tar_of(
        tmp_path / "s.tar", {"images/A/1.png": CROP, "images/B/1.png": SMALL, "x/B/1.png": CROP}
    )
    pictures = TarPictures(file)
    assert pictures.read("images/A/1.png") == pictures.read("A/1.png") == CROP
    with pytest.raises(PictureError, match="holds no B/1"):
        pictures.read("B/1.png")  # there are two
    (tmp_path / "no.tar").write_bytes(b"hello")
    with pytest.raises(ValueError, match="no uncompressed tar"):
        TarPictures(tmp_path / "no.tar")


def test_a_folder_gives_nothing_from_outside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(CROP)
    (tmp_path / "b.png").write_bytes(CROP)
    pictures = FolderPictures(tmp_path / "in")
    assert pictures.read("a.png") == CROP
    with pytest.raises(PictureError, match="outside"):
        pictures.read("../b.png")
    with pytest.raises(PictureError, match="no such file"):
        pictures.read("c.png")
    with pytest.raises(ValueError, match="no folder"):
        FolderPictures(tmp_path / "gone")
