"""The network, its cost, and its ONNX form in the runtimes that will run it."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from facetrain.detector.decode import faces_of, stack_outputs
from facetrain.detector.export import export_onnx, to_onnx
from facetrain.detector.net import (
    OUTPUT_NAMES,
    STRIDES,
    DetectorNet,
    NetOptions,
    cells,
    count_macs,
)

YUNET_MACS = 344_224_000
TOY = NetOptions(width=0.25, depth=(0, 0, 0, 0))


def net_with_statistics(seed: int = 3) -> DetectorNet:
    """A random network whose statistics are not the initial ones, scores around 0.5."""
    torch.manual_seed(seed)
    net = DetectorNet(TOY)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for name, buffer in module.named_buffers():
                    if name == "running_mean":
                        buffer.normal_(0, 0.1)
                    elif name == "running_var":
                        buffer.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        for head in net.heads:
            last = head.get_submodule("1")
            assert isinstance(last, torch.nn.Conv2d)
            assert last.bias is not None
            last.bias.zero_()
    return net.eval()


def run_onnx(net: DetectorNet, picture_BCHW: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(to_onnx(net).SerializeToString())
    outputs = session.run(list(OUTPUT_NAMES), {"input": picture_BCHW})
    return {n: np.asarray(o) for n, o in zip(OUTPUT_NAMES, outputs, strict=True)}


def test_predicts_sixteen_numbers_for_every_cell() -> None:
    found = DetectorNet(TOY)(torch.zeros(2, 3, 64, 96))
    assert [tuple(level.shape) for level in found] == [(2, 96, 16), (2, 24, 16), (2, 6, 16)]


def test_refuses_sides_that_the_strides_do_not_divide() -> None:
    with pytest.raises(ValueError, match=r"100x64.*multiples of 32"):
        DetectorNet(TOY)(torch.zeros(1, 3, 64, 100))


def test_costs_less_than_yunet() -> None:
    assert count_macs(DetectorNet(), 640, 640) <= YUNET_MACS


def test_cost_counts_what_a_convolution_multiplies() -> None:
    conv = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert count_macs(conv, 32, 64) == 16 * 32 * 8 * 3 * 9


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = DetectorNet(TOY)
    torch.cat(net(torch.rand(2, 3, 64, 64) * 255), dim=1).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_starts_with_empty_cells() -> None:
    torch.manual_seed(0)
    found = torch.cat(DetectorNet(TOY)(torch.rand(2, 3, 64, 64) * 255), dim=1)
    assert 0.001 < torch.sigmoid(found[..., 1]).mean() < 0.05


@pytest.mark.parametrize("width", [0.1, 3.0])
def test_refuses_a_width_out_of_range(width: float) -> None:
    with pytest.raises(ValueError, match=r"allowed is 0\.125 to 2"):
        NetOptions(width=width)


def test_cells_stand_in_row_order_stride_by_stride() -> None:
    cell = cells(32, 64)
    assert len(cell) == 32 + 8 + 2
    assert cell[1].tolist() == [1, 0, 8]
    assert cell[8].tolist() == [0, 1, 8]
    assert cell[-1].tolist() == [1, 0, 32]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_onnx_equals_torch_at_any_size(height: int, width: int) -> None:
    net = net_with_statistics()
    picture = np.random.default_rng(1).uniform(0, 255, (1, 3, height, width)).astype(np.float32)
    with torch.inference_mode():
        expected = torch.cat(net(torch.from_numpy(picture)), dim=1)
        expected[..., :2] = torch.sigmoid(expected[..., :2])
    found = stack_outputs(run_onnx(net, picture))
    assert expected[..., :2].std() > 0.01, "scores that are all alike would hide a fault"
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_onnx_has_yunets_outputs() -> None:
    found = run_onnx(net_with_statistics(), np.zeros((1, 3, 64, 96), np.float32))
    for stride in STRIDES:
        count = (64 // stride) * (96 // stride)
        shapes = [found[f"{what}_{stride}"].shape for what in ("cls", "obj", "bbox", "kps")]
        assert shapes == [(1, count, size) for size in (1, 1, 4, 10)]


def test_export_leaves_the_network_in_training_mode() -> None:
    net = DetectorNet(TOY).train()
    to_onnx(net)
    assert all(module.training for module in net.modules())


def test_opencv_finds_the_faces_that_we_decode(tmp_path: Path) -> None:
    net = net_with_statistics()
    file = tmp_path / "detector.onnx"
    export_onnx(net, file)
    picture = np.random.default_rng(2).integers(0, 255, (96, 160, 3), np.uint8)
    dense = stack_outputs(run_onnx(net, picture.transpose(2, 0, 1)[None].astype(np.float32)))[0]
    score_min = float(np.quantile(np.sqrt(dense[:, 0] * dense[:, 1]), 0.9))
    ours = faces_of(dense, 96, 160, score_min=score_min)
    _, theirs = cv2.FaceDetectorYN.create(str(file), "", (160, 96), score_min, 0.3, 5000).detect(
        picture
    )
    theirs = theirs[np.argsort(-theirs[:, 14], kind="stable")]
    assert len(ours) == len(theirs) > 1
    np.testing.assert_allclose(ours.score_F, theirs[:, 14], atol=1e-4)
    np.testing.assert_allclose(ours.box_F4, theirs[:, :4], atol=0.01)
    np.testing.assert_allclose(ours.landmark_F52.reshape(-1, 10), theirs[:, 4:14], atol=0.01)
