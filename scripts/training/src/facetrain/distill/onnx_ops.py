"""ONNX operators as torch functions: what face networks are made of, in evaluation mode.

Each builder reads a node once and returns the function to call and the inputs it is called with;
what shapes the computation (axes, sizes, limits) must be constant in the file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Node:
    """A node, its attributes as Python values, and the file's constants."""

    op: str
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    constants: Mapping[str, np.ndarray]

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    def constant(self, position: int) -> np.ndarray | None:
        """The constant at an input's position; None where the input is left out."""
        if position >= len(self.inputs) or not self.inputs[position]:
            return None
        name = self.inputs[position]
        if name not in self.constants:
            raise self.error(f"its input {name} is computed; it must be constant here")
        return self.constants[name]

    def error(self, what: str) -> ValueError:
        return ValueError(f"ONNX node {self.name or self.outputs[0]} ({self.op}): {what}")


Step = tuple[Function, Sequence[str]]


def _all(function: Function) -> Callable[[Node], Step]:
    return lambda node: (function, node.inputs)


def _first(function: Function) -> Callable[[Node], Step]:
    return lambda node: (function, node.inputs[:1])


def _conv(node: Node) -> Step:
    _explicit_padding(node)
    begin, end = _padding(node)
    stride, dilation = node.get("strides", [1, 1]), node.get("dilations", [1, 1])
    groups = node.get("group", 1)

    def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padding = begin
        if begin != end:
            x, padding = F.pad(x, (begin[1], end[1], begin[0], end[0])), (0, 0)
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    return conv, [name for name in node.inputs if name]


def _max_pool(node: Node) -> Step:
    _explicit_padding(node)
    begin, end = _padding(node)
    if begin != end or node.get("dilations", [1, 1]) != [1, 1]:
        raise node.error("only even padding and no dilation are supported")
    kernel, stride = node.get("kernel_shape", None), node.get("strides", [1, 1])
    ceil = bool(node.get("ceil_mode", 0))
    return (lambda x: F.max_pool2d(x, kernel, stride, begin, ceil_mode=ceil)), node.inputs[:1]


def _average_pool(node: Node) -> Step:
    _explicit_padding(node)
    begin, end = _padding(node)
    if begin != end:
        raise node.error("only even padding is supported")
    kernel, stride = node.get("kernel_shape", None), node.get("strides", [1, 1])
    ceil, include = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))

    def pool(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, begin, ceil, include)

    return pool, node.inputs[:1]


def _prelu(node: Node) -> Step:
    slope = node.constants.get(node.inputs[1])
    if slope is not None and slope.ndim == 3 and slope.shape[1:] == (1, 1):
        return (lambda x, slope: F.prelu(x, slope.flatten())), node.inputs
    return (lambda x, slope: torch.where(x < 0, x * slope, x)), node.inputs


def _clip(node: Node) -> Step:
    if "min" in node.attributes or "max" in node.attributes:
        low, high = node.get("min", None), node.get("max", None)
    else:
        low, high = (
            None if value is None else float(value.reshape(()))
            for value in (node.constant(1), node.constant(2))
        )
    return (lambda x: x.clamp(low, high)), node.inputs[:1]


def _batch_norm(node: Node) -> Step:
    eps = node.get("epsilon", 1e-5)

    def batch_norm(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return F.batch_norm(x, mean, var, scale, bias, training=False, eps=eps)

    return batch_norm, node.inputs


def _gemm(node: Node) -> Step:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    left, right = node.get("transA", 0), node.get("transB", 0)

    def gemm(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = alpha * ((a.T if left else a) @ (b.T if right else b))
        return product if c is None else product + beta * c

    return gemm, [name for name in node.inputs if name]


def _flatten(node: Node) -> Step:
    axis = node.get("axis", 1)
    if axis != 1:
        raise node.error(f"axis is {axis}; only 1 is supported")
    return (lambda x: x.flatten(1)), node.inputs[:1]


def _reshape(node: Node) -> Step:
    wanted = node.constant(1)
    assert wanted is not None
    shape = [int(size) for size in wanted]
    # A file made for one picture writes that 1 into its shapes; it means the batch.
    if len(shape) > 1 and shape[0] == 1 and node.attributes["fixed_batch"] == 1:
        shape[0] = 0
    copied = not node.get("allowzero", 0)

    def reshape(x: Tensor) -> Tensor:
        sizes = [x.shape[n] if s == 0 and copied else s for n, s in enumerate(shape)]
        return x.reshape(sizes)

    return reshape, node.inputs[:1]


def _transpose(node: Node) -> Step:
    order = node.get("perm", None)
    return (lambda x: x.permute(order or tuple(range(x.ndim))[::-1])), node.inputs[:1]


def _concat(node: Node) -> Step:
    axis = node.attributes["axis"]
    return (lambda *parts: torch.cat(parts, dim=axis)), node.inputs


def _softmax(node: Node) -> Step:
    axis = node.get("axis", -1)
    return (lambda x: F.softmax(x, dim=axis)), node.inputs


def _leaky_relu(node: Node) -> Step:
    slope = node.get("alpha", 0.01)
    return (lambda x: F.leaky_relu(x, slope)), node.inputs


def _resize(node: Node) -> Step:
    mode = (
        node.get("mode", b"nearest"),
        node.get("coordinate_transformation_mode", b"half_pixel"),
        node.get("nearest_mode", b"round_prefer_floor"),
    )
    if mode != (b"nearest", b"asymmetric", b"floor"):
        raise node.error(f"{mode} is not supported; only nearest, asymmetric, floor is")
    scales = node.constant(2)
    if scales is None or not scales.size:
        raise node.error("sizes are not supported; only scales are")
    if len(scales) != 4 or (scales[:2] != 1).any() or (scales % 1 != 0).any():
        raise node.error(f"scales are {scales.tolist()}; only whole ones of height and width are")
    factor = tuple(float(scale) for scale in scales[2:])
    return (lambda x: F.interpolate(x, scale_factor=factor, mode="nearest")), node.inputs[:1]


def _squeeze(node: Node) -> Step:
    axes = _axes(node)
    return (lambda x: x.squeeze(tuple(axes)) if axes else x.squeeze()), node.inputs[:1]


def _axes(node: Node) -> list[int]:
    if "axes" in node.attributes:
        return node.attributes["axes"]
    given = node.constant(1)
    return [] if given is None else given.tolist()


def _explicit_padding(node: Node) -> None:
    mode = node.get("auto_pad", b"NOTSET")
    if mode not in (b"NOTSET", b"VALID"):
        raise node.error(f"auto_pad {mode.decode()} is not supported; write the pads out")


def _padding(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
    return (top, left), (bottom, right)


OPERATORS: Mapping[str, Callable[[Node], Step]] = {
    "Add": _all(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _all(torch.div),
    "Dropout": _first(lambda x: x),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _all(lambda x: x.mean(dim=(2, 3), keepdim=True)),
    "Identity": _all(lambda x: x),
    "LeakyRelu": _leaky_relu,
    "MatMul": _all(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _all(torch.mul),
    "PRelu": _prelu,
    "Relu": _all(F.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _all(torch.sigmoid),
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Sub": _all(torch.sub),
    "Transpose": _transpose,
}
