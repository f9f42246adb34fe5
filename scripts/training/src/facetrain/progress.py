"""Progress bars on stderr with the time still to go; quiet lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TextIO, TypeVar

T = TypeVar("T")

REDRAW_S = 0.1
# A log file or a pipe gets a line now and then instead of a bar.
LINE_S = 15.0
BAR_WIDTH = 24


class ProgressBar:
    """A bar for ``total`` units of work; a counter where the total is not known.

    ``note`` is shown behind it. Nothing is shown for work that ends within the first redraw.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        *,
        start: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        enabled: bool = True,
    ) -> None:
        self._label = label
        self._total = total
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._enabled = enabled
        self._terminal = self._stream.isatty()
        self._start = self.done = start
        self._begun = self._drawn = clock()
        self._note = ""
        self._width = 0

    def advance(self, units: int = 1, note: str | None = None) -> None:
        self.done += units
        if note is not None:
            self._note = note
        if not self._enabled:
            return
        now = self._clock()
        if now - self._drawn >= (REDRAW_S if self._terminal else LINE_S):
            self._drawn = now
            self._draw(now)

    def close(self) -> None:
        """Draw the last state and end the line."""
        if not self._enabled or self._clock() - self._begun < REDRAW_S:
            return
        self._draw(self._clock())
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def line(self, now: float) -> str:
        """The text of the bar at the time ``now`` of the clock."""
        elapsed_s = max(now - self._begun, 1e-9)
        per_s = (self.done - self._start) / elapsed_s
        note = f"  {self._note}" if self._note else ""
        if self._total is None:
            return f"{self._label} {self.done}  {duration(elapsed_s)}  {per_s:.1f}/s{note}"
        share = min(self.done / self._total, 1.0) if self._total > 0 else 1.0
        filled = int(share * BAR_WIDTH)
        bar = "█" * filled + "·" * (BAR_WIDTH - filled)
        left = duration((self._total - self.done) / per_s) if per_s > 0 else "?"
        counts = f"{self.done}/{self._total}"
        times = f"{duration(elapsed_s)} < {left}"
        return f"{self._label} {bar} {share:4.0%} {counts}  {times}  {per_s:.1f}/s{note}"

    def _draw(self, now: float) -> None:
        text = self.line(now)
        if self._terminal:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def progress(
    items: Iterable[T], total: int | None, label: str, *, enabled: bool = True
) -> Iterator[T]:
    """Go through ``items`` under a bar; without a total it only counts."""
    with ProgressBar(label, total, enabled=enabled) as bar:
        for item in items:
            yield item
            bar.advance()


def duration(seconds: float) -> str:
    """``75`` → ``1:15``; ``3700`` → ``1:01:40``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
