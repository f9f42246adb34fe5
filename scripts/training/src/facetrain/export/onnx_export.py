"""A network as ONNX: one input, one output, plain operators, the same file for the same weights.

The graph is written node by node from the trace that folding uses, not by torch's exporter: no
further package is needed, the file does not depend on the version of torch, and it holds no shape
arithmetic. Operators outside of `_WRITERS` are refused by name.
"""

# B batch, C channels, H height, W width, D embedding.
import hashlib
import json
import logging
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn

from facetrain.export.fold import trace
from facetrain.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

OPSET = 17
"""Read by ONNX Runtime since 1.12 and TensorRT since 8.5 (JetPack 5)."""
IR_VERSION = 8
INPUT, OUTPUT = "input", "embedding"


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxOptions:
    """Attributes:
    dynamic_batch: Leave the batch open ("batch"); False fixes it to 1, as the daemon runs it.
    metadata: Strings to store in the file beside the preprocessing.
    """

    dynamic_batch: bool = False
    metadata: Mapping[str, str] | None = None


def to_onnx(
    network: nn.Module, preprocessing: Preprocessing, options: OnnxOptions | None = None
) -> onnx.ModelProto:
    """The network with its current weights, in evaluation mode.

    Args:
        network: From preprocessed crops (B, 3, H, W) to embeddings (B, D); folded or not.
        preprocessing: Gives the input's size, and is stored as metadata.

    Returns:
        A checked model of opset 17: `input` (B, 3, H, W) float32 → `embedding` (B, D) float32, not
        normalised. Equal weights are stored once.

    Raises:
        ValueError: The network uses an operator that has no rule here.
    """
    options = options or OnnxOptions()
    graph = network if isinstance(network, fx.GraphModule) else trace(network.eval())
    height, width = preprocessing.height_px, preprocessing.width_px
    with torch.inference_mode():
        dimension = graph(torch.zeros(1, 3, height, width)).shape[1]
    batch = "batch" if options.dynamic_batch else 1
    writer = _Writer(graph)
    writer.write()
    made = helper.make_graph(
        writer.nodes,
        "embedder",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, 3, height, width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, dimension])],
        writer.weights,
    )
    model = helper.make_model(
        made,
        producer_name="facetrain",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    metadata = {"preprocessing": json.dumps(asdict(preprocessing)), **(options.metadata or {})}
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    return model


def save_onnx(model: onnx.ModelProto, file: Path) -> str:
    """Writes the model, whole or not at all; its sha256."""
    data = model.SerializeToString(deterministic=True)
    write_whole(file, data)
    logger.info("wrote %s (%.2f MB)", file, len(data) / 1e6)
    return hashlib.sha256(data).hexdigest()


def write_whole(file: Path, data: bytes) -> None:
    """Replaces the file at once: it never holds a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


class _Writer:
    """One traced graph → ONNX nodes and weights."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self._graph = graph
        self._by_content: dict[bytes, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def write(self) -> None:
        names: dict[fx.Node, str] = {}
        for node in self._graph.graph.nodes:
            match node.op:
                case "placeholder":
                    names[node] = INPUT
                case "output":
                    (last,) = (entry for entry in node.all_input_nodes)
                    self._rename(names[last])
                case "call_module":
                    layer = self._graph.get_submodule(node.target)
                    names[node] = self._layer(node, layer, names[node.args[0]])
                case "call_function" | "call_method":
                    names[node] = self._call(node, names)
                case _:
                    raise _unknown(node.op, node)

    def weight(self, name: str, values: Tensor | np.ndarray) -> str:
        """Stores a weight, or finds the equal one that is stored already."""
        array = values.detach().numpy() if isinstance(values, Tensor) else values
        key = repr((array.dtype.str, array.shape)).encode() + array.tobytes()
        digest = hashlib.sha256(key).digest()
        if digest not in self._by_content:
            self._by_content[digest] = name
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return self._by_content[digest]

    def add(self, op: str, node: fx.Node, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(op, list(inputs), [node.name], name=node.name, **attributes)
        )
        return node.name

    def _rename(self, last: str) -> None:
        for node in self.nodes:
            node.output[:] = [OUTPUT if name == last else name for name in node.output]
            node.input[:] = [OUTPUT if name == last else name for name in node.input]

    def _layer(self, node: fx.Node, layer: nn.Module, x: str) -> str:
        for kind, write in _WRITERS.items():
            if isinstance(layer, kind):
                return write(self, node, layer, x)
        raise _unknown(type(layer).__name__, node)

    def _call(self, node: fx.Node, names: dict[fx.Node, str]) -> str:
        match node.target:
            case operator.add | torch.add if _are_nodes(node.args):
                return self.add("Add", node, *(names[arg] for arg in _nodes(node.args)))
            case operator.mul | torch.mul:
                factors = [
                    names[arg] if isinstance(arg, fx.Node) else self._scalar(arg)
                    for arg in node.args
                ]
                return self.add("Mul", node, *factors)
            case torch.cat | torch.concat:
                axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
                parts = [names[part] for part in _nodes(node.args[0])]
                return self.add("Concat", node, *parts, axis=axis)
            case operator.getitem:
                return self._slice(node, names[_nodes(node.args[:1])[0]], node.args[1])
            case torch.flatten | "flatten" if (*node.args[1:], *node.kwargs.values()) == (1,):
                return self.add("Flatten", node, names[_nodes(node.args[:1])[0]], axis=1)
            case F.relu | torch.relu | "relu":
                return self.add("Relu", node, names[_nodes(node.args[:1])[0]])
            case _:
                raise _unknown(getattr(node.target, "__name__", str(node.target)), node)

    def _scalar(self, value: Any) -> str:
        return self.weight(f"scalar_{value}", np.array(value, dtype=np.float32))

    def _slice(self, node: fx.Node, x: str, index: Any) -> str:
        slices = index if isinstance(index, tuple) else (index,)
        if not all(isinstance(entry, slice) for entry in slices):
            raise _unknown("indexing by other than slices", node)
        cut = [(axis, entry) for axis, entry in enumerate(slices) if entry != slice(None)]
        bounds = {
            "starts": [entry.start or 0 for _, entry in cut],
            "ends": [
                np.iinfo(np.int64).max if entry.stop is None else entry.stop for _, entry in cut
            ],
            "axes": [axis for axis, _ in cut],
            "steps": [entry.step or 1 for _, entry in cut],
        }
        inputs = [
            self.weight(f"{node.name}.{name}", np.array(values, dtype=np.int64))
            for name, values in bounds.items()
        ]
        return self.add("Slice", node, x, *inputs)


def _conv(writer: _Writer, node: fx.Node, layer: nn.Conv2d, x: str) -> str:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise _unknown(f"convolution with padding {layer.padding!r}, {layer.padding_mode}", node)
    inputs = [x, writer.weight(f"{node.name}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.weight(f"{node.name}.bias", layer.bias))
    return writer.add(
        "Conv",
        node,
        *inputs,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[*layer.padding, *layer.padding],
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _gemm(writer: _Writer, node: fx.Node, layer: nn.Linear, x: str) -> str:
    inputs = [x, writer.weight(f"{node.name}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(writer.weight(f"{node.name}.bias", layer.bias))
    return writer.add("Gemm", node, *inputs, transB=1)


def _norm(writer: _Writer, node: fx.Node, layer: nn.BatchNorm2d, x: str) -> str:
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None:
        raise _unknown("batch normalisation without running statistics", node)
    ones, zeros = torch.ones_like(mean), torch.zeros_like(mean)
    parts = {
        "scale": ones if layer.weight is None else layer.weight,
        "bias": zeros if layer.bias is None else layer.bias,
        "mean": mean,
        "variance": variance,
    }
    inputs = [writer.weight(f"{node.name}.{name}", part) for name, part in parts.items()]
    return writer.add("BatchNormalization", node, x, *inputs, epsilon=layer.eps)


def _prelu(writer: _Writer, node: fx.Node, layer: nn.PReLU, x: str) -> str:
    # One slope per channel; trailing ones make it broadcast over height and width.
    slope = writer.weight(f"{node.name}.slope", layer.weight.view(-1, 1, 1))
    return writer.add("PRelu", node, x, slope)


def _pool(writer: _Writer, node: fx.Node, layer: nn.MaxPool2d | nn.AvgPool2d, x: str) -> str:
    if layer.ceil_mode:
        raise _unknown("pooling with ceil_mode", node)
    attributes: dict[str, Any] = {
        "kernel_shape": _pair(layer.kernel_size),
        "strides": _pair(layer.stride),
        "pads": _pair(layer.padding) * 2,
    }
    if isinstance(layer, nn.AvgPool2d):
        attributes["count_include_pad"] = int(layer.count_include_pad)
        return writer.add("AveragePool", node, x, **attributes)
    return writer.add("MaxPool", node, x, dilations=_pair(layer.dilation), **attributes)


def _flatten(writer: _Writer, node: fx.Node, layer: nn.Flatten, x: str) -> str:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise _unknown("Flatten of other than all but the batch", node)
    return writer.add("Flatten", node, x, axis=1)


_WRITERS: dict[type[nn.Module], Callable[..., str]] = {
    nn.Conv2d: _conv,
    nn.Linear: _gemm,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.PReLU: _prelu,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.Flatten: _flatten,
    nn.ReLU: lambda writer, node, _, x: writer.add("Relu", node, x),
}


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _nodes(args: Any) -> list[fx.Node]:
    assert _are_nodes(args), f"expected values of the graph, found {args}"
    return list(args)


def _are_nodes(args: Any) -> bool:
    return all(isinstance(arg, fx.Node) for arg in args)


def _unknown(what: str, node: fx.Node) -> ValueError:
    return ValueError(
        f"no ONNX rule for {what} (at {node.name}); add one to facetrain.export.onnx_export"
    )
