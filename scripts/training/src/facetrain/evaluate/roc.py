"""Error rates over all thresholds: DET points, equal error rate, area under the curve.

A score strictly above the threshold is accepted, as in `verification`.
"""

# G genuine scores, I impostor scores, T thresholds.
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Det:
    """Error rates by threshold, rising.

    Attributes:
        threshold_T: Every distinct score, and first one that accepts everything (−inf).
        fmr_T: Share of impostor scores above it, falling from 1 to 0.
        fnmr_T: Share of genuine scores at or below it, rising from 0 to 1.
    """

    threshold_T: np.ndarray
    fmr_T: np.ndarray
    fnmr_T: np.ndarray


def det_curve(genuine_G: np.ndarray, impostor_I: np.ndarray) -> Det:
    """Both error rates at every threshold that makes a difference.

    Raises:
        ValueError: One of the kinds has no scores, or a score is NaN.
    """
    if len(genuine_G) == 0 or len(impostor_I) == 0:
        raise ValueError(
            "error rates need genuine and impostor scores: "
            f"there are {len(genuine_G)} and {len(impostor_I)}"
        )
    if np.isnan(genuine_G).any() or np.isnan(impostor_I).any():
        raise ValueError("a score is NaN: replace failures to acquire by FAILED_SCORE")
    genuine, impostor = np.sort(genuine_G), np.sort(impostor_I)
    threshold_T = np.concatenate([[-np.inf], np.unique(np.concatenate([genuine, impostor]))])
    fmr_T = 1 - np.searchsorted(impostor, threshold_T, side="right") / len(impostor)
    fnmr_T = np.searchsorted(genuine, threshold_T, side="right") / len(genuine)
    return Det(threshold_T, fmr_T, fnmr_T)


def equal_error_rate(genuine_G: np.ndarray, impostor_I: np.ndarray) -> float:
    """Where both error rates meet, on the straight line between the thresholds around it."""
    det = det_curve(genuine_G, impostor_I)
    gap_T = det.fmr_T - det.fnmr_T
    above = int(np.argmax(gap_T <= 0))
    if gap_T[above] == 0 or above == 0:
        return float(det.fmr_T[above])
    share = gap_T[above - 1] / (gap_T[above - 1] - gap_T[above])
    return float(det.fmr_T[above - 1] + share * (det.fmr_T[above] - det.fmr_T[above - 1]))


def area_under_curve(genuine_G: np.ndarray, impostor_I: np.ndarray) -> float:
    """Chance that a genuine score exceeds an impostor score; ties count half (Mann-Whitney)."""
    if len(genuine_G) == 0 or len(impostor_I) == 0:
        raise ValueError("the area needs genuine and impostor scores")
    impostor = np.sort(impostor_I)
    below = np.searchsorted(impostor, genuine_G, side="left")
    upto = np.searchsorted(impostor, genuine_G, side="right")
    return float((below + upto).sum() / (2 * len(genuine_G) * len(impostor)))
