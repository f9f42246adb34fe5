"""An ONNX graph run by torch's operations: on any device, in any precision, with gradients to its
input. Weights are buffers, so that ``to`` moves and casts them and no optimiser finds them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from facetrain.distill.onnx_ops import OPERATORS, Function, Node


class OnnxGraph(nn.Module):
    """The network of an ONNX file with one input, in evaluation mode.

    Attributes:
        input_shape: As the file states it; None for a dimension that is open.
        output_names: In the file's order.
    """

    def __init__(self, model: onnx.ModelProto | Path | str) -> None:
        """Translate the graph.

        Raises:
            ValueError: It cannot be read or holds an operator that is not supported, by name.
        """
        super().__init__()
        graph = load_model(model).graph
        initialisers = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in initialisers]
        if len(inputs) != 1:
            raise ValueError(f"the graph has {len(inputs)} inputs; one is needed")
        self._input = inputs[0].name
        self.input_shape = shape_of(inputs[0])
        self.output_names = [output.name for output in graph.output]
        self._buffer_of: dict[str, str] = {}
        self._steps: list[tuple[Function, list[str], str]] = []
        self._translate(graph, initialisers)
        self._last_use = {
            name: number for number, (_, names, _) in enumerate(self._steps) for name in names
        }

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs by name."""
        values = {self._input: x}
        for number, (function, names, output) in enumerate(self._steps):
            values[output] = function(*(self._value(name, values) for name in names))
            for name in names:
                if self._last_use[name] == number and name not in self.output_names:
                    values.pop(name, None)
        return {name: values[name] for name in self.output_names}

    def _value(self, name: str, values: dict[str, Tensor]) -> Tensor:
        buffer = self._buffer_of.get(name)
        return values[name] if buffer is None else self.get_buffer(buffer)

    def _translate(self, graph: onnx.GraphProto, constants: dict[str, np.ndarray]) -> None:
        unknown = {node.op_type for node in graph.node} - {*OPERATORS, "Constant"}
        if unknown:
            raise ValueError(
                f"operators that are not supported: {', '.join(sorted(unknown))}; supported are "
                f"{', '.join(OPERATORS)}. Run the file by ONNX Runtime (teacher.kind onnx) instead"
            )
        batch = self.input_shape[0] if self.input_shape else None
        for proto in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
            if proto.op_type == "Constant" and "value" in attributes:
                constants[proto.output[0]] = numpy_helper.to_array(attributes["value"])
                continue
            if proto.op_type not in OPERATORS:
                raise ValueError(f"constant {proto.output[0]} is no tensor; only tensors are read")
            attributes["fixed_batch"] = batch
            node = Node(proto.op_type, proto.name, proto.input, proto.output, attributes, constants)
            function, names = OPERATORS[proto.op_type](node)
            for name in names:
                self._keep(name, constants)
            self._steps.append((function, list(names), proto.output[0]))
        for name in self.output_names:
            self._keep(name, constants)

    def _keep(self, name: str, constants: dict[str, np.ndarray]) -> None:
        if name in constants and name not in self._buffer_of:
            buffer = f"constant_{len(self._buffer_of)}"
            self.register_buffer(buffer, torch.from_numpy(constants[name].copy()))
            self._buffer_of[name] = buffer


def load_model(model: onnx.ModelProto | Path | str) -> onnx.ModelProto:
    """The model itself, or the one in a file.

    Raises:
        ValueError: There is no such file or it is not ONNX.
    """
    if isinstance(model, onnx.ModelProto):
        return model
    path = Path(model)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such ONNX file")
    try:
        return onnx.load(str(path))
    except Exception as error:
        raise ValueError(f"{path}: is not an ONNX file ({error})") from error


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with tensors from inside it as further outputs; itself where there are none.

    Raises:
        ValueError: No node of the graph makes a tensor of that name.
    """
    if not names:
        return model
    made = {name for node in model.graph.node for name in node.output}
    for name in names:
        if name not in made:
            raise ValueError(
                f"the graph has no tensor {name!r}; it makes {', '.join(sorted(made))}"
            )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    copy.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in present
    )
    return copy


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """Dimensions as the file states them; None where one is open."""
    dims = value.type.tensor_type.shape.dim
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims
    ]
