"""Losses gathered on the device without waiting for it, and the run's JSONL file."""

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facetrain.engine.distributed import World


class Meter:
    """Means of scalar losses since the last flush; ``add`` never waits for the device."""

    def __init__(self) -> None:
        self._sum: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            value = value.detach().float()
            # A new tensor: the loss may live in memory that a CUDA graph writes again.
            self._sum[name] = self._sum[name] + value if name in self._sum else value.clone()
        self._steps += 1

    @property
    def steps(self) -> int:
        return self._steps

    def flush(self, world: World) -> dict[str, float]:
        """Means over the steps and processes; one copy from the device for all of them."""
        if self._steps == 0:
            return {}
        mean = world.mean(torch.stack(list(self._sum.values())) / self._steps).tolist()
        named = dict(zip(self._sum, mean, strict=True))
        self._sum, self._steps = {}, 0
        return named


class MetricLog:
    """One JSON object per line. Lines behind ``resume_step`` are dropped: they are made again."""

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _rows(path) if line["step"] <= resume_step] if resume_step else []
        fresh = path.with_suffix(".new")
        fresh.write_text("".join(json.dumps(row) + "\n" for row in kept))
        os.replace(fresh, path)  # noqa: PTH105 - atomic, and says so
        self._file = path.open("a")

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of a run's ``metrics.jsonl``; a last line that a kill cut off is left out."""
    return _rows(path)


def check_finite(losses: dict[str, float], step: int) -> None:
    """Raise ``FloatingPointError`` where training has diverged, before a checkpoint keeps it."""
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(
            f"{', '.join(broken)} is not finite at step {step}: lower optim.lr, lengthen the "
            "warm-up, or set optim.clip_norm; the last checkpoint is from before"
        )


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
