"""iResNet-18/34/50/100: the teachers.

Improved residual blocks (Duta et al., arXiv 2004.04989) in ArcFace's form: batch normalisation
before the first convolution, PReLU, no activation after the sum.
"""

# B batch, C channels, H height, W width, D embedding

import torch
from torch import Tensor, nn

from facetrain.models.backbone import Backbone

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
}
"""Blocks at 56, 28, 14 and 7 pixels."""

FINAL_PX = 7


class IResNet(Backbone):
    """A residual network whose first convolution keeps the crop's 112 pixels.

    Args:
        depth: 18, 34, 50 or 100.
        embedding_dim: D.
        dropout: Probability before the last layer, in [0, 1).
    """

    def __init__(self, depth: int, embedding_dim: int, *, dropout: float = 0.0) -> None:
        super().__init__(embedding_dim)
        if depth not in DEPTHS:
            raise ValueError(f"depth is {depth}; it must be one of {', '.join(map(str, DEPTHS))}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must be in [0, 1)")
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        widths = (64, 64, 128, 256, 512)
        self.blocks = nn.ModuleList(
            _stage(widths[i], widths[i + 1], count) for i, count in enumerate(DEPTHS[depth])
        )
        self.tail = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(widths[-1] * FINAL_PX * FINAL_PX, embedding_dim),
            _unscaled_norm(embedding_dim),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0, 0.1)

    def stages(self, x_BCHW: Tensor) -> list[Tensor]:
        x_BCHW = self.stem(x_BCHW)
        stages = []
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
            stages.append(x_BCHW)
        return stages

    def embed_stage(self, x_BCHW: Tensor) -> Tensor:
        return self.tail(x_BCHW)


class ResidualBlock(nn.Module):
    """Norm, 3x3, norm, PReLU, 3x3 with the stride, norm; plus the input, projected where needed."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.body(x_BCHW) + self.shortcut(x_BCHW)


def _stage(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    first = ResidualBlock(in_channels, out_channels, 2)
    return nn.Sequential(
        first, *(ResidualBlock(out_channels, out_channels, 1) for _ in range(count - 1))
    )


def _unscaled_norm(channels: int) -> nn.BatchNorm1d:
    # A learned scale would let the margin loss undo the normalisation of single dimensions.
    norm = nn.BatchNorm1d(channels)
    with torch.no_grad():
        norm.weight.fill_(1.0)
    norm.weight.requires_grad_(False)
    return norm
