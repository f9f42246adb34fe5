"""MobileFaceNet (Chen et al., arXiv 1804.07573): inverted residuals, a depthwise 7x7 for pooling.

Two shapes are in use and differ by more than width: the paper's, 1 M parameters, and the one that
InsightFace's recipes call "mbf", 2 M, whose second convolution is grouped by 64 and not depthwise.
"""

# B batch, C channels, H height, W width, D embedding

from dataclasses import dataclass

from torch import Tensor, nn

from facetrain.models.backbone import Backbone


@dataclass(frozen=True, kw_only=True, slots=True)
class MobileFaceNetOptions:
    """Attributes:
    scale: Width multiplier of everything before the 512-wide tail.
    blocks: Inverted residuals at 56, 28, 14 and 7 pixels. One at 56 means a single grouped 3x3.
    """

    scale: int = 1
    blocks: tuple[int, int, int, int] = (1, 4, 6, 2)

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError(f"scale is {self.scale}; it must be at least 1")
        if len(self.blocks) != 4 or min(self.blocks) < 1:
            raise ValueError(f"blocks is {self.blocks}; it must be four numbers, each at least 1")


class MobileFaceNet(Backbone):
    """With the defaults, the paper's network."""

    def __init__(self, embedding_dim: int, options: MobileFaceNetOptions | None = None) -> None:
        super().__init__(embedding_dim)
        options = options or MobileFaceNetOptions()
        narrow, wide = 64 * options.scale, 128 * options.scale
        first, *blocks = options.blocks
        entry = (
            ConvNormAct(narrow, narrow, 3, groups=64)
            if first == 1
            else _residuals(narrow, 128, first)
        )
        self.stage56 = nn.Sequential(ConvNormAct(3, narrow, 3, stride=2), entry)
        self.stage28 = nn.Sequential(
            Bottleneck(narrow, narrow, 128, stride=2), _residuals(narrow, 128, blocks[0])
        )
        self.stage14 = nn.Sequential(
            Bottleneck(narrow, wide, 256, stride=2), _residuals(wide, 256, blocks[1])
        )
        self.stage7 = nn.Sequential(
            Bottleneck(wide, wide, 512, stride=2), _residuals(wide, 256, blocks[2])
        )
        self.tail = nn.Sequential(
            ConvNormAct(wide, 512, 1),
            nn.Conv2d(512, 512, 7, groups=512, bias=False),
            nn.BatchNorm2d(512),
            nn.Flatten(),
            nn.Linear(512, embedding_dim, bias=False),
            nn.BatchNorm1d(embedding_dim),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def stages(self, x_BCHW: Tensor) -> list[Tensor]:
        x56_BCHW = self.stage56(x_BCHW)
        x28_BCHW = self.stage28(x56_BCHW)
        x14_BCHW = self.stage14(x28_BCHW)
        return [x56_BCHW, x28_BCHW, x14_BCHW, self.stage7(x14_BCHW)]

    def embed_stage(self, x_BCHW: Tensor) -> Tensor:
        return self.tail(x_BCHW)


class ConvNormAct(nn.Sequential):
    """Convolution, batch normalisation, PReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel,
                stride,
                padding=kernel // 2,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
            nn.PReLU(out_channels),
        )


class Bottleneck(nn.Module):
    """Widen, depthwise 3x3, narrow without activation; adds its input when `residual`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int,
        *,
        stride: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.body = nn.Sequential(
            ConvNormAct(in_channels, hidden, 1),
            ConvNormAct(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.body(x_BCHW) if self.residual else self.body(x_BCHW)


def _residuals(channels: int, hidden: int, count: int) -> nn.Sequential:
    return nn.Sequential(
        *(Bottleneck(channels, channels, hidden, residual=True) for _ in range(count))
    )
