"""Pictures of a search are pictures of something."""

import struct
from pathlib import Path

import cv2
import pytest
import torch

from facetrain.models.genotype import PUBLISHED, load_genotype
from facetrain.search.plots import draw_alphas, draw_curves, draw_genotype


def check_picture(path: Path) -> None:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape[:2] == (height, width)
    assert min(width, height) > 300
    # Not one colour only.
    assert picture.std() > 5


@pytest.mark.parametrize("name", PUBLISHED)
def test_genotype(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "genotype.png"
    draw_genotype(load_genotype(name), path)
    check_picture(path)


def test_alphas(tmp_path: Path) -> None:
    path = tmp_path / "alphas.png"
    draw_alphas(torch.rand(14, 8), torch.rand(14, 8), path)
    check_picture(path)


def test_curves(tmp_path: Path) -> None:
    rows = [
        {"step": 1, "epoch": 0, "loss": 3.0, "top1": 0.1, "alpha_loss": 3.1},
        {"step": 2, "epoch": 0, "loss": 2.0, "top1": 0.2, "alpha_loss": 2.1},
        {"step": 2, "epoch": 1, "val_loss": 2.5, "val_top1": 0.2, "macs": 7_000_000},
    ]
    path = tmp_path / "curves.png"
    draw_curves(rows, path)
    check_picture(path)


def test_curves_of_a_search_that_has_logged_nothing(tmp_path: Path) -> None:
    draw_curves([], tmp_path / "curves.png")
    check_picture(tmp_path / "curves.png")
