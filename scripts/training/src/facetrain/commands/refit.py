"""``facetrain refit``: a student's last layer by regression on its teacher."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from facetrain.command import Command, say

if TYPE_CHECKING:
    from facetrain.distill.teacher import Teacher

BATCH = 32

EPILOG = """
Give training pictures. With an .onnx teacher every other batch is mirrored; a .npy file of
embeddings (facetrain embed) belongs to the pictures as they are.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--faces", type=Path, required=True, help="set that was trained on")
    parser.add_argument("--pictures", type=int, default=8000, help="how many of it (default 8000)")
    parser.add_argument("--teacher", type=Path, required=True, help=".onnx or .npy file")
    parser.add_argument("--preset", choices=("pocketnet", "retail-0095"), default="retail-0095")
    parser.add_argument("--statistics", type=int, default=0, help="pictures for statistics, first")
    parser.add_argument("--out", type=Path, required=True, help="the .pt file")


def _run(arguments: argparse.Namespace) -> None:
    import itertools

    from facetrain.data.batches import Batches
    from facetrain.data.sources import open_faces
    from facetrain.distill.refit import refit, restate
    from facetrain.engine.checkpoint import load_backbone, read_checkpoint, write_atomically
    from facetrain.models.pocketnet import PocketNet
    from facetrain.progress import progress

    backbone = load_backbone(arguments.checkpoint)
    if not isinstance(backbone, PocketNet):
        raise ValueError(f"{arguments.checkpoint}: is no PocketNet; only its tail can be refitted")
    batches = Batches(open_faces(arguments.faces), batch_size=BATCH, seed=0, drop_last=False)
    for_statistics = -(-arguments.statistics // BATCH)
    if for_statistics:
        shown = itertools.islice(batches.epoch(1), for_statistics)
        # One picture alone has no variance at the tail's 1x1 maps.
        crops = (batch.crop_BCHW for batch in shown if len(batch) > 1)
        inputs = (backbone.preprocessing.apply(crop_BCHW) for crop_BCHW in crops)
        restate(backbone, progress(inputs, for_statistics, "statistics"))
    count = min(-(-arguments.pictures // BATCH), batches.steps_per_epoch)
    mirrors = arguments.teacher.suffix != ".npy"
    shown = (
        (batch.crop_BCHW.flip(3) if mirrors and number % 2 else batch.crop_BCHW, batch.index_B)
        for number, batch in enumerate(itertools.islice(batches.epoch(0), count))
    )
    teacher = _teacher(arguments.teacher, arguments.preset)
    before, after = refit(backbone, teacher, progress(shown, count, "looking"))
    stored = read_checkpoint(arguments.checkpoint)
    kept = {name: stored[name] for name in ("schema", "model", "step", "epoch", "run", "commit")}
    write_atomically(arguments.out, {**kept, "state": backbone.state_dict(), "ema": None})
    say(f"{arguments.out}: cosine {before:.4f} before, {after:.4f} after, on pictures held back")


def _teacher(path: Path, preset: str) -> "Teacher":
    import torch

    from facetrain.distill.teacher import OnnxTeacher, PrecomputedTeacher
    from facetrain.preprocessing import PRESETS

    if path.suffix == ".npy":
        return PrecomputedTeacher.load(path)
    return OnnxTeacher(path, PRESETS[preset], threads=torch.get_num_threads())


COMMANDS = {"refit": Command(configure=_configure, run=_run)}
