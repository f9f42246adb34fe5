import csv
import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from facetrain.cli import main
from facetrain.data.align import ARCFACE_112
from facetrain.data.detect import Face
from facetrain.data.drop_like import drop_like
from facetrain.data.make_crops import CropOptions, make_crops, write_crops
from facetrain.data.packed import PackedFaces, WebpFaces
from facetrain.data.pictures import encode_png, encode_webp
from facetrain.data.sources import Pictures, open_faces


def tinted(level: int, size: int = 112) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    return path


def two_sources(folder: Path) -> list[str]:
    pictures = {f"set/train/{n}.webp": encode_webp(tinted(10 * n), 90) for n in range(3)}
    write_tar(folder / "a.tar", pictures | {"set/val/9.webp": encode_webp(tinted(90), 90)})
    (folder / "labels.csv").write_text("file,race\ntrain/1.jpg,Black\n")
    (folder / "b/ada").mkdir(parents=True)
    (folder / "b/ada/1.png").write_bytes(encode_png(tinted(200)))
    (folder / "b/ada/2.png").write_bytes(encode_png(tinted(210))[:-30])
    sources = [f"a={folder / 'a.tar'}", f"b={folder / 'b'}"]
    return ["data", "pack", *sources, "--part", "a=train", "--labels", f"a={folder / 'labels.csv'}"]


@pytest.mark.parametrize("form", ["pixels", "webp"])
def test_pack_joins_sources_with_their_columns(tmp_path: Path, form: str) -> None:
    out = tmp_path / "all.pack"
    assert main([*two_sources(tmp_path), "--form", form, "--skip-broken", "--out", str(out)]) == 0
    faces = PackedFaces.load(out)
    assert list(faces.names) == [*(f"a/set/train/{n}.webp" for n in range(3)), "b/ada/1.png"]
    assert faces.labels.tolist() == [-1, -1, -1, 0]
    assert faces.groups["source"].tolist() == ["a", "a", "a", "b"]
    assert faces.groups["race"].tolist() == ["", "Black", "", ""]
    assert abs(int(faces.crop(2)[0, 0, 0]) - 20) <= 2
    assert isinstance(open_faces(out), WebpFaces if form == "webp" else PackedFaces)


def test_pack_stops_at_broken_pictures_and_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all.pack"
    assert main([*two_sources(tmp_path), "--out", str(out)]) == 2
    assert "b/ada/2.png: cut off" in capsys.readouterr().err
    assert not out.exists()


def test_pack_leaves_out_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a/set/train/1.webp\nb/ada/2.png\n")
    out = tmp_path / "all.pack"
    arguments = [*two_sources(tmp_path), "--without", str(tmp_path / "names.txt")]
    assert main([*arguments, "--out", str(out)]) == 0
    assert len(PackedFaces.load(out)) == 3


def test_mistakes_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x.pack")
    assert main(["data", "pack", "nonsense", "--out", out]) == 2
    assert "'nonsense': write NAME=PATH" in capsys.readouterr().err
    assert main(["data", "pack", f"a={tmp_path / 'gone'}", "--out", out]) == 2
    assert "gone: no folder" in capsys.readouterr().err
    assert main([*two_sources(tmp_path), "--part", "c=train", "--out", out]) == 2
    assert "'c' is no source; there are a, b" in capsys.readouterr().err


