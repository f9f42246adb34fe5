from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from facetrain.evaluate.embed import open_onnx
from facetrain.export.fold import fold
from facetrain.export.golden import drawn_crop
from facetrain.export.onnx_export import save_onnx, to_onnx
from facetrain.export.quantize import quantize
from facetrain.models.create import create_backbone
from facetrain.preprocessing import POCKETNET


def crops(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        np.clip(drawn_crop(n % 4) + random.integers(-60, 60, (112, 112, 3)), 0, 255).astype(
            np.uint8
        )
        for n in range(count)
    ]


def test_an_int8_file_is_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create_backbone("pocketnet_toy", embedding_dim=32)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 112, 112))
    model, out = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    save_onnx(to_onnx(fold(network), POCKETNET), model)
    report = quantize(model, out, crops(25))
    assert report.held_out == 5
    assert report.cosine_mean > 0.97
    assert 0 < report.cosine_least <= report.cosine_mean <= 1.0001
    assert min(report.milliseconds) > 0
    embedder = open_onnx(out)  # the preprocessing went along
    assert embedder.embedding_dim == 32
    made = onnx.load(out)
    stored = [w for w in made.graph.initializer if w.data_type == onnx.TensorProto.INT8]
    scales = {len(w.dims) and w.dims[0] for w in made.graph.initializer if "weight_scale" in w.name}
    assert len(stored) > 10
    assert max(scales) > 1  # per channel
    with pytest.raises(ValueError, match="3 crops are too few"):
        quantize(model, out, crops(3))
