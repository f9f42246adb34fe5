"""The eight primitives of PocketNet's search space and the layers around them.

After Boutros et al., PocketNet (arXiv 2108.10710). What differs from DARTS: depthwise convolutions
are applied once and not dilated, the activation is a PReLU per channel *before* the convolution,
and `dw_conv_1x1` scales each channel (a depthwise 1x1) before it mixes them.
No convolution has a bias; a batch normalisation follows every one.
"""

# B batch, C channels, H height, W width

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, cat, nn

Activation = Literal["prelu", "relu"]

PRIMITIVES = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "dw_conv_3x3",
    "dw_conv_5x5",
    "dw_conv_7x7",
    "dw_conv_1x1",
    "none",
)
"""Names in the order of the alphas' columns; "none" is last."""


def create_activation(activation: Activation, channels: int) -> nn.Module:
    """PReLU with a slope per channel (as published), or the cheaper ReLU."""
    match activation:
        case "prelu":
            return nn.PReLU(channels)
        case "relu":
            return nn.ReLU()
        case _:
            allowed = ", ".join(get_args(Activation))
            raise ValueError(f'activation is "{activation}"; it must be one of: {allowed}')


def create_op(
    name: str, channels: int, stride: int, *, affine: bool = True, activation: Activation = "prelu"
) -> nn.Module:
    """Make a primitive that keeps the number of channels.

    Args:
        name: One of `PRIMITIVES`.
        channels: C, in and out.
        stride: 1, or 2 to halve height and width.
        affine: Whether batch normalisations learn scale and shift (not while searching, where
            they would work against the alphas).
        activation: See `create_activation`.
    """
    match name:
        case "max_pool_3x3":
            return PoolNorm(nn.MaxPool2d(3, stride, padding=1), channels, affine=affine)
        case "avg_pool_3x3":
            pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
            return PoolNorm(pool, channels, affine=affine)
        case "skip_connect" if stride == 1:
            return nn.Identity()
        case "skip_connect":
            return FactorizedReduce(channels, channels, affine=affine, activation=activation)
        case "dw_conv_1x1" | "dw_conv_3x3" | "dw_conv_5x5" | "dw_conv_7x7":
            kernel = int(name[-1])
            return ActConvNorm(
                channels, channels, kernel, stride, affine=affine, activation=activation
            )
        case "none":
            return Zero(stride)
        case _:
            raise ValueError(f'"{name}" is not an operation; known: {", ".join(PRIMITIVES)}')


class ActConvNorm(nn.Sequential):
    """Activation, depthwise k x k, pointwise, batch normalisation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        affine: bool = True,
        activation: Activation = "prelu",
    ) -> None:
        super().__init__(
            create_activation(activation, in_channels),
            _depthwise(in_channels, kernel, stride),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels, affine=affine),
        )

    @property
    def act(self) -> nn.Module:
        return self[0]

    def forward(self, x_BCHW: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.after_act(self.act(x_BCHW))

    def after_act(self, x_BCHW: Tensor) -> Tensor:
        """The output, from an input that is activated already."""
        _, depthwise, pointwise, norm = self
        assert isinstance(depthwise, nn.Conv2d)
        assert isinstance(pointwise, nn.Conv2d)
        return norm(_separable(x_BCHW, depthwise, pointwise))


class FactorizedReduce(nn.Module):
    """Halve height and width without dropping pixels: two strided branches, one pixel apart.

    Raises:
        ValueError: When `out_channels` is odd: each branch gives half of them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        affine: bool = True,
        activation: Activation = "prelu",
    ) -> None:
        super().__init__()
        if out_channels % 2:
            raise ValueError(f"out_channels is {out_channels}; it must be even")
        self.act = create_activation(activation, in_channels)
        self.even = _strided_pointwise(in_channels, out_channels // 2)
        self.odd = _strided_pointwise(in_channels, out_channels // 2)
        self.norm = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.after_act(self.act(x_BCHW))

    def after_act(self, x_BCHW: Tensor) -> Tensor:
        """The output, from an input that is activated already."""
        return self.norm(cat([self.even(x_BCHW), self.odd(x_BCHW[:, :, 1:, 1:])], dim=1))


class PoolNorm(nn.Sequential):
    """Pooling, batch normalisation."""

    def __init__(self, pool: nn.Module, channels: int, *, affine: bool = True) -> None:
        super().__init__(pool, nn.BatchNorm2d(channels, affine=affine))


class Zero(nn.Module):
    """No connection: zeros of the shape that the other operations give."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW[:, :, :: self.stride, :: self.stride] * 0.0


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        channels,
        kernel,
        stride,
        padding=kernel // 2,
        groups=channels,
        bias=False,
    )


def _strided_pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        _depthwise(in_channels, 1, 2), nn.Conv2d(in_channels, out_channels, 1, bias=False)
    )


def _separable(x_BCHW: Tensor, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> Tensor:
    """Depthwise, then pointwise convolution.

    A depthwise 1x1 only scales channels. While training it scales the pointwise weights instead:
    the same function and gradients, without two maps to write and read. Strided ones stay as they
    are: folded, they crashed in the backward pass of the search's toy (torch 2.13, CPU).
    """
    scales = depthwise.kernel_size == (1, 1) and depthwise.stride == (1, 1)
    if not (scales and depthwise.training):
        return pointwise(depthwise(x_BCHW))
    return F.conv2d(x_BCHW, pointwise.weight * depthwise.weight.view(1, -1, 1, 1))
