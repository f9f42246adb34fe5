"""The network of a search: PocketNet's cells with every operation on every edge at once.

Weights are arguments of `forward`, not state: the same network answers for any mixture, also for
one operation per edge. Batch normalisations inside cells have no scale or shift, which would work
against the alphas.
"""

# B batch, C channels, H height, W width, D embedding, E edges of a cell, P primitives

from torch import Tensor, cat, nn
from torch.nn import functional as F

from facetrain.models.cell import create_preprocess, edge_stride, sum_of
from facetrain.models.genotype import NUM_INPUTS
from facetrain.models.ops import PRIMITIVES, Activation, create_op
from facetrain.models.pocketnet import (
    EmbeddingTail,
    create_stem,
    init_weights,
    reduction_cells,
)
from facetrain.search.alphas import CellPair, MixWeights, first_edge
from facetrain.search.options import SupernetOptions


class Supernet(nn.Module):
    """All candidates in one network; `extract` takes one out."""

    def __init__(self, options: SupernetOptions) -> None:
        super().__init__()
        self.options = options
        stem_channels = options.channels * options.stem_multiplier
        self.stem = create_stem(stem_channels)
        self.reductions = reduction_cells(options.cells)
        self.cells = nn.ModuleList()
        before, previous, channels = stem_channels, stem_channels, options.channels
        for index in range(options.cells):
            reduction = index in self.reductions
            channels *= 2 if reduction else 1
            cell = SearchCell(
                before,
                previous,
                channels,
                options,
                reduction=reduction,
                after_reduction=index - 1 in self.reductions,
            )
            self.cells.append(cell)
            before, previous = previous, channels * options.nodes
        self.tail = EmbeddingTail(
            previous,
            options.embedding_dim,
            hidden=options.tail_channels,
            groups=options.tail_groups,
            activation=options.activation,
        )
        init_weights(self)

    def forward(self, x_BCHW: Tensor, weights: CellPair) -> Tensor:
        """Embeddings (B, D), not normalised, of preprocessed crops for a mixture."""
        before_BCHW = previous_BCHW = self.stem(x_BCHW)
        for index, cell in enumerate(self.cells):
            mix = weights.reduce if index in self.reductions else weights.normal
            before_BCHW, previous_BCHW = previous_BCHW, cell(before_BCHW, previous_BCHW, mix)
        return self.tail(previous_BCHW)


class SearchCell(nn.Module):
    """A cell with all edges; arguments as those of `facetrain.models.cell.Cell`."""

    def __init__(
        self,
        before_channels: int,
        previous_channels: int,
        channels: int,
        options: SupernetOptions,
        *,
        reduction: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        activation = options.activation
        self.num_nodes = options.nodes
        self.preprocess0 = create_preprocess(
            before_channels,
            channels,
            after_reduction=after_reduction,
            affine=False,
            activation=activation,
        )
        self.preprocess1 = create_preprocess(
            previous_channels, channels, affine=False, activation=activation
        )
        self.edges = nn.ModuleList(
            MixedOp(
                channels,
                edge_stride(source, reduction=reduction),
                activation=activation,
                partial=options.partial_channels,
                auxiliary_skip=options.auxiliary_skip,
            )
            for node in range(options.nodes)
            for source in range(NUM_INPUTS + node)
        )

    def forward(self, before_BCHW: Tensor, previous_BCHW: Tensor, mix: MixWeights) -> Tensor:
        op_weights = [row.unbind() for row in mix.op_EP.unbind()]
        edge_weights = None if mix.edge_E is None else mix.edge_E.unbind()
        states = [self.preprocess0(before_BCHW), self.preprocess1(previous_BCHW)]
        for node in range(self.num_nodes):
            terms = []
            for edge, state in enumerate(states, start=first_edge(node)):
                y_BCHW = self.edges[edge](state, op_weights[edge], mix.auxiliary)
                terms.append(y_BCHW if edge_weights is None else edge_weights[edge] * y_BCHW)
            states.append(sum_of(terms))
        return cat(states[NUM_INPUTS:], dim=1)


class MixedOp(nn.Module):
    """The weighted sum of an edge's operations.

    Args:
        channels: C, in and out.
        stride: 1 or 2.
        activation: See `create_activation`.
        partial: K of PC-DARTS: C/K channels go through the operations.
        auxiliary_skip: Whether there is DARTS-'s extra skip.
    """

    def __init__(
        self,
        channels: int,
        stride: int,
        *,
        activation: Activation = "prelu",
        partial: int = 1,
        auxiliary_skip: bool = False,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.partial = partial
        self.mixed_channels = channels // partial

        def create(name: str, width: int) -> nn.Module:
            return create_op(name, width, stride, affine=False, activation=activation)

        # "none" adds nothing, whatever its weight.
        self.ops = nn.ModuleList(create(name, self.mixed_channels) for name in PRIMITIVES[:-1])
        self.auxiliary = create("skip_connect", channels) if auxiliary_skip else None

    def forward(self, x_BCHW: Tensor, weights: tuple[Tensor, ...], auxiliary: float) -> Tensor:
        mixed_BCHW = x_BCHW[:, : self.mixed_channels] if self.partial > 1 else x_BCHW
        # One weight more than operations: "none".
        y_BCHW = sum_of([w * op(mixed_BCHW) for w, op in zip(weights, self.ops, strict=False)])
        if self.partial > 1:
            y_BCHW = self._shuffle(y_BCHW, x_BCHW[:, self.mixed_channels :])
        if self.auxiliary is None or auxiliary == 0.0:
            return y_BCHW
        return y_BCHW + auxiliary * self.auxiliary(x_BCHW)

    def _shuffle(self, y_BCHW: Tensor, rest_BCHW: Tensor) -> Tensor:
        # Channels that went by the operations go through the next edge's.
        if self.stride == 2:
            rest_BCHW = F.max_pool2d(rest_BCHW, 2)
        whole_BCHW = cat([y_BCHW, rest_BCHW], dim=1)
        grouped = whole_BCHW.unflatten(1, (self.partial, self.mixed_channels))
        return grouped.transpose(1, 2).flatten(1, 2)
