"""What the loop trains: anything that can say its modules and the loss of a batch."""

from collections.abc import Iterator
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

PRIMARY = "backbone"
"""The module that EMA follows and a checkpoint holds under ``state``; else the first module."""


class Batch(Protocol):
    """What one step is given: it counts its pictures and moves itself to a device."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device, /) -> Self: ...


class BatchSource(Protocol):
    """Epochs of batches; an epoch can be entered at any step and is then the same from there on."""

    @property
    def steps_per_epoch(self) -> int: ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]: ...


class Evaluator(Protocol):
    """Figures of the trained module on held-out data."""

    @property
    def every(self) -> int:
        """Epochs between evaluations; 0 for none."""
        ...

    @property
    def every_steps(self) -> int:
        """Steps between evaluations, besides; 0 for none."""
        ...

    def run(self, model: nn.Module) -> dict[str, float]:
        """Evaluate ``model``: the primary module in evaluation mode, averaged where EMA is on."""
        ...


@runtime_checkable
class Task(Protocol):
    """One training objective. Teachers and data stay outside ``modules``."""

    def modules(self) -> nn.ModuleDict:
        """Everything that is trained and checkpointed, always the same objects."""
        ...

    def on_epoch(self, epoch: int) -> None:
        """Called before the first step of every epoch, and again after a resume within it."""
        ...

    def loss(self, batch: Any, step: int) -> dict[str, Tensor]:
        """Scalar losses of one batch: "loss" is minimised, the others are logged.

        Randomness comes from torch's global state or is derived from ``step``, so that a resumed
        run draws the same numbers.
        """
        ...


def primary_name(modules: nn.ModuleDict) -> str:
    """The name of the module that the run is for."""
    return PRIMARY if PRIMARY in modules else next(iter(modules))


def local_modules(modules: nn.ModuleDict) -> set[str]:
    """Names of the modules whose parameters differ between ranks (a head sharded by class).

    They say so by an attribute ``rank_local = True``; their gradients are not averaged.
    """
    return {name for name, module in modules.items() if getattr(module, "rank_local", False)}
