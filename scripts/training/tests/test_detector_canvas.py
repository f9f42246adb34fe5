"""Canvases, and what they are composed of."""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from detector_toy import OPTIONS, SIDE, DrawnFaces, drawn_materials

from facetrain.detector.backgrounds import free_pictures, generated
from facetrain.detector.canvas import CanvasOptions, Materials, make_canvas, open_materials
from facetrain.detector.faces import border_of, open_pool, soft_mask


@pytest.fixture(scope="module")
def materials() -> Materials:
    return drawn_materials()


def test_a_canvas_depends_on_its_seed_alone(materials: Materials) -> None:
    options = OPTIONS.canvas
    first = make_canvas([1, 2], materials, options)
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, make_canvas([1, 2], materials, options))
    assert (first != make_canvas([1, 3], materials, options)).any()


def test_canvases_show_faces_and_some_show_none(materials: Materials) -> None:
    clean = {"side_px": 96, "degrade_amount": 0.0, "spoilt_share": 0.0}
    changed = []
    for empty_share in (0.0, 1.0):
        options = CanvasOptions(empty_share=empty_share, **clean)
        canvases = [make_canvas([7, i], materials, options) for i in range(12)]
        without = [
            make_canvas([7, i], materials, CanvasOptions(empty_share=1.0, **clean))
            for i in range(12)
        ]
        changed.append(sum(bool((a != b).any()) for a, b in zip(canvases, without, strict=True)))
    assert changed == [12, 0]


def test_refuses_sides_that_do_not_fit_the_strides() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        CanvasOptions(side_px=100)


@pytest.mark.parametrize("seed", range(8))
def test_generated_backgrounds_are_pictures(seed: int) -> None:
    picture = generated(np.random.default_rng(seed), 64)
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)


def test_free_pictures_are_colour_pictures() -> None:
    pictures = free_pictures()
    if not pictures:
        pytest.skip("SKIPPED: scikit-image is not installed; canvases do without its pictures")
    assert all(p.ndim == 3 and p.shape[2] == 3 and p.std() > 1 for p in pictures)


def test_black_borders_are_not_pasted() -> None:
    crop = np.full((112, 112, 3), 120, np.uint8)
    crop[:30] = 0
    crop[70:80, 50:60] = 0  # an open mouth, not border
    assert border_of(crop)[:30].all()
    assert not border_of(crop)[30:].any()
    for seed in range(5):
        mask = soft_mask(np.random.default_rng(seed), crop)
        assert mask[:29].max() < 0.15
        assert mask[75, 55] == pytest.approx(1, abs=0.01)
        assert max(mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.15


def write_tar(file: Path, names: list[str]) -> None:
    _, data = cv2.imencode(".png", DrawnFaces().crop(0))
    with tarfile.open(file, "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data.tobytes()))


def test_the_development_set_is_never_drawn(tmp_path: Path) -> None:
    names = ["fair_face/train/1.png", "fair_face/val/1.png", "fair_face/train/2.png"]
    write_tar(tmp_path / "fairface_aligned112.tar", names)
    write_tar(tmp_path / "faker_aligned112.tar", ["female/1.png"])
    pool = open_pool(tmp_path)
    drawn = [name for faces in pool.sets for name in faces.names]
    assert sorted(drawn) == ["fair_face/train/1.png", "fair_face/train/2.png", "female/1.png"]
    assert pool.shares.sum() == pytest.approx(1)
    assert pool.draw(np.random.default_rng(1)).shape == (112, 112, 3)


def test_a_folder_without_crops_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has none of fairface_aligned112\.tar"):
        open_pool(tmp_path)


def test_held_out_clips_are_no_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data/train").mkdir(parents=True)
    write_tar(tmp_path / "data/train/faker_aligned112.tar", ["female/1.png"])
    (tmp_path / "data/clips").mkdir()
    for name in ("classroom", "head-pose-face-detection-female", "people-detection"):
        (tmp_path / "data/clips" / f"{name}.gif").touch()
    opened: list[str] = []

    def read(clip: Path, _count: int) -> list[np.ndarray]:
        opened.append(clip.stem)
        return []

    monkeypatch.setattr("facetrain.detector.canvas.clip_frames", read)
    open_materials(tmp_path)
    assert opened == ["people-detection"]
