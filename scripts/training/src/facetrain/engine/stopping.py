"""Stopping early and cleanly: a time budget, or SIGTERM/SIGINT from whoever lent the machine."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Says why the run should end. A second signal of the same kind acts as it always did."""

    def __init__(
        self, max_minutes: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._max_minutes = max_minutes
        self._begun = clock()
        self._signal: str | None = None
        self._previous: dict[signal.Signals, object] = {}

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self._signal is not None:
            return f"received {self._signal}"
        limit = self._max_minutes
        if limit is not None and self._clock() - self._begun >= limit * 60:
            return f"the time budget of {limit:g} min is used up"
        return None

    def __enter__(self) -> Self:
        # Python delivers signals to the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._previous.clear()

    def _received(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        signal.signal(number, self._previous.pop(signal.Signals(number)))  # pyright: ignore[reportArgumentType]
