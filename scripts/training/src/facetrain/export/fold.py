"""Linear layers that follow each other become one: the same function with less to compute.

The network is traced into a graph (torch.fx), and where a value has one reader only, these pairs
are replaced by one layer, exactly up to rounding (folded in float64, stored in float32):

- convolution or linear, then batch normalisation;
- convolutions side by side (`cat`), then batch normalisation over all of them;
- 1x1 convolution without padding, then 1x1 convolution, where one layer costs no more than both:
  PocketNet's depthwise 1x1 and the pointwise after it always;
- batch normalisation, then 1x1 convolution without padding or linear.

A batch normalisation after a pooling, or before a convolution with padding, stays.
"""

# B batch, C channels, H height, W width, D embedding.
import copy
import logging
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from facetrain.models.count import count_cost
from facetrain.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

EXACT = 1e-5
"""Largest accepted difference of unit embeddings between the network and its folded form."""

Norm = (nn.BatchNorm1d, nn.BatchNorm2d)
Linear = nn.Conv2d | nn.Linear
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


@dataclass(frozen=True, slots=True)
class FoldReport:
    """Multiply-adds and layers before and after, and the largest difference of unit embeddings."""

    macs_before: int
    macs_after: int
    layers_before: int
    layers_after: int
    difference: float


def fold(network: nn.Module) -> fx.GraphModule:
    """A folded copy of the network, in evaluation mode on the CPU, float32.

    Raises:
        ValueError: The network's forward depends on values, so that it has no fixed graph.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    graph = trace(network)
    while _fold_pass(graph):
        pass
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def trace(network: nn.Module) -> fx.GraphModule:
    """The network as a graph of torch's own layers and operators."""
    try:
        traced = fx.symbolic_trace(network)
    except (TraceError, TypeError) as fault:
        raise ValueError(
            f"{type(network).__name__} has no fixed graph ({fault}); "
            "its forward must not branch on values"
        ) from fault
    _drop_identities(traced)
    return traced


def checked_fold(
    network: nn.Module, preprocessing: Preprocessing, *, seed: int = 0
) -> tuple[fx.GraphModule, FoldReport]:
    """The folded network, compared with the original on random pixels.

    Raises:
        ValueError: Unit embeddings differ by more than `EXACT`.
    """
    folded = fold(network)
    original = copy.deepcopy(network).cpu().float().eval()
    random = torch.Generator().manual_seed(seed)
    size = (preprocessing.height_px, preprocessing.width_px)
    crop_BCHW = torch.randint(0, 256, (4, 3, *size), generator=random, dtype=torch.uint8)
    with torch.inference_mode():
        x_BCHW = preprocessing.apply(crop_BCHW)
        # In float64 the two are equal to 1e-12; what is left is rounding, so float32 is measured.
        e_BD, other_BD = (F.normalize(net(x_BCHW), dim=1) for net in (original, folded))
    difference = float((e_BD - other_BD).abs().max())
    report = FoldReport(
        macs_before=count_cost(original, *size).macs,
        macs_after=count_cost(folded, *size).macs,
        layers_before=_layers(original),
        layers_after=_layers(folded),
        difference=difference,
    )
    if not difference <= EXACT:
        raise ValueError(
            f"folding changed embeddings by {difference:.2e}, {EXACT} is allowed: the network is "
            "badly conditioned (a running variance near 0?); train it further or export it unfolded"
        )
    logger.info("folded: %s", report)
    return folded, report


def _layers(network: nn.Module) -> int:
    return sum(
        isinstance(layer, Linear | nn.BatchNorm1d | nn.BatchNorm2d) for layer in network.modules()
    )


