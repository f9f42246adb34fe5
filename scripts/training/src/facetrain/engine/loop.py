"""The training loop: build → for step → task(batch) → backward → clip → step → every-n hooks.

It knows a task, batches and options, nothing of faces, heads or teachers. Precision has one policy:
weights, gradients, optimiser and losses stay float32; with "bf16" the forward pass runs under
autocast, and what needs float32 (normalisation, margins, distances) says so where it stands.
Gradients are averaged by DDP, which wraps the task's loss, so that teachers stay outside it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from facetrain.config import LoopOptions, OptimOptions
from facetrain.engine.build import build
from facetrain.engine.checkpoint import About, TrainState, load_checkpoint
from facetrain.engine.course import Course, FollowsCourse
from facetrain.engine.distributed import World
from facetrain.engine.optimizer import clip_gradients, clipped_parameters, set_lr
from facetrain.engine.record import Recorder
from facetrain.engine.schedule import Schedule
from facetrain.engine.stopping import StopRequest
from facetrain.engine.task import BatchSource, Evaluator, Task
from facetrain.progress import ProgressBar

logger = logging.getLogger(__name__)

STOP_CHECK_STEPS = 10
"""Several processes agree to stop every so many steps; a single one looks at every step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """Where a run ended; ``complete`` unless it was stopped before its last step."""

    step: int
    epoch: int
    complete: bool
    reason: str | None = None


def fit(
    task: Task,
    batches: BatchSource,
    options: LoopOptions,
    *,
    optim: OptimOptions,
    schedule: Schedule,
    out: Path,
    world: World,
    about: About,
    evaluators: Sequence[Evaluator] = (),
) -> Finish:
    """Train until the run's end or until told to stop; continues from ``out/last.pt``.

    Raises:
        ValueError: The checkpoint in ``out`` is of another model or other data.
        FloatingPointError: A loss is not finite.
    """
    state, objective = build(task, options, optim, world)
    if load_checkpoint(out, state, world):
        logger.info("continuing %s from step %d", out, state.step)
    total = planned_steps(options, batches.steps_per_epoch)
    course = Course(total, options.minutes, world=world, elapsed_s=state.elapsed_s)
    follower = task if isinstance(task, FollowsCourse) else None
    clipped = clipped_parameters(state.modules, optim)
    autocast = torch.autocast(
        world.device.type,
        dtype=torch.bfloat16,
        enabled=options.precision == "bf16",
        cache_enabled=options.compile != "cudagraphs",
    )
    reason = None
    with (
        StopRequest(options.max_minutes) as stop,
        ProgressBar("train", total, start=state.step, enabled=world.is_main) as bar,
    ):
        recorder = Recorder(out, state, about, world, options, evaluators, bar)
        share = course.share(state.step)
        while share < 1.0 and reason is None:
            epoch, first_step = state.epoch, _step_in_epoch(state, batches.steps_per_epoch, out)
            task.on_epoch(epoch)
            state.modules.train()
            for batch in batches.epoch(epoch, first_step):
                if options.compile == "reduce-overhead":
                    # The last step's outputs may be written over by its graphs.
                    torch.compiler.cudagraph_mark_step_begin()
                set_lr(state.optimizer, schedule(course.position(share, state.step)))
                if follower is not None:
                    follower.on_share(share)
                with autocast:
                    losses = objective(batch.to(world.device), state.step)
                losses["loss"].backward()
                clip_gradients(clipped, optim.clip_norm)
                state.optimizer.step()
                state.optimizer.zero_grad()
                if state.ema is not None:
                    state.ema.update()
                state.step += 1
                state.elapsed_s = course.elapsed_s
                share = course.share(state.step)
                recorder.after_step(losses, len(batch))
                reason = _agreed(stop, world, state.step)
                if reason is not None or share >= 1.0:
                    break
            if state.step == (epoch + 1) * batches.steps_per_epoch:
                state.epoch = epoch + 1
                recorder.after_epoch(epoch)
        recorder.save()
        recorder.close()
    return Finish(step=state.step, epoch=state.epoch, complete=share >= 1.0, reason=reason)


def planned_steps(options: LoopOptions, steps_per_epoch: int) -> int:
    """Steps of the whole run."""
    total = options.epochs * steps_per_epoch
    return total if options.max_steps is None else min(total, options.max_steps)


def _step_in_epoch(state: TrainState, steps_per_epoch: int, out: Path) -> int:
    step = state.step - state.epoch * steps_per_epoch
    if not 0 <= step < steps_per_epoch:
        raise ValueError(
            f"{out}: step {state.step} does not lie in epoch {state.epoch} of {steps_per_epoch} "
            "steps; the data or the batch size have changed: take another folder"
        )
    return step


def _agreed(stop: StopRequest, world: World, step: int) -> str | None:
    if world.size > 1 and step % STOP_CHECK_STEPS != 0:
        return None
    return (stop.reason or "another process asked") if world.any(stop.reason is not None) else None
