"""Scores of different people → the false match rate by threshold that a pack carries.

The rules are those of the daemon's `src/match/score-table.ts`: bins of 1e-4, three targets per
decade, and no point below the FMR that thirty coincidences support.
"""

# S scores, N pictures, D embedding.
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

BIN = 1e-4
BINS = 20_001
RULE_OF = 30
_STEPS = (1, 0.5, 0.2)


class ScoreHistogram:
    """Counts of cosines by bins over [-1, 1]: billions of scores in 160 kB."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, dtype=np.int64)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def add(self, score_S: np.ndarray) -> None:
        """Counts scores; beyond [-1, 1] they count as its ends."""
        bins = bin_of(np.clip(score_S.astype(np.float64).ravel(), -1, 1))
        self.counts += np.bincount(bins, minlength=BINS)

    def share_from(self, cosine: float) -> float:
        """Share of scores in bins at or above the one of `cosine`; 0 of none."""
        return float(self.counts[int(bin_of(cosine)) :].sum() / self.total) if self.total else 0.0

    def threshold_for(self, share: float) -> tuple[float, float]:
        """The lowest bin at and above which at most `share` of the scores lie; that share."""
        above = np.concatenate([np.cumsum(self.counts[::-1])[::-1], [0]])
        lowest = int(np.argmax(above <= share * self.total))
        cosine = round(min(lowest, BINS - 1) * BIN - 1, 4)
        return cosine, float(above[lowest] / self.total) if self.total else 0.0


def bin_of(cosine: np.ndarray | float) -> np.ndarray:
    return np.floor((np.asarray(cosine) + 1) / BIN + 0.5).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Point:
    """A threshold with the share of different-person pairs at or above it, and of same-person
    pairs below it (None where there were no such pairs)."""

    cosine: float
    fmr: float
    fnmr: float | None


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Attributes:
    pairs: Different-person pairs compared.
    smallest_fmr: What the pairs support (rule of 30); nothing below it was measured.
    """

    pairs: int
    points: tuple[Point, ...]
    smallest_fmr: float

    def to_json(self, words: str) -> dict[str, Any]:
        """As pack.json's `calibration` has it; `words` says what it was measured on."""
        points = []
        for point in self.points:
            rates = {} if point.fnmr is None else {"fnmr": point.fnmr}
            points.append({"cosine": point.cosine, "fmr": point.fmr, **rates})
        return {"set": words, "pairs": self.pairs, "points": points}


def score_table(impostor: ScoreHistogram, genuine: ScoreHistogram) -> ScoreTable | None:
    """The table, or None where there are too few pairs for two points (about 60)."""
    if impostor.total == 0:
        return None
    floor = RULE_OF / impostor.total
    points: list[Point] = []
    for target in [*_target_rates(floor), floor]:
        cosine, share = impostor.threshold_for(target)
        last = points[-1] if points else None
        if share <= 0 or (last is not None and (cosine <= last.cosine or share >= last.fmr)):
            continue
        fnmr = None if genuine.total == 0 else 1 - genuine.share_from(cosine)
        points.append(Point(cosine, share, fnmr))
    return ScoreTable(impostor.total, tuple(points), floor) if len(points) > 1 else None


def extrapolated(table: ScoreTable, fmr: float, decades_max: float) -> tuple[float, str] | None:
    """Threshold for an FMR, and whether it was measured: "table" or "extrapolated".

    Straight lines in log FMR between the points; below the last one the line through the last two
    is followed by at most `decades_max` decades, as the daemon's `threshold.ts` does it. None
    beyond that, or where the line leaves the cosines.
    """
    points = table.points
    if fmr >= points[0].fmr:
        return points[0].cosine, "table"
    for lower, upper in pairwise(points):
        if upper.fmr <= fmr:
            return _on_line(lower, upper, fmr), "table"
    if not np.log10(points[-1].fmr / fmr) <= decades_max:
        return None
    found = _on_line(points[-2], points[-1], fmr)
    return (found, "extrapolated") if found <= 1 else None


def _on_line(lower: Point, upper: Point, fmr: float) -> float:
    share = np.log(lower.fmr / fmr) / np.log(lower.fmr / upper.fmr)
    return float(lower.cosine + share * (upper.cosine - lower.cosine))


def _target_rates(floor: float) -> list[float]:
    rates: list[float] = []
    decade = 0.5
    while decade > floor and len(rates) < 60:
        rates += [decade * step for step in _STEPS if decade * step > floor]
        decade /= 10
    return rates
