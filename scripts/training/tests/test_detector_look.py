"""The second look, on a detector whose error is known."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from detector_toy import Blob, blob_picture

from facetrain.cli import main
from facetrain.detector import views
from facetrain.detector.decode import Faces, faces_of
from facetrain.detector.distil import Target
from facetrain.detector.evaluate import EvaluateOptions, compare_picture
from facetrain.detector.look import FACE_PX, SIDE_PX, look_again, view_of
from facetrain.detector.shards import Shard, ShardOptions, load_shard, save_shard


def first_look(detector: Blob, picture: np.ndarray) -> Faces:
    return faces_of(detector.dense(picture[None])[0], *picture.shape[:2])


@pytest.mark.parametrize(("x", "y", "side"), [(100, 80, 60), (2, 3, 45), (150, 40, 160)])
def test_the_error_of_one_look_is_undone_by_the_mirrored_one(x: int, y: int, side: int) -> None:
    picture = blob_picture(x, y, side)
    truth = first_look(Blob(), picture)
    first = first_look(Blob(0.1), picture)
    assert np.abs(first.landmark_F52 - truth.landmark_F52).max() == pytest.approx(0.1 * side)
    both = look_again(Blob(0.1), picture, first, score_min=0.5)
    # Scaling moves the square's edge by a pixel of the view at most.
    assert np.abs(both.landmark_F52 - truth.landmark_F52).max() < 1.5 * max(1, side / FACE_PX)
    assert (both.box_F4 == first.box_F4).all()


def test_what_the_second_look_does_not_find_stays() -> None:
    picture = blob_picture(100, 80, 60)
    first = first_look(Blob(0.1), picture)
    for by in (np.array([0, 100, 0, 0]), np.array([1000, 0, 0, 0])):
        elsewhere = Faces(first.box_F4 + by, first.landmark_F52, first.score_F)
        both = look_again(Blob(), picture, elsewhere, score_min=0.5)
        assert both.landmark_F52.tolist() == elsewhere.landmark_F52.tolist()


def test_a_view_is_a_black_square_with_the_face_at_one_size_and_comes_back() -> None:
    picture = blob_picture(100, 80, 60)
    view = view_of(picture, np.array([100, 80, 60, 60], float))
    assert view is not None
    assert view.picture_HWC.shape == (SIDE_PX, SIDE_PX, 3)
    seen = first_look(Blob(), view.picture_HWC)
    assert seen.box_F4[0, 2] == pytest.approx(FACE_PX, abs=2)
    back = view.back(seen)
    assert back.box_F4[0] == pytest.approx(first_look(Blob(), picture).box_F4[0], abs=1)
    # A small face is not magnified more than twice.
    tiny = view_of(picture, np.array([100, 80, 10, 10], float))
    assert tiny is not None
    assert tiny.step_2.tolist() == [0.5, 0.5]


def test_evaluation_measures_both_looks() -> None:
    picture = blob_picture(100, 80, 60, width=320, height=256)
    once = EvaluateOptions(landmarks="blended", longer_side_px=320, time_runs=1)
    one = compare_picture(Blob(0.05), Blob(), picture, once)
    two = compare_picture(Blob(0.05), Blob(), picture, replace(once, landmarks="two-looks"))
    assert one.landmark_F[0] > 0.08
    assert two.landmark_F[0] < 0.03


def canvas(faces: Faces, picture: np.ndarray) -> Shard:
    cells_of = np.zeros((picture.shape[0] * picture.shape[1] // 64 * 21 // 16, 2), np.float32)
    _, jpeg = cv2.imencode(".png", picture)
    return Shard([jpeg], [Target(cells_of, np.full(len(cells_of), -1, np.int16), faces)])


def test_views_to_train_on_show_the_face_where_they_say() -> None:
    picture = blob_picture(100, 80, 120, width=320, height=320)
    shard = canvas(first_look(Blob(), picture), picture)
    turned = set()
    for seed in range(8):
        ((jpeg, target),) = views.views_of(shard, Blob(), np.random.default_rng(seed))
        shown = first_look(Blob(), views.decode_jpeg(jpeg))
        assert target.faces.landmark_F52[0] == pytest.approx(shown.landmark_F52[0], abs=2)
        assert (target.owner_N == 0).sum() == 1
        # The red marker tells right from left.
        turned.add(
            bool(target.faces.landmark_F52[0, 2, 0] < target.faces.box_F4[0, :3:2] @ [1, 0.5])
        )
    assert turned == {True, False}


def test_turned_faces_give_more_views_small_and_doubtful_ones_none() -> None:
    picture = blob_picture(100, 80, 120, width=320, height=320)
    face = first_look(Blob(), picture)

    def count(faces: Faces) -> int:
        rng = np.random.default_rng(1)
        return len(list(views.views_of(canvas(faces, picture), Blob(), rng)))

    for eyes, wanted in ((0.4, 1), (0.28, 3), (0.2, 4)):
        points = face.landmark_F52.copy()
        points[0, 1] = points[0, 0] + [eyes * 120, 0]
        assert count(Faces(face.box_F4, points, face.score_F)) == wanted
    small = face.box_F4 * np.array([1, 1, 0.4, 0.4])
    assert count(Faces(small, face.landmark_F52, face.score_F)) == 0
    assert count(Faces(face.box_F4, face.landmark_F52, face.score_F * 0.5)) == 0


def test_the_command_makes_a_shard_of_views_per_shard_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = blob_picture(100, 80, 120, width=320, height=320)
    (tmp_path / "data").mkdir()
    (tmp_path / "canvases").mkdir()
    for number in range(2):
        file = tmp_path / f"canvases/shard_{number:05}.npz"
        save_shard(file, canvas(first_look(Blob(), picture), picture), ShardOptions(canvases=1))
    monkeypatch.setattr(views, "_teacher", lambda _: Blob())
    arguments = ["--canvases", str(tmp_path / "canvases"), "--out", str(tmp_path / "views")]
    assert main(["detector", "views", *arguments, "--shared", str(tmp_path)]) == 0
    assert "2 shards made, 2 there" in capsys.readouterr().out
    assert load_shard(tmp_path / "views/shard_00001.npz").picture(0).shape == (160, 160, 3)
    (tmp_path / "views/shard_00000.npz").unlink()
    assert main(["detector", "views", *arguments, "--shared", str(tmp_path)]) == 0
    assert "1 shards made, 2 there" in capsys.readouterr().out
    nothing = canvas(Faces.none(), picture)
    save_shard(tmp_path / "canvases/shard_00002.npz", nothing, ShardOptions(canvases=1))
    assert main(["detector", "views", *arguments, "--shared", str(tmp_path)]) == 2
    assert "no face of 60 px" in capsys.readouterr().err
