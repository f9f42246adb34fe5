from pathlib import Path

import pytest
import torch

from facetrain.cli import main
from facetrain.data.pictures import encode_png
from facetrain.detector.export import to_onnx as detector_to_onnx
from facetrain.detector.net import DetectorNet
from facetrain.engine.checkpoint import write_atomically
from facetrain.export.golden import drawn_crop
from facetrain.models.create import create_backbone


@pytest.mark.parametrize("command", ["evaluate", "export", "calibrate", "pack"])
def test_help_answers(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"facetrain {command}" in capsys.readouterr().out


def test_a_missing_file_is_said_without_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(tmp_path / "gone.pt")
    assert main(["export", "--checkpoint", gone, "--out", str(tmp_path / "e.onnx")]) == 2
    assert "there is no such checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_verification_from_a_pack_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoint → ONNX → pack → verification of drawn crops, as a user types it."""
    torch.manual_seed(0)
    backbone = create_backbone("pocketnet_toy", embedding_dim=16)
    weights = tmp_path / "weights.pt"
    write_atomically(
        weights, {"schema": 1, "model": dict(backbone.spec), "state": backbone.state_dict()}
    )
    detector, embedder, pack = (tmp_path / name for name in ("d.onnx", "e.onnx", "toy"))
    detector.write_bytes(detector_to_onnx(DetectorNet()).SerializeToString())
    assert main(["export", "--checkpoint", str(weights), "--out", str(embedder)]) == 0
    made = ["--detector", str(detector), "--embedder", str(embedder), "--space", "toy.v1"]
    words = ["--source", "random", "--licence", "Apache-2.0"]
    assert main(["pack", *made, *words, "--out", str(pack)]) == 0
    for index in range(4):
        (tmp_path / f"{index}.png").write_bytes(encode_png(drawn_crop(index)))
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("0.png 1.png 1 0\n0.png 2.png 0 0\n0.png 3.png 1 1\n1.png 3.png 0 1\n")
    given = ["--pack", str(pack), "--crops", "--pairs", str(pairs), "--pictures", str(tmp_path)]
    out = tmp_path / "report"
    more = ["--replicas", "20", "--name", "Drawn", "--out", str(out)]
    assert main(["evaluate", "verification", *given, *more]) == 0
    said = capsys.readouterr().out
    assert "multiply-adds" in said
    assert "without --calibration every decision is a denial" in said
    assert "with flip  accuracy" in said
    assert (out / "verification.md").is_file()
