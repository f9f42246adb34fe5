"""A detector against a reference (YuNet) on pictures that neither was trained on here.

There are no labels: the reference is the truth where it is sure. Counted are faces that it scores
well above its threshold and we find (IoU >= 0.5), and boxes of ours where it has none well below.
Landmarks are compared with the mean of several looks of the reference, as one look jitters.

Axes: F faces, H height, W width, C channels (BGR, uint8).
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from facetrain.data.detect import UPSCALE_MAX
from facetrain.data.pictures import decode_picture, is_picture_name
from facetrain.data.tar_set import TarBytes, tar_pictures
from facetrain.detector.canvas import clip_frames
from facetrain.detector.decode import Faces, faces_of, overlap
from facetrain.detector.distil import Detector, LabelOptions, consensus
from facetrain.detector.export import to_onnx
from facetrain.detector.look import look_again
from facetrain.detector.recipe import load_detector
from facetrain.detector.teacher import YuNetTeacher, pad_to_multiple
from facetrain.progress import progress

SIZES_PX = (24, 48, 96, 200)
"""Edges of the bins by height of the reference's box in the detector's input."""
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
RESAMPLES = 1000
PackLandmarks = Literal["best", "blended", "two-looks"]
"""As `detector.landmarks` of a pack."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateOptions:
    """What is compared."""

    threshold: float = 0.7
    """The reference's own least score."""
    score_min: float = 0.7
    """Ours."""
    landmarks: PackLandmarks = "best"
    """Ours; the reference's one look is of its best cell."""
    sure_margin: float = 0.1
    """Faces that the reference scores this much above its threshold must be found."""
    none_margin: float = 0.2
    """A box counts as extra where the reference has no face this far below its threshold."""
    overlap_min: float = 0.5
    longer_side_px: int = 640
    scales: tuple[float, ...] = (1.0,)
    """Every picture is also looked at at these factors, for smaller and larger faces."""
    looks: LabelOptions = field(default_factory=lambda: LabelOptions(shifts=4, mirrored=4))
    limit: int | None = None
    """Pictures per source, evenly spaced; None for all."""
    time_size: tuple[int, int] = (384, 640)
    """Height and width at which both are timed."""
    time_runs: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.threshold - self.none_margin <= self.threshold + self.sure_margin < 1:
            raise ValueError("threshold with its margins must lie between 0 and 1")
        if not 0 < self.score_min < 1:
            raise ValueError(f"score_min is {self.score_min}; allowed is above 0, below 1")


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture's comparison; ours at the least of `THRESHOLDS`.

    Attributes:
        height_F: Box heights of the faces that must be found.
        found_score_F: Our score of each, 0 where we have no overlapping box.
        extra_score_E: Scores of our boxes where the reference has none.
        landmark_F: Mean distance of the five points to the reference's mean look, as a share of the
            eye distance; NaN where not found.
        jitter_F: The same for the reference's own first look.
    """

    height_F: np.ndarray
    found_score_F: np.ndarray
    extra_score_E: np.ndarray
    landmark_F: np.ndarray
    jitter_F: np.ndarray


def open_detector(file: Path) -> YuNetTeacher:
    """A detector from an ONNX file or a checkpoint of ours."""
    if file.suffix == ".onnx":
        return YuNetTeacher(file)
    return YuNetTeacher(to_onnx(load_detector(file)))


def compare(
    model: Path, reference: Path, sources: Sequence[Path], options: EvaluateOptions
) -> dict[str, Any]:
    """Everything that the report says, as JSON-able values."""
    ours, theirs = open_detector(model), open_detector(reference)
    results: dict[str, Any] = {}
    for source in sources:
        pictures, count = open_pictures(source, options.limit)
        seen = [
            compare_picture(ours, theirs, picture, options, scale)
            for picture in progress(pictures, count, source.name)
            for scale in options.scales
        ]
        results[source.name] = summarise(seen, options)
    return {
        "model": str(model),
        "reference": str(reference),
        "options": asdict(options),
        "sources": results,
        "time": time_ratio(ours, theirs, options),
    }


def open_pictures(source: Path, limit: int | None) -> tuple[Iterator[np.ndarray], int]:
    """Pictures of a tar, a folder, a GIF clip, or one picture file, BGR, and how many.

    Raises:
        ValueError: The source is none of these or holds no picture.
    """
    if source.suffix == ".gif":
        frames = clip_frames(source, limit or 1_000_000)
        return iter(frames), len(frames)
    readers: list[Callable[[], bytes]]
    if source.suffix == ".tar":
        members, _ = tar_pictures(source)
        data = TarBytes(source)
        readers = [lambda member=member: data.read(member) for member in members]
        names = [member.name for member in members]
    elif source.is_dir():
        files = sorted(file for file in source.rglob("*") if is_picture_name(file.name))
        readers, names = [file.read_bytes for file in files], [str(file) for file in files]
    elif source.is_file() and is_picture_name(source.name):
        readers, names = [source.read_bytes], [str(source)]
    else:
        raise ValueError(f"{source} is no tar, folder, GIF clip or picture")
    if not names:
        raise ValueError(f"{source} holds no pictures")
    chosen = np.linspace(0, len(names) - 1, min(limit or len(names), len(names))).astype(int)
    decoded = (
        np.ascontiguousarray(decode_picture(readers[i](), f"{source}: {names[i]}")[..., ::-1])
        for i in chosen
    )
    return decoded, len(chosen)


def fitted(picture: np.ndarray, options: EvaluateOptions, scale: float = 1.0) -> np.ndarray:
    """The picture as the daemon hands it to a detector: scaled to fit, then padded."""
    size = _size(picture, options, scale)
    return pad_to_multiple(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))


def _size(picture: np.ndarray, options: EvaluateOptions, scale: float) -> tuple[int, int]:
    """Width and height of the scaled picture."""
    height, width = picture.shape[:2]
    factor = min(UPSCALE_MAX, options.longer_side_px / max(height, width)) * scale
    return max(1, round(width * factor)), max(1, round(height * factor))


def compare_picture(
    ours: Detector,
    theirs: Detector,
    original: np.ndarray,
    options: EvaluateOptions,
    scale: float = 1.0,
) -> Seen:
    """Compare on one picture of any size, scaled as `fitted` scales it."""
    picture = fitted(original, options, scale)
    height, width = picture.shape[:2]
    low = options.threshold - options.none_margin
    reference = faces_of(theirs.dense(picture[None])[0], height, width, score_min=low)
    found = faces_of(
        ours.dense(picture[None])[0],
        height,
        width,
        score_min=min(*THRESHOLDS, options.score_min),
        landmarks="best" if options.landmarks == "best" else "blended",
    )
    if options.landmarks == "two-looks":
        found = _again(ours, original, found, options, scale)
    iou = overlap(reference.box_F4, found.box_F4)
    extra = (iou < options.overlap_min).all(axis=0) if len(reference) else np.ones(len(found), bool)
    is_sure = reference.score_F >= options.threshold + options.sure_margin
    sure, iou = reference.take(is_sure), iou[is_sure]
    if len(sure) == 0:
        empty = np.zeros(0)
        return Seen(empty, empty, found.score_F[extra], empty, empty)
    mean = consensus(theirs, picture, sure, np.random.default_rng(1), options.looks)
    hits = iou >= options.overlap_min
    best = np.where(hits, found.score_F[None, :], 0).max(axis=1, initial=0)
    landmark = np.full(len(sure), np.nan)
    for face in np.flatnonzero(hits.any(axis=1)):
        match = int(iou[face].argmax())
        landmark[face] = landmark_distance(found.landmark_F52[match], mean.landmark_F52[face])
    jitter = [
        landmark_distance(sure.landmark_F52[face], mean.landmark_F52[face])
        for face in range(len(sure))
    ]
    return Seen(sure.box_F4[:, 3], best, found.score_F[extra], landmark, np.array(jitter))


def _again(
    ours: Detector, original: np.ndarray, found: Faces, options: EvaluateOptions, scale: float
) -> Faces:
    """A second look at each face of the scaled picture, taken from the original; those found."""
    step = np.array(original.shape[1::-1]) / _size(original, options, scale)
    both, is_found = look_again(ours, original, found.scaled(step), score_min=options.score_min)
    again = Faces(found.box_F4, both.scaled(1 / step).landmark_F52, found.score_F)
    return again.take(is_found)


def landmark_distance(points_52: np.ndarray, target_52: np.ndarray) -> float:
    """Mean distance of the five points as a share of the target's eye distance."""
    eyes = float(np.linalg.norm(target_52[0] - target_52[1]))
    return float(np.linalg.norm(points_52 - target_52, axis=1).mean()) / max(eyes, 1e-6)


