"""How far a run is, by its steps or by its time."""

import pytest

from facetrain.engine.course import Course
from facetrain.engine.distributed import World


class Clock:
    """Says what it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_by_steps() -> None:
    course = Course(8, None, world=World(), clock=Clock())
    assert [course.share(step) for step in (0, 4, 8)] == [0.0, 0.5, 1.0]
    assert course.position(0.5, 4) == 4
    assert course.elapsed_s == 0


def test_by_time_over_all_parts_whatever_the_steps() -> None:
    clock = Clock()
    course = Course(1000, 2.0, world=World(), elapsed_s=30.0, clock=clock)
    assert course.share(7) == pytest.approx(0.25)
    clock.now += 30
    assert course.share(7) == pytest.approx(0.5)
    assert course.position(0.5, 7) == 500
    assert course.elapsed_s == pytest.approx(60)
    clock.now += 3600
    assert course.share(8) == 1.0
