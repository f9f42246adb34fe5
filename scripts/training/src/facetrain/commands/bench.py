"""``facetrain bench``: pictures per second of backbones, beside the machine's limits."""

import argparse
from dataclasses import replace
from pathlib import Path

from facetrain.command import Command, say

EPILOG = """
For every backbone: a training step (forward, backward, SGD; no data, no head) and a forward pass by
torch, and ONNX Runtime with one picture on the folded graph. Beside each stands the share that is
reached of the roofline's limit (no layer faster than its multiply-adds at the speed of a large
product or convolution, nor than its bytes at the speed of a large copy), and which of the two
bounds most of the time. Nothing else should run on the machine meanwhile.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--backbone", nargs="*", default=[], help="only these titles")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--seconds", type=float, default=0.8, help="of one measurement, about")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")


def _run(arguments: argparse.Namespace) -> None:
    from facetrain.throughput.machine import Machine
    from facetrain.throughput.measure import (
        CANDIDATES,
        Measured,
        ThroughputOptions,
        measure_throughput,
    )
    from facetrain.throughput.report import throughput_json, throughput_markdown, write_throughput

    chosen = [c for c in CANDIDATES if not arguments.backbone or c.title in arguments.backbone]
    if not chosen:
        known = ", ".join(c.title for c in CANDIDATES)
        raise ValueError(f"--backbone {' '.join(arguments.backbone)}: there are {known}")
    options = replace(
        ThroughputOptions(),
        candidates=chosen,
        threads=tuple(arguments.threads),
        batches=tuple(arguments.batch),
        device=arguments.device,
        seconds=arguments.seconds,
    )
    machines: dict[int, Machine] = {}
    rows: list[Measured] = []
    for found in measure_throughput(options):
        if isinstance(found, Measured):
            rows.append(found)
        else:
            threads, machine = found
            machines[threads] = machine
    write_throughput(throughput_json(machines, rows, arguments.device), arguments.out)
    say(throughput_markdown(machines, rows))
    say(str(arguments.out))


COMMANDS = {"bench": Command(configure=_configure, run=_run)}
