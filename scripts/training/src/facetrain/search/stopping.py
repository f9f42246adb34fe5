"""When a search is over before its last epoch (DARTS+, Liang et al., arXiv 1909.06035)."""

from typing import Any

from torch import Tensor

from facetrain.models.genotype import Genotype
from facetrain.models.ops import PRIMITIVES
from facetrain.search.options import StopOptions

CONVOLUTIONS = [i for i, name in enumerate(PRIMITIVES) if name.startswith("dw_conv")]


class EarlyStop:
    """Watches epochs; `state` is JSON-able and goes into checkpoints."""

    def __init__(self, options: StopOptions) -> None:
        self._options = options
        self._ranking: list[list[list[int]]] | None = None
        self._stable = 0
        self.reason: str | None = None
        """Why the search is over, or None."""

    @property
    def state(self) -> dict[str, Any]:
        return {"ranking": self._ranking, "stable": self._stable, "reason": self.reason}

    def load(self, state: dict[str, Any]) -> None:
        """Continue as `state` was."""
        self._ranking, self._stable = state["ranking"], state["stable"]
        self.reason = state["reason"]

    def after_epoch(self, genotype: Genotype, scores: tuple[Tensor, Tensor]) -> str | None:
        """Why to stop now, or None.

        Args:
            genotype: As derived from the scores.
            scores: (normal, reduce), each (E, P).
        """
        ranking = [s[:, CONVOLUTIONS].argsort(dim=1, stable=True).tolist() for s in scores]
        self._stable = self._stable + 1 if ranking == self._ranking else 0
        self._ranking = ranking
        self.reason = self._why(genotype)
        return self.reason

    def _why(self, genotype: Genotype) -> str | None:
        skips = sum(edge.op == "skip_connect" for node in genotype.normal for edge in node)
        limit = self._options.skips
        if limit is not None and skips >= limit:
            return f"the normal cell has {skips} skip connections"
        limit = self._options.stable_epochs
        if limit is not None and self._stable >= limit:
            return f"every edge's convolutions kept their order for {self._stable} epochs"
        return None
