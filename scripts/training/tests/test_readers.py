import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from facetrain.data.face_set import FaceSet, PictureError
from facetrain.data.image_folder import ImageFolder
from facetrain.data.list_file import ImageList
from facetrain.data.pictures import decode_picture, encode_jpeg, encode_png, encode_webp
from facetrain.data.tar_set import TarSet


def drawn(level: int, size: int = 112) -> np.ndarray:
    """A red field with a bright corner, so that channel order and orientation show."""
    picture = np.zeros((size, size, 3), np.uint8)
    picture[..., 0] = level
    picture[: size // 4, : size // 4] = 255
    return picture


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))


def test_folders_are_identities(tmp_path: Path) -> None:
    for n, name in enumerate(["b/2.png", "b/1.png", "a/x/y.jpg", "loose.webp"]):
        encode = {"png": encode_png, "jpg": encode_jpeg}.get(name[-3:])
        crop = drawn(40 * n)
        write(tmp_path / name, encode(crop) if encode else encode_webp(crop, 90))
    write(tmp_path / "a/notes.txt", b"no picture")
    write(tmp_path / "a/._y.jpg", b"a Mac was here")
    faces = ImageFolder(tmp_path)
    assert isinstance(faces, FaceSet)
    assert list(faces.names) == ["a/x/y.jpg", "b/1.png", "b/2.png", "loose.webp"]
    assert faces.labels.tolist() == [0, 1, 1, -1]
    assert faces.identities == ["a", "b"]
    assert np.array_equal(faces.crop(2), drawn(0))
    assert np.abs(faces.crop(3).astype(int) - drawn(120)).mean() < 8


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pictures"):
        ImageFolder(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        ImageFolder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("lines", "labels", "identities"),
    [
        ("a.png 0\nb c.png 1\n# note\n\na.png 0\n", [0, 1, 0], ["0", "1"]),
        ("1\ta.png\t7\n1\tb c.png\t9\n1\ta.png\t7\n", [0, 1, 0], ["7", "9"]),
        ("0\t3.000000\ta.png\n1\t1.0\tb c.png\n2\t0\ta.png\n", [3, 1, 0], ["0", "1", "2", "3"]),
        ("a.png Ada\nb c.png Bea\na.png Ada\n", [0, 1, 0], ["Ada", "Bea"]),
        ("a.png\nb c.png -1\na.png 0\n", [-1, -1, 0], ["0"]),
    ],
)
def test_lists(tmp_path: Path, lines: str, labels: list[int], identities: list[str]) -> None:
    write(tmp_path / "a.png", encode_png(drawn(10)))
    write(tmp_path / "b c.png", encode_png(drawn(20)))
    write(tmp_path / "faces.lst", lines.encode())
    faces = ImageList(tmp_path / "faces.lst")
    assert list(faces.names) == ["a.png", "b c.png", "a.png"]
    assert faces.labels.tolist() == labels
    assert faces.identities == identities
    assert faces.crop(1)[-1, -1].tolist() == [20, 0, 0]


def test_lists_name_the_line_or_file_that_is_wrong(tmp_path: Path) -> None:
    write(tmp_path / "faces.lst", b"a.png 0\nnonsense here\n")
    with pytest.raises(ValueError, match=r"faces\.lst: line 2 names no picture"):
        ImageList(tmp_path / "faces.lst")
    write(tmp_path / "faces.lst", b"gone.png 0\n")
    with pytest.raises(PictureError, match=r"gone\.png \(picture 1 of .*No such file"):
        ImageList(tmp_path / "faces.lst").crop(0)


