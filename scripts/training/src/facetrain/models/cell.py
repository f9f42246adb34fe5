"""A cell built from a genotype: two inputs, a few nodes, and the nodes side by side as output."""

# B batch, C channels, H height, W width

from torch import Tensor, cat, nn

from facetrain.models.genotype import NUM_INPUTS, CellGenotype
from facetrain.models.ops import ActConvNorm, Activation, FactorizedReduce, create_op

Activating = ActConvNorm | FactorizedReduce
"""Operations that begin with an activation; the others take a state as it is."""


class Cell(nn.Module):
    """One cell.

    Args:
        genotype: Its nodes' edges.
        before_channels: Channels of input 0, the output of the cell before the previous one.
        previous_channels: Channels of input 1, the previous cell's output.
        channels: C of every node.
        reduction: Whether this cell halves height and width: edges from its inputs have stride 2.
        after_reduction: Whether the previous cell did, so that input 0 is twice as large as
            input 1.
        affine: See `create_op`.
        activation: See `create_activation`.
    """

    def __init__(
        self,
        genotype: CellGenotype,
        before_channels: int,
        previous_channels: int,
        channels: int,
        *,
        reduction: bool,
        after_reduction: bool,
        affine: bool = True,
        activation: Activation = "prelu",
    ) -> None:
        super().__init__()
        self.preprocess0 = create_preprocess(
            before_channels,
            channels,
            after_reduction=after_reduction,
            affine=affine,
            activation=activation,
        )
        self.preprocess1 = create_preprocess(
            previous_channels, channels, affine=affine, activation=activation
        )
        self.sources = [[edge.source for edge in node] for node in genotype]
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                create_op(
                    edge.op,
                    channels,
                    edge_stride(edge.source, reduction=reduction),
                    affine=affine,
                    activation=activation,
                )
                for edge in node
            )
            for node in genotype
        )
        self.out_channels = channels * len(genotype)
        self.shares_activation = activation == "relu"

    def forward(self, before_BCHW: Tensor, previous_BCHW: Tensor) -> Tensor:
        states = [self.preprocess0(before_BCHW), self.preprocess1(previous_BCHW)]
        activated: dict[int, Tensor] = {}
        for ops, sources in zip(self.nodes, self.sources, strict=True):
            assert isinstance(ops, nn.ModuleList)
            edges = []
            for op, source in zip(ops, sources, strict=True):
                if self.shares_activation and isinstance(op, Activating):
                    # A ReLU is the same for every edge, a PReLU has slopes of its own.
                    if source not in activated:
                        activated[source] = op.act(states[source])
                    edges.append(op.after_act(activated[source]))
                else:
                    edges.append(op(states[source]))
            states.append(sum_of(edges))
        return cat(states[NUM_INPUTS:], dim=1)


def create_preprocess(
    in_channels: int,
    channels: int,
    *,
    after_reduction: bool = False,
    affine: bool = True,
    activation: Activation = "prelu",
) -> nn.Module:
    """What brings a cell's input to its own channels, and to its own size after a reduction."""
    if after_reduction:
        return FactorizedReduce(in_channels, channels, affine=affine, activation=activation)
    return ActConvNorm(in_channels, channels, 1, affine=affine, activation=activation)


def edge_stride(source: int, *, reduction: bool) -> int:
    """2 for the edges of a reduction cell that come from its inputs, else 1."""
    return 2 if reduction and source < NUM_INPUTS else 1


def sum_of(edges: list[Tensor]) -> Tensor:
    """Their sum, without the 0 that `sum` starts from: an exported graph would add it each time."""
    total, *others = edges
    for edge in others:
        total = total + edge
    return total
