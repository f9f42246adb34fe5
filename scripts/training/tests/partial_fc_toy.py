"""Trains a toy with a sharded head in the processes of torchrun: straight, and in two parts."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from facetrain.config import LoopOptions, OptimOptions
from facetrain.engine.checkpoint import About
from facetrain.engine.distributed import World, joined_world
from facetrain.engine.loop import fit
from facetrain.engine.schedule import constant
from facetrain.heads.margin import Margin, MarginHead
from facetrain.heads.partial_fc import PartialFC

CLASSES, DIM, STEPS = 7, 5, 6
MARGIN = Margin.arcface(0.3, scale=8.0)


@dataclass
class Labelled:
    x_BD: Tensor
    label_B: Tensor

    def __len__(self) -> int:
        return len(self.x_BD)

    def to(self, device: torch.device) -> "Labelled":
        return self


class LabelledBatches:
    steps_per_epoch = STEPS

    def __init__(self, rank: int, world: int) -> None:
        self._rank, self._world = rank, world

    def epoch(self, epoch: int, start_step: int = 0):
        for step in range(start_step, STEPS):
            generator = torch.Generator().manual_seed(100 * epoch + step)
            x_BD = torch.randn(8, 4, generator=generator)
            label_B = torch.randint(-1, CLASSES, (8,), generator=generator)
            share = 8 // self._world
            mine = slice(self._rank * share, (self._rank + 1) * share)
            yield Labelled(x_BD[mine], label_B[mine])


class Classify:
    def __init__(self, head: nn.Module) -> None:
        torch.manual_seed(1)
        self._trained = nn.ModuleDict({"backbone": nn.Linear(4, DIM), "head": head})

    def modules(self) -> nn.ModuleDict:
        return self._trained

    def on_epoch(self, epoch: int) -> None: ...

    def loss(self, batch: Labelled, step: int) -> dict[str, Tensor]:
        return {"loss": self._trained["head"](self._trained["backbone"](batch.x_BD), batch.label_B)}


def whole_kernel() -> Tensor:
    return torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(2))


def train(out: Path, world: World, *, max_steps: int | None = None, rate: float = 1.0) -> nn.Module:
    """A head shared among the processes, or `MarginHead` in a single one at rate 1."""
    if world.size == 1 and rate == 1.0:
        head = MarginHead(DIM, CLASSES, MARGIN)
        head.weight.data.copy_(whole_kernel())
    else:
        head = PartialFC(DIM, CLASSES, MARGIN, sample_rate=rate, rank=world.rank, world=world.size)
        begin = head.first_class
        head.weight.data.copy_(whole_kernel()[begin : begin + len(head.weight)])
    torch.manual_seed(9 + world.rank)
    fit(
        Classify(head),
        LabelledBatches(world.rank, world.size),
        LoopOptions(epochs=1, batch_size=8 // world.size, max_steps=max_steps, log_every=1),
        optim=OptimOptions(lr=0.1, clip_norm=None),
        schedule=constant(),
        out=out,
        world=world,
        about=About(model={"name": "toy", "embedding_dim": DIM, "options": {}}),
    )
    return head


def main() -> None:
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        head = train(out / "full", world)
        torch.save(head.state_dict(), out / f"shard{world.rank}.pt")
        train(out / "sampled", world, rate=0.5)
        train(out / "sampled_parts", world, rate=0.5, max_steps=3)
        train(out / "sampled_parts", world, rate=0.5)


if __name__ == "__main__":
    main()
