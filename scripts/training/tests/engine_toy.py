"""A task without faces for the engine's tests, and a run of it as a program of its own."""

import argparse
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.config import LoopOptions, OptimOptions, ScheduleOptions
from facetrain.engine.checkpoint import About
from facetrain.engine.distributed import World, joined_world
from facetrain.engine.loop import Finish, fit, planned_steps
from facetrain.engine.schedule import build_schedule
from facetrain.engine.seed import seed_everything

STEPS_PER_EPOCH = 4


@dataclass
class Numbers:
    x_BD: Tensor

    def __len__(self) -> int:
        return len(self.x_BD)

    def to(self, device: torch.device) -> "Numbers":
        return Numbers(self.x_BD.to(device))


@dataclass
class NumberBatches:
    rank: int = 0
    world: int = 1
    steps_per_epoch: int = STEPS_PER_EPOCH

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Numbers]:
        for step in range(start_step, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(1000 * epoch + step)
            x_BD = torch.randn(8, 6, generator=generator)
            share = 8 // self.world
            yield Numbers(x_BD[self.rank * share : (self.rank + 1) * share])


class Regression:
    """Learns the sum of its inputs; dropout and BN give it all the state a real net has."""

    def __init__(
        self,
        *,
        dropout: float = 0.2,
        kill_before_step: int | None = None,
        freeze_statistics: bool = False,
    ) -> None:
        layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.PReLU(8), nn.Dropout(dropout)]
        self._trained = nn.ModuleDict({"backbone": nn.Sequential(*layers), "head": nn.Linear(8, 1)})
        self._kill = kill_before_step
        self._freeze_statistics = freeze_statistics
        self.epochs: list[int] = []

    def modules(self) -> nn.ModuleDict:
        return self._trained

    def on_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def loss(self, batch: Numbers, step: int) -> dict[str, Tensor]:
        if step == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._freeze_statistics:
            self._trained["backbone"].eval()
        out_B = self._trained["head"](self._trained["backbone"](batch.x_BD)).squeeze(1)
        loss = F.mse_loss(out_B.float(), batch.x_BD.sum(dim=1))
        return {"loss": loss, "largest": out_B.abs().max()}


def run(out: Path, *, world: World | None = None, **options) -> Finish:
    """Train the toy; `options` are `LoopOptions` and those of the task and the batches."""
    world = World() if world is None else world
    seed_everything(3)
    task = options.pop("task", None) or Regression()
    batches = NumberBatches(world.rank, world.size, options.pop("steps_per_epoch", STEPS_PER_EPOCH))
    evaluators = options.pop("evaluators", ())
    settings = {"epochs": 2, "batch_size": 8, "log_every": 1, "ema_decay": 0.9, **options}
    loop = LoopOptions(**settings)
    total = planned_steps(loop, batches.steps_per_epoch)
    return fit(
        task,
        batches,
        loop,
        optim=OptimOptions(lr=0.05, decay_1d=False),
        schedule=build_schedule(ScheduleOptions(kind="cosine"), batches.steps_per_epoch, total),
        out=out,
        world=world,
        about=About(model={"name": "toy", "embedding_dim": 8, "options": {}}),
        evaluators=evaluators,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--kill", type=int)
    parser.add_argument("--save-every", type=int)
    parser.add_argument("--freeze-statistics", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        seed_everything(3)
        task = Regression(
            kill_before_step=arguments.kill, freeze_statistics=arguments.freeze_statistics
        )
        run(arguments.out, world=world, task=task, save_every=arguments.save_every)


if __name__ == "__main__":
    main()
