"""Checkpoints: one file, written atomically, from which a run continues bit for bit.

Format (``torch.load(..., weights_only=True)``): ``schema``, ``model`` (name, embedding_dim,
options), ``state`` of the primary module, ``ema``, ``head`` (the other modules' states by name),
``optim``, ``step``, ``epoch``, ``rng`` (one per process), ``run`` (the resolved config),
``commit``. Files of weights alone leave out what only training needs. Where a head is sharded over
processes, each further rank keeps its share in a file of its own beside it.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from facetrain.engine.distributed import World
from facetrain.engine.ema import Ema
from facetrain.engine.seed import rng_state, set_rng_state
from facetrain.engine.task import local_modules, primary_name

if TYPE_CHECKING:
    from facetrain.models.backbone import Backbone

SCHEMA = 1
LAST = "last.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a checkpoint says about itself, all JSON-able."""

    model: Mapping[str, Any]
    """What makes the primary module again: for a backbone its ``spec``."""
    run: Mapping[str, Any] = field(default_factory=dict)
    commit: str = "unknown"


@dataclass(kw_only=True, slots=True)
class TrainState:
    """All that changes while a run goes on."""

    modules: nn.ModuleDict
    optimizer: Optimizer
    ema: Ema | None
    step: int = 0
    """Steps done."""
    epoch: int = 0
    """Epochs done; ``step`` may lie within the next one."""
    elapsed_s: float = 0.0
    """What the run has taken over all its parts, in seconds."""


def save_checkpoint(out: Path, state: TrainState, about: About, world: World) -> None:
    """Replace ``out/last.pt`` once every process has stored its part."""
    local = local_modules(state.modules)
    rng = world.gather(rng_state())
    if local and not world.is_main:
        part = {**_identity(state, about), **_training(state)}
        write_atomically(rank_file(out, state.step, world.rank), part)
    world.barrier()
    if world.is_main:
        whole = {**_weights(state, about), **_training(state), "world": world.size, "rng": rng}
        whole["elapsed_s"] = state.elapsed_s
        whole["ema_updates"] = state.ema.updates if state.ema else 0
        write_atomically(out / LAST, whole)
    world.barrier()
    if local and not world.is_main:
        for old in out.glob(f"last.step*.rank{world.rank}.pt"):
            if old != rank_file(out, state.step, world.rank):
                old.unlink()


def load_checkpoint(out: Path, state: TrainState, world: World) -> bool:
    """Continue from ``out/last.pt``; False where there is none.

    Raises:
        ValueError: The checkpoint is of another model or cannot be shared by these processes.
    """
    path = out / LAST
    if not path.exists():
        return False
    stored = read_checkpoint(path)
    local = local_modules(state.modules)
    if local and stored["world"] != world.size:
        raise ValueError(
            f"{path}: its head is sharded over {stored['world']} processes and cannot be continued "
            f"by {world.size}; start as many"
        )
    primary = primary_name(state.modules)
    state.modules[primary].load_state_dict(stored["state"])
    if state.ema is not None and stored["ema"] is not None:
        state.ema.load_state_dict(stored["ema"], stored["ema_updates"])
    mine = stored
    if local and not world.is_main:
        mine = read_checkpoint(rank_file(out, stored["step"], world.rank))
    for name, module in state.modules.items():
        if name != primary:
            module.load_state_dict(mine["head"][name])
    state.optimizer.load_state_dict(mine["optim"])
    state.step, state.epoch = stored["step"], stored["epoch"]
    state.elapsed_s = stored.get("elapsed_s", 0.0)
    if stored["world"] == world.size:
        set_rng_state(stored["rng"][world.rank])
    return True


def save_weights(path: Path, state: TrainState, about: About) -> None:
    """Write the weights alone: what a teacher, an evaluation or an export needs."""
    write_atomically(path, _weights(state, about))


def load_backbone(path: Path | str, ema: bool = True) -> "Backbone":
    """The backbone of a checkpoint or a file of weights, in evaluation mode on the CPU.

    Args:
        ema: Take the averaged weights where there are any.

    Raises:
        ValueError: The file is something else.
    """
    from facetrain.engine.small import load_flat
    from facetrain.models.create import create_backbone

    stored = read_checkpoint(path)
    model = stored["model"]
    try:
        backbone = create_backbone(
            model["name"], embedding_dim=model["embedding_dim"], **model.get("options", {})
        )
        averaged = stored.get("ema")
        if "flat" in stored:
            load_flat(backbone, stored)
        else:
            backbone.load_state_dict(averaged if ema and averaged is not None else stored["state"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: holds no backbone of this package ({error})") from error
    return backbone.eval()


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """The stored dictionary, on the CPU. Only data is read: no code can hide in the file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such checkpoint")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: is not a checkpoint that can be read ({error})") from error
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise ValueError(f"{path}: is not a checkpoint of schema {SCHEMA} of this package")
    return stored


def write_atomically(path: Path, value: Mapping[str, Any]) -> None:
    """Write beside, force it to the disk, then rename: a kill leaves the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        torch.save(dict(value), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def rank_file(out: Path, step: int, rank: int) -> Path:
    """Where another rank than the first keeps its share of a sharded head."""
    return out / f"last.step{step:08}.rank{rank}.pt"


def current_commit() -> str:
    """Commit of this package's checkout, "+changed" where files of it differ; else "unknown"."""
    here = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", str(here))
        return git("rev-parse", "HEAD") + ("+changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _identity(state: TrainState, about: About) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model": dict(about.model),
        "step": state.step,
        "epoch": state.epoch,
        "run": dict(about.run),
        "commit": about.commit,
    }


def _weights(state: TrainState, about: About) -> dict[str, Any]:
    primary = state.modules[primary_name(state.modules)]
    return {
        **_identity(state, about),
        "state": primary.state_dict(),
        "ema": state.ema.state_dict() if state.ema else None,
    }


def _training(state: TrainState) -> dict[str, Any]:
    primary = primary_name(state.modules)
    return {
        "head": {n: m.state_dict() for n, m in state.modules.items() if n != primary},
        "optim": state.optimizer.state_dict(),
    }