def summarise(seen: Sequence[Seen], options: EvaluateOptions) -> dict[str, Any]:
    """Rates with 95 % intervals by resampling pictures, by size, and over thresholds of ours."""
    joined = Seen(
        *(np.concatenate([getattr(s, name) for s in seen]) for name in Seen.__dataclass_fields__)
    )
    is_found = joined.found_score_F >= options.score_min
    per_picture = np.array(
        [
            [
                len(s.height_F),
                (s.found_score_F >= options.score_min).sum(),
                (s.extra_score_E >= options.score_min).sum(),
            ]
            for s in seen
        ],
        float,
    )
    rng = np.random.default_rng(1)
    drawn = per_picture[rng.integers(0, len(seen), (RESAMPLES, len(seen)))].sum(axis=1)
    shares = drawn[:, 1] / np.maximum(drawn[:, 0], 1)
    edges = (0, *SIZES_PX, np.inf)
    bins = {
        f"{low:g} to {high:g} px": (joined.height_F >= low) & (joined.height_F < high)
        for low, high in itertools.pairwise(edges)
    }
    return {
        "pictures": len(seen),
        "faces": len(is_found),
        "found": _mean(is_found),
        "found_interval": _interval(shares),
        "extra_per_100": float(100 * per_picture[:, 2].mean()),
        "extra_per_100_interval": _interval(100 * drawn[:, 2] / len(seen)),
        "landmark": _distances(joined.landmark_F[is_found]),
        "reference_one_look": _distances(joined.jitter_F[is_found]),
        "by_size": {
            name: {
                "faces": int(mine.sum()),
                "found": _mean(is_found[mine]),
                "landmark": _distances(joined.landmark_F[mine & is_found]),
            }
            for name, mine in bins.items()
        },
        "by_threshold": {
            f"{value:g}": {
                "found": _mean(joined.found_score_F >= value),
                "extra_per_100": float(100 * (joined.extra_score_E >= value).sum() / len(seen)),
            }
            for value in THRESHOLDS
        },
    }


