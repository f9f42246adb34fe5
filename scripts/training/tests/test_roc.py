import numpy as np
import pytest

from facetrain.evaluate.roc import area_under_curve, det_curve, equal_error_rate


def test_det_by_hand() -> None:
    det = det_curve(np.array([0.4, 0.8]), np.array([0.2, 0.4, 0.6, 0.1]))
    assert det.threshold_T.tolist() == [-np.inf, 0.1, 0.2, 0.4, 0.6, 0.8]
    assert det.fmr_T.tolist() == [1, 0.75, 0.5, 0.25, 0, 0]
    assert det.fnmr_T.tolist() == [0, 0, 0, 0.5, 0.5, 1]


def test_equal_error_rate_by_hand() -> None:
    # Between (0.5, 0) and (0.25, 0.5) the line FMR = FNMR is crossed after two thirds: 1/3.
    assert equal_error_rate(np.array([0.4, 0.8]), np.array([0.2, 0.4, 0.6, 0.1])) == pytest.approx(
        1 / 3
    )
    assert equal_error_rate(np.array([0.9]), np.array([0.1])) == 0.0
    assert equal_error_rate(np.array([0.1]), np.array([0.9])) == 1.0


def test_equal_error_rate_of_two_normal_distributions() -> None:
    random = np.random.default_rng(1)
    rate = equal_error_rate(random.normal(2, 1, 40_000), random.normal(0, 1, 40_000))
    assert rate == pytest.approx(0.158655, abs=0.004)  # Φ(−1)


def test_area_counts_ties_half() -> None:
    assert area_under_curve(np.array([0.4, 0.8]), np.array([0.2, 0.4, 0.6, 0.1])) == 6.5 / 8


def test_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="there are 0 and 1"):
        det_curve(np.array([]), np.array([0.1]))
    with pytest.raises(ValueError, match="FAILED_SCORE"):
        det_curve(np.array([np.nan]), np.array([0.1]))
