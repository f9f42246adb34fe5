"""Exponential moving average of a module's weights: often the better model at the same cost."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn


class Ema:
    """A float32 copy of a module's state that follows it.

    The decay warms up as (1 + n) / (10 + n), so that the random initialisation is soon forgotten.
    Running statistics are averaged like weights; integer buffers (counters) are copied.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"the EMA decay is {decay}; it must lie between 0 and 1")
        self._decay = decay
        self._updates = 0
        self._averaged: list[Tensor] = []
        self._live: list[Tensor] = []
        self._copied: list[tuple[Tensor, Tensor]] = []
        self._state: dict[str, Tensor] = {}
        for name, live in module.state_dict(keep_vars=True).items():
            shadow = live.detach().clone()
            self._state[name] = shadow
            if shadow.is_floating_point():
                self._averaged.append(shadow)
                self._live.append(live)
            else:
                self._copied.append((shadow, live))

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the module's present weights."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        live = [tensor.detach() for tensor in self._live]
        torch._foreach_lerp_(self._averaged, live, 1.0 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for shadow, live in self._copied:
            shadow.copy_(live)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged state under the module's own names."""
        return self._state

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averaged weights into the module itself for as long as the block runs."""
        live = [*self._live, *(tensor for _, tensor in self._copied)]
        shadow = [*self._averaged, *(tensor for tensor, _ in self._copied)]
        kept = [tensor.detach().clone() for tensor in live]
        try:
            _copy(live, shadow)
            yield
        finally:
            _copy(live, kept)

    @property
    def updates(self) -> int:
        return self._updates

    def load_state_dict(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Continue from a stored average."""
        missing = self._state.keys() ^ state.keys()
        if missing:
            raise ValueError(f"the stored EMA is of another model: {sorted(missing)[:3]} differ")
        for name, shadow in self._state.items():
            shadow.copy_(state[name])
        self._updates = updates


@torch.no_grad()
def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
