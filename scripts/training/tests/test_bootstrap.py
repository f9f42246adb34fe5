import numpy as np
import pytest

from facetrain.evaluate.bootstrap import (
    BootstrapOptions,
    interval,
    pair_weights,
    weighted_area,
    weighted_equal_error_rate,
    weighted_share,
    weighted_tar_at_far,
)
from facetrain.evaluate.roc import area_under_curve, equal_error_rate
from facetrain.evaluate.verification import tar_at_far


def test_pairs_weigh_as_often_as_their_people_are_drawn() -> None:
    first, second = np.array(["a", "a", "b"]), np.array(["a", "b", "b"])
    for weights in pair_weights(first, second, BootstrapOptions(replicas=30)):
        a, across, b = weights
        assert a + b == 2  # two people, drawn twice
        assert across == a * b


def test_interval_is_as_wide_as_people_are_few() -> None:
    """100 pairs of each of 10 people who always or never match: 10 observations, not 1,000."""
    person = np.repeat(np.arange(10), 100)
    hit = person < 7
    everybody = np.ones(1000, dtype=bool)
    found = interval(weighted_share(hit, everybody), person, person, BootstrapOptions())
    assert found.identities == 10
    # Binomial with n = 10, p = 0.7: standard error 0.145; with n = 1000 it would be 0.014.
    assert found.low == pytest.approx(0.4, abs=0.11)
    assert found.high == pytest.approx(0.95, abs=0.06)


def test_a_seed_fixes_the_interval() -> None:
    person = np.repeat(np.arange(10), 10)
    random = np.random.default_rng(0)
    statistic = weighted_share(random.random(100) < 0.4, np.ones(100, dtype=bool))
    first, again = (interval(statistic, person, person, BootstrapOptions(seed=3)) for _ in range(2))
    assert first == again
    assert interval(statistic, person, person, BootstrapOptions(seed=4)) != first


def test_weighted_tar_with_equal_weights_is_tar_at_far() -> None:
    random = np.random.default_rng(2)
    same = random.random(400) < 0.5
    score = np.round(random.normal(0, 0.2, 400) + 0.3 * same, 2)
    for far in (0.0, 0.01, 0.1, 0.37, 1.0):
        expected = tar_at_far(score[same], score[~same], far).tar
        assert weighted_tar_at_far(score, same, far)(np.ones(400)) == expected


def test_weighted_area_and_equal_error_rate_are_those_of_repeated_pairs() -> None:
    random = np.random.default_rng(5)
    same = random.random(300) < 0.4
    score = np.round(random.normal(0, 0.2, 300) + 0.2 * same, 2)  # rounded: with ties
    for times in (np.ones(300, dtype=np.int64), random.integers(0, 4, 300)):
        again, same_again = np.repeat(score, times), np.repeat(same, times)
        genuine, impostor = again[same_again], again[~same_again]
        weights = times.astype(np.float64)
        area = weighted_area(score, same)(weights)
        assert area == pytest.approx(area_under_curve(genuine, impostor))
        rate = weighted_equal_error_rate(score, same)(weights)
        assert rate == pytest.approx(equal_error_rate(genuine, impostor))
    assert np.isnan(weighted_area(score, same)(np.where(same, 1.0, 0.0)))
    assert np.isnan(weighted_equal_error_rate(score, same)(np.where(same, 0.0, 1.0)))


def test_without_a_defined_draw_there_is_no_interval() -> None:
    person = np.array([0, 1])
    statistic = weighted_share(np.array([True, True]), np.array([False, False]))
    assert np.isnan(interval(statistic, person, person, BootstrapOptions(replicas=20)).low)


def test_options_state_their_range() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        BootstrapOptions(replicas=1)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        BootstrapOptions(confidence=95)
