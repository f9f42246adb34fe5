"""What happens every so many steps and epochs: metrics, checkpoints, evaluations."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from facetrain.config import LoopOptions
from facetrain.engine.checkpoint import About, TrainState, save_checkpoint, save_weights
from facetrain.engine.distributed import World
from facetrain.engine.metrics import Meter, MetricLog, check_finite
from facetrain.engine.task import Evaluator, primary_name
from facetrain.progress import ProgressBar

METRICS = "metrics.jsonl"
EPOCH_FILE = "epoch_{:03}.pt"
"""Weights at the end of an epoch, numbered from 0."""


class Recorder:
    """Writes a run's folder; only the first process writes metrics."""

    def __init__(
        self,
        out: Path,
        state: TrainState,
        about: About,
        world: World,
        options: LoopOptions,
        evaluators: Sequence[Evaluator],
        bar: ProgressBar,
    ) -> None:
        self._out, self._state, self._about, self._world = out, state, about, world
        self._options, self._evaluators, self._bar = options, evaluators, bar
        self._meter = Meter()
        self._log = MetricLog(out / METRICS, resume_step=state.step) if world.is_main else None
        self._saved_step = state.step
        self._images = 0
        self._begun = time.monotonic()

    def after_step(self, losses: dict[str, Tensor], images: int) -> None:
        """Count the step; log and save where it is time."""
        self._meter.add(losses)
        self._images += images * self._world.size
        self._bar.advance()
        step, options = self._state.step, self._options
        if options.save_every is not None and step % options.save_every == 0:
            self.save()
        elif step % options.log_every == 0:
            self._flush()
        self._evaluate([e for e in self._evaluators if e.every_steps and step % e.every_steps == 0])

    def after_epoch(self, epoch: int) -> None:
        """Save, keep the epoch's weights, evaluate."""
        self.save()
        if self._options.keep_epochs and self._world.is_main:
            save_weights(self._out / EPOCH_FILE.format(epoch), self._state, self._about)
        self._evaluate([e for e in self._evaluators if e.every and (epoch + 1) % e.every == 0])

    def save(self) -> None:
        """Log what was not yet, then checkpoint, unless this very step is stored already."""
        self._flush()
        if self._saved_step != self._state.step:
            save_checkpoint(self._out, self._state, self._about, self._world)
            self._saved_step = self._state.step
            self._restart_clock()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _flush(self) -> None:
        losses = self._meter.flush(self._world)
        if not losses:
            return
        check_finite(losses, self._state.step)
        rate = self._images / max(time.monotonic() - self._begun, 1e-9)
        self._restart_clock()
        self._bar.advance(0, note=f"loss {losses['loss']:.3f}  {rate:.0f} images/s")
        if self._log is not None:
            lr = self._state.optimizer.param_groups[0]["lr"]
            self._log.write({**self._where(), **losses, "lr": lr, "images_per_s": round(rate, 1)})

    def _evaluate(self, due: list[Evaluator]) -> None:
        if not due:
            return
        self._flush()
        if self._log is not None:
            self._log.write({**self._where(), **self._figures(due)})
        self._world.barrier()
        self._restart_clock()

    def _figures(self, due: list[Evaluator]) -> dict[str, float]:
        model = self._state.modules[primary_name(self._state.modules)]
        ema = self._state.ema
        figures = {}
        model.eval()
        with ema.applied() if ema is not None else contextlib.nullcontext():
            for evaluator in due:
                figures.update(evaluator.run(model))
        model.train()
        return figures

    def _where(self) -> dict[str, int]:
        return {"step": self._state.step, "epoch": self._state.epoch}

    def _restart_clock(self) -> None:
        self._images, self._begun = 0, time.monotonic()
