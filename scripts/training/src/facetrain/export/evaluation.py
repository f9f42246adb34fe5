"""How good a pack is, beside what it should be: a report for people and one for programs.

What needs the daemon's own pipeline (pairs of pictures, calibration) was measured by `ostiary
evaluate` and is read from its JSON; what needs only aligned crops is measured here. What is not
given is "not measured".
"""

# N pictures, D embedding.
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrain.data.face_set import FaceSet
from facetrain.data.sources import open_faces
from facetrain.evaluate.embed import (
    EmbedOptions,
    OnnxEmbedder,
    embed_all,
    open_onnx,
    open_pack,
)
from facetrain.evaluate.report import header_of, percent, table, write_report
from facetrain.evaluate.roc import area_under_curve, equal_error_rate
from facetrain.export.onnx_export import to_onnx
from facetrain.models.create import create_backbone
from facetrain.preprocessing import RETAIL_0095

Z95 = 1.96
T95_NINE = 2.262
"""Student's t for the mean of ten folds."""
TIME_RUNS = 60
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationOptions:
    """Attributes:
    pack: Directory.
    out: Folder of `evaluation.json` and `evaluation.md`.
    teacher: ONNX file that the embedder learned from, and the set on which both are compared.
    faces: That set.
    people: A labelled set: equal error rate over all its pairs.
    detector_reports: JSON files of `facetrain detector evaluate`.
    verification: JSON of `ostiary evaluate verification` of this pack.
    with_teacher: The same of this detector and the teacher.
    reference: The same of the reference detector and the teacher.
    """

    pack: Path
    out: Path
    teacher: Path | None = None
    faces: Path | None = None
    people: Path | None = None
    detector_reports: tuple[Path, ...] = ()
    verification: Path | None = None
    with_teacher: Path | None = None
    reference: Path | None = None

    def __post_init__(self) -> None:
        if (self.teacher is None) != (self.faces is None):
            raise ValueError("teacher and faces belong together: give both or neither")


@dataclass(frozen=True, slots=True)
class Target:
    """One line of what was aimed at.

    Attributes:
        reached: With its interval, in words.
        met: None where it was not measured.
    """

    what: str
    target: str
    reached: str
    met: bool | None


def evaluate_pack(options: EvaluationOptions) -> str:
    """Measures what is missing and writes the report; the Markdown comes back."""
    about = json.loads((options.pack / "pack.json").read_text(encoding="utf-8"))
    embedder = open_pack(options.pack).embedder
    found: dict[str, Any] = {
        "cosine": None,
        "people": None,
        "time": embedder_time(embedder),
        "detector": [_named(_read(file)) for file in options.detector_reports],
        "verification": _read(options.verification),
        "with_teacher": _read(options.with_teacher),
        "reference": _read(options.reference),
        "calibration": about.get("calibration"),
    }
    if options.teacher is not None and options.faces is not None:
        teacher = open_onnx(options.teacher, RETAIL_0095)
        found["cosine"] = cosines(embedder, teacher, open_faces(options.faces))
    if options.people is not None:
        found["people"] = all_pairs(embedder, open_faces(options.people))
    targets = targets_of(found)
    files = {"embedder": options.pack / "embedder.onnx", "detector": options.pack / "detector.onnx"}
    content = {
        "schema": 1,
        "what": "evaluation",
        "pack": about["id"],
        "space": about["embedder"]["spaceId"],
        "header": header_of({**files, "teacher": options.teacher}),
        "targets": targets,
        **found,
    }
    text = _markdown(content, targets)
    write_report(options.out, "evaluation", content, text)
    return text


def cosines(student: OnnxEmbedder, teacher: OnnxEmbedder, faces: FaceSet) -> dict[str, Any]:
    """Mean cosine of two embedders of one space on crops as they are, and by group."""
    crops = [faces.crop(n) for n in range(len(faces))]
    mine_ND, theirs_ND = (embed_all(crops, each, EmbedOptions()) for each in (student, teacher))
    cos_N = (mine_ND * theirs_ND).sum(axis=1)
    # What a constant answer would reach: the teacher's own mean direction.
    mean_D = theirs_ND.mean(axis=0)
    return {
        **_mean(cos_N),
        "chance": float(np.linalg.norm(mean_D)),
        "groups": {
            f"{column}: {name}": _mean(cos_N[np.asarray(values) == name])
            for column, values in faces.groups.items()
            if column in ("race", "gender")
            for name in sorted(set(values) - {""})
        },
    }


