import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrain.detector.export import to_onnx as detector_to_onnx
from facetrain.detector.net import DetectorNet
from facetrain.engine.checkpoint import write_atomically
from facetrain.evaluate.embed import EmbedOptions, embed_all, open_onnx, open_pack
from facetrain.export.command import CalibrateOptions, ExportOptions, calibrate, export
from facetrain.export.evaluation import EvaluationOptions, evaluate_pack
from facetrain.export.golden import drawn_crop
from facetrain.export.pack import PackOptions, write_pack
from facetrain.models.create import create_backbone


class Drawn:
    """Noisy drawn crops as a set of faces."""

    def __init__(self, count: int) -> None:
        self.labels = np.arange(count) // 2
        self.num_identities = (count + 1) // 2
        self.groups = {"tone": np.array(["light", "dark"])[np.arange(count) // 2 % 2]}
        self.names = [f"{n}.png" for n in range(count)]

    def __len__(self) -> int:
        return len(self.labels)

    def crop(self, index: int) -> np.ndarray:
        random = np.random.default_rng(index)
        noise = random.integers(-120, 120, (14, 14, 3)).astype(np.int16)
        rough = cv2.resize(noise, (112, 112), interpolation=cv2.INTER_NEAREST)
        return np.clip(drawn_crop(index % 4) + rough, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its export, a detector and a calibration, all toys."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    backbone = create_backbone("pocketnet_toy", embedding_dim=32)
    with torch.no_grad():
        for _ in range(3):
            backbone(torch.randn(8, 3, 112, 112))
    write_atomically(
        folder / "weights.pt",
        {"schema": 1, "model": dict(backbone.spec), "state": backbone.state_dict(), "commit": "c"},
    )
    export(ExportOptions(checkpoint=folder / "weights.pt", out=folder / "embedder.onnx"))
    (folder / "detector.onnx").write_bytes(detector_to_onnx(DetectorNet()).SerializeToString())
    embedder = open_onnx(folder / "embedder.onnx")
    options = CalibrateOptions(
        set_words="drawn crops", out=folder / "report", group="tone", show_progress=False
    )
    calibrate(Drawn(40), embedder, options)
    return folder


def options_of(models: Path, out: Path) -> PackOptions:
    return PackOptions(
        out=out,
        detector=models / "detector.onnx",
        embedder=models / "embedder.onnx",
        calibration=models / "report/calibration.json",
        space_id="toy.v1",
        source="drawn crops, random weights",
        licence="Apache-2.0",
        training_commit="0" * 40,
    )


def test_a_pack_is_whole_and_gives_its_golden_vectors(models: Path, tmp_path: Path) -> None:
    about = write_pack(options_of(models, tmp_path / "new" / "toy"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["toy"]
    assert json.loads((tmp_path / "new/toy/pack.json").read_text()) == about
    assert about["demoOnly"] is True
    opened = open_pack(tmp_path / "new/toy")
    assert opened.id == "toy"
    crops = [drawn_crop(index) for index in range(4)]
    found = embed_all(crops, opened.embedder, EmbedOptions())
    golden = np.array([vector["embedding"] for vector in about["golden"]["vectors"]])
    np.testing.assert_allclose(found, golden, atol=1e-6)
    calibration = about["calibration"]
    assert calibration["pairs"] == 40 * 39 // 2 - 20
    assert calibration["smallestFmr"] == 30 / calibration["pairs"]
    assert {group["group"] for group in calibration["groups"]} == {"light", "dark"}


def test_the_report_says_what_was_measured(models: Path) -> None:
    text = (models / "report/calibration.md").read_text()
    assert "760 pairs of different people" in text
    assert "20 of the same person" in text
    assert "Smallest supported FMR (rule of 30): 0.0395" in text
    assert "Extrapolated, not measured" in text


def test_an_existing_directory_is_kept(models: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        write_pack(options_of(models, tmp_path / "toy"))
    assert list((tmp_path / "toy").iterdir()) == []


@pytest.mark.parametrize("missing", ["detector.onnx", "embedder.onnx", "calibration"])
def test_nothing_is_left_where_a_part_is_wrong(models: Path, tmp_path: Path, missing: str) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b'{"points": []}')
    good = options_of(models, tmp_path / "out" / "toy")
    wrong = PackOptions(
        out=good.out,
        detector=broken if missing == "detector.onnx" else good.detector,
        embedder=broken if missing == "embedder.onnx" else good.embedder,
        calibration=broken if missing == "calibration" else good.calibration,
        space_id="toy.v1",
        source="s",
        licence="l",
    )
    with pytest.raises(ValueError, match=r"cannot open it|no score table"):
        write_pack(wrong)
    assert not (tmp_path / "out").exists()


def test_names_the_daemon_would_refuse_are_refused_here(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out: '\.hidden'"):
        options_of(models, tmp_path / ".hidden")


def test_a_pack_is_measured_and_reported(tmp_path: Path, models: Path) -> None:
    pack = tmp_path / "toy-1"
    write_pack(
        PackOptions(
            out=pack,
            detector=models / "detector.onnx",
            embedder=models / "embedder.onnx",
            calibration=models / "report/calibration.json",
            space_id="toy.1",
            source="drawn",
            licence="none",
        )
    )
    text = evaluate_pack(EvaluationOptions(pack=pack, out=tmp_path / "out"))
    assert "| embedder's time, of PocketNetS-128's | ≤ 0.65 |" in text
    assert "drawn crops" in text
    written = json.loads((tmp_path / "out/evaluation.json").read_text(encoding="utf-8"))
    assert written["pack"] == "toy-1"
    assert [row["met"] for row in written["targets"]][:3] == [None] * 3
    assert np.isfinite(written["time"]["ratio"])
    assert (tmp_path / "out/evaluation.md").read_text(encoding="utf-8") == text
