"""Makes a toy pack for the tests of the daemon: random weights, drawn crops, nothing of others.

    .venv/bin/python scripts/training/tests/make_toy_pack.py DIRECTORY

Writes DIRECTORY/pack and, for comparison, DIRECTORY/expected.json: the unit embeddings that torch
gives for other drawn crops, with the crops as PNG.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import torch

from facetrain.data.pictures import encode_png
from facetrain.detector.export import to_onnx as detector_to_onnx
from facetrain.detector.net import DetectorNet
from facetrain.engine.checkpoint import load_backbone, write_atomically
from facetrain.evaluate.embed import ModuleEmbedder, normalised
from facetrain.export.command import ExportOptions, export
from facetrain.export.golden import drawn_crop
from facetrain.export.pack import PackOptions, write_pack
from facetrain.models.create import create_backbone


def main(directory: Path) -> None:
    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    backbone = create_backbone("pocketnet_toy", embedding_dim=32)
    with torch.no_grad():
        for _ in range(3):
            backbone(torch.randn(8, 3, 112, 112))
    weights = directory / "weights.pt"
    write_atomically(
        weights, {"schema": 1, "model": dict(backbone.spec), "state": backbone.state_dict()}
    )
    exported = export(ExportOptions(checkpoint=weights, out=directory / "embedder.onnx"))
    (directory / "detector.onnx").write_bytes(detector_to_onnx(DetectorNet()).SerializeToString())
    write_pack(
        PackOptions(
            out=directory / "pack",
            detector=directory / "detector.onnx",
            embedder=exported.file,
            space_id="toy.v1",
            source="random weights",
            licence="Apache-2.0",
        )
    )
    loaded = load_backbone(weights)
    crops = np.stack([255 - drawn_crop(index) for index in range(3)])
    embedder = ModuleEmbedder(loaded, loaded.preprocessing, description="torch, not folded")
    expected = [
        {"cropPng": base64.b64encode(encode_png(crop)).decode(), "embedding": e_D.tolist()}
        for crop, e_D in zip(crops, normalised(embedder.embed(crops)), strict=True)
    ]
    (directory / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
