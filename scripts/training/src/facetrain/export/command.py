"""The commands `export`, `quantize`, `calibrate` and `pack`: plain functions with their options."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facetrain.data.face_set import FaceSet, Subset
from facetrain.engine.checkpoint import current_commit, load_backbone, read_checkpoint
from facetrain.evaluate.acquire import Acquisition, crops_of_set
from facetrain.evaluate.embed import Embedder, EmbedOptions, embed_all
from facetrain.evaluate.report import (
    header_markdown,
    header_of,
    table,
    write_report,
)
from facetrain.export.calibrate import (
    CalibrationReport,
    CrossPairs,
    calibration_report,
    cross_scores,
    thumbnails,
)
from facetrain.export.fold import FoldReport, checked_fold
from facetrain.export.onnx_export import OnnxOptions, save_onnx, to_onnx
from facetrain.export.score_table import extrapolated
from facetrain.progress import progress

logger = logging.getLogger(__name__)

GROUPS_MAX = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """Attributes:
    checkpoint: As the engine writes it; the averaged weights are taken where there are any.
    out: The ONNX file to write.
    fold: Merge linear layers first (exact, checked).
    dynamic_batch: Leave the batch open; the daemon runs batches of 1.
    """

    checkpoint: Path
    out: Path
    fold: bool = True
    dynamic_batch: bool = False
    ema: bool = True


@dataclass(frozen=True, slots=True)
class Exported:
    """Attributes:
    sha256: Of the file.
    folding: None where it was not asked for.
    """

    file: Path
    sha256: str
    embedding_dim: int
    folding: FoldReport | None


def export(options: ExportOptions) -> Exported:
    """Checkpoint → ONNX file."""
    backbone = load_backbone(options.checkpoint, ema=options.ema)
    network, folding = backbone, None
    if options.fold:
        network, folding = checked_fold(backbone, backbone.preprocessing)
    metadata = {
        "model": json.dumps(read_checkpoint(options.checkpoint)["model"], sort_keys=True),
        "training_commit": str(read_checkpoint(options.checkpoint).get("commit", "unknown")),
        "export_commit": current_commit(),
        "folded": str(options.fold).lower(),
    }
    model = to_onnx(
        network,
        backbone.preprocessing,
        OnnxOptions(dynamic_batch=options.dynamic_batch, metadata=metadata),
    )
    digest = save_onnx(model, options.out)
    return Exported(options.out, digest, backbone.embedding_dim, folding)


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrateOptions:
    """Attributes:
    set_words: The set in words, for pack.json: what it is, and that the model never saw it.
    out: Directory for `calibration.json` (what `pack` takes) and `calibration.md`.
    group: Attribute column of the set to report by, for example "race"; None: not by group.
    one_per_identity: Take only the first picture of each identity for different-person pairs, as
        `ostiary evaluate calibration` does; with False all pairs of all pictures count.
    decades_max: How far below the measured rates thresholds are shown as extrapolated.
    files: Role → file, for the report's header.
    """

    set_words: str
    out: Path
    group: str | None = None
    one_per_identity: bool = False
    decades_max: float = 1.0
    flip: bool = False
    batch_size: int = 64
    show_progress: bool = True
    files: Mapping[str, Path | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.set_words:
            raise ValueError("set_words must say in words what the set is")
        if not 0 <= self.decades_max <= 3:
            raise ValueError(f"decades_max must lie in [0, 3], is {self.decades_max}")


def calibrate(faces: FaceSet, embedder: Embedder, options: CalibrateOptions) -> CalibrationReport:
    """Score table of all cross pairs of a set of aligned faces; written to `options.out`."""
    if options.group is not None and options.group not in faces.groups:
        raise ValueError(
            f"the set has no group column {options.group!r} but {sorted(faces.groups)}"
        )
    chosen = _chosen(np.asarray(faces.labels), one_per_identity=options.one_per_identity)
    acquisition = Acquisition()
    small: list[np.ndarray] = []
    crops = _noting_thumbnails(faces, chosen, acquisition, small, options.show_progress)
    embed_options = EmbedOptions(batch_size=options.batch_size, flip=options.flip)
    e_ND = embed_all(crops, embedder, embed_options)
    groups = None if options.group is None else np.asarray(faces.groups[options.group])[chosen]
    scores = cross_scores(
        CrossPairs(
            e_ND=e_ND,
            label_N=np.asarray(faces.labels)[chosen],
            thumb_NP=np.concatenate(small) if small else thumbnails([]),
            group_N=groups,
        ),
        show_progress=options.show_progress,
    )
    report = calibration_report(scores)
    words = (
        f"{options.set_words}; {int((~np.isnan(e_ND[:, 0])).sum())} pictures of {len(chosen)}, "
        f"all cross pairs, {report.near_duplicates} pairs of the same photograph left out"
    )
    content = {
        "schema": 1,
        "what": "calibration",
        "header": header_of(options.files),
        "embedder": embedder.description,
        "flip": options.flip,
        "failures": dict(acquisition.failures),
        "pictures": len(chosen),
        "report": report,
        "extrapolated": _beyond(report, options.decades_max),
        "calibration": pack_calibration(report, words),
    }
    write_report(options.out, "calibration", content, _markdown(content, report, options))
    return report


def pack_calibration(report: CalibrationReport, words: str) -> dict[str, Any]:
    """The `calibration` part of pack.json (`src/embedding/calibration.ts`)."""
    found = report.table.to_json(words)
    found["smallestFmr"] = report.table.smallest_fmr
    found["nearDuplicates"] = report.near_duplicates
    if report.groups:
        found["groups"] = [
            {
                "group": group.group,
                "pairs": group.pairs,
                "fmr": group.fmr,
                "supported": group.supported,
            }
            for group in report.groups[:GROUPS_MAX]
        ]
    return found


def _chosen(label_N: np.ndarray, *, one_per_identity: bool) -> np.ndarray:
    if not one_per_identity:
        return np.arange(len(label_N))
    _, first = np.unique(label_N, return_index=True)
    alone = np.flatnonzero(label_N < 0)
    return np.union1d(first[label_N[first] >= 0], alone)


def _noting_thumbnails(
    faces: FaceSet,
    chosen: np.ndarray,
    acquisition: Acquisition,
    small: list[np.ndarray],
    show_progress: bool,
) -> Iterator[np.ndarray | None]:
    crops = crops_of_set(Subset(faces, chosen), acquisition)
    for crop in progress(crops, len(chosen), "embedding", enabled=show_progress):
        small.append(thumbnails([np.zeros((112, 112, 3), np.uint8) if crop is None else crop]))
        yield crop


def _beyond(report: CalibrationReport, decades_max: float) -> list[dict[str, Any]]:
    """Thresholds at round rates below what was measured, each named as extrapolated."""
    last = report.table.points[-1].fmr
    rates = [10.0**-n for n in range(1, 12) if 10.0**-n < last]
    found = []
    for rate in rates:
        at = extrapolated(report.table, rate, decades_max)
        if at is not None:
            found.append({"fmr": rate, "cosine": at[0], "source": at[1]})
    return found


def _number(value: float) -> str:
    return f"{value:.3g}"


def _markdown(content: dict[str, Any], report: CalibrationReport, options: CalibrateOptions) -> str:
    points = table(
        ["cosine", "FMR", "FNMR"],
        [
            [f"{p.cosine:.4f}", _number(p.fmr), "–" if p.fnmr is None else _number(p.fnmr)]
            for p in report.table.points
        ],
    )
    beyond = table(
        ["FMR", "cosine"],
        [[_number(row["fmr"]), f"{row['cosine']:.4f}"] for row in content["extrapolated"]],
    )
    groups = table(
        ["group", "pairs", f"FMR where all have {_number(report.table.points[-1].fmr)}", ""],
        [
            [g.group, str(g.pairs), _number(g.fmr), "" if g.supported else "fewer than 30 matches"]
            for g in report.groups
        ],
    )
    return (
        f"# Calibration: {options.set_words}\n\n"
        f"{header_markdown(content['header'], content['embedder'])}\n"
        f"{report.table.pairs} pairs of different people (not independent: each picture is in "
        f"many), {report.genuine_pairs} of the same person, {report.near_duplicates} pairs of the "
        f"same photograph left out. Smallest supported FMR (rule of 30): "
        f"{_number(report.table.smallest_fmr)}. Not acquired: {content['failures'] or 'none'}.\n\n"
        f"{points}\n## Extrapolated, not measured\n\nOn the line through the last two points, at "
        f"most {options.decades_max:g} decades.\n\n{beyond}"
        + (f"\n## By group: worst is {report.worst}\n\n{groups}" if report.groups else "")
    )
