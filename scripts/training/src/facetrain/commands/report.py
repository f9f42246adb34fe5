"""``facetrain report``: a pack's figures beside its targets."""

import argparse
from pathlib import Path

from facetrain.command import Command, say


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", type=Path, required=True, help="directory of the pack")
    parser.add_argument("--teacher", type=Path, help="ONNX file that the embedder learned from")
    parser.add_argument("--faces", type=Path, help="set for the cosine to the teacher")
    parser.add_argument("--people", type=Path, help="labelled set for the equal error rate")
    parser.add_argument(
        "--detector-report",
        type=Path,
        action="append",
        default=[],
        help="report.json of facetrain detector evaluate; may repeat",
    )
    parser.add_argument("--verification", type=Path, help="JSON of ostiary evaluate verification")
    parser.add_argument("--with-teacher", type=Path, help="the same, this detector and the teacher")
    parser.add_argument("--reference", type=Path, help="the same, YuNet and the teacher")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")


def _run(arguments: argparse.Namespace) -> None:
    from facetrain.export.evaluation import EvaluationOptions, evaluate_pack

    options = EvaluationOptions(
        pack=arguments.pack,
        out=arguments.out,
        teacher=arguments.teacher,
        faces=arguments.faces,
        people=arguments.people,
        detector_reports=tuple(arguments.detector_report),
        verification=arguments.verification,
        with_teacher=arguments.with_teacher,
        reference=arguments.reference,
    )
    say(evaluate_pack(options))


COMMANDS = {"report": Command(configure=_configure, run=_run)}
