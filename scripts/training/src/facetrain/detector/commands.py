"""`facetrain detector canvases | distil | labels | export | evaluate`."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facetrain.command import STOPPED, Command, say

if TYPE_CHECKING:
    from facetrain.detector.recipe import DetectorRun

DISTIL_RECIPES = (
    "bundled",
    "bundled-gpu",
    "stages",
    "stages-gpu",
    "landmarks",
    "landmarks-gpu",
    "toy",
)
LABEL_RECIPES = ("labels", "labels-gpu", "toy")
"""The first of each is the default."""
LANDMARKS = ("best", "blended", "two-looks")


def _configure(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True)
    canvases = parts.add_parser("canvases", help="compose canvases and let a teacher label them")
    canvases.add_argument("--out", type=Path, required=True, help="folder of the shards")
    canvases.add_argument("--shards", type=int, required=True, help="256 canvases each")
    canvases.add_argument(
        "--close-ups", action="store_true", help="small canvases of near faces, 512 per shard"
    )
    canvases.add_argument("--first", type=int, default=0, help="number of the first shard")
    canvases.add_argument("--shared", type=Path, default=None, help="default: $OSTIARY_SHARED")
    canvases.add_argument("--workers", type=int, default=1, help="processes")
    distil = parts.add_parser("distil", help="train on labelled canvases")
    distil.add_argument(
        "--canvases", type=Path, nargs="+", required=True, help="folders of the shards"
    )
    distil.add_argument(
        "--start", type=Path, default=None, help="weights that a new run begins with"
    )
    distil.add_argument("--shared", type=Path, default=None, help="default: $OSTIARY_SHARED")
    labels = parts.add_parser("labels", help="train on WIDER FACE labels with landmarks")
    labels.add_argument("--labels", type=Path, required=True, help="label file")
    labels.add_argument("--pictures", type=Path, required=True, help="folder of its pictures")
    for training, recipes in ((distil, DISTIL_RECIPES), (labels, LABEL_RECIPES)):
        training.add_argument("--out", type=Path, required=True, help="folder of the run")
        training.add_argument("--recipe", choices=recipes, default=recipes[0])
        training.add_argument("--device", default="auto")
        training.add_argument("--epochs", type=int, default=None)
        training.add_argument("--minutes", type=float, default=None, help="the schedule's length")
        training.add_argument("--max-minutes", type=float, default=None)
    export = parts.add_parser("export", help="write a checkpoint as ONNX")
    export.add_argument("--checkpoint", type=Path, required=True)
    export.add_argument("--out", type=Path, required=True, help="the .onnx file")
    evaluate = parts.add_parser("evaluate", help="compare with YuNet on held-out pictures")
    evaluate.add_argument("--model", type=Path, required=True, help=".onnx or checkpoint")
    evaluate.add_argument("--reference", type=Path, default=None, help="default: YuNet 2023mar")
    evaluate.add_argument(
        "--pictures", type=Path, nargs="+", required=True, help="tars, folders or GIF clips"
    )
    evaluate.add_argument("--shared", type=Path, default=None, help="default: $OSTIARY_SHARED")
    evaluate.add_argument("--score-min", type=float, default=0.7, help="of our detector")
    evaluate.add_argument(
        "--landmarks", choices=LANDMARKS, default="best", help="of ours, as in pack.json"
    )
    evaluate.add_argument("--longer-side", type=int, default=640, help="px, as the daemon scales")
    evaluate.add_argument("--scales", type=float, nargs="+", default=[1.0])
    evaluate.add_argument("--limit", type=int, default=None, help="pictures per source")
    evaluate.add_argument("--out", type=Path, required=True, help="folder of the report")


def _run(arguments: argparse.Namespace) -> int | None:
    parts = {
        "canvases": _canvases,
        "distil": _distil,
        "labels": _labels,
        "export": _export,
        "evaluate": _evaluate,
    }
    return parts[arguments.part](arguments)


COMMANDS: Mapping[str, Command] = {"detector": Command(configure=_configure, run=_run)}


def shared_folder(given: Path | None) -> Path:
    """The folder with models and pictures: as given, or `OSTIARY_SHARED`.

    Raises:
        ValueError: Neither says one that is there.
    """
    folder = given or Path(os.environ.get("OSTIARY_SHARED", "../shared"))
    if not (folder / "data").is_dir():
        raise ValueError(f"{folder} has no folder data; give --shared or set OSTIARY_SHARED")
    return folder


def _canvases(arguments: argparse.Namespace) -> None:
    from facetrain.detector.shards import ShardOptions, make_shards

    numbers = range(arguments.first, arguments.first + arguments.shards)
    shared = shared_folder(arguments.shared)
    options = ShardOptions.close_ups() if arguments.close_ups else ShardOptions()
    made = make_shards(arguments.out, numbers, shared, options, workers=arguments.workers)
    say(f"{made} shards made, {len(numbers)} there in {arguments.out}")


def _recipe(arguments: argparse.Namespace) -> "DetectorRun":
    from facetrain.detector import recipe

    recipes = {
        "labels": recipe.labels,
        "labels-gpu": lambda: recipe.labels("cuda"),
        "stages": recipe.stages,
        "stages-gpu": lambda: recipe.stages("cuda"),
        "bundled": recipe.bundled,
        "bundled-gpu": lambda: recipe.bundled("cuda"),
        "landmarks": recipe.landmarks,
        "landmarks-gpu": lambda: recipe.landmarks("cuda"),
        "toy": recipe.toy,
    }
    run = recipes[arguments.recipe]()
    loop = run.loop
    if arguments.epochs is not None:
        loop = replace(loop, epochs=arguments.epochs)
    loop = replace(loop, minutes=arguments.minutes, max_minutes=arguments.max_minutes)
    return replace(run, loop=loop)


def _distil(arguments: argparse.Namespace) -> int:
    from facetrain.detector.recipe import distil
    from facetrain.detector.shards import TEACHER_FILE

    run = _recipe(arguments)
    finish = distil(
        run,
        arguments.canvases,
        arguments.out,
        start=arguments.start,
        teacher=shared_folder(arguments.shared) / TEACHER_FILE if run.stages else None,
        device=arguments.device,
    )
    say(f"step {finish.step}, epoch {finish.epoch}: {finish.reason or 'complete'}")
    return 0 if finish.complete else STOPPED


def _labels(arguments: argparse.Namespace) -> int:
    from facetrain.detector.recipe import train_from_labels

    run = _recipe(arguments)
    finish = train_from_labels(
        run, arguments.labels, arguments.pictures, arguments.out, device=arguments.device
    )
    say(f"step {finish.step}, epoch {finish.epoch}: {finish.reason or 'complete'}")
    return 0 if finish.complete else STOPPED


def _export(arguments: argparse.Namespace) -> None:
    from facetrain.detector.export import export_onnx
    from facetrain.detector.recipe import load_detector

    export_onnx(load_detector(arguments.checkpoint), arguments.out)
    say(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


def _evaluate(arguments: argparse.Namespace) -> None:
    from facetrain.detector.evaluate import EvaluateOptions, compare, write_report
    from facetrain.detector.shards import TEACHER_FILE

    reference = arguments.reference or shared_folder(arguments.shared) / TEACHER_FILE
    options = EvaluateOptions(
        score_min=arguments.score_min,
        landmarks=arguments.landmarks,
        longer_side_px=arguments.longer_side,
        scales=tuple(arguments.scales),
        limit=arguments.limit,
    )
    report = compare(arguments.model, reference, arguments.pictures, options)
    say(write_report(report, arguments.out))