def _drop_identities(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if isinstance(_module(graph, node), nn.Identity | nn.Dropout):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def _module(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _sole_input(node: fx.Node) -> fx.Node | None:
    """What the layer reads, if nothing else reads it."""
    source = node.args[0]
    return source if isinstance(source, fx.Node) and len(source.users) == 1 else None


def _fold_pass(graph: fx.GraphModule) -> bool:
    """Replaces pairs along the graph; False when there were none."""
    found = False
    for node in list(graph.graph.nodes):
        layer = _module(graph, node)
        if not isinstance(layer, Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        source = _sole_input(node)
        if source is not None and _fold_pair(graph, source, layer):
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
            found = True
    return found


def _fold_pair(graph: fx.GraphModule, source: fx.Node, layer: nn.Module) -> bool:
    """Makes `source` compute what `layer` would make of it; False where no rule applies."""
    before = _module(graph, source)
    merged: nn.Module | None = None
    if isinstance(layer, Norm):
        if _is_concat(source):
            return _fold_into_branches(graph, source, layer)
        if isinstance(before, Linear):
            merged = _after(before, *_scale_shift(layer))
    elif isinstance(before, Norm) and isinstance(layer, Linear) and _is_pointwise(layer):
        merged = _before(*_scale_shift(before), layer)
    elif isinstance(before, nn.Conv2d) and isinstance(layer, nn.Conv2d):
        merged = _composed(before, layer)
    if merged is None:
        return False
    _set_module(graph, source, merged)
    return True


def _set_module(graph: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    # A layer that is called twice keeps its own weights for the other call.
    name = f"folded_{str(node.target).replace('.', '_').removeprefix('folded_')}"
    while any(other is not node and other.target == name for other in graph.graph.nodes):
        name += "_"
    graph.add_submodule(name, layer)
    node.target = name


def _is_concat(node: fx.Node) -> bool:
    is_cat = node.op == "call_function" and node.target in (torch.cat, torch.concat)
    dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    return bool(is_cat and dim == 1)


def _fold_into_branches(graph: fx.GraphModule, concat: fx.Node, norm: nn.Module) -> bool:
    branches = concat.args[0]
    assert isinstance(branches, list | tuple)
    layers = []
    for branch in branches:
        layer = _module(graph, branch) if isinstance(branch, fx.Node) else None
        if (
            not isinstance(layer, nn.Conv2d)
            or not isinstance(branch, fx.Node)
            or len(branch.users) > 1
        ):
            return False
        layers.append((branch, layer))
    scale_C, shift_C = _scale_shift(norm)
    start = 0
    for branch, layer in layers:
        part = slice(start, start + layer.out_channels)
        start += layer.out_channels
        _set_module(graph, branch, _after(layer, scale_C[part], shift_C[part]))
    return True


def _scale_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """y = scale · x + shift per channel, float64."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a batch normalisation without running statistics cannot be folded")
    scale = torch.rsqrt(variance.detach().double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean.detach().double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


def _parts(layer: Linear) -> tuple[Tensor, Tensor]:
    """Weight (out, in / groups, …) and bias (out,), float64."""
    weight = layer.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double()
    return weight, bias


def _after(layer: Linear, scale: Tensor, shift: Tensor) -> Linear:
    """The layer, then scale and shift of each of its outputs."""
    weight, bias = _parts(layer)
    return _like(layer, weight * scale.view(-1, *[1] * (weight.ndim - 1)), bias * scale + shift)


def _before(scale: Tensor, shift: Tensor, layer: Linear) -> Linear:
    """Scale and shift of each input, then the layer."""
    weight, bias = _parts(layer)
    flat = weight.flatten(1)
    return _like(layer, (flat * scale).view_as(weight), bias + flat @ shift)


def _is_pointwise(layer: Linear) -> bool:
    """Every output reads all inputs of one place, and nothing else."""
    if isinstance(layer, nn.Linear):
        return True
    return layer.kernel_size == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


def _composed(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d | None:
    """Both 1x1 convolutions as one; None where that is not possible or costs more."""
    if first.kernel_size != (1, 1) or first.padding != (0, 0) or not _is_pointwise(second):
        return None
    outer, outer_bias = _parts(second)
    inner, inner_bias = _parts(first)
    outer, inner = outer.flatten(1), _dense(inner.flatten(1), first.groups)
    # Multiply-adds per place of the second's output, except that the first runs on more places.
    stride = second.stride[0] * second.stride[1]
    apart = first.out_channels * (first.in_channels // first.groups) * stride + outer.numel()
    if len(outer) * inner.shape[1] > apart:
        return None
    merged = nn.Conv2d(
        first.in_channels,
        second.out_channels,
        1,
        (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]),
    )
    return _filled(merged, (outer @ inner)[:, :, None, None], outer @ inner_bias + outer_bias)


def _dense(weight: Tensor, groups: int) -> Tensor:
    """Weights (out, in) of a grouped 1x1 convolution (out, in / groups)."""
    return torch.block_diag(*weight.chunk(groups))


def _like(layer: Linear, weight: Tensor, bias: Tensor) -> Linear:
    if isinstance(layer, nn.Linear):
        return _filled(nn.Linear(layer.in_features, layer.out_features), weight, bias)
    assert not isinstance(layer.padding, str), "padding is given in numbers"
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        (layer.stride[0], layer.stride[1]),
        (layer.padding[0], layer.padding[1]),
        (layer.dilation[0], layer.dilation[1]),
        layer.groups,
    )
    return _filled(made, weight, bias)


def _filled(layer: Layer, weight: Tensor, bias: Tensor) -> Layer:
    with torch.no_grad():
        layer.weight.copy_(weight)
        assert layer.bias is not None
        layer.bias.copy_(bias)
    return layer.eval()
