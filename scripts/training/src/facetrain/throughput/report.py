"""Throughput as a table and as JSON."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from facetrain.engine.checkpoint import current_commit
from facetrain.evaluate.report import table
from facetrain.throughput.machine import Machine
from facetrain.throughput.measure import Measured

KINDS = {"train": "training step", "forward": "forward", "onnxruntime": "ONNX Runtime, folded"}


def throughput_json(
    machines: Mapping[int, Machine], rows: Sequence[Measured], device: str
) -> dict[str, Any]:
    """Everything that was measured, and on what."""
    return {
        "schema": 1,
        "what": "throughput",
        "processor": processor(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "versions": {name: version(name) for name in ("torch", "onnxruntime")},
        "python": platform.python_version(),
        "commit": current_commit(),
        "machine": {threads: asdict(machine) for threads, machine in machines.items()},
        "rows": [asdict(row) for row in rows],
    }


def throughput_markdown(machines: Mapping[int, Machine], rows: Sequence[Measured]) -> str:
    """A table with a line per backbone, kind and batch; columns by number of threads."""
    threads = sorted(machines)
    ceilings = "; ".join(
        f"{n} thread{'s' if n > 1 else ''}: {m.flops / 1e9:.0f} GFLOP/s, "
        f"{m.bytes_per_s / 1e9:.1f} GB/s"
        for n, m in sorted(machines.items())
    )
    lines: dict[tuple[str, str, int], dict[int, Measured]] = {}
    for row in rows:
        lines.setdefault((row.title, row.kind, row.batch), {})[row.threads] = row
    head = ["backbone", "what", "batch"]
    head += [f"images/s, {n} thread{'s' if n > 1 else ''} (of limit, bound)" for n in threads]
    body = [
        [title, KINDS[kind], str(batch), *(_cell(cells.get(n)) for n in threads)]
        for (title, kind, batch), cells in lines.items()
    ]
    return f"{processor()}. {ceilings}.\n\n{table(head, body)}"


def processor() -> str:
    """The processor's name and how many of its threads there are."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {len(names) or '?'} hardware threads"


def write_throughput(content: Mapping[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _cell(row: Measured | None) -> str:
    if row is None:
        return "not measured"
    return f"{row.images_per_s:.1f} ({row.reached:.0%} of {row.limit.bound})"
