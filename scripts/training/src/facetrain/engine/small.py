"""Checkpoints small enough to keep in a repository: averaged weights alone, in half precision.

A file names no tensor. ``flat`` holds the values one after the other in the order of the model's
``state_dict``, without its integer counters, and ``layout`` is a checksum of names and shapes: two
thousand names and offsets would be a tenth of the file.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facetrain.engine.checkpoint import read_checkpoint, write_atomically


def keep(checkpoint: Path | str, out: Path) -> int:
    """Write what a later run starts from (``model.init_from``); returns the file's bytes.

    Args:
        checkpoint: A run's ``last.pt`` or another checkpoint; its EMA is taken where it has one.

    Raises:
        ValueError: It is no checkpoint, or a value does not fit into half precision.
    """
    stored = read_checkpoint(checkpoint)
    if "flat" in stored:
        raise ValueError(f"{checkpoint}: is such a small file already")
    averaged = stored.get("ema")
    state = _floats(stored["state"] if averaged is None else averaged)
    flat = torch.cat([value.flatten() for value in state.values()]).half()
    if not flat.isfinite().all():
        raise ValueError(f"{checkpoint}: a weight is beyond ±65504 and cannot be kept in half")
    kept = {name: stored[name] for name in ("schema", "model", "step", "epoch", "run", "commit")}
    write_atomically(out, {**kept, "layout": _layout(state), "flat": flat})
    return out.stat().st_size


def load_flat(module: nn.Module, stored: Mapping[str, Any]) -> None:
    """Fill a module from what ``keep`` wrote; its counters stay.

    Raises:
        ValueError: The file is of another network.
    """
    state = _floats(module.state_dict())
    if stored["layout"] != _layout(state):
        raise ValueError("its values are of another network than its model names")
    values = stored["flat"].float().split([tensor.numel() for tensor in state.values()])
    with torch.no_grad():
        for tensor, value in zip(state.values(), values, strict=True):
            tensor.copy_(value.view_as(tensor))


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if value.is_floating_point()}


def _layout(state: Mapping[str, Tensor]) -> str:
    described = "\n".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
    return hashlib.sha256(described.encode()).hexdigest()