def all_pairs(embedder: OnnxEmbedder, faces: FaceSet) -> dict[str, Any]:
    """Equal error rate and area under the ROC over all pairs of a labelled set."""
    label_N = np.asarray(faces.labels)
    e_ND = embed_all((faces.crop(n) for n in range(len(faces))), embedder, EmbedOptions())
    first, second = np.triu_indices(len(e_ND), k=1)
    score_P = (e_ND @ e_ND.T)[first, second].astype(np.float64)
    same_P = label_N[first] == label_N[second]
    return {
        "people": len(set(label_N.tolist())),
        "pairs": len(score_P),
        "eer": float(equal_error_rate(score_P[same_P], score_P[~same_P])),
        "auc": float(area_under_curve(score_P[same_P], score_P[~same_P])),
    }


def embedder_time(embedder: OnnxEmbedder) -> dict[str, float]:
    """Medians in ms on one thread beside a PocketNetS-128 as published, run in turns."""
    bare = create_backbone("pocketnet_s", embedding_dim=128).eval()
    model = to_onnx(bare, bare.preprocessing).SerializeToString()
    both = (embedder, OnnxEmbedder(model, bare.preprocessing))
    crop = np.random.default_rng(1).integers(0, 256, (1, 112, 112, 3)).astype(np.uint8)
    taken = np.zeros((TIME_RUNS, 2))
    for each in both:
        each.embed(crop)
    for run in range(TIME_RUNS):
        for at, each in enumerate(both):
            begun = time.perf_counter()
            each.embed(crop)
            taken[run, at] = time.perf_counter() - begun
    ours, theirs = (float(value) for value in np.median(taken, axis=0) * 1000)
    return {
        "ours_ms": ours,
        "pocketnet_s128_ms": theirs,
        "ratio": float(np.median(taken[:, 0] / taken[:, 1])),
    }


def targets_of(found: dict[str, Any]) -> list[Target]:
    """The targets of the bundled pack, each beside what was reached."""
    rows = [_cosine_target(found["cosine"]), *_lfw_targets(found)]
    for report in found["detector"]:
        rows += _detector_targets(report)
    ratio = found["time"]["ratio"]
    times = f"{ratio:.2f} ({found['time']['ours_ms']:.1f} ms)"
    rows.append(Target("embedder's time, of PocketNetS-128's", "≤ 0.65", times, ratio <= 0.65))
    return rows


def _cosine_target(cosine: dict[str, Any] | None) -> Target:
    what, target = "cosine to the teacher, FairFace val", "≥ 0.82 (with a GPU)"
    if cosine is None:
        return Target(what, target, NOT_MEASURED, None)
    reached = f"{cosine['mean']:.3f} ± {cosine['margin']:.3f}"
    return Target(what, target, reached, cosine["mean"] >= 0.82)


def _lfw_targets(found: dict[str, Any]) -> list[Target]:
    ours, with_teacher, reference = (
        found[name] for name in ("verification", "with_teacher", "reference")
    )
    accuracy = ("LFW, 10 folds, this pack", "≥ 98.7 % (with a GPU)")
    tar = ("TAR at FAR 1e-3, LFW pairs", "≥ 95 % (with a GPU)")
    detector = ("LFW, this detector + teacher less YuNet + teacher", "within 0.2 points")
    rows = [Target(*row, NOT_MEASURED, None) for row in (accuracy, tar, detector)]
    if ours is not None:
        mean, margin = fold_interval(ours)
        rows[0] = Target(*accuracy, f"{percent(mean)} ± {percent(margin)}", mean >= 0.987)
        at = next(entry for entry in ours["tarAtFar"] if entry["far"] == 1e-3)
        low, high = wilson(at["tar"], ours["pairs"]["same"])
        rows[1] = Target(
            *tar, f"{percent(at['tar'])} ({percent(low)} to {percent(high)})", at["tar"] >= 0.95
        )
    if with_teacher is not None and reference is not None:
        (mine, _), (theirs, _) = fold_interval(with_teacher), fold_interval(reference)
        reached = f"{percent(mine)} less {percent(theirs)}"
        rows[2] = Target(*detector, reached, mine >= theirs - 0.002)
    return rows


