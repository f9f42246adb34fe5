"""The second look, on a detector whose error is known."""

from dataclasses import replace

import numpy as np
import pytest
from detector_toy import Blob, blob_picture

from facetrain.detector.decode import Faces, faces_of
from facetrain.detector.evaluate import EvaluateOptions, compare_picture
from facetrain.detector.look import FACE_PX, SIDE_PX, look_again, view_of


def first_look(detector: Blob, picture: np.ndarray) -> Faces:
    return faces_of(detector.dense(picture[None])[0], *picture.shape[:2])


@pytest.mark.parametrize(("x", "y", "side"), [(100, 80, 60), (2, 3, 45), (150, 40, 160)])
def test_the_error_of_one_look_is_undone_by_the_mirrored_one(x: int, y: int, side: int) -> None:
    picture = blob_picture(x, y, side)
    truth = first_look(Blob(), picture)
    first = first_look(Blob(0.1), picture)
    assert np.abs(first.landmark_F52 - truth.landmark_F52).max() == pytest.approx(0.1 * side)
    both, is_found = look_again(Blob(0.1), picture, first, score_min=0.5)
    assert is_found.all()
    # Scaling moves the square's edge by a pixel of the view at most.
    assert np.abs(both.landmark_F52 - truth.landmark_F52).max() < 1.5 * max(1, side / FACE_PX)
    assert (both.box_F4 == first.box_F4).all()


def test_what_the_second_look_does_not_find_is_told() -> None:
    picture = blob_picture(100, 80, 60)
    first = first_look(Blob(0.1), picture)
    for by in (np.array([0, 100, 0, 0]), np.array([1000, 0, 0, 0])):
        elsewhere = Faces(first.box_F4 + by, first.landmark_F52, first.score_F)
        both, is_found = look_again(Blob(), picture, elsewhere, score_min=0.5)
        assert not is_found.any()
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


def test_evaluation_counts_only_what_both_looks_find() -> None:
    class Once(Blob):
        """Finds nothing in a view."""

        def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
            found = super().dense(picture_BHWC)
            return found * 0 if picture_BHWC.shape[1:3] == (SIDE_PX, SIDE_PX) else found

    picture = blob_picture(100, 80, 60)
    options = EvaluateOptions(landmarks="two-looks", longer_side_px=320, time_runs=1)
    seen = compare_picture(Once(), Blob(), picture, options)
    assert seen.found_score_F.tolist() == [0]
    assert len(compare_picture(Once(), Blob(), np.zeros_like(picture), options).extra_score_E) == 0
