"""Comparison with a reference, on detectors whose answers are known."""

import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrain.cli import main
from facetrain.detector.evaluate import (
    EvaluateOptions,
    Seen,
    compare_picture,
    fitted,
    landmark_distance,
    open_pictures,
    summarise,
    write_report,
)
from facetrain.detector.export import export_onnx
from facetrain.detector.net import DetectorNet, NetOptions, cells

OPTIONS = EvaluateOptions(time_runs=1)
PICTURE = np.zeros((64, 64, 3), np.uint8)
UNSCALED = EvaluateOptions(time_runs=1, longer_side_px=64)


class Fixed:
    """A detector that always finds the same faces."""

    def __init__(self, *faces: tuple[float, float, float, float]) -> None:
        """Each face: centre x, y, score, and how far its landmarks are off to the right."""
        cell = cells(64, 64)
        self._dense = np.zeros((1, len(cell), 16), np.float32)
        for x, y, score, off in faces:
            at = int(y // 8) * 8 + int(x // 8)
            col, row = cell[at, :2].tolist()
            points = [(x - 4, y), (x + 4, y), (x, y + 4), (x - 3, y + 8), (x + 3, y + 8)]
            self._dense[0, at, :2] = score
            self._dense[0, at, 2:6] = [x / 8 - col, y / 8 - row, np.log(2), np.log(2)]
            self._dense[0, at, 6:] = [
                v for p, q in points for v in ((p + off) / 8 - col, q / 8 - row)
            ]

    def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
        return self._dense


def test_counts_found_missed_and_extra_faces() -> None:
    theirs = Fixed((12, 12, 0.9, 0), (44, 12, 0.85, 0), (12, 44, 0.6, 0))
    ours = Fixed((12, 12, 0.8, 0.8), (12, 44, 0.75, 0), (44, 44, 0.72, 0))
    seen = compare_picture(ours, theirs, PICTURE, UNSCALED)
    # The third is below the sure 0.8, yet above 0.5: neither missed nor extra.
    assert seen.found_score_F.tolist() == pytest.approx([0.8, 0])
    assert seen.extra_score_E.tolist() == pytest.approx([0.72])
    assert seen.height_F.tolist() == pytest.approx([16, 16])
    assert np.isnan(seen.landmark_F[1])


def test_without_reference_faces_every_box_is_extra() -> None:
    seen = compare_picture(Fixed((12, 12, 0.9, 0)), Fixed(), PICTURE, UNSCALED)
    assert len(seen.height_F) == 0
    assert seen.extra_score_E.tolist() == pytest.approx([0.9])


def test_landmarks_are_measured_in_eye_distances() -> None:
    target = np.array([[0, 0], [10, 0], [5, 5], [2, 9], [8, 9]], float)
    assert landmark_distance(target + np.array([0.5, 0]), target) == pytest.approx(0.05)


def test_rates_and_their_intervals() -> None:
    none = np.zeros(0)
    found = Seen(np.array([30.0]), np.array([0.9]), none, np.array([0.04]), np.array([0.08]))
    missed = Seen(
        np.array([300.0]), np.array([0.6]), np.array([0.9]), np.array([0.2]), np.array([0.1])
    )
    result = summarise([found] * 9 + [missed], OPTIONS)
    assert (result["pictures"], result["faces"]) == (10, 10)
    assert result["found"] == pytest.approx(0.9)
    assert result["extra_per_100"] == pytest.approx(10)
    low, high = result["found_interval"]
    assert 0.5 < low < 0.9 < high <= 1
    # Missed faces have no part in the landmarks.
    assert result["landmark"]["mean"] == pytest.approx(0.04)
    assert result["by_size"]["24 to 48 px"] == {
        "faces": 9,
        "found": 1.0,
        "landmark": {
            "mean": pytest.approx(0.04),
            "median": pytest.approx(0.04),
            "p95": pytest.approx(0.04),
        },
    }
    assert result["by_size"]["200 to inf px"]["found"] == 0
    assert result["by_threshold"]["0.6"]["found"] == 1


def test_a_picture_is_scaled_as_the_daemon_does() -> None:
    assert fitted(np.zeros((150, 150, 3), np.uint8), OPTIONS).shape == (320, 320, 3)
    assert fitted(np.zeros((720, 1280, 3), np.uint8), OPTIONS).shape == (384, 640, 3)
    assert fitted(np.zeros((720, 1280, 3), np.uint8), OPTIONS, 0.5).shape == (192, 320, 3)


def test_reads_folders_tars_and_single_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at in range(3):
        cv2.imwrite(str(folder / f"{at}.png"), np.full((8, 8, 3), [at, 50, 100], np.uint8))
    with tarfile.open(tmp_path / "pictures.tar", "w") as tar:
        tar.add(folder, "pictures")
    for source, expected in (
        (folder, [0, 1, 2]),
        (tmp_path / "pictures.tar", [0, 1, 2]),
        (folder / "1.png", [1]),
    ):
        pictures, count = open_pictures(source, None)
        # BGR: the first channel is the blue that was written.
        assert [int(p[0, 0, 0]) for p in pictures] == expected
        assert count == len(expected)
    assert open_pictures(folder, 2)[1] == 2
    with pytest.raises(ValueError, match="is no tar, folder"):
        open_pictures(tmp_path / "absent", None)


def test_the_command_compares_a_model_with_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = tmp_path / "detector.onnx"
    export_onnx(DetectorNet(NetOptions(width=0.125, depth=(0, 0, 0, 0))), model)
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8))
    out = tmp_path / "report"
    arguments = ["--model", str(model), "--reference", str(model), "--pictures", str(picture)]
    assert main(["detector", "evaluate", *arguments, "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["sources"]["picture.png"]["extra_per_100"] == 0
    assert report["time"]["ratio"] > 0
    assert "| picture.png | 1 |" in capsys.readouterr().out


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--shards", "1", "--out", str(tmp_path / "out"), "--shared", str(tmp_path)]
    assert main(["detector", "canvases", *arguments]) == 2
    assert "set OSTIARY_SHARED" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_markdown_says_none_where_there_is_no_face(tmp_path: Path) -> None:
    seen = compare_picture(Fixed(), Fixed(), PICTURE, UNSCALED)
    report = {
        "model": "a.onnx",
        "reference": "b.onnx",
        "options": {
            "threshold": 0.7,
            "sure_margin": 0.1,
            "none_margin": 0.2,
            "score_min": 0.7,
            "landmarks": "best",
            "longer_side_px": 640,
            "scales": [1.0],
            "time_size": [384, 640],
        },
        "time": {"ours_ms": 1.0, "reference_ms": 2.0, "ratio": 0.5},
        "sources": {"x": summarise([seen], OPTIONS)},
    }
    assert "| x | 1 | 0 | none" in write_report(report, tmp_path)


def test_labels_are_not_learnt_by_a_recipe_of_distillation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--labels", "l", "--pictures", "p", "--out", str(tmp_path), "--recipe", "bundled"]
    with pytest.raises(SystemExit):
        main(["detector", "labels", *arguments])
    assert "choose from" in capsys.readouterr().err
