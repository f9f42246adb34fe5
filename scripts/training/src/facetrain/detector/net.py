"""A face detector with YuNet's outputs: anchor-free cells at strides 8, 16 and 32.

What it promises is the interface of `face_detection_yunet_2023mar.onnx` (Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", 2023); the network behind it is our own:

- every spatial step is a strided convolution, so that no unit runs at half the input's size except
  the stem (YuNet spends a quarter of its work there);
- depthwise kernels are 5x5 where pictures are small (strides 16 and 32), for the receptive field
  that large faces need;
- one 16-channel head per stride gives class, objectness, box and landmarks together: twelve
  convolutions of one to ten channels would waste vector lanes.

Axes: B batch, C channels, H height, W width, N cells of one stride in row order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
INPUT_MULTIPLE = 32
LANDMARKS = 5
BOX = slice(2, 6)
KPS = slice(6, 16)
HEAD_CHANNELS = 16  # class, objectness, 4 of the box, 10 of the landmarks
CHANNEL_MULTIPLE = 8  # the vector width that ONNX Runtime and cuDNN block channels by
OUTPUT_NAMES = tuple(
    f"{what}_{stride}" for what in ("cls", "obj", "bbox", "kps") for stride in STRIDES
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetOptions:
    """Size of the network. The defaults cost 0.87 of YuNet 2023mar's multiply-adds."""

    width: float = 1.0
    """Factor on the channels of all stages and of the neck; the head's 16 stay."""
    depth: tuple[int, int, int] = (1, 2, 2)
    """Units after the downsampling one at strides 8, 16 and 32."""

    def __post_init__(self) -> None:
        if not 0.125 <= self.width <= 2:
            raise ValueError(f"width is {self.width}; allowed is 0.125 to 2")
        if len(self.depth) != 3 or not all(0 <= units <= 8 for units in self.depth):
            raise ValueError(f"depth is {self.depth}; allowed are three numbers from 0 to 8")

    def channels(self, base: int) -> int:
        """`base` scaled by the width, a multiple of 8."""
        return max(CHANNEL_MULTIPLE, round(base * self.width / CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE)


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU where asked for."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool,
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        layers: list[nn.Module] = [conv, nn.BatchNorm2d(outputs)]
        if relu:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Separable(nn.Sequential):
    """Depthwise, then pointwise convolution, each normalised and rectified (MobileNet's unit)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, kernel, stride=stride, groups=inputs, relu=True),
            ConvNorm(inputs, outputs, 1, relu=True),
        )


class Head(nn.Sequential):
    """One unit, then the 16 numbers of each cell; linear."""

    def __init__(self, inputs: int) -> None:
        last = nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, 3, padding=1, groups=HEAD_CHANNELS)
        super().__init__(
            Separable(inputs, inputs), nn.Conv2d(inputs, HEAD_CHANNELS, 1, bias=False), last
        )


class DetectorNet(nn.Module):
    """Faces of an image as dense cells, one tensor per stride.

    Attributes:
        options: The size that it was built with.
    """

    def __init__(self, options: NetOptions | None = None) -> None:
        super().__init__()
        self.options = options or NetOptions()
        c16, c32, c64, c96 = (self.options.channels(base) for base in (16, 32, 64, 96))
        deep8, deep16, deep32 = self.options.depth
        self.stem = ConvNorm(3, c16, 3, stride=2, relu=True)
        self.stage4 = nn.Sequential(Separable(c16, c32, stride=2), Separable(c32, c32))
        self.stage8 = _stage(c32, c64, 3, deep8)
        self.stage16 = _stage(c64, c96, 5, deep16)
        self.stage32 = _stage(c96, c96, 5, deep32)
        self.lateral8 = ConvNorm(c64, c64, 1, relu=False)
        self.lateral16 = ConvNorm(c96, c64, 1, relu=False)
        self.lateral32 = ConvNorm(c96, c64, 1, relu=True)
        self.smooth16 = Separable(c64, c64)
        self.heads = nn.ModuleList(Head(c64) for _ in STRIDES)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.init_weights()

    def init_weights(self) -> None:
        """He initialisation; small head outputs, and objectness at 1 % as most cells are empty."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for head in self.heads:
            narrow, last = head.get_submodule("1"), head.get_submodule("2")
            assert isinstance(narrow, nn.Conv2d)
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.normal_(narrow.weight, std=0.01)
            with torch.no_grad():
                last.bias[1] = -4.6

    def maps(self, x_BCHW: Tensor) -> list[Tensor]:
        """The heads' 16-channel maps (B, 16, H / stride, W / stride), before any activation."""
        # Pixels arrive as 0 to 255; the constant folds into the stem at export.
        c8 = self.stage8(self.stage4(self.stem(x_BCHW * (1 / 128))))
        c16 = self.stage16(c8)
        p32 = self.lateral32(self.stage32(c16))
        p16 = self.smooth16(torch.relu(self.lateral16(c16) + self.upsample(p32)))
        p8 = torch.relu(self.lateral8(c8) + self.upsample(p16))
        # bfloat16 would round landmarks to half a pixel: heads stay float32 under autocast.
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return [head(p.float()) for head, p in zip(self.heads, (p8, p16, p32), strict=True)]

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Dense predictions.

        Args:
            x_BCHW: BGR pixels, float32, 0 to 255; H and W multiples of 32.

        Returns:
            One (B, N, 16) per stride: class logit, objectness logit, box (centre x, y as offset
            from the cell, log width, log height), five landmarks (x, y as offset), all in strides.
        """
        height, width = x_BCHW.shape[-2:]
        if height % INPUT_MULTIPLE or width % INPUT_MULTIPLE:
            raise ValueError(f"input is {width}x{height}; both sides must be multiples of 32")
        return [y_BCHW.flatten(2).transpose(1, 2) for y_BCHW in self.maps(x_BCHW)]


def _stage(inputs: int, outputs: int, kernel: int, deep: int) -> nn.Sequential:
    first = Separable(inputs, outputs, kernel, stride=2)
    return nn.Sequential(first, *(Separable(outputs, outputs, kernel) for _ in range(deep)))


def cells(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Column, row and stride of every cell, all strides in order: (N, 3) float32."""
    grids = []
    for stride in STRIDES:
        row, col = torch.meshgrid(
            torch.arange(height // stride), torch.arange(width // stride), indexing="ij"
        )
        grids.append(torch.stack([col, row, torch.full_like(row, stride)], dim=-1).reshape(-1, 3))
    return torch.cat(grids).to(device, torch.float32)


def count_macs(net: nn.Module, height: int = 640, width: int = 640) -> int:
    """Multiply-adds of all convolutions for one picture."""
    total = 0

    def count(module: nn.Module, _inputs: Sequence[Tensor], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += module.weight.numel() * output.shape[-2] * output.shape[-1]

    handles = [
        module.register_forward_hook(count)
        for module in net.modules()
        if isinstance(module, nn.Conv2d)
    ]
    was_training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, 3, height, width))
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()
    return total
