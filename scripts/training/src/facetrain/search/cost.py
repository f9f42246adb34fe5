"""What a genotype costs: multiply-adds counted, latency measured.

The two rank networks differently (many small layers are slow for their multiply-adds), so both are
reported and neither is derived from the other.
"""

# E edges of a cell, P primitives

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median, quantiles
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from facetrain.checks import at_least, one_of
from facetrain.models.backbone import Backbone
from facetrain.models.cell import edge_stride
from facetrain.models.count import Cost, count_cost
from facetrain.models.create import create_backbone
from facetrain.models.genotype import NUM_INPUTS, CellGenotype, Edge, Genotype
from facetrain.models.ops import PRIMITIVES, create_op
from facetrain.models.pocketnet import PocketNet
from facetrain.search.alphas import CellPair, first_edge, num_edges

FIRST_CELL_PX = 56


def genotype_cost(
    genotype: Genotype, backbone: str = "pocketnet_s", *, embedding_dim: int = 128, **options: Any
) -> Cost:
    """Parameters and multiply-adds of a genotype in a PocketNet of that name; nothing is run."""
    with torch.device("meta"):
        return count_cost(
            create_backbone(backbone, embedding_dim=embedding_dim, genotype=genotype, **options)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MacTable:
    """Multiply-adds of every operation on every edge, summed over a network's cells of each kind.

    Attributes:
        normal_EP: (E, P), float64.
        reduce_EP: (E, P), float64.
        fixed: What no choice of operations changes: stem, cells' inputs, tail.
    """

    normal_EP: Tensor
    reduce_EP: Tensor
    fixed: int

    def expected(self, weights: CellPair) -> Tensor:
        """Multiply-adds of a mixture, differentiable; exact for weights of 0 and 1.

        Every edge counts by its weights, though only two per node will be kept.
        """
        total = torch.tensor(float(self.fixed), dtype=torch.float64)
        for mix, macs_EP in zip(weights, (self.normal_EP, self.reduce_EP), strict=True):
            op_EP = mix.op_EP if mix.edge_E is None else mix.op_EP * mix.edge_E[:, None]
            total = total.to(op_EP.device) + (op_EP * macs_EP.to(op_EP.device)).sum()
        return total


def mac_table(
    nodes: int = 4, backbone: str = "pocketnet_s", *, embedding_dim: int = 128, **options: Any
) -> MacTable:
    """The table of a PocketNet of that name whose cells have so many nodes."""
    empty: CellGenotype = tuple((Edge("none", 0),) for _ in range(nodes))
    with torch.device("meta"):
        network = create_backbone(
            backbone,
            embedding_dim=embedding_dim,
            genotype=Genotype(normal=empty, reduce=empty),
            **options,
        )
        fixed = count_cost(network).macs
    if not isinstance(network, PocketNet):
        raise ValueError(f'"{backbone}" is not made of cells; take a PocketNet')
    normal_EP = torch.zeros(num_edges(nodes), len(PRIMITIVES), dtype=torch.float64)
    reduce_EP = torch.zeros_like(normal_EP)
    channels, size_px = network.options.channels, FIRST_CELL_PX
    for index in range(network.options.cells):
        reduction = index in network.reductions
        if reduction:
            channels, size_px = channels * 2, size_px // 2
        table_EP = reduce_EP if reduction else normal_EP
        table_EP += _cell_macs(nodes, channels, size_px, reduction=reduction)
    return MacTable(normal_EP=normal_EP, reduce_EP=reduce_EP, fixed=fixed)


def _cell_macs(nodes: int, channels: int, out_px: int, *, reduction: bool) -> Tensor:
    macs_EP = torch.zeros(num_edges(nodes), len(PRIMITIVES), dtype=torch.float64)
    for node in range(nodes):
        for source in range(NUM_INPUTS + node):
            stride = edge_stride(source, reduction=reduction)
            for column, name in enumerate(PRIMITIVES):
                macs_EP[first_edge(node) + source, column] = _op_macs(
                    name, channels, stride, out_px * stride
                )
    return macs_EP


@cache
def _op_macs(name: str, channels: int, stride: int, in_px: int) -> int:
    with torch.device("meta"):
        return count_cost(create_op(name, channels, stride), in_px, in_px, channels).macs


Runtime = Literal["torch", "onnxruntime"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Milliseconds of one crop on one CPU thread: median and the quartiles around it."""

    median_ms: float
    lower_ms: float
    upper_ms: float
    runtime: Runtime
    runs: int


def measure_latency(
    backbone: Backbone, runtime: Runtime = "onnxruntime", *, runs: int = 50, warmup: int = 10
) -> Latency:
    """Time single crops on this machine, which should be quiet.

    Args:
        backbone: Is put into evaluation mode.
        runtime: "onnxruntime" times the folded export, which is what a device runs.
        runs: Timed runs, at least 2.
        warmup: Runs before them.
    """
    one_of("runtime", runtime, ("torch", "onnxruntime"))
    at_least("runs", runs, 2)
    run = _torch_run(backbone) if runtime == "torch" else _onnxruntime_run(backbone)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times_ms = [_timed_ms(run) for _ in range(warmup + runs)][warmup:]
    finally:
        torch.set_num_threads(threads)
    lower_ms, _, upper_ms = quantiles(times_ms, n=4)
    return Latency(
        median_ms=median(times_ms),
        lower_ms=lower_ms,
        upper_ms=upper_ms,
        runtime=runtime,
        runs=runs,
    )


def _timed_ms(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1e3


def _torch_run(backbone: Backbone) -> Callable[[], object]:
    backbone.eval()
    size = backbone.preprocessing
    x_BCHW = torch.zeros(1, 3, size.height_px, size.width_px)

    @torch.inference_mode()
    def run() -> object:
        return backbone(x_BCHW)

    return run


def _onnxruntime_run(backbone: Backbone) -> Callable[[], object]:
    import onnxruntime

    from facetrain.export.fold import fold
    from facetrain.export.onnx_export import INPUT, to_onnx

    model = to_onnx(fold(backbone.eval()), backbone.preprocessing)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    size = backbone.preprocessing
    feed = {INPUT: np.zeros((1, 3, size.height_px, size.width_px), np.float32)}
    return lambda: session.run(None, feed)
