"""Two pictures, one question: the LFW protocol and rates at fixed false accept rates.

The rules are those of the daemon's `src/match/verification.ts`, so that both give the same figures
for the same scores: a score strictly above the threshold means "same"; among equally good
thresholds the lowest, taken in the middle of its gap; a pair without a score is never accepted.

Huang et al., "Labeled Faces in the Wild", UMass Amherst 07-49, 2007, view 2.
"""

# P pairs, G genuine (same-person) pairs, I impostor (different-person) pairs, F folds.
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FAILED_SCORE = -2.0
"""Score of a pair of which a picture gave no embedding: below every cosine, as at a door."""

RULE_OF = 30
"""Below this many errors a rate is a guess (Doddington: ±30 % at 90 % confidence)."""


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Scores of labelled pairs.

    Attributes:
        score_P: Cosines, float64; NaN where a picture gave no embedding.
        same_P: True where both pictures show one person.
        fold_P: Fold of each pair, int64.
    """

    score_P: np.ndarray
    same_P: np.ndarray
    fold_P: np.ndarray

    def __post_init__(self) -> None:
        shapes = {self.score_P.shape, self.same_P.shape, self.fold_P.shape}
        if len(shapes) != 1 or self.score_P.ndim != 1:
            raise ValueError(f"score, same and fold must be vectors of one length, are {shapes}")

    @property
    def effective_P(self) -> np.ndarray:
        """Scores with failures to acquire as `FAILED_SCORE`."""
        return np.where(np.isnan(self.score_P), FAILED_SCORE, self.score_P)

    @property
    def genuine_G(self) -> np.ndarray:
        return self.effective_P[self.same_P]

    @property
    def impostor_I(self) -> np.ndarray:
        return self.effective_P[~self.same_P]


@dataclass(frozen=True, slots=True)
class TarAtFar:
    """Genuine pairs accepted at the lowest threshold that keeps false accepts within `far`.

    Attributes:
        threshold: A score strictly above it is accepted.
        impostors: Impostor pairs compared.
        supported: False where fewer than 30 / FAR impostor pairs were compared (rule of 30).
    """

    far: float
    tar: float
    threshold: float
    false_accepts: int
    impostors: int
    supported: bool


@dataclass(frozen=True, slots=True)
class Fold:
    fold: int
    threshold: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """Accuracies in [0, 1]; `std` is the population standard deviation over the folds."""

    same_pairs: int
    different_pairs: int
    failed_same: int
    failed_different: int
    mean: float
    std: float
    folds: tuple[Fold, ...]
    tar_at_far: tuple[TarAtFar, ...]


def best_threshold(score_P: np.ndarray, same_P: np.ndarray) -> float:
    """The threshold that classifies most pairs rightly; among equals the lowest, mid-gap.

    Returns:
        One below the lowest score when accepting everything is best; 0 − 1 for no pairs at all.
    """
    if len(score_P) == 0:
        return -1.0
    order = np.argsort(score_P, kind="stable")
    rising, same = score_P[order], same_P[order]
    # right[k]: pairs classified rightly when the k lowest scores are rejected.
    right = same.sum() + np.concatenate([[0], np.cumsum(np.where(same, -1, 1))])
    between = np.concatenate([[True], rising[1:] != rising[:-1], [True]])
    cut = int(np.argmax(np.where(between, right, -1)))
    if cut == 0:
        return float(rising[0] - 1)
    if cut == len(rising):
        return float(rising[-1])
    return float((rising[cut - 1] + rising[cut]) / 2)


def accuracy_at(score_P: np.ndarray, same_P: np.ndarray, threshold: float) -> float:
    """Share of pairs that a threshold classifies rightly; 0 for no pairs."""
    return float(np.mean((score_P > threshold) == same_P)) if len(score_P) else 0.0


def tar_at_far(genuine_G: np.ndarray, impostor_I: np.ndarray, far: float) -> TarAtFar:
    """True accept rate at a false accept rate; never interpolated.

    Raises:
        ValueError: `far` is not in [0, 1].
    """
    if not 0 <= far <= 1:
        raise ValueError(f"a false accept rate lies in [0, 1], is {far}")
    allowed = int(np.floor(far * len(impostor_I) + 1e-9))
    if allowed < len(impostor_I):
        # Only the place of one element is needed: partition instead of sorting millions.
        place = len(impostor_I) - 1 - allowed
        threshold = float(np.partition(impostor_I, place)[place])
    else:
        threshold = FAILED_SCORE
    return TarAtFar(
        far=far,
        tar=float(np.mean(genuine_G > threshold)) if len(genuine_G) else 0.0,
        threshold=threshold,
        false_accepts=int(np.count_nonzero(impostor_I > threshold)),
        impostors=len(impostor_I),
        supported=len(impostor_I) * far >= RULE_OF,
    )


def fold_thresholds(pairs: ScoredPairs) -> dict[int, float]:
    """For each fold the threshold that is best on all others (on itself where it is alone)."""
    score_P = pairs.effective_P
    thresholds = {}
    for fold in np.unique(pairs.fold_P):
        others = pairs.fold_P != fold
        if not others.any():
            others = ~others
        thresholds[int(fold)] = best_threshold(score_P[others], pairs.same_P[others])
    return thresholds


def verification_report(pairs: ScoredPairs, fars: Sequence[float]) -> VerificationReport:
    """The k-fold protocol: each fold is classified by the threshold that is best on the others."""
    score_P, failed_P = pairs.effective_P, np.isnan(pairs.score_P)
    folds = []
    for fold, threshold in fold_thresholds(pairs).items():
        inside = pairs.fold_P == fold
        accuracy = accuracy_at(score_P[inside], pairs.same_P[inside], threshold)
        folds.append(Fold(fold, threshold, accuracy))
    accuracies = np.array([fold.accuracy for fold in folds])
    return VerificationReport(
        same_pairs=int(pairs.same_P.sum()),
        different_pairs=int((~pairs.same_P).sum()),
        failed_same=int((failed_P & pairs.same_P).sum()),
        failed_different=int((failed_P & ~pairs.same_P).sum()),
        mean=float(accuracies.mean()) if len(folds) else 0.0,
        std=float(accuracies.std()) if len(folds) else 0.0,
        folds=tuple(folds),
        tar_at_far=tuple(tar_at_far(pairs.genuine_G, pairs.impostor_I, far) for far in fars),
    )
