"""Open-set 1:N search: false positives among strangers, misses among the enrolled, by gallery size.

FPIR(t): share of searches for people who are not enrolled whose best candidate reaches t.
FNIR(t): share of searches for enrolled people whose first candidate is another or lies below t
(rank 1). Terms of ISO/IEC 19795-1. A score at or above the threshold counts, as in the daemon.
"""

# Q probes, N templates of the gallery, K identities of the gallery, D embedding.
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facetrain.evaluate.verification import RULE_OF

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Searches:
    """What searches gave.

    Attributes:
        best_Q: Best cosine over the gallery; NaN where the probe has no embedding.
        hit_Q: The best candidate is the probe's own identity.
        mated_Q: The probe's identity is enrolled.
    """

    best_Q: np.ndarray
    hit_Q: np.ndarray
    mated_Q: np.ndarray


@dataclass(frozen=True, slots=True)
class FnirAtFpir:
    """Miss rate at the lowest threshold that lets at most the share `fpir` of strangers through.

    Attributes:
        threshold: A score at or above it counts.
        supported: At least 30 / FPIR searches for strangers were made (rule of 30).
    """

    fpir: float
    fnir: float
    threshold: float
    false_positives: int
    strangers: int
    supported: bool


@dataclass(frozen=True, slots=True)
class GallerySize:
    """Attributes:
    identities: Enrolled people.
    rank_1: Share of searches for enrolled people whose first candidate is right, at any score.
    mated: Searches for enrolled people.
    """

    identities: int
    rank_1: float
    mated: int
    fnir_at_fpir: tuple[FnirAtFpir, ...]


def search(
    gallery_ND: np.ndarray, person_N: np.ndarray, probe_QD: np.ndarray, person_Q: np.ndarray
) -> Searches:
    """Exact cosine search; every template of a person counts, the best one stands for them.

    Args:
        gallery_ND: Unit embeddings, float32; rows of NaN (failures to enrol) are left out.
        person_N: Identity of each template.
        probe_QD: Unit embeddings, float32; NaN rows are searches that found nobody.
        person_Q: Identity of each probe.

    Raises:
        ValueError: The gallery is empty.
    """
    good = ~np.isnan(gallery_ND).any(axis=1)
    mated_Q = np.isin(person_Q, person_N)
    gallery_ND, person_N = gallery_ND[good], person_N[good]
    if len(gallery_ND) == 0:
        raise ValueError("the gallery holds no embedding")
    failed_Q = np.isnan(probe_QD).any(axis=1)
    best_Q = np.full(len(probe_QD), np.nan, dtype=np.float32)
    hit_Q = np.zeros(len(probe_QD), dtype=bool)
    for start in range(0, len(probe_QD), _BLOCK):
        block = slice(start, start + _BLOCK)
        cos_QN = np.nan_to_num(probe_QD[block]) @ gallery_ND.T
        first = cos_QN.argmax(axis=1)
        best_Q[block] = cos_QN[np.arange(len(first)), first]
        hit_Q[block] = person_N[first] == person_Q[block]
    best_Q[failed_Q] = np.nan
    return Searches(best_Q, hit_Q & ~failed_Q, mated_Q)


def fnir_at_fpir(searches: Searches, fpir: float) -> FnirAtFpir:
    """FNIR at the lowest threshold whose false positives stay within `fpir`.

    Failures to acquire are misses of the enrolled, and let no stranger through.

    Raises:
        ValueError: There are no searches of one of the kinds, or `fpir` is not in [0, 1].
    """
    if not 0 <= fpir <= 1:
        raise ValueError(f"a false positive identification rate lies in [0, 1], is {fpir}")
    best_Q = np.where(np.isnan(searches.best_Q), -2, searches.best_Q)
    strangers, mated = best_Q[~searches.mated_Q], searches.mated_Q
    if len(strangers) == 0 or not mated.any():
        raise ValueError(
            "an open-set figure needs probes of enrolled people and of strangers: "
            f"there are {int(mated.sum())} and {len(strangers)}"
        )
    allowed = int(np.floor(fpir * len(strangers) + 1e-9))
    falling = np.sort(strangers)[::-1]
    # At or above counts, so the threshold lies just above the first stranger that is one too many.
    threshold = (
        float(np.nextafter(falling[allowed], np.float32(2))) if allowed < len(falling) else -1.0
    )
    missed = ~(searches.hit_Q[mated] & (best_Q[mated] >= threshold))
    return FnirAtFpir(
        fpir=fpir,
        fnir=float(missed.mean()),
        threshold=threshold,
        false_positives=int((strangers >= threshold).sum()),
        strangers=len(strangers),
        supported=len(strangers) * fpir >= RULE_OF,
    )


def by_gallery_size(
    gallery_ND: np.ndarray,
    person_N: np.ndarray,
    probe_QD: np.ndarray,
    person_Q: np.ndarray,
    *,
    sizes: Sequence[int],
    fpirs: Sequence[float],
    seed: int = 0,
) -> list[GallerySize]:
    """The same probes against galleries of growing size; a smaller gallery is part of a larger one.

    People who are not drawn into a gallery are strangers to it.

    Raises:
        ValueError: A size exceeds the number of enrolled people.
    """
    people = np.unique(person_N)
    order = np.random.default_rng(seed).permutation(people)
    results = []
    for size in sorted(set(sizes)):
        if not 1 <= size <= len(people):
            raise ValueError(
                f"a gallery holds 1 to {len(people)} people here, {size} were asked for"
            )
        chosen = np.isin(person_N, order[:size])
        found = search(gallery_ND[chosen], person_N[chosen], probe_QD, person_Q)
        mated = found.mated_Q
        results.append(
            GallerySize(
                identities=size,
                rank_1=float(found.hit_Q[mated].mean()) if mated.any() else float("nan"),
                mated=int(mated.sum()),
                fnir_at_fpir=tuple(fnir_at_fpir(found, fpir) for fpir in fpirs),
            )
        )
    return results
