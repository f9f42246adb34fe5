"""A face detector with YuNet's outputs: anchor-free cells at strides 8, 16 and 32.

What it promises is the interface of `face_detection_yunet_2023mar.onnx` (Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", 2023); the network behind it is our own:

- every spatial step is a strided depthwise 5x5 convolution in place of pooling, so that no unit
  runs at half the input's size except the stem (YuNet spends a quarter of its work there);
- depthwise kernels are 5x5 where pictures are small (strides 16 and 32), for the receptive field
  that large faces need;
- one 16-channel head per stride gives class, objectness, box and landmarks together: twelve
  convolutions of one to ten channels would waste vector lanes.

At full width its maps between the stages have YuNet's channels, so that each stage can be taught
alone, from YuNet's map before it to YuNet's map after it (`facetrain.detector.stages`).

Axes: B batch, C channels, H height, W width, N cells of one stride in row order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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
    """Size of the network. The defaults cost 0.98 of YuNet 2023mar's multiply-adds."""

    width: float = 1.0
    """Factor on the channels of all stages and of the neck; the head's 16 stay."""
    depth: tuple[int, int, int, int] = (3, 2, 2, 2)
    """Units after the downsampling one at strides 4, 8, 16 and 32."""
    refine: int = 3
    """Residual units before the head at stride 32."""

    def __post_init__(self) -> None:
        if not 0.125 <= self.width <= 2:
            raise ValueError(f"width is {self.width}; allowed is 0.125 to 2")
        if len(self.depth) != 4 or not all(0 <= units <= 8 for units in self.depth):
            raise ValueError(f"depth is {self.depth}; allowed are four numbers from 0 to 8")
        if not 0 <= self.refine <= 8:
            raise ValueError(f"refine is {self.refine}; allowed is 0 to 8")

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


class Down(nn.Sequential):
    """Half the size: depthwise 5x5, then pointwise, each normalised and rectified."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, 5, stride=2, groups=inputs, relu=True),
            ConvNorm(inputs, outputs, 1, relu=True),
        )


class Unit(nn.Sequential):
    """Pointwise, then depthwise convolution, normalised and rectified once: YuNet's unit."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 1, bias=False),
            ConvNorm(channels, channels, kernel, groups=channels, relu=True),
        )


class Refine(nn.Sequential):
    """Adds what a depthwise 5x5 and a pointwise convolution find; at first hardly anything."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            ConvNorm(channels, channels, 5, groups=channels, relu=True),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return x_BCHW + super().forward(x_BCHW)


class Head(nn.Sequential):
    """The 16 numbers of each cell; linear."""

    def __init__(self, inputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, HEAD_CHANNELS, 1, bias=False),
            nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, 3, padding=1, groups=HEAD_CHANNELS),
        )


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps (B, C, H / stride, W / stride) between a detector's parts, by stride.

    Attributes:
        c: Of the stages at strides 4, 8, 16, 32.
        p: Of the neck at strides 8, 16, 32: what the heads see.
    """

    c: Mapping[int, Tensor]
    p: Mapping[int, Tensor]


class DetectorNet(nn.Module):
    """Faces of an image as dense cells, one tensor per stride.

    Attributes:
        options: The size that it was built with.
    """

    def __init__(self, options: NetOptions | None = None) -> None:
        super().__init__()
        self.options = options or NetOptions()
        c16, c32, c64 = (self.options.channels(base) for base in (16, 32, 64))
        deep4, deep8, deep16, deep32 = self.options.depth
        self.stem = ConvNorm(3, c16, 3, stride=2, relu=True)
        self.stage4 = _stage(c16, c32, 3, deep4)
        self.stage8 = _stage(c32, c64, 3, deep8)
        self.stage16 = _stage(c64, c64, 5, deep16)
        self.stage32 = _stage(c64, c64, 5, deep32)
        self.neck = nn.ModuleList(Unit(c64) for _ in STRIDES)
        self.refine = nn.Sequential(*(Refine(c64) for _ in range(self.options.refine)))
        self.heads = nn.ModuleList(Head(c64) for _ in STRIDES)
        self.init_weights()

    def init_weights(self) -> None:
        """He initialisation; small head outputs, and objectness at 1 % as most cells are empty."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for unit in self.refine:
            nn.init.normal_(unit.get_submodule("1").get_parameter("weight"), std=1e-3)
        for head in self.heads:
            narrow, last = head.get_submodule("0"), head.get_submodule("1")
            assert isinstance(narrow, nn.Conv2d)
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.normal_(narrow.weight, std=0.01)
            with torch.no_grad():
                last.bias[1] = -4.6

    def maps(self, x_BCHW: Tensor, given: Maps | None = None) -> Maps:
        """What each part makes of the map before it.

        Args:
            x_BCHW: BGR pixels, 0 to 255.
            given: A teacher's maps, which every part but the first then sees in place of the
                network's own, each part on its own.
        """
        # Pixels arrive as 0 to 255; the constant folds into the stem at export.
        c = {4: self.stage4(self.stem(x_BCHW * (1 / 128)))}
        p: dict[int, Tensor] = {}
        seen, above = (c, p) if given is None else (given.c, given.p)
        c[8] = self.stage8(seen[4])
        c[16] = self.stage16(seen[8])
        c[32] = self.stage32(seen[16])
        p[32] = self.neck[2](seen[32])
        p[16] = self.neck[1](seen[16] + twice(above[32]))
        p[8] = self.neck[0](seen[8] + twice(above[16]))
        return Maps(c, p)

    def predict(self, maps: Maps) -> list[Tensor]:
        """The heads' 16 numbers of each cell, (B, N, 16) per stride, before any activation."""
        levels = []
        seen = {**maps.p, 32: self.refine(maps.p[32])}
        for head, stride in zip(self.heads, STRIDES, strict=True):
            # bfloat16 would round landmarks to half a pixel: heads stay float32 under autocast.
            with torch.autocast(seen[stride].device.type, enabled=False):
                levels.append(head(seen[stride].float()).flatten(2).transpose(1, 2))
        return levels

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
        return self.predict(self.maps(x_BCHW))


def _stage(inputs: int, outputs: int, kernel: int, deep: int) -> nn.Sequential:
    return nn.Sequential(Down(inputs, outputs), *(Unit(outputs, kernel) for _ in range(deep)))


def twice(map_BCHW: Tensor) -> Tensor:
    """Each position four times."""
    return F.interpolate(map_BCHW, scale_factor=2.0, mode="nearest")


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
