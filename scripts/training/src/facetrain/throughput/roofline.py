"""The roofline of a network, layer by layer (Williams, Waterman & Patterson 2009).

A layer takes at least as long as its multiply-adds at the machine's best rate, and at least as long
as its bytes at the bandwidth of memory; whichever is longer bounds it, and the network is bounded
by the sum. Every layer is taken to read its input and weights from memory and to write its output
there: who fuses layers, or keeps a small batch in cache, may pass this limit. Additions and
concatenations between layers are not counted.
"""

# B batch, C channels, H height, W width

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from facetrain.models.count import layer_macs
from facetrain.throughput.machine import Machine

FLOAT_BYTES = 4
TRAINING_PASSES = 3
"""Forward, gradient of the input, gradient of the weights: each as many multiply-adds and bytes."""
UPDATE_TENSORS = 5
"""SGD with momentum reads weight, gradient and momentum, and writes weight and momentum."""

HAND_ON = (nn.Identity, nn.Flatten, nn.Dropout)
"""Layers that move nothing when a network is evaluated."""

Bound = Literal["memory", "compute"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCost:
    """Of one crop: multiply-adds, values read and written; and the layer's weights."""

    macs: int
    values: int
    weights: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The least time of a batch, and what bounds most of it."""

    seconds: float
    bound: Bound
    memory_share: float
    """Share of that time in layers that memory bounds."""


def layer_costs(network: nn.Module, height: int = 112, width: int = 112) -> list[LayerCost]:
    """Cost of every layer that runs, from a pass of zeros; the network is left in evaluation mode.

    Layers without children are counted.
    """
    costs: list[LayerCost] = []

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, HAND_ON):
            return
        costs.append(
            LayerCost(
                macs=layer_macs(layer, output),
                values=inputs[0].numel() + output.numel(),
                weights=sum(p.numel() for p in layer.parameters()),
            )
        )

    leaves = [layer for layer in network.modules() if not any(True for _ in layer.children())]
    handles = [layer.register_forward_hook(hook) for layer in leaves]
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, height, width))
    finally:
        for handle in handles:
            handle.remove()
    return costs


def forward_limit(costs: Sequence[LayerCost], machine: Machine, batch: int) -> Limit:
    """Of a forward pass of a batch."""
    return _limit(costs, machine, batch, passes=1)


def training_limit(costs: Sequence[LayerCost], machine: Machine, batch: int) -> Limit:
    """Of a step: forward, backward and the update of the weights."""
    return _limit(costs, machine, batch, passes=TRAINING_PASSES)


def _limit(costs: Sequence[LayerCost], machine: Machine, batch: int, passes: int) -> Limit:
    memory = compute = 0.0
    for cost in costs:
        arithmetic_s = 2 * cost.macs * batch * passes / machine.flops
        moved = (cost.values * batch + cost.weights) * passes * FLOAT_BYTES
        memory_s = moved / machine.bytes_per_s
        if memory_s > arithmetic_s:
            memory += memory_s
        else:
            compute += arithmetic_s
    if passes > 1:
        weights = sum(cost.weights for cost in costs)
        memory += weights * UPDATE_TENSORS * FLOAT_BYTES / machine.bytes_per_s
    total = memory + compute
    share = memory / total
    return Limit(seconds=total, bound="memory" if share > 0.5 else "compute", memory_share=share)