def test_tars_with_tables(tmp_path: Path) -> None:
    names = ["fair_face/train/2.webp", "fair_face/val/7.webp", "fair_face/train/9.webp"]
    write_tar(
        tmp_path / "f.tar",
        {name: encode_webp(drawn(60 * n), 95) for n, name in enumerate(names)}
        | {"readme.txt": b"no"},
    )
    header = "file,age,gender,race,service_test\n"
    write(tmp_path / "t.csv", f"{header}train/2.jpg,03-Sep,Male,Black,TRUE\n".encode())
    write(tmp_path / "v.csv", f"{header}val/7.jpg,Oct-19,Female,White,FALSE\n".encode())
    faces = TarSet(tmp_path / "f.tar", labels_csv=[tmp_path / "t.csv", tmp_path / "v.csv"])
    assert list(faces.names) == names
    assert faces.groups["age"].tolist() == ["3-9", "10-19", ""]
    assert faces.groups["race"].tolist() == ["Black", "White", ""]
    assert faces.groups["part"].tolist() == ["train", "val", "train"]
    assert faces.labels.tolist() == [-1, -1, -1]
    assert faces.num_identities == 0
    assert abs(int(faces.crop(2)[100, 100, 0]) - 120) < 6
    train = TarSet(tmp_path / "f.tar", part="train", by_folder=True)
    assert list(train.names) == [names[0], names[2]]
    assert train.labels.tolist() == [0, 0]
    with pytest.raises(ValueError, match="holds no pictures of part 'test'"):
        TarSet(tmp_path / "f.tar", part="test")


def test_tables_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "f.tar", {"train/2.png": encode_png(drawn(1))})
    write(tmp_path / "t.csv", b"file,age\nother/2.jpg,3\n")
    with pytest.raises(ValueError, match="names none of the pictures"):
        TarSet(tmp_path / "f.tar", labels_csv=tmp_path / "t.csv")
    write(tmp_path / "t.csv", b"name,age\ntrain/2.jpg,3\n")
    with pytest.raises(ValueError, match="has no column 'file'"):
        TarSet(tmp_path / "f.tar", labels_csv=str(tmp_path / "t.csv"))


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.97])
def test_cut_tars_are_refused_or_used_as_far_as_they_go(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "f.tar"
    noise = np.random.default_rng(0).integers(0, 255, (4, 112, 112, 3), np.uint8)
    write_tar(path, {f"{n}.png": encode_png(noise[n]) for n in range(4)})
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"f\.tar: cut off"):
        TarSet(path)
    faces = TarSet(path, skip_broken=True)
    assert len(faces) == int(keep * 4)
    assert np.array_equal(faces.crop(0), noise[0])


def test_what_is_no_tar_is_said_to_be_none(tmp_path: Path) -> None:
    write(tmp_path / "f.tar", b"x" * 3000)
    with pytest.raises(ValueError, match="not an uncompressed tar"):
        TarSet(tmp_path / "f.tar")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a rubbish", "not_a_picture"),
        (encode_png(drawn(9))[:-20], "truncated"),
        (encode_jpeg(drawn(9))[:-20], "truncated"),
        (encode_webp(drawn(9), 80)[:-20], "truncated"),
        (encode_png(drawn(9, 150)), "wrong_size"),
    ],
)
def test_broken_pictures_are_named_or_left_out(tmp_path: Path, data: bytes, reason: str) -> None:
    write(tmp_path / "p/1.png", encode_png(drawn(1)))
    write(tmp_path / "p/2.png", data)
    write(tmp_path / "q/3.png", encode_png(drawn(3)))
    with pytest.raises(PictureError, match=r"p/2\.png: ") as caught:
        ImageFolder(tmp_path).crop(1)
    assert caught.value.reason == reason
    faces = ImageFolder(tmp_path, skip_broken=True)
    assert list(faces.names) == ["p/1.png", "q/3.png"]
    assert faces.labels.tolist() == [0, 1]
    assert faces.skipped == {reason: 1}
    assert faces.crop(1)[-1, -1, 0] == 3


def test_pictures_behind_padding_are_whole() -> None:
    decoded = decode_picture(encode_jpeg(drawn(200, 64)) + b"\0" * 99, "x.jpg")
    assert decoded.shape == (64, 64, 3)
