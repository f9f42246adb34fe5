"""The processes of one run, as ``torchrun`` starts them; a single process is a world of one."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """This process among its peers, and the device it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    control: dist.ProcessGroup | None = None
    """A CPU group for small agreements, so that they never wait for the GPU's queue."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier(group=self.control)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on at least one process; every process must ask."""
        if self.size == 1:
            return flag
        agreed = torch.tensor(int(flag))
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX, group=self.control)
        return bool(agreed)

    def largest(self, value: float) -> float:
        """The largest of every process's value; every process must ask."""
        if self.size == 1:
            return value
        agreed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(agreed, op=dist.ReduceOp.MAX, group=self.control)
        return float(agreed)

    def gather(self, value: Any) -> list[Any]:
        """Every process's value in order of rank, at the first process; elsewhere only its own."""
        if self.size == 1:
            return [value]
        gathered: list[Any] | None = [None] * self.size if self.is_main else None
        dist.gather_object(value, gathered, dst=0, group=self.control)
        return [value] if gathered is None else gathered

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes of a tensor on the device."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values


@contextlib.contextmanager
def joined_world(device: str = "auto") -> Iterator[World]:
    """Join the processes that ``torchrun`` started, for as long as the block runs.

    Args:
        device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is any. Under ``torchrun``
            each process takes the CUDA device of its local rank.

    Raises:
        ValueError: CUDA was asked for and is not there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")) if size > 1 else None)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if size == 1:
        yield World(device=chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        control = dist.new_group(backend="gloo")
        assert isinstance(control, dist.ProcessGroup)
        yield World(rank=dist.get_rank(), size=size, device=chosen, control=control)
    finally:
        dist.destroy_process_group()


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """The device of that name; nothing falls back silently from CUDA that was asked for."""
    available = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if available else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if not available:
        raise ValueError(f"device {name} was asked for, but torch sees no CUDA here; give cpu")
    if device.index is not None and local_rank is None:
        return device
    return torch.device("cuda", local_rank or 0)


def gathered_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in order of rank, without gradient; as many from each."""
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
