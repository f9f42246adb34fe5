"""A search from beginning to end, or from where it was stopped.

    run_search(
        options: SearchOptions,        # toy_options() for one that a CPU can do
        *,
        weights_data: BatchSource,     # facetrain.data.batches.Batches over the weights' half
        alphas_data: BatchSource,      # the same over the alphas' half; no picture in both
        out: Path,
        objective: Objective,          # IdentityObjective(count) | TeacherObjective(teacher)
        augment: Augment | None = crop_and_flip,   # of the weights' half
        world: World | None = None,    # None: this process alone, on the CPU
        max_minutes: float | None = None,
        max_steps: int | None = None,  # stop, resumably, after so many steps of the whole search
    ) -> SearchOutcome

Writes into `out`: `genotype.json` (what `create_backbone(..., genotype=path)` takes), `last.pt`,
`metrics.jsonl`, and `curves.png`, `genotype.png`, `alphas.png` after every epoch.
"""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrain.engine.distributed import World
from facetrain.engine.metrics import MetricLog
from facetrain.engine.stopping import StopRequest
from facetrain.engine.task import BatchSource
from facetrain.models.genotype import Genotype
from facetrain.progress import ProgressBar
from facetrain.search.checkpoint import SearchState
from facetrain.search.objective import Objective
from facetrain.search.options import SearchOptions
from facetrain.search.searcher import Augment, Searcher
from facetrain.search.views import crop_and_flip

logger = logging.getLogger(__name__)

STOP_CHECK_STEPS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """The genotype of the alphas as they are at the end.

    `complete` unless it was stopped from outside; `reason` says why it ended before its last epoch.
    """

    genotype: Genotype
    step: int
    epoch: int
    complete: bool
    reason: str | None = None


def run_search(
    options: SearchOptions,
    *,
    weights_data: BatchSource,
    alphas_data: BatchSource,
    out: Path,
    objective: Objective,
    augment: Augment | None = crop_and_flip,
    world: World | None = None,
    max_minutes: float | None = None,
    max_steps: int | None = None,
) -> SearchOutcome:
    """Search; see the head of this file.

    Raises:
        ValueError: `out` holds a search with other options, or other data.
        FloatingPointError: A loss is not finite.
    """
    world = world or World()
    search = Searcher(options, objective, augment, out, world)
    steps = min(weights_data.steps_per_epoch, alphas_data.steps_per_epoch)
    state = search.state
    if state.load(out, options):
        logger.info("continuing %s from step %d", out, state.step)
        _check_place(state, steps, out)
    log = MetricLog(out / "metrics.jsonl", resume_step=state.step) if world.is_main else None
    stopped: str | None = None
    finished = state.early.reason
    bar = ProgressBar("search", options.epochs * steps, start=state.step, enabled=world.is_main)
    with StopRequest(max_minutes) as stop, bar:
        while state.epoch < options.epochs and stopped is None and finished is None:
            first = state.step - state.epoch * steps
            pairs = _pairs(weights_data, alphas_data, state.epoch, first, steps)
            for weights_batch, alphas_batch in pairs:
                search.step(weights_batch, alphas_batch)
                bar.advance()
                search.record(log)
                stopped = _why_stop(stop, state.step, max_steps, world)
                if stopped is not None:
                    break
            if state.step == (state.epoch + 1) * steps:
                finished = search.end_epoch(alphas_data, log)
        if stopped is not None:
            search.save()
    if log is not None:
        log.close()
    complete = finished is not None or state.epoch == options.epochs
    return SearchOutcome(
        genotype=search.genotype(),
        step=state.step,
        epoch=state.epoch,
        complete=complete,
        reason=finished if complete else stopped,
    )


def _pairs(
    weights_data: BatchSource, alphas_data: BatchSource, epoch: int, first: int, steps: int
) -> Iterator[tuple[Any, Any]]:
    both = zip(weights_data.epoch(epoch, first), alphas_data.epoch(epoch, first), strict=False)
    # The longer half's last batches wait for another epoch's order.
    return itertools.islice(both, steps - first)


def _check_place(state: SearchState, steps: int, out: Path) -> None:
    if not 0 <= state.step - state.epoch * steps < max(steps, 1):
        raise ValueError(
            f"{out}: step {state.step} does not lie in epoch {state.epoch} of {steps} steps; "
            "the data or the batch size have changed: take another folder"
        )


def _why_stop(stop: StopRequest, step: int, max_steps: int | None, world: World) -> str | None:
    if max_steps is not None and step >= max_steps:
        return f"max_steps ({max_steps}) are done"
    if world.size > 1 and step % STOP_CHECK_STEPS != 0:
        return None
    asked = world.any(stop.reason is not None)
    return (stop.reason or "another process asked") if asked else None
