"""Static INT8 quantisation (QDQ, weights per channel), with what it costs and what it brings.

Activations' ranges come from calibration crops. The result is an ONNX file of its own: it gives
other embeddings, hence it needs its own calibration, golden vectors and space.
"""

# N pictures, B batch, D embedding.
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime

from facetrain.evaluate.embed import OnnxEmbedder, embed_all, model_input, open_onnx
from facetrain.export.onnx_export import save_onnx

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeOptions:
    """Attributes:
    per_channel: Scales of weights per output channel.
    reduce_range: Weights of 7 bits: x86 without VNNI adds products of 8 bits in 16 and saturates.
    float_nodes: Kinds of operators that stay in float32; normalisations and PReLU have no INT8
        kernel on the CPU.
    crops: At most this many calibration crops are used.
    """

    per_channel: bool = True
    reduce_range: bool = False
    float_nodes: tuple[str, ...] = ("PRelu", "BatchNormalization", "Add", "Mul", "Concat", "Slice")
    crops: int = 512

    def __post_init__(self) -> None:
        if self.crops < 1:
            raise ValueError(f"crops must be at least 1, is {self.crops}")


@dataclass(frozen=True, slots=True)
class QuantizeReport:
    """Attributes:
    cosine_mean: Of the same crop's embedding by both files, over held-out crops.
    cosine_least: The least of them.
    milliseconds: Median of one crop on one thread: float32, INT8. Only as exact as the machine is
        quiet.
    bytes: Sizes: float32, INT8.
    """

    cosine_mean: float
    cosine_least: float
    held_out: int
    milliseconds: tuple[float, float]
    bytes: tuple[int, int]


def quantize(
    model: Path, out: Path, crops: list[np.ndarray], options: QuantizeOptions | None = None
) -> QuantizeReport:
    """Quantises a float32 file as `export` writes it.

    Args:
        crops: uint8 RGB (112, 112, 3); a fifth of them, at most 200, is held out to compare on.

    Raises:
        ValueError: There are fewer than 10 crops.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    options = options or QuantizeOptions()
    if len(crops) < 10:
        raise ValueError(
            f"{len(crops)} crops are too few to calibrate and compare: 10 are the least"
        )
    held_out = crops[: min(200, len(crops) // 5)]
    used = crops[len(held_out) :][: options.crops]
    original = open_onnx(model)

    class Crops(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(used)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            crop = next(self._left, None)
            if crop is None:
                return None
            return {"input": model_input(crop[None], original.preprocessing)}

    graph = onnx.load(model).graph
    quantized = {node.op_type for node in graph.node} - set(options.float_nodes)
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "int8.onnx"
        quantize_static(
            str(model),
            str(raw),
            Crops(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(quantized),
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(raw)
    _keep_metadata(onnx.load(model, load_external_data=False), made)
    save_onnx(made, out)
    return compare(model, out, held_out)


def compare(first: Path, second: Path, crops: list[np.ndarray]) -> QuantizeReport:
    """Both files on the same crops: how alike their embeddings are, and how fast each is."""
    one, other = open_onnx(first), open_onnx(second)
    cos_N = (embed_all(crops, one) * embed_all(crops, other)).sum(axis=1)
    return QuantizeReport(
        cosine_mean=float(cos_N.mean()),
        cosine_least=float(cos_N.min()),
        held_out=len(crops),
        milliseconds=(_milliseconds(one, crops[0]), _milliseconds(other, crops[0])),
        bytes=(first.stat().st_size, second.stat().st_size),
    )


def _milliseconds(embedder: OnnxEmbedder, crop: np.ndarray, runs: int = 20) -> float:
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        embedder.embed(crop[None])
        times.append(1000 * (time.perf_counter() - begun))
    return float(np.median(times))


def _keep_metadata(source: onnx.ModelProto, target: onnx.ModelProto) -> None:
    stored: dict[str, Any] = {entry.key: entry.value for entry in source.metadata_props}
    stored["quantised"] = f"int8 qdq, onnxruntime {onnxruntime.__version__}"
    del target.metadata_props[:]
    onnx.helper.set_model_props(target, dict(sorted(stored.items())))
