"""Properties over many drawn label sets, and a few cases by hand."""

import numpy as np
import pytest

from facetrain.data.split import by_group, by_identity, stratified_halves

SEEDS = range(40)


def drawn(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, rng.integers(4, 60), size=rng.integers(30, 300)) * 3
    labels[rng.random(len(labels)) < 0.1] = -1
    return labels


def identities(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels >= 0])) + int((labels < 0).sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_no_identity_is_in_two_parts(seed: int) -> None:
    labels = drawn(seed)
    parts = by_identity(labels, [0.6, 0.3, 0.1], seed)
    people = [set(labels[part]) - {-1} for part in parts]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    everything = np.sort(np.concatenate(parts))
    assert everything.tolist() == list(range(len(labels)))
    for part, share in zip(parts, (0.6, 0.3, 0.1), strict=True):
        assert abs(identities(labels[part]) - share * identities(labels)) <= 1
        assert np.all(np.diff(part) > 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_halves_are_disjoint_and_hold_every_identity_alike(seed: int) -> None:
    labels = drawn(seed)
    first, second = stratified_halves(labels, seed)
    assert np.sort(np.concatenate([first, second])).tolist() == list(range(len(labels)))
    assert len(first) - len(second) in (0, 1)
    for label in np.unique(labels):
        assert abs(int((labels[first] == label).sum() - (labels[second] == label).sum())) <= 1


def test_the_seed_decides() -> None:
    labels = drawn(1)
    for split in (
        lambda seed: by_identity(labels, [0.5, 0.5], seed)[0],
        lambda seed: stratified_halves(labels, seed)[0],
    ):
        assert np.array_equal(split(3), split(3))
        assert not np.array_equal(split(3), split(4))


def test_shares_may_leave_some_out_and_every_part_gets_one() -> None:
    labels = np.arange(10)
    (half,) = by_identity(labels, [0.5], 0)
    assert len(half) == 5
    parts = by_identity(np.arange(3), [0.98, 0.01, 0.01], 0)
    assert [len(part) for part in parts] == [1, 1, 1]


@pytest.mark.parametrize("fractions", [[], [0.5, 0.6], [1.0, 0.0], [-0.1, 0.5]])
def test_impossible_shares_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="adding up to at most 1"):
        by_identity(np.arange(9), fractions, 0)


def test_too_few_identities_are_refused() -> None:
    with pytest.raises(ValueError, match="2 identities cannot be dealt out to 3 parts"):
        by_identity(np.array([0, 0, 5]), [0.4, 0.3, 0.3], 0)


def test_groups() -> None:
    groups = {"race": np.array(["b", "", "a", "b"])}
    assert {k: v.tolist() for k, v in by_group(groups, "race").items()} == {"a": [2], "b": [0, 3]}
    with pytest.raises(ValueError, match="no group column 'age'; there are race"):
        by_group(groups, "age")
