"""``facetrain refit``: a student's last layer by regression on its teacher."""

import argparse
from pathlib import Path

from facetrain.command import Command, say

EPILOG = """
Give training pictures: the layer is fitted to them, crops as they are and mirrored.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--faces", type=Path, required=True, help="set that was trained on")
    parser.add_argument("--pictures", type=int, default=8000, help="how many of it (default 8000)")
    parser.add_argument("--teacher", type=Path, required=True, help=".onnx file")
    parser.add_argument("--preset", choices=("pocketnet", "retail-0095"), default="retail-0095")
    parser.add_argument("--out", type=Path, required=True, help="the .pt file")


def _run(arguments: argparse.Namespace) -> None:
    import torch

    from facetrain.data.batches import Batches
    from facetrain.data.sources import open_faces
    from facetrain.distill.refit import refit
    from facetrain.distill.teacher import OnnxTeacher
    from facetrain.engine.checkpoint import load_backbone, read_checkpoint, write_atomically
    from facetrain.models.pocketnet import PocketNet
    from facetrain.preprocessing import PRESETS
    from facetrain.progress import progress

    backbone = load_backbone(arguments.checkpoint)
    if not isinstance(backbone, PocketNet):
        raise ValueError(f"{arguments.checkpoint}: is no PocketNet; only its tail can be refitted")
    teacher = OnnxTeacher(
        arguments.teacher, PRESETS[arguments.preset], threads=torch.get_num_threads()
    )
    batches = Batches(open_faces(arguments.faces), batch_size=32, seed=0, drop_last=False)
    count = min(-(-arguments.pictures // 32), batches.steps_per_epoch)
    crops = (
        crop_BCHW.flip(3) if number % 2 else crop_BCHW
        for number, crop_BCHW in zip(
            range(count), (batch.crop_BCHW for batch in batches.epoch(0)), strict=False
        )
    )
    before, after = refit(backbone, teacher, progress(crops, count, "looking"))
    stored = read_checkpoint(arguments.checkpoint)
    kept = {name: stored[name] for name in ("schema", "model", "step", "epoch", "run", "commit")}
    write_atomically(arguments.out, {**kept, "state": backbone.state_dict(), "ema": None})
    say(f"{arguments.out}: cosine {before:.4f} before, {after:.4f} after, on pictures held back")


COMMANDS = {"refit": Command(configure=_configure, run=_run)}