def test_info_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.pack"
    main([*two_sources(tmp_path), "--skip-broken", "--out", str(out)])
    capsys.readouterr()
    assert main(["data", "info", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pictures"], said["unlabelled"], said["identities"]) == (4, 3, 1)
    assert said["groups"]["source"] == {"a": 3, "b": 1}
    assert said["blackShare"] == 0.25
    assert main(["data", "info", str(out)]) == 0
    assert "4 pictures, 3 of them unlabelled" in capsys.readouterr().out


def test_preview_writes_a_sheet(tmp_path: Path) -> None:
    PackedFaces.of(
        open_faces(write_tar(tmp_path / "a.tar", {"1.png": encode_png(tinted(9))}))
    ).save(tmp_path / "a.pack")
    for show in ("operations", "label_free", "full", "light"):
        out = tmp_path / f"{show}.png"
        assert (
            main(["data", "preview", str(tmp_path / "a.pack"), "--show", show, "--out", str(out)])
            == 0
        )
        assert out.read_bytes().startswith(b"\x89PNG")


def level(crop_BCHW: Tensor) -> Tensor:
    """A made-up embedding: the grey level as an angle."""
    angle = crop_BCHW.float().mean(dim=(1, 2, 3)) / 100
    return 7 * torch.stack([angle.cos(), angle.sin()], dim=1)


def test_who_is_in_another_set_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    def faces(levels: list[int]) -> PackedFaces:
        crops = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None]
        return PackedFaces(
            crops.expand(-1, 3, 112, 112).contiguous(),
            labels=np.zeros(len(levels)),
            num_identities=1,
        )

    with caplog.at_level("INFO"):
        likeness = drop_like(faces([0, 60, 120, 250]), faces([55, 240]), level, threshold=0.9)
    assert likeness.kept.tolist() == [0, 2]
    assert likeness.dropped.tolist() == [1, 3]
    assert likeness.nearest_N.tolist() == [0, 0, 0, 1]
    assert likeness.cosine_N[3] == pytest.approx(np.cos(0.1), abs=1e-6)
    assert "2 of 4 pictures dropped: cosine above 0.90 to one of 2 others" in caplog.text
    with pytest.raises(ValueError, match="threshold is 2"):
        drop_like(faces([0]), faces([1]), level, threshold=2)


class FaceInTheMiddle:
    """Finds one face in pictures that are bright, two where they are very bright."""

    def detect(self, picture_HWC: np.ndarray) -> list[Face]:
        height, width = picture_HWC.shape[:2]
        count = int(picture_HWC.mean() > 100) + int(picture_HWC.mean() > 200)
        middle = np.array([width / 2 - 56, height / 2 - 72])
        faces = []
        for n in range(count):
            landmarks = ARCFACE_112 + middle - [0, 30 * n]
            x, y = landmarks.min(axis=0) - 20
            faces.append(Face((float(x), float(y), 80.0, 90.0), landmarks, 0.9 - 0.1 * n))
        return faces


def pictures_of(folder: Path) -> Pictures:
    members = {
        "s1/bright.png": encode_png(tinted(150, 160)),
        "s1/glaring.png": encode_png(tinted(250, 160)),
        "s2/dark.png": encode_png(tinted(5, 160)),
        "s2/cut.png": encode_png(tinted(150, 160))[:-20],
    }
    return Pictures(write_tar(folder / "p.tar", members))


def test_crops_name_what_gave_none(tmp_path: Path) -> None:
    options = CropOptions(by_folder=True)
    cropped = make_crops(pictures_of(tmp_path), FaceInTheMiddle(), options)
    assert list(cropped.faces.names) == ["s1/bright.png", "s1/glaring.png"]
    assert cropped.faces.labels.tolist() == [0, 0]
    assert cropped.dropped == {"s2/dark.png": "no_face", "s2/cut.png": "truncated"}
    write_crops(cropped, tmp_path / "out")
    assert np.array_equal(open_faces(tmp_path / "out").crop(0), cropped.faces.crop(0))
    with (tmp_path / "out/dropped.csv").open() as file:
        assert list(csv.reader(file))[1] == ["s2/dark.png", "no_face"]
    write_crops(cropped, tmp_path / "out.pack")
    assert len(PackedFaces.load(tmp_path / "out.pack")) == 2
    assert (tmp_path / "out.dropped.csv").exists()


def test_all_faces_on_request_but_none_too_small(tmp_path: Path) -> None:
    pictures, detector = pictures_of(tmp_path), FaceInTheMiddle()
    options = CropOptions(which="all", workers=2)
    cropped = make_crops(pictures, detector, options)
    assert list(cropped.faces.names) == ["s1/bright.png", "s1/glaring.png", "s1/glaring.png#1"]
    write_crops(cropped, tmp_path / "out")
    assert (tmp_path / "out/s1/glaring_f1.png").exists()
    with pytest.raises(ValueError, match=r"no picture gave a crop: .*'too_small': 2"):
        make_crops(pictures, detector, CropOptions(eye_distance_min_px=50))


def mean_colour_model(path: Path) -> Path:
    """An ONNX embedder: the mean of each channel."""
    pixels = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 112, 112])
    vector = helper.make_tensor_value_info("e", TensorProto.FLOAT, ["n", 3])
    pool = helper.make_node("GlobalAveragePool", ["x"], ["pooled"])
    flatten = helper.make_node("Flatten", ["pooled"], ["e"])
    graph = helper.make_graph([pool, flatten], "mean_colour", [pixels], [vector])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def test_drop_like_writes_the_pack_without_them(tmp_path: Path) -> None:
    for name, colour in {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}.items():
        crop = np.full((112, 112, 3), colour, np.uint8)
        (tmp_path / f"train/{name}").mkdir(parents=True)
        (tmp_path / f"train/{name}/1.png").write_bytes(encode_png(crop))
    (tmp_path / "test").mkdir()
    orange = np.full((112, 112, 3), (230, 90, 20), np.uint8)
    (tmp_path / "test/orange.png").write_bytes(encode_png(orange))
    train, out = tmp_path / "train.pack", tmp_path / "clean.pack"
    pack = ["data", "pack", f"t={tmp_path / 'train'}", "--form", "webp", "--out", str(train)]
    assert main(pack) == 0
    model = mean_colour_model(tmp_path / "model.onnx")
    drop = ["data", "drop-like", str(train), "--others", str(tmp_path / "test")]
    options = ["--embedder", str(model), "--preset", "pocketnet", "--out", str(out)]
    assert main([*drop, *options, "--report", str(tmp_path / "dropped.csv")]) == 0
    faces = open_faces(out)
    assert list(faces.names) == ["t/blue/1.png", "t/green/1.png"]
    assert isinstance(faces, WebpFaces)
    rows = list(csv.reader((tmp_path / "dropped.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["picture", "t/red/1.png"]
    assert rows[1][2] == "orange.png"
