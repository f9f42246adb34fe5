"""Error rates by group of people: does one threshold serve everybody?

At one threshold for all, as a door has it: FMR within each group (both pictures of it, which is the
hard case) and FNMR of its people. Grother et al., "FRVT Part 3: Demographic Effects", NISTIR 8280,
2019, report the same two and their ratios.
"""

# P pairs.
from dataclasses import dataclass

import numpy as np

from facetrain.evaluate.verification import RULE_OF, ScoredPairs


@dataclass(frozen=True, slots=True)
class GroupRates:
    """Rates of one group; None where it has no such pairs.

    Attributes:
        fmr_supported: At least 30 false matches were seen, so that the rate is more than a guess.
    """

    group: str
    genuine: int
    impostors: int
    false_matches: int
    false_non_matches: int
    fmr: float | None
    fnmr: float | None
    fmr_supported: bool


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Attributes:
    threshold: A score strictly above it is a match.
    worst_fmr: Group of the highest FMR; None where no group has impostor pairs.
    worst_fnmr: Group of the highest FNMR.
    """

    threshold: float
    groups: tuple[GroupRates, ...]
    worst_fmr: str | None
    worst_fnmr: str | None


def group_report(
    pairs: ScoredPairs, first_P: np.ndarray, second_P: np.ndarray, threshold: float
) -> GroupReport:
    """Rates by group at one threshold.

    Args:
        pairs: Scored pairs.
        first_P: Group of each pair's first picture, str; "" where it is not known.
        second_P: Of its second. Pairs across groups count for none.
        threshold: A score strictly above it is a match.
    """
    accepted_P = pairs.effective_P > threshold
    rates = []
    for group in sorted({str(name) for name in np.unique(np.concatenate([first_P, second_P]))}):
        if group == "":
            continue
        inside_P = (first_P == group) & (second_P == group)
        genuine_P, impostor_P = inside_P & pairs.same_P, inside_P & ~pairs.same_P
        genuine, impostors = int(genuine_P.sum()), int(impostor_P.sum())
        wrong = int((accepted_P & impostor_P).sum())
        missed = int((~accepted_P & genuine_P).sum())
        rates.append(
            GroupRates(
                group=group,
                genuine=genuine,
                impostors=impostors,
                false_matches=wrong,
                false_non_matches=missed,
                fmr=wrong / impostors if impostors else None,
                fnmr=missed / genuine if genuine else None,
                fmr_supported=wrong >= RULE_OF,
            )
        )
    return GroupReport(
        threshold=threshold,
        groups=tuple(rates),
        worst_fmr=_worst(rates, "fmr"),
        worst_fnmr=_worst(rates, "fnmr"),
    )


def _worst(rates: list[GroupRates], rate: str) -> str | None:
    known = [entry for entry in rates if getattr(entry, rate) is not None]
    return max(known, key=lambda entry: getattr(entry, rate)).group if known else None