def time_ratio(
    ours: YuNetTeacher, theirs: YuNetTeacher, options: EvaluateOptions
) -> dict[str, float]:
    """Medians in milliseconds on one thread, run in turns; the ratio is of the paired runs."""
    input_BCHW = np.random.default_rng(1).uniform(0, 255, (1, 3, *options.time_size))
    input_BCHW = input_BCHW.astype(np.float32)
    taken = np.zeros((options.time_runs, 2))
    for detector in (ours, theirs):
        detector.run(input_BCHW)
    for run in range(options.time_runs):
        for at, detector in enumerate((ours, theirs)):
            begun = time.perf_counter()
            detector.run(input_BCHW)
            taken[run, at] = time.perf_counter() - begun
    ours_ms, theirs_ms = (float(value) for value in np.median(taken, axis=0) * 1000)
    ratio = float(np.median(taken[:, 0] / taken[:, 1]))
    return {"ours_ms": ours_ms, "reference_ms": theirs_ms, "ratio": ratio}


def write_report(report: dict[str, Any], out: Path) -> str:
    """Writes `report.json` and `report.md` into the folder; the Markdown comes back."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text = markdown(report)
    (out / "report.md").write_text(text + "\n", encoding="utf-8")
    return text


def markdown(report: dict[str, Any]) -> str:
    """The report as tables; intervals are 95 %, over pictures."""
    options, clock = report["options"], report["time"]
    sure = options["threshold"] + options["sure_margin"]
    none = options["threshold"] - options["none_margin"]
    lines = [
        f"Detector `{Path(report['model']).name}` (score from {options['score_min']:g}, landmarks "
        f"{options['landmarks']}) against "
        f"`{Path(report['reference']).name}`, longer side {options['longer_side_px']} px, scales "
        f"{', '.join(f'{scale:g}' for scale in options['scales'])}.",
        "",
        f"Time at {options['time_size'][1]}x{options['time_size'][0]}, one thread: "
        f"{clock['ours_ms']:.1f} ms against {clock['reference_ms']:.1f} ms, "
        f"ratio {clock['ratio']:.2f}.",
        "",
        f"| pictures | views | faces it scores >= {sure:g} | found | boxes where it has none above "
        f"{none:g}, per 100 | landmarks, share of eye distance: mean, median | its own one look |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in report["sources"].items():
        lines.append(
            f"| {name} | {result['pictures']} | {result['faces']} "
            f"| {_percent(result['found'])} ({_range(result['found_interval'], 100)}) "
            f"| {result['extra_per_100']:.2f} ({_range(result['extra_per_100_interval'])}) "
            f"| {_pair(result['landmark'])} | {_pair(result['reference_one_look'])} |"
        )
    for name, result in report["sources"].items():
        lines += ["", f"{name}, by size:", "", "| face | faces | found | landmarks |"]
        lines.append("|---|---|---|---|")
        for size, part in result["by_size"].items():
            found, points = _percent(part["found"]), _pair(part["landmark"])
            lines.append(f"| {size} | {part['faces']} | {found} | {points} |")
        lines += ["", f"{name}, by our least score:", "", "| score | found | boxes per 100 |"]
        lines.append("|---|---|---|")
        for score, part in result["by_threshold"].items():
            lines.append(f"| {score} | {_percent(part['found'])} | {part['extra_per_100']:.2f} |")
    return "\n".join(lines)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _interval(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.percentile(values, [2.5, 97.5])]


def _distances(values: np.ndarray) -> dict[str, float] | None:
    if len(values) == 0:
        return None
    median, high = np.percentile(values, [50, 95])
    return {"mean": float(values.mean()), "median": float(median), "p95": float(high)}


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.2f} %"


def _range(values: Sequence[float], factor: float = 1) -> str:
    return " to ".join(f"{factor * value:.2f}" for value in values)


def _pair(values: dict[str, float] | None) -> str:
    return "none" if values is None else f"{_percent(values['mean'])}, {_percent(values['median'])}"
