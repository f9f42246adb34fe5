"""``facetrain compare``: a checkpoint beside the teacher that it learned from."""

import argparse
from pathlib import Path

from facetrain.command import Command, say

EPILOG = """
Crops as they are, without flip or augmentation; cosines in the teacher's own space, uncentred.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--faces", type=Path, required=True, help="set for the mean cosine")
    parser.add_argument("--pictures", type=int, default=10**9, help="how many of it (default all)")
    parser.add_argument("--teacher", type=Path, required=True, help=".onnx file")
    parser.add_argument("--preset", choices=("pocketnet", "retail-0095"), default="retail-0095")
    parser.add_argument("--people", type=Path, help="labelled set for the equal error rate")
    parser.add_argument("--device", default="cpu")


def _run(arguments: argparse.Namespace) -> None:
    import torch

    from facetrain.data.sources import open_faces
    from facetrain.distill.teacher import OnnxTeacher
    from facetrain.engine.checkpoint import load_backbone
    from facetrain.held_out import HeldOutCosine, HeldOutVerification
    from facetrain.preprocessing import PRESETS

    backbone = load_backbone(arguments.checkpoint).to(arguments.device)
    faces = open_faces(arguments.faces)
    teacher = OnnxTeacher(
        arguments.teacher, PRESETS[arguments.preset], threads=torch.get_num_threads()
    )
    count = min(arguments.pictures, len(faces))
    cosine = HeldOutCosine(faces, teacher, pictures=count, every=1).run(backbone)
    say(f"cosine {cosine['held_out_cosine']:.4f} on {count} pictures of {arguments.faces}")
    if arguments.people is not None:
        figures = HeldOutVerification(open_faces(arguments.people), every=1).run(backbone)
        eer, auc = figures["held_out_eer"], figures["held_out_auc"]
        say(f"equal error rate {eer:.4f}, area under the ROC {auc:.4f}, all pairs of "
            f"{arguments.people}")  # fmt: skip


COMMANDS = {"compare": Command(configure=_configure, run=_run)}
