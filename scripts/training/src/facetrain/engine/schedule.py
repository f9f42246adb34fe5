"""Learning rate as a pure function of the step: the factor on the optimiser's base rate.

Step 0 is the first. A warm-up rises linearly to 1 and is reached after ``warmup_steps`` steps; the
schedule proper runs from there to the last step.
"""

import math
from collections.abc import Callable, Sequence

from facetrain.config import ScheduleOptions

Schedule = Callable[[int], float]
"""Step → factor on the base learning rate."""


def build_schedule(options: ScheduleOptions, steps_per_epoch: int, total_steps: int) -> Schedule:
    """The schedule of a run, with epochs turned into steps."""
    match options.kind:
        case "constant":
            schedule = constant()
        case "cosine":
            schedule = cosine(total_steps, floor=options.floor)
        case "polynomial":
            schedule = polynomial(total_steps, power=options.power, floor=options.floor)
        case "multi_step":
            steps = [round(epoch * steps_per_epoch) for epoch in options.milestones]
            schedule = multi_step(steps, gamma=options.gamma)
    return with_warmup(schedule, round(options.warmup_epochs * steps_per_epoch))


def constant() -> Schedule:
    return lambda _step: 1.0


def cosine(total_steps: int, *, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 at step 0 to ``floor`` at ``total_steps``."""
    _check_total(total_steps)

    def factor(step: int) -> float:
        share = min(step / total_steps, 1.0)
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * share))

    return factor


def polynomial(total_steps: int, *, power: float = 2.0, floor: float = 0.0) -> Schedule:
    """(1 − share of steps done) to a power, down to ``floor`` at ``total_steps``."""
    _check_total(total_steps)

    def factor(step: int) -> float:
        return floor + (1.0 - floor) * (1.0 - min(step / total_steps, 1.0)) ** power

    return factor


def multi_step(milestones: Sequence[int], *, gamma: float = 0.1) -> Schedule:
    """A factor ``gamma`` at every milestone; the step of the milestone itself is already lower."""
    if list(milestones) != sorted(set(milestones)):
        raise ValueError(f"milestones are {list(milestones)}; they must increase")
    return lambda step: gamma ** sum(step >= milestone for milestone in milestones)


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """Rise linearly for ``warmup_steps`` steps, then follow ``schedule`` at its own step.

    The schedule keeps counting from the run's first step, so milestones do not move.
    """
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps is {warmup_steps}; it must be 0 or more")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps * schedule(warmup_steps)
        return schedule(step)

    return factor


def _check_total(total_steps: int) -> None:
    if total_steps < 1:
        raise ValueError(f"total_steps is {total_steps}; it must be 1 or more")
