"""Splits by identity, never by picture, the same for the same seed.

Unlabelled pictures (-1) are each an identity of their own.
"""

# N pictures.
from collections.abc import Mapping, Sequence

import numpy as np


def by_identity(
    labels: np.ndarray, fractions: Sequence[float], seed: int
) -> tuple[np.ndarray, ...]:
    """Deal out whole identities so that the parts hold about these shares of them.

    Args:
        labels: Identities (N,), int64; -1 marks pictures that belong to nobody else.
        fractions: One per part, positive, adding up to at most 1; what is left over is left out.

    Returns:
        Per part the indices of its pictures, ascending, int64. With n identities a part holds
        within one of `fraction * n`, and at least one where there are as many identities as parts.

    Raises:
        ValueError: Fractions out of range, or fewer identities than parts.
    """
    if not fractions or min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions are {list(fractions)}; positive, adding up to at most 1")
    identity_N = _identities(labels)
    count = int(identity_N.max(initial=-1)) + 1
    if count < len(fractions):
        raise ValueError(f"{count} identities cannot be dealt out to {len(fractions)} parts")
    edges = np.rint(np.cumsum(fractions) * count).astype(np.int64)
    # Every part gets one: push edges apart from the left, then from the right.
    for part in range(len(edges)):
        edges[part] = max(edges[part], part + 1)
    for part in reversed(range(len(edges))):
        edges[part] = min(edges[part], count - (len(edges) - 1 - part))
    order = np.random.default_rng([seed, 1]).permutation(count)
    part_of = np.full(count, -1)
    start = 0
    for part, end in enumerate(edges):
        part_of[order[start:end]] = part
        start = end
    part_N = part_of[identity_N]
    return tuple(np.flatnonzero(part_N == part) for part in range(len(fractions)))


def stratified_halves(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint halves in which every identity occurs alike: for search, weights and alphas.

    Each identity's pictures are dealt out evenly; of an odd number the one left over goes to
    either half in turn, so the halves differ by at most one picture. (PocketNet searches with 50 %
    for the weights and 50 % for the architecture, stratified.) Unlabelled pictures are halved
    together.

    Args:
        labels: Identities (N,), int64.

    Returns:
        Indices of the first and the second half, ascending, int64.
    """
    label_N = np.asarray(labels, dtype=np.int64)
    shuffled = np.random.default_rng([seed, 2]).permutation(len(label_N))
    grouped = shuffled[np.argsort(label_N[shuffled], kind="stable")]
    # Grouped by identity, every other picture: a run of n gives n/2 to each, the odd one in turn.
    return np.sort(grouped[0::2]), np.sort(grouped[1::2])


def by_group(groups: Mapping[str, np.ndarray], column: str) -> dict[str, np.ndarray]:
    """Indices per value of a group column, values in order; unknown ("") is left out.

    Raises:
        ValueError: There is no such column.
    """
    if column not in groups:
        raise ValueError(f"no group column {column!r}; there are {', '.join(groups) or 'none'}")
    values = np.asarray(groups[column])
    return {str(v): np.flatnonzero(values == v) for v in np.unique(values) if v != ""}


def _identities(labels: np.ndarray) -> np.ndarray:
    """Numbers (N,) from 0 without gaps; every unlabelled picture gets its own."""
    label_N = np.asarray(labels, dtype=np.int64)
    known = label_N >= 0
    identities, compact = np.unique(label_N[known], return_inverse=True)
    numbers = np.empty(len(label_N), dtype=np.int64)
    numbers[known] = compact
    numbers[~known] = len(identities) + np.arange(int((~known).sum()))
    return numbers
