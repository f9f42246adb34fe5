"""`facetrain evaluate verification | templates | identification`."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from facetrain.command import Command, say

if TYPE_CHECKING:
    from facetrain.evaluate.source import Source
    from facetrain.preprocessing import Preprocessing

PRESETS = ("pocketnet", "retail-0095")


def _configure(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True)
    verification = parts.add_parser(
        "verification", help="pairs of pictures: LFW, CFP, AgeDB, InsightFace's .bin"
    )
    add_source(verification)
    verification.add_argument(
        "--pairs", type=Path, required=True, help="list, .bin, or CFP's folder"
    )
    verification.add_argument("--pictures", type=Path, default=None, help="folder or tar")
    verification.add_argument(
        "--format", choices=("lfw", "list", "cfp-fp", "cfp-ff", "bin"), default=None
    )
    verification.add_argument("--flip", choices=("both", "yes", "no"), default="both")
    verification.add_argument("--far", type=float, nargs="+", default=[1e-2, 1e-3, 1e-4])
    verification.add_argument("--groups", type=Path, default=None, help="CSV: picture, attributes")
    verification.add_argument("--replicas", type=int, default=1000, help="of the bootstrap")
    templates = parts.add_parser("templates", help="IJB-style 1:1 of templates")
    add_source(templates)
    templates.add_argument("--media", type=Path, required=True, help="PICTURE TEMPLATE MEDIUM")
    templates.add_argument("--pairs", type=Path, required=True, help="TEMPLATE TEMPLATE 0|1")
    templates.add_argument("--pictures", type=Path, required=True, help="folder or tar")
    templates.add_argument("--flip", choices=("yes", "no"), default="yes")
    search = parts.add_parser("identification", help="open-set 1:N: FPIR and FNIR by gallery size")
    add_source(search)
    search.add_argument(
        "--pictures", type=Path, required=True, help="PERSON/PICTURE, folder or tar"
    )
    search.add_argument("--sizes", type=int, nargs="*", default=[], help="people enrolled")
    search.add_argument("--fpir", type=float, nargs="+", default=[0.1, 0.01, 0.001])
    search.add_argument("--strangers", type=float, default=0.5, help="share never enrolled")
    search.add_argument("--flip", choices=("yes", "no"), default="no")
    for part in (verification, templates, search):
        part.add_argument("--name", required=True, help="of the set, for the report")
        part.add_argument("--out", type=Path, required=True, help="folder of the report")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which embedder and which detector."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--checkpoint", type=Path, help="of this package")
    which.add_argument("--onnx", type=Path, help="embedder as ONNX")
    which.add_argument("--pack", type=Path, help="pack directory")
    parser.add_argument("--preset", choices=PRESETS, default=None, help="preprocessing of --onnx")
    parser.add_argument("--detector", type=Path, default=None, help="YuNet-layout ONNX")
    parser.add_argument("--crops", action="store_true", help="pictures are aligned crops already")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="cpu", help="of a checkpoint")


def source_of(arguments: argparse.Namespace) -> "Source":
    """What `add_source` was given."""
    from facetrain.evaluate.source import Source

    return Source(
        checkpoint=arguments.checkpoint,
        onnx=arguments.onnx,
        pack=arguments.pack,
        preprocessing=_preprocessing(arguments.preset),
        detector=arguments.detector,
        crops=arguments.crops,
        threads=arguments.threads,
        batch_size=arguments.batch_size,
        device=arguments.device,
    )


def _preprocessing(preset: str | None) -> "Preprocessing | None":
    from facetrain.preprocessing import PRESETS

    return None if preset is None else PRESETS[preset]


def _run(arguments: argparse.Namespace) -> None:
    parts = {
        "verification": _verification,
        "templates": _templates,
        "identification": _identification,
    }
    parts[arguments.part](arguments)


def _verification(arguments: argparse.Namespace) -> None:
    from facetrain.evaluate.bootstrap import BootstrapOptions
    from facetrain.evaluate.command import VerificationOptions, evaluate_verification

    flips = {"both": (False, True), "yes": (True,), "no": (False,)}[arguments.flip]
    found = evaluate_verification(
        VerificationOptions(
            name=arguments.name,
            source=source_of(arguments),
            pairs=arguments.pairs,
            pictures=arguments.pictures,
            format=arguments.format,
            out=arguments.out,
            flips=flips,
            fars=tuple(arguments.far),
            groups=arguments.groups,
            bootstrap=BootstrapOptions(replicas=arguments.replicas),
        )
    )
    for variant in found.variants:
        report = variant.report
        rates = "  ".join(f"TAR@{at.far:g} {at.tar:.4f}" for at in report.tar_at_far)
        flip = "with" if variant.flip else "no"
        say(f"{flip} flip  accuracy {report.mean:.4f} ± {report.std:.4f}  {rates}")
    say(str(arguments.out / "verification.md"))


def _templates(arguments: argparse.Namespace) -> None:
    from facetrain.evaluate.sets import TemplateOptions, evaluate_templates

    rates = evaluate_templates(
        TemplateOptions(
            name=arguments.name,
            source=source_of(arguments),
            media=arguments.media,
            pairs=arguments.pairs,
            pictures=arguments.pictures,
            out=arguments.out,
            flip=arguments.flip == "yes",
        )
    )
    say("  ".join(f"TAR@{at.far:g} {at.tar:.4f}" for at in rates))
    say(str(arguments.out / "templates.md"))


def _identification(arguments: argparse.Namespace) -> None:
    from facetrain.evaluate.sets import IdentificationOptions, evaluate_identification

    sizes = evaluate_identification(
        IdentificationOptions(
            name=arguments.name,
            source=source_of(arguments),
            pictures=arguments.pictures,
            out=arguments.out,
            sizes=tuple(arguments.sizes),
            fpirs=tuple(arguments.fpir),
            strangers=arguments.strangers,
            flip=arguments.flip == "yes",
        )
    )
    for size in sizes:
        rates = "  ".join(f"FNIR@FPIR={at.fpir:g} {at.fnir:.4f}" for at in size.fnir_at_fpir)
        say(f"{size.identities} people  rank 1 {size.rank_1:.4f}  {rates}")
    say(str(arguments.out / "identification.md"))


COMMANDS: Mapping[str, Command] = {"evaluate": Command(configure=_configure, run=_run)}
