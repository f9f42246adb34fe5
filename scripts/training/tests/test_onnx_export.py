import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from facetrain.export.fold import fold
from facetrain.export.onnx_export import OnnxOptions, save_onnx, to_onnx
from facetrain.models.create import create_backbone
from facetrain.preprocessing import POCKETNET, Preprocessing

SMALL = Preprocessing(width_px=16, height_px=16)


class EveryOperator(nn.Module):
    """One of each operator that the writer knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.BatchNorm2d(4), nn.PReLU(4))
        self.max = nn.MaxPool2d(3, 1, padding=1)
        self.mean = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.tail = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 6), nn.BatchNorm1d(6))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.stem(x_BCHW)
        pooled = self.max(x_BCHW) + self.norm(self.mean(x_BCHW))
        both = torch.cat([pooled[:, :, ::2, ::2] * 0.5, x_BCHW[:, :, 1::2, 1::2]], dim=1)
        return self.tail(both)


def trained(network: nn.Module, size: int) -> nn.Module:
    torch.manual_seed(0)
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(8, 3, size, size))
    return network.eval()


def run(model: onnx.ModelProto, x_BCHW: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(["embedding"], {"input": x_BCHW})[0])


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", [None, "pocketnet_toy", "mobilefacenet"])
def test_onnx_runtime_gives_what_torch_gives(name: str | None, folded: bool) -> None:
    preprocessing = SMALL if name is None else POCKETNET
    network = EveryOperator() if name is None else create_backbone(name, embedding_dim=32)
    size = preprocessing.width_px
    trained(network, size)
    model = to_onnx(
        fold(network) if folded else network, preprocessing, OnnxOptions(dynamic_batch=True)
    )
    x_BCHW = torch.randn(3, 3, size, size)
    with torch.inference_mode():
        expected = network(x_BCHW).numpy()
    np.testing.assert_allclose(run(model, x_BCHW.numpy()), expected, rtol=1e-4, atol=1e-4)


def test_the_file_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    network = trained(create_backbone("pocketnet_toy", embedding_dim=32), 112)
    file = tmp_path / "new" / "embedder.onnx"
    digest = save_onnx(to_onnx(network, POCKETNET, OnnxOptions(metadata={"commit": "abc"})), file)
    assert (
        save_onnx(to_onnx(network, POCKETNET, OnnxOptions(metadata={"commit": "abc"})), file)
        == digest
    )
    session = onnxruntime.InferenceSession(str(file))
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape) == ("input", [1, 3, 112, 112])
    assert (target.name, target.shape) == ("embedding", [1, 32])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["commit"] == "abc"
    assert json.loads(metadata["preprocessing"])["channel_order"] == "rgb"
    model = onnx.load(file)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert [path.name for path in file.parent.iterdir()] == ["embedder.onnx"]


def test_equal_weights_are_stored_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.PReLU(3), nn.PReLU(3), nn.Flatten())
    model = to_onnx(network.eval(), SMALL)
    assert len(model.graph.initializer) == 2


def test_an_operator_without_a_rule_is_named() -> None:
    with pytest.raises(ValueError, match="no ONNX rule for Hardswish"):
        to_onnx(nn.Sequential(nn.Conv2d(3, 2, 16), nn.Hardswish(), nn.Flatten()), SMALL)