def _detector_targets(report: dict[str, Any]) -> list[Target]:
    rows = []
    for name, part in report["sources"].items():
        on = f"{name} ({part['pictures']} views, {part['faces']} faces)"
        low, high = (percent(value) for value in part["found_interval"])
        found = f"{percent(part['found'])} ({low} to {high})"
        rows.append(Target(f"sure faces found, {on}", "≥ 99 %", found, part["found"] >= 0.99))
        extra, (least, most) = part["extra_per_100"], part["extra_per_100_interval"]
        reached = f"{extra:.2f} ({least:.2f} to {most:.2f})"
        rows.append(Target(f"extra boxes per 100 views, {name}", "≤ 1", reached, extra <= 1))
        points = part["landmark"]
        if points is not None:
            reached = f"{percent(points['mean'])}, median {percent(points['median'])}"
            what = f"landmarks off, of the eye distance, {name}"
            rows.append(Target(what, "≤ 5 %", reached, points["mean"] <= 0.05))
    ratio = report["time"]["ratio"]
    return [*rows, Target("detector's time, of YuNet's", "≤ 1.0", f"{ratio:.2f}", ratio <= 1)]


def fold_interval(report: dict[str, Any]) -> tuple[float, float]:
    """Mean accuracy over ten folds and half of its 95 % interval."""
    accuracy = np.array([fold["accuracy"] for fold in report["folds"]])
    margin = T95_NINE * accuracy.std(ddof=1) / np.sqrt(len(accuracy))
    return float(accuracy.mean()), float(margin)


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` independent trials (Wilson, 1927)."""
    middle = (share + Z95**2 / (2 * count)) / (1 + Z95**2 / count)
    half = Z95 * np.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    half /= 1 + Z95**2 / count
    return float(middle - half), float(middle + half)


def _mean(value_N: np.ndarray) -> dict[str, Any]:
    margin = Z95 * value_N.std(ddof=1) / np.sqrt(len(value_N)) if len(value_N) > 1 else np.nan
    return {"pictures": len(value_N), "mean": float(value_N.mean()), "margin": float(margin)}


def _read(file: Path | None) -> dict[str, Any] | None:
    return None if file is None else json.loads(file.read_text(encoding="utf-8"))


def _named(report: dict[str, Any] | None) -> dict[str, Any]:
    """A detector's report with its files' names: where they lay is of no use elsewhere."""
    assert report is not None
    return {**report, **{role: Path(report[role]).name for role in ("model", "reference")}}


def _markdown(content: dict[str, Any], targets: list[Target]) -> str:
    verdict = {True: "met", False: "missed", None: NOT_MEASURED}
    rows = [[row.what, row.target, row.reached, verdict[row.met]] for row in targets]
    parts = [
        f"# Evaluation of pack {content['pack']}\n",
        "Intervals are 95 %. LFW and extra figures by `ostiary evaluate`, the daemon's own way.\n",
        table(["what", "target", "reached", ""], rows),
    ]
    if content["people"] is not None:
        people = content["people"]
        parts.append(
            f"All {people['pairs']} pairs of {people['people']} people (ORL): equal error rate "
            f"{percent(people['eer'])}, area under the ROC {people['auc']:.4f}.\n"
        )
    if content["cosine"] is not None:
        parts.append("## Cosine to the teacher by group, FairFace val\n")
        groups = [
            [name, str(part["pictures"]), f"{part['mean']:.3f} ± {part['margin']:.3f}"]
            for name, part in content["cosine"]["groups"].items()
        ]
        parts.append(table(["group", "pictures", "cosine"], groups))
        chance = content["cosine"]["chance"]
        parts.append(f"The teacher's mean alone, the same for every face, has {chance:.3f}.\n")
    parts += _calibration_markdown(content["calibration"])
    return "\n".join(parts)


def _calibration_markdown(calibration: dict[str, Any] | None) -> list[str]:
    if calibration is None:
        return []
    points = [
        [f"{p['cosine']:.4f}", f"{p['fmr']:.2e}", f"{p['fnmr']:.4f}" if "fnmr" in p else "–"]
        for p in calibration["points"]
    ]
    parts = [
        "## Calibration\n",
        f"{calibration['set']}: {calibration['pairs']} pairs of different people (not "
        f"independent), {calibration.get('nearDuplicates', 0)} of the same photograph left out; "
        f"smallest supported FMR {calibration.get('smallestFmr', float('nan')):.2e}.\n",
        table(["cosine", "FMR", "FNMR"], points),
    ]
    groups = calibration.get("groups", [])
    if groups:
        rows = [
            [g["group"], str(g["pairs"]), f"{g['fmr']:.2e}", "" if g["supported"] else "few"]
            for g in groups
        ]
        at = groups[0].get("cosine", calibration["points"][-1]["cosine"])
        parts.append(f"Within groups, at cosine {at:.4f} (few: fewer than 30 false matches):\n")
        parts.append(table(["group", "pairs", "FMR", ""], rows))
    return parts
