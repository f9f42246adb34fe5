"""What a model costs: parameters, multiply-adds, and PocketNet's own kind of FLOPs.

Papers count differently, so compare multiply-adds only. PocketNet's published figures are
2 x multiply-adds + 2 per batch-normalised element + 1 per PReLU element + k² per pooled element.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one crop.

    Attributes:
        params: Parameters, frozen ones too; buffers are not counted.
        macs: Multiply-adds of convolutions and linear layers.
        pocketnet_flops: FLOPs by PocketNet's published rule.
    """

    params: int
    macs: int
    pocketnet_flops: int


def count_cost(module: nn.Module, height: int = 112, width: int = 112, channels: int = 3) -> Cost:
    """Count by running zeros of shape (1, channels, height, width) through the module.

    Layers that share weights are counted each time they run. The module's mode, statistics and
    device are left as they were.
    """
    macs = 0
    other = 0

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, other
        macs += layer_macs(layer, output)
        other += _other_flops(layer, inputs[0], output)

    handles = [layer.register_forward_hook(hook) for layer in module.modules()]
    modes = [(layer, layer.training) for layer in module.modules()]
    parameter = next(module.parameters(), torch.zeros(()))
    x_1CHW = torch.zeros(1, channels, height, width, device=parameter.device, dtype=parameter.dtype)
    try:
        module.eval()
        with torch.inference_mode():
            module(x_1CHW)
    finally:
        for handle in handles:
            handle.remove()
        for layer, training in modes:
            layer.training = training
    params = sum(parameter.numel() for parameter in module.parameters())
    return Cost(params=params, macs=macs, pocketnet_flops=2 * macs + other)


def layer_macs(layer: nn.Module, output: Tensor) -> int:
    """Multiply-adds of one layer's run; 0 for what neither convolves nor is linear."""
    match layer:
        case nn.Conv2d():
            return output.numel() * layer.in_channels // layer.groups * prod(layer.kernel_size)
        case nn.Linear():
            return output.numel() * layer.in_features
        case _:
            return 0


def _other_flops(layer: nn.Module, x: Tensor, output: Tensor) -> int:
    match layer:
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return 2 * x.numel()
        case nn.PReLU() | nn.ReLU():
            return x.numel()
        case nn.MaxPool2d() | nn.AvgPool2d():
            kernel = layer.kernel_size
            area = kernel * kernel if isinstance(kernel, int) else prod(kernel)
            return output.numel() * area
        case _:
            return 0
