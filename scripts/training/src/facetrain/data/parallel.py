"""An ordered map over threads with a bounded number of results in flight.

Threads are enough: decoding happens in OpenCV, which lets go of the interpreter's lock.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD_PER_WORKER = 8


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int, *, ahead: int | None = None
) -> Iterator[R]:
    """Yield `function(item)` in the order of `items`.

    Args:
        workers: Threads; 0 works in the caller's thread when it asks for the next result.
        ahead: Results worked on in advance; None takes eight per worker.
    """
    if workers == 0:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    limit = workers * AHEAD_PER_WORKER if ahead is None else ahead
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > limit:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # The caller stopped early, or an item failed: what has not begun is not needed.
            for future in waiting:
                future.cancel()
