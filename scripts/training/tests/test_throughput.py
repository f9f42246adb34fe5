import json
from pathlib import Path

import pytest
import torch
from torch import nn

from facetrain.cli import main
from facetrain.throughput.machine import Machine
from facetrain.throughput.measure import (
    Candidate,
    Measured,
    ThroughputOptions,
    measure_throughput,
)
from facetrain.throughput.report import throughput_json, throughput_markdown, write_throughput
from facetrain.throughput.roofline import LayerCost, forward_limit, layer_costs, training_limit

MACHINE = Machine(flops=100e9, bytes_per_s=10e9)


def test_layers_are_counted_once_with_what_they_move() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Identity(), nn.ReLU())
    conv, relu = layer_costs(network, 16, 16)
    output = 8 * 8 * 8
    assert conv == LayerCost(macs=output * 27, values=3 * 256 + output, weights=8 * 27 + 8)
    assert relu == LayerCost(macs=0, values=2 * output, weights=0)


def test_the_slower_of_arithmetic_and_memory_bounds_a_layer() -> None:
    busy = LayerCost(macs=50_000_000, values=1_000, weights=0)
    wide = LayerCost(macs=0, values=1_000_000, weights=0)
    limit = forward_limit([busy, wide], MACHINE, batch=2)
    arithmetic_s, memory_s = 2 * 2 * 50e6 / 100e9, 2 * 4e6 / 10e9
    assert limit.seconds == pytest.approx(arithmetic_s + memory_s)
    assert limit.memory_share == pytest.approx(memory_s / (arithmetic_s + memory_s))
    assert limit.bound == "compute"
    assert forward_limit([wide], MACHINE, batch=1).bound == "memory"


def test_training_is_three_passes_and_an_update() -> None:
    layer = LayerCost(macs=0, values=1_000, weights=500)
    once = forward_limit([layer], MACHINE, batch=4).seconds
    update_s = 500 * 5 * 4 / 10e9
    assert training_limit([layer], MACHINE, batch=4).seconds == pytest.approx(3 * once + update_s)


def test_what_is_measured_is_written_beside_its_limit(tmp_path: Path) -> None:
    toy = Candidate(title="toy", name="pocketnet_toy", embedding_dim=32)
    options = ThroughputOptions(candidates=(toy,), threads=(1,), batches=(2,), seconds=0.01)
    threads = torch.get_num_threads()
    machines: dict[int, Machine] = {}
    rows: list[Measured] = []
    for found in measure_throughput(options):
        if isinstance(found, Measured):
            rows.append(found)
        else:
            machines[found[0]] = found[1]
    assert torch.get_num_threads() == threads
    assert [row.kind for row in rows] == ["onnxruntime", "forward", "train"]
    for row in rows:
        passes_per_s = row.images_per_s / row.batch
        assert passes_per_s > 0
        assert row.reached == pytest.approx(row.limit.seconds * passes_per_s)
    assert "| toy | training step | 2 |" in throughput_markdown(machines, rows)
    out = tmp_path / "throughput.json"
    write_throughput(throughput_json(machines, rows, "cpu"), out)
    assert json.loads(out.read_text())["rows"][2]["kind"] == "train"


def test_bench_says_what_may_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "throughput.json")]
    assert main(["bench", *out, "--backbone", "none"]) == 2
    assert "PocketNetS-128, ReLU" in capsys.readouterr().err
    assert main(["bench", *out, "--batch", "1"]) == 2
    assert "batches" in capsys.readouterr().err
