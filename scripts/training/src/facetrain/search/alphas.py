"""The alphas: how much each operation counts on each edge of the two kinds of cell.

Two cells x 14 edges x 8 operations = 224 numbers for four nodes, shared by all cells of a kind.
"""

# E edges of a cell, P primitives

from typing import NamedTuple

import torch
from torch import Tensor, nn

from facetrain.models.genotype import NUM_INPUTS
from facetrain.models.ops import PRIMITIVES
from facetrain.search.options import Relaxation

INIT_STD = 1e-3


class MixWeights(NamedTuple):
    """What a supernet's forward pass is given for one kind of cell.

    `edge_E` weighs whole edges (None: all alike); `auxiliary` is the weight of DARTS-'s extra skip.
    """

    op_EP: Tensor
    edge_E: Tensor | None = None
    auxiliary: float = 0.0


class CellPair(NamedTuple):
    """The same for the normal and the reduction cells."""

    normal: MixWeights
    reduce: MixWeights


class Alphas(nn.Module):
    """What is searched for.

    Args:
        nodes: Nodes of a cell.
        relaxation: Softmax over an edge's operations, or a sigmoid of each.
        edges: Whether edges have weights of their own (PC-DARTS).
    """

    def __init__(
        self, nodes: int = 4, *, relaxation: Relaxation = "softmax", edges: bool = False
    ) -> None:
        super().__init__()
        self.num_nodes = nodes
        self.relaxation = relaxation
        shape = (num_edges(nodes), len(PRIMITIVES))
        self.normal_EP = nn.Parameter(INIT_STD * torch.randn(shape))
        self.reduce_EP = nn.Parameter(INIT_STD * torch.randn(shape))
        self.normal_edge_E = nn.Parameter(INIT_STD * torch.randn(shape[0])) if edges else None
        self.reduce_edge_E = nn.Parameter(INIT_STD * torch.randn(shape[0])) if edges else None

    def weights(self, auxiliary: float = 0.0) -> CellPair:
        """Differentiable weights for a forward pass."""
        return CellPair(
            self._weights(self.normal_EP, self.normal_edge_E, auxiliary),
            self._weights(self.reduce_EP, self.reduce_edge_E, auxiliary),
        )

    @torch.no_grad()
    def scores(self) -> tuple[Tensor, Tensor]:
        """(normal, reduce), each (E, P) on the CPU: by what `derive` chooses."""
        return tuple(  # pyright: ignore[reportReturnType]
            (w.op_EP if w.edge_E is None else w.op_EP * w.edge_E[:, None]).cpu()
            for w in self.weights()
        )

    def zero_one_loss(self) -> Tensor:
        """FairDARTS's term: minimal, at -1/4, where every sigmoid is 0 or 1."""
        weights = self.weights()
        op = torch.cat([weights.normal.op_EP, weights.reduce.op_EP])
        return -(op - 0.5).square().mean()

    def _weights(self, op_EP: Tensor, edge_E: Tensor | None, auxiliary: float) -> MixWeights:
        mixed_EP = op_EP.softmax(dim=1) if self.relaxation == "softmax" else op_EP.sigmoid()
        if edge_E is None:
            return MixWeights(mixed_EP, None, auxiliary)
        # The edges that enter a node compete.
        per_node = edge_E.split([NUM_INPUTS + node for node in range(self.num_nodes)])
        return MixWeights(mixed_EP, torch.cat([e.softmax(dim=0) for e in per_node]), auxiliary)


def num_edges(nodes: int) -> int:
    """Edges of a cell in which every node sees all states before it: 14 for four nodes."""
    return first_edge(nodes)


def first_edge(node: int) -> int:
    """Row of the edge from state 0 to a node (counted from 0); its other edges follow."""
    return sum(NUM_INPUTS + before for before in range(node))
