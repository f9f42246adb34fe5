"""How alike different people are to a model: all cross pairs of a set, by group, as a score table.

The set is one of identities, or one picture per person (label −1, or pseudo-identities).
Where two pictures of "different people" are the same photograph (what is left of the aligned
crops, grey, 28×28, without slow changes of light, correlates from 0.9 on) the pair is left out and
counted: the rule of `src/match/cross-pairs.ts`.
"""

# N pictures, D embedding, G groups.
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from facetrain.export.score_table import RULE_OF, ScoreHistogram, ScoreTable, score_table
from facetrain.progress import ProgressBar

logger = logging.getLogger(__name__)

SAME_PHOTOGRAPH = 0.9
"""Correlation of details. Of 7 million pairs of FairFace val none of two people reaches 0.86."""
THUMB_PX = 28
_BLUR_PX = 5
_RIM_PX = 3
_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossPairs:
    """What is compared.

    Attributes:
        e_ND: Unit embeddings, float32; rows of NaN (failures to acquire) take no part.
        label_N: Identity; −1 marks a person of whom this is the only picture.
        thumb_NP: Grey thumbnails as `thumbnails` makes them, for near-duplicates.
        group_N: Group of each picture, str, "" where unknown; None: not by group.
    """

    e_ND: np.ndarray
    label_N: np.ndarray
    thumb_NP: np.ndarray
    group_N: np.ndarray | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.e_ND), len(self.label_N), len(self.thumb_NP)}
        if self.group_N is not None:
            lengths.add(len(self.group_N))
        if len(lengths) != 1:
            raise ValueError(
                f"embeddings, labels, thumbnails and groups differ in length: {lengths}"
            )


@dataclass(slots=True)
class CrossScores:
    """Attributes:
    impostor: Scores of different people.
    genuine: Scores of the same person.
    by_group: Group → impostor scores within it.
    near_duplicates: Pairs left out as two copies of one picture.
    """

    impostor: ScoreHistogram = field(default_factory=ScoreHistogram)
    genuine: ScoreHistogram = field(default_factory=ScoreHistogram)
    by_group: dict[str, ScoreHistogram] = field(default_factory=dict)
    near_duplicates: int = 0


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Attributes:
    fmr: Of the group at the threshold at which the whole set has `at_fmr`.
    supported: At least 30 matches make up the figure.
    """

    group: str
    pairs: int
    fmr: float
    at_fmr: float
    supported: bool
    table: ScoreTable | None


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Attributes:
    table: Of all pairs; what the pack carries unless a group is worse and asked for.
    groups: Sorted, the worst first.
    worst: Group of the highest FMR at the smallest supported FMR of the whole set.
    """

    table: ScoreTable
    genuine_pairs: int
    near_duplicates: int
    groups: tuple[GroupTable, ...]
    worst: str | None


def thumbnails(crops: list[np.ndarray]) -> np.ndarray:
    """Grey thumbnails (N, 784), uint8, of crops (112, 112, 3), uint8 RGB."""
    small = [
        cv2.resize(
            cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY),
            (THUMB_PX, THUMB_PX),
            interpolation=cv2.INTER_AREA,
        ).ravel()
        for crop in crops
    ]
    return np.stack(small) if small else np.zeros((0, THUMB_PX * THUMB_PX), dtype=np.uint8)


