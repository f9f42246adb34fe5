"""What the daemon loads: `pack.json` and the files that it names (`src/embedding/pack.ts`).

A pack appears whole or not at all, under a name that does not exist yet; the name is its id.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx

from facetrain.data.detect import Detector, with_free_size
from facetrain.evaluate.embed import OnnxEmbedder, open_onnx, sha256
from facetrain.export.golden import golden_vectors
from facetrain.export.onnx_export import INPUT, OUTPUT
from facetrain.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCHEMA = 1
MODEL_MAX_BYTES = 512 * 1024 * 1024
DETECTOR_MAX_PX = 1920


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOptions:
    """Attributes:
    out: The directory to make; its name becomes the pack's id.
    detector: YuNet-layout ONNX file.
    embedder: ONNX file as `export` writes it (its metadata hold the preprocessing).
    space_id: Names model and preprocessing; templates of different spaces never meet. A new
        network, or other preprocessing, needs a new one.
    source: Where the weights come from, in words: data, teacher, recipe.
    licence: Under which the weights may be used.
    calibration: The `calibration` part, as `calibrate` writes it; without it every decision is a
        denial.
    training_commit: Commit of the package that trained the weights.
    demo_only: Good for the demo, not for a door.
    release_counter: Rises with every release; a device never goes back.
    preprocessing: None: from the embedder's metadata.
    input_name: None: the embedder's first input; the same of `output_name`.
    landmarks: Of a face's best cell ("best"), "blended" from all its cells, or blended and averaged
        with a second, mirrored look ("two-looks").
    """

    out: Path
    detector: Path
    embedder: Path
    space_id: str
    source: str
    licence: str
    calibration: Path | None = None
    training_commit: str | None = None
    demo_only: bool = True
    release_counter: int = 0
    preprocessing: Preprocessing | None = None
    input_name: str | None = INPUT
    output_name: str | None = OUTPUT
    score_min: float = 0.7
    overlap_max: float = 0.3
    landmarks: str = "best"

    def __post_init__(self) -> None:
        for role, slug in (("out", self.out.name), ("space_id", self.space_id)):
            if not SLUG.fullmatch(slug):
                raise ValueError(
                    f"{role}: {slug!r} must be 1 to 64 of A-Z a-z 0-9 . _ - "
                    "and begin with a letter or digit"
                )
        for role, words in (("source", self.source), ("licence", self.licence)):
            if not 1 <= len(words) <= 2000:
                raise ValueError(f"{role} must be 1 to 2000 characters, has {len(words)}")
        if self.release_counter < 0:
            raise ValueError(f"release_counter must not be negative, is {self.release_counter}")


def write_pack(options: PackOptions) -> dict[str, Any]:
    """Checks the models, makes golden vectors and writes the directory; returns pack.json.

    Raises:
        ValueError: The directory exists, or a file is not what the pack needs.
    """
    if options.out.exists():
        raise ValueError(f"{options.out} exists already: choose another directory")
    models = {
        "detector.onnx": _detector(options.detector),
        "embedder.onnx": _read(options.embedder),
    }
    embedder = _embedder(options, models["embedder.onnx"])
    about = _about(options, models, embedder)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    partial = options.out.with_name(f".{options.out.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name, data in models.items():
            _write_synced(partial / name, data)
        text = json.dumps(about, indent=2, ensure_ascii=False)
        _write_synced(partial / "pack.json", f"{text}\n".encode())
        partial.rename(options.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    logger.info("wrote %s", options.out)
    return about


def _about(
    options: PackOptions, models: Mapping[str, bytes], embedder: OnnxEmbedder
) -> dict[str, Any]:
    calibration = None if options.calibration is None else read_calibration(options.calibration)
    provenance = {"source": options.source, "licence": options.licence}
    if options.training_commit is not None:
        provenance["trainingCommit"] = options.training_commit
    raw = Preprocessing(
        width_px=DETECTOR_MAX_PX,
        height_px=DETECTOR_MAX_PX,
        channel_order="bgr",
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    return {
        "schema": SCHEMA,
        "id": options.out.name,
        "releaseCounter": options.release_counter,
        "files": [
            {"name": name, "sha256": sha256(data), "bytes": len(data)}
            for name, data in models.items()
        ],
        "detector": {
            "file": "detector.onnx",
            "layout": "yunet",
            "input": onnx.load_from_string(models["detector.onnx"]).graph.input[0].name,
            "preprocessing": words_of(raw),
            "scoreMin": options.score_min,
            "overlapMax": options.overlap_max,
            "landmarks": options.landmarks,
        },
        "embedder": {
            "file": "embedder.onnx",
            "input": embedder.input_name,
            "output": embedder.output_name,
            "preprocessing": words_of(embedder.preprocessing),
            "align": "arcface-112",
            "dimension": embedder.embedding_dim,
            "spaceId": options.space_id,
        },
        **({} if calibration is None else {"calibration": calibration}),
        "golden": golden_vectors(embedder),
        "provenance": provenance,
        "demoOnly": options.demo_only,
    }


def words_of(preprocessing: Preprocessing) -> dict[str, Any]:
    """Preprocessing in pack.json's words."""
    return {
        "widthPx": preprocessing.width_px,
        "heightPx": preprocessing.height_px,
        "channelOrder": preprocessing.channel_order,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }


def read_calibration(file: Path) -> dict[str, Any]:
    """The `calibration` part of what `calibrate` wrote, or a file that is one.

    Raises:
        ValueError: It is none, or its points do not rise in cosine and fall in FMR.
    """
    try:
        content = json.loads(_read(file))
    except json.JSONDecodeError as fault:
        raise ValueError(f"{file} is no JSON: {fault}") from fault
    found = content.get("calibration", content) if isinstance(content, dict) else {}
    points = found.get("points", [])
    if not {"set", "pairs", "points"} <= set(found) or not 2 <= len(points) <= 64:
        raise ValueError(f"{file} is no score table; make one with `calibrate`")
    for lower, upper in pairwise(points):
        if not (upper["cosine"] > lower["cosine"] and upper["fmr"] < lower["fmr"]):
            raise ValueError(f"{file}: points must rise in cosine and fall in FMR")
    return found


def _detector(file: Path) -> bytes:
    data = _read(file)
    Detector(data)
    dimensions = onnx.load_from_string(data).graph.input[0].type.tensor_type.shape.dim[2:]
    fixed = any(dimension.HasField("dim_value") for dimension in dimensions)
    # The daemon runs it at the size of the camera's picture.
    return with_free_size(data) if fixed else data


def _embedder(options: PackOptions, model: bytes) -> OnnxEmbedder:
    preprocessing = options.preprocessing or open_onnx(options.embedder).preprocessing
    return OnnxEmbedder(
        model, preprocessing, input_name=options.input_name, output_name=options.output_name
    )


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    if not 0 < file.stat().st_size <= MODEL_MAX_BYTES:
        raise ValueError(
            f"{file} has {file.stat().st_size} bytes; 1 to {MODEL_MAX_BYTES} are allowed"
        )
    return file.read_bytes()


def _write_synced(file: Path, data: bytes) -> None:
    with file.open("wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
