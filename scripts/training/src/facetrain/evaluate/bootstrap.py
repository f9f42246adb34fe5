"""Confidence intervals that know that pairs share people.

Pairs of one person are not independent, so identities are drawn with replacement, not pairs: a
genuine pair counts as often as its person was drawn, an impostor pair as often as both together
(the vertex bootstrap of a graph whose vertices are people: Snijders & Borgatti 1999; the subsets
bootstrap of Bolle, Ratha & Pankanti 2004 for biometric error rates). Intervals are percentiles.
"""

# P pairs, G genuine pairs, I impostor pairs, R replicas.
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Statistic = Callable[[np.ndarray], float]
"""A figure from the weights (P,) of the pairs; NaN where a draw gives none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BootstrapOptions:
    replicas: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicas < 20:
            raise ValueError(f"replicas must be at least 20, is {self.replicas}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), is {self.confidence}")


@dataclass(frozen=True, slots=True)
class Interval:
    """Of a figure over the draws of identities; `identities` is how many there were to draw."""

    low: float
    high: float
    identities: int


def pair_weights(
    first_P: np.ndarray, second_P: np.ndarray, options: BootstrapOptions
) -> Iterator[np.ndarray]:
    """Weights (P,) of the pairs, one array per replica.

    Args:
        first_P: Identity of each pair's first picture: any hashable labels.
        second_P: Of its second; equal to the first for a genuine pair.
    """
    labels, index = np.unique(np.concatenate([first_P, second_P]), return_inverse=True)
    first, second = index[: len(first_P)], index[len(first_P) :]
    same = first == second
    random = np.random.default_rng(options.seed)
    for _ in range(options.replicas):
        drawn = random.integers(len(labels), size=len(labels))
        times = np.bincount(drawn, minlength=len(labels)).astype(np.float64)
        yield np.where(same, times[first], times[first] * times[second])


def interval(
    statistic: Statistic, first_P: np.ndarray, second_P: np.ndarray, options: BootstrapOptions
) -> Interval:
    """Percentile interval of a statistic of weighted pairs.

    Draws in which the statistic is undefined (NaN: no pair of a kind was drawn) are left out;
    where more than half are, so is the interval (NaN).
    """
    values = np.array([statistic(weights) for weights in pair_weights(first_P, second_P, options)])
    identities = len(np.unique(np.concatenate([first_P, second_P])))
    defined = values[~np.isnan(values)]
    if len(defined) < len(values) / 2:
        return Interval(float("nan"), float("nan"), identities)
    tail = 50 * (1 - options.confidence)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(float(low), float(high), identities)


def weighted_share(hit_P: np.ndarray, of_P: np.ndarray) -> Statistic:
    """Share of the pairs `of_P` that `hit_P` marks."""
    hits = hit_P & of_P

    def share(weights_P: np.ndarray) -> float:
        total = weights_P[of_P].sum()
        return float(weights_P[hits].sum() / total) if total > 0 else float("nan")

    return share


def weighted_tar_at_far(score_P: np.ndarray, same_P: np.ndarray, far: float) -> Statistic:
    """TAR at a FAR whose threshold is chosen anew in every draw."""
    falling = np.argsort(-score_P, kind="stable")
    impostor = falling[~same_P[falling]]
    genuine = np.flatnonzero(same_P)

    def tar(weights_P: np.ndarray) -> float:
        heavy = np.cumsum(weights_P[impostor])
        total = weights_P[genuine].sum()
        if len(heavy) == 0 or heavy[-1] == 0 or total == 0:
            return float("nan")
        # The first impostor that would exceed the allowance sets the threshold: strictly above it.
        place = int(np.searchsorted(heavy, far * heavy[-1] + 1e-9, side="right"))
        threshold = score_P[impostor[place]] if place < len(impostor) else -np.inf
        return float(weights_P[genuine][score_P[genuine] > threshold].sum() / total)

    return tar


def weighted_area(score_P: np.ndarray, same_P: np.ndarray) -> Statistic:
    """Area under the ROC: the weighted chance that a genuine score exceeds an impostor score."""
    _, rank_P = np.unique(score_P, return_inverse=True)
    ranks = int(rank_P.max(initial=-1)) + 1

    def area(weights_P: np.ndarray) -> float:
        genuine, impostor = _by_rank(weights_P, rank_P, same_P, ranks)
        total = genuine.sum() * impostor.sum()
        if total == 0:
            return float("nan")
        below = np.cumsum(impostor) - impostor
        return float((genuine * (below + impostor / 2)).sum() / total)

    return area


def weighted_equal_error_rate(score_P: np.ndarray, same_P: np.ndarray) -> Statistic:
    """Where both error rates meet, on the straight line between the thresholds around it."""
    _, rank_P = np.unique(score_P, return_inverse=True)
    ranks = int(rank_P.max(initial=-1)) + 1

    def rate(weights_P: np.ndarray) -> float:
        genuine, impostor = _by_rank(weights_P, rank_P, same_P, ranks)
        if genuine.sum() == 0 or impostor.sum() == 0:
            return float("nan")
        # First a threshold below every score, which accepts everything.
        fmr_T = np.concatenate([[1.0], 1 - np.cumsum(impostor) / impostor.sum()])
        fnmr_T = np.concatenate([[0.0], np.cumsum(genuine) / genuine.sum()])
        gap_T = fmr_T - fnmr_T
        above = int(np.argmax(gap_T <= 0))
        share = gap_T[above - 1] / (gap_T[above - 1] - gap_T[above])
        return float(fmr_T[above - 1] + share * (fmr_T[above] - fmr_T[above - 1]))

    return rate


def _by_rank(
    weights_P: np.ndarray, rank_P: np.ndarray, same_P: np.ndarray, ranks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the genuine and of the impostor pairs at each distinct score, rising."""
    genuine = np.bincount(rank_P[same_P], weights=weights_P[same_P], minlength=ranks)
    impostor = np.bincount(rank_P[~same_P], weights=weights_P[~same_P], minlength=ranks)
    return genuine, impostor
