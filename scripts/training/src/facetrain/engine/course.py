"""How far a run is: by its steps, or by the time that it was given."""

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from facetrain.engine.distributed import World


@runtime_checkable
class FollowsCourse(Protocol):
    """A task that changes as its run goes on."""

    def on_share(self, share: float) -> None:
        """Called before every step with the share of the run that is done, in [0, 1)."""
        ...


class Course:
    """Where a run stands between its first step and its end.

    With a time of its own a run fits into what is left of a busy machine: however many steps it
    takes, its learning rate has come down at the end.
    """

    def __init__(
        self,
        total_steps: int,
        minutes: float | None,
        *,
        world: World,
        elapsed_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin, or go on.

        Args:
            total_steps: Steps of the run; with ``minutes``, what a schedule divides its shares by.
            minutes: The run's length over all its parts; None: its steps are.
            elapsed_s: What earlier parts took.
        """
        self.total_steps, self._minutes, self._world = total_steps, minutes, world
        self._clock, self._begun = clock, clock() - elapsed_s

    @property
    def elapsed_s(self) -> float:
        """What the run has taken; 0 where its steps count, so that it stays the same run."""
        return 0.0 if self._minutes is None else self._clock() - self._begun

    def share(self, step: int) -> float:
        """What is done of the run; 1 at its end. Every process must ask, and gets the same."""
        if self._minutes is None:
            return step / self.total_steps
        return min(self._world.largest(self.elapsed_s) / (60.0 * self._minutes), 1.0)

    def position(self, share: float, step: int) -> int:
        """The step that a schedule is asked for."""
        return step if self._minutes is None else int(share * self.total_steps)
