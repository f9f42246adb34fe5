import math

import pytest

from facetrain.config import ScheduleOptions
from facetrain.engine.schedule import (
    build_schedule,
    cosine,
    multi_step,
    polynomial,
    with_warmup,
)


def test_cosine_falls_from_one_to_its_floor() -> None:
    factor = cosine(100, floor=0.04)
    assert factor(0) == 1.0
    assert factor(50) == pytest.approx(0.52)
    assert factor(100) == pytest.approx(0.04)
    assert factor(1000) == pytest.approx(0.04)


def test_cosine_from_0_1_to_0_004_as_in_pocketnets_search() -> None:
    factor = cosine(50, floor=0.004 / 0.1)
    assert 0.1 * factor(25) == pytest.approx(0.004 + 0.096 / 2 * (1 + math.cos(math.pi / 2)))


def test_multi_step_drops_at_the_milestone_itself() -> None:
    factor = multi_step([7, 13], gamma=0.1)
    assert [factor(s) for s in (6, 7, 12, 13)] == pytest.approx([1.0, 0.1, 0.1, 0.01])


def test_polynomial() -> None:
    factor = polynomial(10, power=2.0)
    assert [factor(s) for s in (0, 5, 10)] == pytest.approx([1.0, 0.25, 0.0])


def test_warmup_rises_to_the_schedule_and_leaves_milestones_where_they_are() -> None:
    factor = with_warmup(multi_step([6]), 4)
    assert [factor(s) for s in range(7)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.1])


def test_published_schedule_of_pocketnet() -> None:
    options = ScheduleOptions(kind="multi_step", milestones=(7, 13, 19, 24))
    factor = build_schedule(options, steps_per_epoch=11_372, total_steps=295_672)
    assert factor(7 * 11_372 - 1) == 1.0
    assert factor(7 * 11_372) == pytest.approx(0.1)
    assert factor(295_671) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    "make", [lambda: multi_step([3, 2]), lambda: cosine(0), lambda: with_warmup(cosine(5), -1)]
)
def test_refuses(make) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
