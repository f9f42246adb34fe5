"""Throughput of backbones: training step, forward pass, and ONNX Runtime with one picture."""

# B batch, C channels, H height, W width, D embedding

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from facetrain.checks import at_least
from facetrain.export.fold import checked_fold
from facetrain.export.onnx_export import save_onnx, to_onnx
from facetrain.models.backbone import Backbone
from facetrain.models.create import create_backbone
from facetrain.throughput.machine import Machine, best_s, measure_machine
from facetrain.throughput.roofline import (
    Limit,
    forward_limit,
    layer_costs,
    training_limit,
)

logger = logging.getLogger(__name__)

Kind = Literal["train", "forward", "onnxruntime"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A backbone to time, with a name for the table."""

    title: str
    name: str
    embedding_dim: int = 128
    options: Mapping[str, Any] = field(default_factory=dict)


CANDIDATES = (
    Candidate(title="PocketNetS-128", name="pocketnet_s"),
    Candidate(title="PocketNetS-128, ReLU", name="pocketnet_s", options={"activation": "relu"}),
    Candidate(title="PocketNetM-128", name="pocketnet_m"),
    Candidate(title="PocketNetM-128, ReLU", name="pocketnet_m", options={"activation": "relu"}),
    Candidate(title="MobileFaceNet", name="mobilefacenet"),
    Candidate(title="iResNet-18", name="iresnet18"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThroughputOptions:
    """What is timed; each measurement lasts about `seconds`, or three repetitions."""

    candidates: Sequence[Candidate] = CANDIDATES
    threads: tuple[int, ...] = (1, 2)
    batches: tuple[int, ...] = (4, 16)
    device: str = "cpu"
    seconds: float = 0.8

    def __post_init__(self) -> None:
        at_least("threads", min(self.threads, default=0), 1)
        # The last batch normalisation sees one value per picture: of one it has no variance.
        at_least("batches", min(self.batches, default=0), 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One cell of the table.

    Attributes:
        images_per_s: Measured, from the quickest repetition.
        limit: What the roofline allows.
        reached: Share of the limit's images/s.
    """

    title: str
    kind: Kind
    threads: int
    batch: int
    images_per_s: float
    limit: Limit
    reached: float


def measure_throughput(
    options: ThroughputOptions,
) -> Iterator[tuple[int, Machine] | Measured]:
    """For each number of threads the machine's ceilings, then every measurement."""
    device = torch.device(options.device)
    before = torch.get_num_threads()
    try:
        for threads in options.threads:
            torch.set_num_threads(threads)
            machine = measure_machine(device, seconds=options.seconds)
            yield threads, machine
            for candidate in options.candidates:
                yield from _of_candidate(candidate, machine, threads, device, options)
    finally:
        torch.set_num_threads(before)


def _of_candidate(
    candidate: Candidate,
    machine: Machine,
    threads: int,
    device: torch.device,
    options: ThroughputOptions,
) -> Iterator[Measured]:
    torch.manual_seed(0)
    backbone = create_backbone(
        candidate.name, embedding_dim=candidate.embedding_dim, **dict(candidate.options)
    )
    costs = layer_costs(backbone)

    def row(kind: Kind, batch: int, seconds: float, limit: Limit) -> Measured:
        return Measured(
            title=candidate.title,
            kind=kind,
            threads=threads,
            batch=batch,
            images_per_s=batch / seconds,
            limit=limit,
            reached=limit.seconds / seconds,
        )

    folded, _ = checked_fold(backbone, backbone.preprocessing)
    seconds = _onnxruntime_s(folded, backbone, threads, options.seconds)
    yield row("onnxruntime", 1, seconds, forward_limit(layer_costs(folded), machine, 1))
    backbone.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    for batch in options.batches:
        x_BCHW = torch.randn(batch, 3, 112, 112, device=device).contiguous(
            memory_format=torch.channels_last
        )
        yield row(
            "forward",
            batch,
            _forward_s(backbone, x_BCHW, options.seconds),
            forward_limit(costs, machine, batch),
        )
        yield row(
            "train",
            batch,
            _step_s(backbone, x_BCHW, options.seconds),
            training_limit(costs, machine, batch),
        )


def _forward_s(backbone: Backbone, x_BCHW: torch.Tensor, seconds: float) -> float:
    backbone.eval()
    with torch.inference_mode():
        return best_s(lambda: backbone(x_BCHW), x_BCHW.device, seconds=seconds)


def _step_s(backbone: Backbone, x_BCHW: torch.Tensor, seconds: float) -> float:
    """Forward, backward and SGD, without data, augmentation and head."""
    backbone.train()
    optimizer = torch.optim.SGD(backbone.parameters(), lr=1e-6, momentum=0.9)

    def step() -> None:
        backbone(x_BCHW).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return best_s(step, x_BCHW.device, seconds=seconds)


def _onnxruntime_s(folded: nn.Module, backbone: Backbone, threads: int, seconds: float) -> float:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embedder.onnx"
        save_onnx(to_onnx(folded, backbone.preprocessing), file)
        session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    x_1CHW = torch.randn(1, 3, 112, 112).numpy()
    run = partial(session.run, None, {given.name: x_1CHW})
    return best_s(run, torch.device("cpu"), seconds=seconds)
