"""The detector as ONNX: YuNet's twelve outputs, any height and width, batch normalisation folded.

The graph is written node by node: it is then the same for every torch version, holds nothing but
operators that OpenCV's importer, ONNX Runtime and TensorRT all know, and has no shape arithmetic.
"""

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facetrain.detector.net import BOX, HEAD_CHANNELS, KPS, OUTPUT_NAMES, STRIDES, DetectorNet

log = logging.getLogger(__name__)

OPSET = 11  # YuNet's own; OpenCV 4.5 reads it
IR_VERSION = 6
PIXEL_SCALE = 1 / 128


class _Graph:
    """Nodes and weights in the order in which they are run."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: np.ndarray) -> str:
        self.weights.setdefault(name, numpy_helper.from_array(values, name))
        return name

    def add(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self, name: str, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, scale: float = 1
    ) -> str:
        folded = conv if norm is None else fuse_conv_bn_eval(conv, norm)
        inputs = [
            x,
            self.constant(f"{name}.weight", folded.weight.detach().numpy() * np.float32(scale)),
        ]
        if folded.bias is not None:
            inputs.append(self.constant(f"{name}.bias", folded.bias.detach().numpy()))
        (kernel, _), (stride, _), (pad, _) = conv.kernel_size, conv.stride, conv.padding
        return self.add(
            "Conv",
            name,
            *inputs,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[int(pad)] * 4,
            dilations=[1, 1],
            group=conv.groups,
        )

    def chain(self, name: str, x: str, module: nn.Module, scale: float = 1) -> str:
        """Nested `Sequential`s of convolutions with their normalisations and ReLUs."""
        leaves = [(key, leaf) for key, leaf in module.named_modules() if not list(leaf.children())]
        for at, (key, leaf) in enumerate(leaves):
            if isinstance(leaf, nn.Conv2d):
                after = leaves[at + 1][1] if at + 1 < len(leaves) else None
                norm = after if isinstance(after, nn.BatchNorm2d) else None
                x = self.conv(f"{name}.{key}", x, leaf, norm, scale)
                scale = 1
            elif isinstance(leaf, nn.ReLU):
                x = self.add("Relu", f"{name}.{key}", x)
            else:
                assert isinstance(leaf, nn.BatchNorm2d), f"no ONNX rule for {type(leaf).__name__}"
        return x

    def merge(self, name: str, lateral: str, deeper: str) -> str:
        scales = self.constant("twice", np.array([1, 1, 2, 2], np.float32))
        none = self.constant("no_roi", np.zeros(0, np.float32))
        up = self.add(
            "Resize",
            f"{name}.up",
            deeper,
            none,
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return self.add("Add", f"{name}.add", lateral, up)

    def outputs(self, stride: int, y: str) -> None:
        """The head's map → four outputs of one stride."""
        cells = self.add("Transpose", f"cells_{stride}.nhwc", y, perm=[0, 2, 3, 1])
        shape = self.constant("cells_shape", np.array([0, -1, HEAD_CHANNELS], np.int64))
        cells = self.add("Reshape", f"cells_{stride}", cells, shape)
        parts = {"cls": slice(0, 1), "obj": slice(1, 2), "bbox": BOX, "kps": KPS}
        for what, part in parts.items():
            is_score = what in ("cls", "obj")
            bounds = [
                self.constant(f"at_{value}", np.array([value], np.int64))
                for value in (part.start, part.stop, 2)
            ]
            target = f"{what}_{stride}"
            sliced = self.add("Slice", f"{target}.logit" if is_score else target, cells, *bounds)
            if is_score:
                self.add("Sigmoid", target, sliced)


def to_onnx(net: DetectorNet) -> onnx.ModelProto:
    """The network with its current weights, in evaluation mode.

    Returns:
        Input `input` (1, 3, height, width): BGR float32, 0 to 255, sides multiples of 32. Outputs
        `cls_8` … `kps_32` as YuNet 2023mar has them, class and objectness in [0, 1].
    """
    net = copy.deepcopy(net).cpu().float().eval()
    graph = _Graph()
    # The network divides pixels first; so does its first kernel here.
    c8 = graph.chain("stem", "input", net.stem, scale=PIXEL_SCALE)
    c8 = graph.chain("stage8", graph.chain("stage4", c8, net.stage4), net.stage8)
    c16 = graph.chain("stage16", c8, net.stage16)
    p32 = graph.chain("neck32", graph.chain("stage32", c16, net.stage32), net.neck[2])
    p16 = graph.chain("neck16", graph.merge("merge16", c16, p32), net.neck[1])
    p8 = graph.chain("neck8", graph.merge("merge8", c8, p16), net.neck[0])
    for at, unit in enumerate(net.refine):
        p32 = graph.add("Add", f"refine{at}.add", p32, graph.chain(f"refine{at}", p32, unit))
    for stride, head, level in zip(STRIDES, net.heads, (p8, p16, p32), strict=True):
        graph.outputs(stride, graph.chain(f"head{stride}", level, head))
    sizes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    made = helper.make_graph(
        graph.nodes,
        "detector",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [
            helper.make_tensor_value_info(
                name,
                TensorProto.FLOAT,
                [1, f"cells_{name.split('_')[1]}", sizes[name.split("_")[0]]],
            )
            for name in OUTPUT_NAMES
        ],
        list(graph.weights.values()),
    )
    model = helper.make_model(
        made,
        producer_name="facetrain",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def export_onnx(net: DetectorNet, file: Path) -> None:
    """Writes `to_onnx(net)`, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    onnx.save(to_onnx(net), str(partial))
    partial.replace(file)
    log.info("wrote %s (%.0f KB)", file, file.stat().st_size / 1000)