def cross_scores(pairs: CrossPairs, *, show_progress: bool = False) -> CrossScores:
    """Scores of all pairs of two pictures, by blocked matrix products into histograms."""
    good = ~np.isnan(pairs.e_ND).any(axis=1)
    e_ND = np.ascontiguousarray(pairs.e_ND[good], dtype=np.float32)
    label_N, detail_NP = pairs.label_N[good], details(pairs.thumb_NP[good])
    group_N = None if pairs.group_N is None else pairs.group_N[good]
    names = [] if group_N is None else sorted({str(name) for name in group_N} - {""})
    found = CrossScores(by_group={name: ScoreHistogram() for name in names})
    with ProgressBar("comparing", len(e_ND), enabled=show_progress) as bar:
        for rows, columns in _blocks(len(e_ND)):
            cos_RC = e_ND[rows] @ e_ND[columns].T
            # Each pair once: above the diagonal.
            wanted = np.arange(rows.start, rows.stop)[:, None] < np.arange(
                columns.start, columns.stop
            )
            same = (label_N[rows, None] == label_N[None, columns]) & (label_N[rows, None] >= 0)
            found.genuine.add(cos_RC[wanted & same])
            wanted &= ~same
            copies = wanted & is_same_photograph(detail_NP[rows], detail_NP[columns])
            found.near_duplicates += int(copies.sum())
            wanted &= ~copies
            found.impostor.add(cos_RC[wanted])
            if group_N is not None:
                _add_groups(found, cos_RC, wanted, group_N[rows], group_N[columns])
            bar.advance(rows.stop - rows.start if columns.stop == len(e_ND) else 0)
    return found


def calibration_report(scores: CrossScores) -> CalibrationReport:
    """Tables of all pairs and of each group.

    Raises:
        ValueError: There are too few pairs.
    """
    table = score_table(scores.impostor, scores.genuine)
    if table is None:
        raise ValueError(
            f"{scores.impostor.total} pairs of different people are too few for a score table; "
            "about 60 are the least, millions are useful"
        )
    last = table.points[-1]
    groups = []
    for name, histogram in scores.by_group.items():
        if histogram.total == 0:
            continue
        fmr = histogram.share_from(last.cosine)
        groups.append(
            GroupTable(
                group=name,
                pairs=histogram.total,
                fmr=fmr,
                at_fmr=last.fmr,
                supported=fmr * histogram.total >= RULE_OF,
                table=score_table(histogram, ScoreHistogram()),
            )
        )
    groups.sort(key=lambda entry: -entry.fmr)
    return CalibrationReport(
        table=table,
        genuine_pairs=scores.genuine.total,
        near_duplicates=scores.near_duplicates,
        groups=tuple(groups),
        worst=groups[0].group if groups else None,
    )


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
    for start in range(0, count, _ROWS):
        rows = slice(start, min(count, start + _ROWS))
        for left in range(start, count, 4 * _ROWS):
            yield rows, slice(left, min(count, left + 4 * _ROWS))


def details(thumb_NP: np.ndarray) -> np.ndarray:
    """Thumbnails (N, 784), uint8, less their slow changes, at length 1: (N, 484), float32.

    All zero where there is no detail.
    """
    inner = slice(_RIM_PX, THUMB_PX - _RIM_PX)
    rows = []
    for thumb_P in thumb_NP.astype(np.float32):
        thumb_HW = thumb_P.reshape(THUMB_PX, THUMB_PX)
        detail_HW = (thumb_HW - cv2.blur(thumb_HW, (_BLUR_PX, _BLUR_PX)))[inner, inner]
        rows.append((detail_HW - detail_HW.mean()).ravel())
    detail_NP = np.array(rows, np.float32).reshape(len(rows), (THUMB_PX - 2 * _RIM_PX) ** 2)
    length_N1 = np.linalg.norm(detail_NP, axis=1, keepdims=True)
    # Rounding alone leaves a little where every pixel is the same.
    return np.where(length_N1 > 1e-3, detail_NP / np.maximum(length_N1, 1e-3), 0)


def is_same_photograph(detail_RP: np.ndarray, detail_CP: np.ndarray) -> np.ndarray:
    """Whether details as `details` gives them are of one photograph, each with each: (R, C)."""
    return detail_RP @ detail_CP.T >= SAME_PHOTOGRAPH


def _add_groups(
    found: CrossScores,
    cos_RC: np.ndarray,
    wanted: np.ndarray,
    group_R: np.ndarray,
    group_C: np.ndarray,
) -> None:
    for name, histogram in found.by_group.items():
        rows, columns = group_R == name, group_C == name
        inside = np.ix_(rows, columns)
        kept = wanted[inside]
        histogram.add(cos_RC[inside][kept])
