"""One seed for everything that draws, and its state as plain tensors for checkpoints."""

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices). Ranks draw different numbers."""
    mixed = (seed * 1_000_003 + rank) % 2**32
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


def generator_for(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """A generator that depends on nothing but its arguments: the same after a resume."""
    sequence = np.random.SeedSequence((seed, step, rank))
    generator = torch.Generator(device=device)
    generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
    return generator


def rng_state() -> dict[str, Any]:
    """The state of the global generators, of types that ``weights_only`` loading accepts.

    Of CUDA's the one of the current device.
    """
    version, words, gauss = random.getstate()
    drawn: Any = np.random.get_state(legacy=False)
    words_np = torch.from_numpy(drawn["state"]["key"].astype(np.int64))
    return {
        "python": [version, list(words), gauss],
        "numpy": {
            **{key: drawn[key] for key in ("bit_generator", "has_gauss", "gauss")},
            "pos": drawn["state"]["pos"],
            "key": words_np,
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Undo what was drawn since ``rng_state``."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    drawn = state["numpy"]
    key = drawn["key"].numpy().astype(np.uint32)
    np.random.set_state({**drawn, "state": {"key": key, "pos": drawn["pos"]}})
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
