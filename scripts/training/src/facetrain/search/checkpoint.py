"""A search on disk: `last.pt`, from which it continues step for step.

Holds `schema`, `search` (the options), the states of model, alphas and both optimisers, `step` and
`epoch` done, and the early stop's memory. No random state: what a step draws depends on the seed
and its number alone.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from facetrain.config_json import to_json
from facetrain.engine.checkpoint import SCHEMA, read_checkpoint, write_atomically
from facetrain.search.alphas import Alphas
from facetrain.search.objective import SearchModel
from facetrain.search.options import SearchOptions
from facetrain.search.stopping import EarlyStop

LAST = "last.pt"
# Whatever else changes would make another search of it.
FREE_TO_CHANGE = ("log_steps", "checkpoint_steps", "evaluate_steps", "draw_epochs")


@dataclass(kw_only=True, slots=True)
class SearchState:
    """All that changes while a search goes on; `step` and `epoch` count what is done."""

    model: SearchModel
    alphas: Alphas
    weight_optim: torch.optim.SGD
    alpha_optim: torch.optim.Adam
    early: EarlyStop
    step: int = 0
    epoch: int = 0

    def save(self, out: Path, options: SearchOptions) -> None:
        """Replace `out/last.pt`."""
        write_atomically(
            out / LAST,
            {
                "schema": SCHEMA,
                "search": to_json(options),
                "model": self.model.state_dict(),
                "alphas": self.alphas.state_dict(),
                "weight_optim": self.weight_optim.state_dict(),
                "alpha_optim": self.alpha_optim.state_dict(),
                "early": self.early.state,
                "step": self.step,
                "epoch": self.epoch,
            },
        )

    def load(self, out: Path, options: SearchOptions) -> bool:
        """Continue from `out/last.pt`; False where there is none.

        Raises:
            ValueError: When it is of a search with other options.
        """
        path = out / LAST
        if not path.exists():
            return False
        stored = read_checkpoint(path)
        if "search" not in stored:
            raise ValueError(f"{path}: is not of a search; take another folder")
        now, then = to_json(options), stored["search"]
        changed = [key for key in now if key not in FREE_TO_CHANGE and now[key] != then.get(key)]
        if changed:
            raise ValueError(
                f"{path}: was made with other options ({', '.join(changed)}); "
                "take another folder, or those again"
            )
        self.model.load_state_dict(stored["model"])
        self.alphas.load_state_dict(stored["alphas"])
        self.weight_optim.load_state_dict(stored["weight_optim"])
        self.alpha_optim.load_state_dict(stored["alpha_optim"])
        self.early.load(stored["early"])
        self.step, self.epoch = stored["step"], stored["epoch"]
        return True
