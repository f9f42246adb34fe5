import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from facetrain.distill.onnx_graph import OnnxGraph

MODELS = Path(os.environ.get("OSTIARY_SHARED", "../shared")) / "data" / "models"
RNG = np.random.default_rng(11)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def one_node(op: str, constants: list, shape: tuple[int, ...], **attributes) -> onnx.ModelProto:
    initialisers = [
        numpy_helper.from_array(np.asarray(value), f"c{n}")
        for n, value in enumerate(constants)
        if value is not None
    ]
    names = ["x"] + ["" if value is None else f"c{n}" for n, value in enumerate(constants)]
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initialisers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


IMAGE = (2, 4, 6, 6)
NODES = {
    "conv": ("Conv", [weights(8, 2, 3, 3), weights(8)], IMAGE, {"group": 2, "pads": [1] * 4}),
    "conv_uneven": (
        "Conv",
        [weights(3, 4, 2, 2)],
        IMAGE,
        {"pads": [0, 1, 1, 0], "strides": [2, 2]},
    ),
    "max_pool": (
        "MaxPool",
        [],
        IMAGE,
        {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2, 2]},
    ),
    "average_pool": ("AveragePool", [], IMAGE, {"kernel_shape": [3, 3], "pads": [1] * 4}),
    "average_pool_counting": (
        "AveragePool",
        [],
        IMAGE,
        {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1},
    ),
    "global_pool": ("GlobalAveragePool", [], IMAGE, {}),
    "batch_norm": (
        "BatchNormalization",
        [weights(4), weights(4), weights(4), weights(4) ** 2 + 0.1],
        IMAGE,
        {"epsilon": 1e-3},
    ),
    "prelu": ("PRelu", [weights(4, 1, 1)], IMAGE, {}),
    "prelu_whole": ("PRelu", [weights(4, 6, 6)], IMAGE, {}),
    "leaky_relu": ("LeakyRelu", [], IMAGE, {"alpha": 0.2}),
    "relu": ("Relu", [], IMAGE, {}),
    "sigmoid": ("Sigmoid", [], IMAGE, {}),
    "clip": ("Clip", [np.float32(-0.5), np.float32(0.7)], IMAGE, {}),
    "clip_above": ("Clip", [None, np.float32(0.7)], IMAGE, {}),
    "softmax": ("Softmax", [], IMAGE, {"axis": 1}),
    "add": ("Add", [weights(4, 1, 1)], IMAGE, {}),
    "sub": ("Sub", [weights(1)], IMAGE, {}),
    "mul": ("Mul", [weights(6)], IMAGE, {}),
    "div": ("Div", [np.array([2.0], dtype=np.float32)], IMAGE, {}),
    "flatten": ("Flatten", [], IMAGE, {"axis": 1}),
    "reshape": ("Reshape", [np.array([0, -1, 6])], IMAGE, {}),
    "transpose": ("Transpose", [], IMAGE, {"perm": [0, 2, 3, 1]}),
    "concat": ("Concat", [weights(2, 1, 6, 6)], IMAGE, {"axis": 1}),
    "resize": (
        "Resize",
        [None, np.array([1, 1, 2, 3], dtype=np.float32)],
        IMAGE,
        {
            "mode": "nearest",
            "nearest_mode": "floor",
            "coordinate_transformation_mode": "asymmetric",
        },
    ),
    "squeeze": ("Squeeze", [np.array([2, 3])], (2, 4, 1, 1), {}),
    "gemm": ("Gemm", [weights(5, 4), weights(5)], (2, 4), {"transB": 1, "beta": 0.5}),
    "matmul": ("MatMul", [weights(4, 5)], (2, 4), {}),
    "identity": ("Identity", [], IMAGE, {}),
    "dropout": ("Dropout", [], IMAGE, {}),
}


def by_runtime(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output) for output in session.run(None, {session.get_inputs()[0].name: x})]


@pytest.mark.parametrize("name", NODES)
def test_operator_is_onnx_runtimes(name: str) -> None:
    op, constants, shape, attributes = NODES[name]
    model = one_node(op, constants, shape, **attributes)
    x = weights(*shape)
    (expected,) = by_runtime(model, x)
    ours = OnnxGraph(model)(torch.from_numpy(x))["y"]
    assert tuple(ours.shape) == expected.shape
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_weights_are_buffers_that_follow_the_module() -> None:
    op, constants, shape, attributes = NODES["conv"]
    graph = OnnxGraph(one_node(op, constants, shape, **attributes))
    assert list(graph.parameters()) == []
    assert sum(buffer.numel() for buffer in graph.buffers()) == 8 * 2 * 9 + 8
    x = torch.from_numpy(weights(*shape))
    exact = graph(x)["y"]
    rough = graph.to(torch.bfloat16)(x.bfloat16())["y"]
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.1)


def test_gradient_reaches_the_input() -> None:
    op, constants, shape, attributes = NODES["conv"]
    x = torch.from_numpy(weights(*shape)).requires_grad_()
    OnnxGraph(one_node(op, constants, shape, **attributes))(x)["y"].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (one_node("Hardmax", [], IMAGE), "Hardmax"),
        (
            one_node("Resize", [None, np.array([1, 1, 2, 2], dtype=np.float32)], IMAGE),
            "nearest, asymmetric",
        ),
        (one_node("Flatten", [], IMAGE, axis=2), "axis is 2"),
    ],
    ids=["operator", "mode", "axis"],
)
def test_refuses_what_it_cannot_do(model: onnx.ModelProto, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        OnnxGraph(model)


def test_refuses_another_file(tmp_path: Path) -> None:
    (tmp_path / "not.onnx").write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not an ONNX file"):
        OnnxGraph(tmp_path / "not.onnx")
    with pytest.raises(ValueError, match="no such ONNX file"):
        OnnxGraph(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("name", "shape", "pixels"),
    [
        ("face-reidentification-retail-0095", (3, 128, 128), 255.0),
        ("mobilefacenet_foamliu", (3, 112, 112), 1.0),
        ("face_detection_yunet_2023mar", (3, 640, 640), 255.0),
    ],
)
def test_whole_network_is_onnx_runtimes(
    name: str, shape: tuple[int, int, int], pixels: float
) -> None:
    file = MODELS / f"{name}.onnx"
    if not file.exists():
        pytest.skip(f"{file} is not here: set OSTIARY_SHARED")
    model = onnx.load(str(file))
    x = RNG.uniform(0, pixels, (2, *shape)).astype(np.float32)
    each = [by_runtime(model, x[n : n + 1]) for n in range(2)]
    expected = [np.concatenate(parts) for parts in zip(*each, strict=True)]
    with torch.no_grad():
        ours = OnnxGraph(model)(torch.from_numpy(x))
    assert list(ours) == [output.name for output in model.graph.output]
    for (label, value), reference in zip(ours.items(), expected, strict=True):
        # Both sum in float32, in another order; values reach hundreds.
        error = np.abs(value.numpy() - reference).max() / max(1.0, np.abs(reference).max())
        assert error <= 1e-4, label
