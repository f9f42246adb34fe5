"""PocketNet: a small face network stacked from two searched cells.

S has 18 cells that start at 16 channels, M 9 cells that start at 32. Reductions are at a third and
two thirds of the depth and at the last cell; each doubles the channels. The tail weighs the 7x7 map
by a depthwise convolution in place of a pooling. (Boutros et al., arXiv 2108.10710.)
"""

# B batch, C channels, H height, W width, D embedding

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.models.backbone import Backbone
from facetrain.models.cell import Cell
from facetrain.models.genotype import Genotype
from facetrain.models.ops import Activation, create_activation

FINAL_PX = 7
"""Width of the last feature map of a 112-pixel crop: four halvings."""
WEIGHED = 4
"""Layers of the tail before the convolution that weighs its map away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PocketNetOptions:
    """What a PocketNet is made of besides its genotype.

    Attributes:
        cells: L, at least 3: three of them are reductions.
        channels: C of the first cell's nodes; even.
        stem_multiplier: The stem gives this many times `channels`.
        tail_channels: Width before the embedding; None: 512, or 1024 for embeddings of 512.
        tail_groups: Groups of the 7x7 convolution; None: depthwise.
        affine: Whether batch normalisations learn scale and shift.
        activation: "prelu" as published, or the cheaper "relu".
    """

    cells: int = 18
    channels: int = 16
    stem_multiplier: int = 4
    tail_channels: int | None = None
    tail_groups: int | None = None
    affine: bool = True
    activation: Activation = "prelu"

    def __post_init__(self) -> None:
        if self.cells < 3:
            raise ValueError(f"cells is {self.cells}; it must be at least 3 (three reductions)")
        if self.channels < 2 or self.channels % 2:
            raise ValueError(f"channels is {self.channels}; it must be even and at least 2")
        if self.stem_multiplier < 1:
            raise ValueError(f"stem_multiplier is {self.stem_multiplier}; it must be at least 1")


class PocketNet(Backbone):
    """A retrainable network for a genotype; `create_backbone` makes the published sizes."""

    def __init__(
        self, genotype: Genotype, embedding_dim: int, options: PocketNetOptions | None = None
    ) -> None:
        super().__init__(embedding_dim)
        options = options or PocketNetOptions()
        self.genotype = genotype
        self.options = options
        stem_channels = options.channels * options.stem_multiplier
        self.stem = create_stem(stem_channels)
        self.reductions = reduction_cells(options.cells)
        self.cells = nn.ModuleList()
        before, previous, channels = stem_channels, stem_channels, options.channels
        for index in range(options.cells):
            reduction = index in self.reductions
            channels *= 2 if reduction else 1
            cell = Cell(
                genotype.reduce if reduction else genotype.normal,
                before,
                previous,
                channels,
                reduction=reduction,
                after_reduction=index - 1 in self.reductions,
                affine=options.affine,
                activation=options.activation,
            )
            self.cells.append(cell)
            before, previous = previous, cell.out_channels
        self.tail = EmbeddingTail(
            previous,
            embedding_dim,
            hidden=options.tail_channels,
            groups=options.tail_groups,
            activation=options.activation,
        )
        init_weights(self)

    def stages(self, x_BCHW: Tensor) -> list[Tensor]:
        before_BCHW = previous_BCHW = self.stem(x_BCHW)
        stages = []
        for index, cell in enumerate(self.cells):
            if index in self.reductions:
                stages.append(previous_BCHW)
            before_BCHW, previous_BCHW = previous_BCHW, cell(before_BCHW, previous_BCHW)
        return [*stages, previous_BCHW]

    def embed_stage(self, x_BCHW: Tensor) -> Tensor:
        return self.tail(x_BCHW)

    def traced(self, x_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        stages = self.stages(x_BCHW)
        wide_BCHW = self.tail.widen(stages[-1])
        return [*stages, wide_BCHW], self.tail.weigh(wide_BCHW)


class EmbeddingTail(nn.Sequential):
    """From the 7x7 feature map to the embedding.

    Args:
        in_channels: Channels of the map.
        embedding_dim: D.
        hidden: Channels while the map is weighed away; None: 512, or 1024 for D = 512.
        groups: Groups of the 7x7 convolution; None: depthwise. PocketNet's search network has 128.
        activation: See `create_activation`.
    """

    def __init__(
        self,
        in_channels: int,
        embedding_dim: int,
        *,
        hidden: int | None = None,
        groups: int | None = None,
        activation: Activation = "prelu",
    ) -> None:
        hidden = hidden or (1024 if embedding_dim == 512 else 512)
        groups = groups or hidden
        if hidden % groups:
            raise ValueError(
                f"tail_groups is {groups}; it must divide the tail's {hidden} channels"
            )
        super().__init__(
            create_activation(activation, in_channels),
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            create_activation(activation, hidden),
            nn.Conv2d(hidden, hidden, FINAL_PX, groups=groups, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, embedding_dim, 1, bias=False),
            nn.BatchNorm2d(embedding_dim),
            nn.Flatten(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.weigh(self.widen(x_BCHW))

    def widen(self, x_BCHW: Tensor) -> Tensor:
        """The map that is weighed away afterwards: `hidden` channels, activated."""
        for layer in list(self)[:WEIGHED]:
            x_BCHW = layer(x_BCHW)
        return x_BCHW

    def weigh(self, x_BCHW: Tensor) -> Tensor:
        """From that map to the embedding. While training, the map of a smaller crop is enlarged."""
        if self.training and x_BCHW.shape[-1] != FINAL_PX:
            x_BCHW = F.interpolate(x_BCHW, size=(FINAL_PX, FINAL_PX), mode="bilinear")
        for layer in list(self)[WEIGHED:]:
            x_BCHW = layer(x_BCHW)
        return x_BCHW


def create_stem(channels: int) -> nn.Sequential:
    """3x3 with stride 2 and batch normalisation; the cells bring their own activation."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, 2, padding=1, bias=False), nn.BatchNorm2d(channels)
    )


def reduction_cells(cells: int) -> tuple[int, int, int]:
    """Which cells halve height and width: at a third, at two thirds, and the last.

    Three cells, the fewest there can be, all do.
    """
    return min(cells // 3, cells - 3), min(2 * cells // 3, cells - 2), cells - 1


def init_weights(module: nn.Module) -> None:
    """Kaiming-uniform convolutions; batch normalisations start as the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
