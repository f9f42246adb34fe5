"""Complete detector runs and how they are run; variations with `dataclasses.replace`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from facetrain.config import LoopOptions, OptimOptions, ScheduleOptions
from facetrain.detector.batches import CanvasBatches, LabelBatches
from facetrain.detector.net import DetectorNet, NetOptions
from facetrain.detector.shards import ShardOptions, shard_files
from facetrain.detector.stages import StageOptions, StageTask, YuNetMaps
from facetrain.detector.task import DistilTask, LabelTask, LossOptions
from facetrain.detector.wider import read_wider
from facetrain.engine.checkpoint import About, current_commit, read_checkpoint
from facetrain.engine.distributed import joined_world
from facetrain.engine.loop import Finish, fit, planned_steps
from facetrain.engine.schedule import build_schedule
from facetrain.engine.seed import seed_everything
from facetrain.engine.small import load_flat
from facetrain.engine.task import BatchSource, Task

log = logging.getLogger(__name__)

MODEL_NAME = "yunet_layout"


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorRun:
    """Everything that a detector's training is, but its data."""

    seed: int = 1
    net: NetOptions = field(default_factory=NetOptions)
    shards: ShardOptions = field(default_factory=ShardOptions)
    """Of distillation."""
    side_px: int = 640
    """Input of training from labels."""
    loss: LossOptions = field(default_factory=LossOptions)
    stages: StageOptions | None = None
    """Of distillation: how the teacher's maps are followed; None for its word alone."""
    optim: OptimOptions = field(
        default_factory=lambda: OptimOptions(
            # Batch normalisation and ReLU everywhere: a high rate is safe; 16 canvases a step.
            name="adamw",
            lr=2e-3,
            weight_decay=0.01,
            decay_1d=False,
            clip_norm=10.0,
        )
    )
    schedule: ScheduleOptions = field(
        default_factory=lambda: ScheduleOptions(kind="cosine", warmup_epochs=0.25, floor=0.01)
    )
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            epochs=30,
            batch_size=16,
            channels_last=True,  # a third of the time on a CPU
            ema_decay=0.999,
            log_every=50,
            save_every=250,  # some minutes on a busy CPU
        )
    )
    workers: int = 1


def labels(device: str = "cpu") -> DetectorRun:
    """Training from labels; on a GPU more of everything."""
    run = DetectorRun()
    if device == "cpu":
        return run
    return replace(
        run,
        # Four times the batch, twice the rate (AdamW: with the root).
        optim=replace(run.optim, lr=4e-3),
        loop=replace(run.loop, epochs=120, batch_size=64, precision="bf16", save_every=1000),
        workers=8,
    )


def stages(device: str = "cpu") -> DetectorRun:
    """First part of the bundled detector: each of its parts alone, from the teacher's maps."""
    run = DetectorRun()
    return replace(
        run,
        stages=StageOptions(),
        # Maps have a target at every position: small batches, many steps and high rates (LOG.md).
        optim=replace(
            run.optim,
            name="muon",
            matrix_lr=0.1,
            lr=2e-2,
            momentum=0.95,
            betas=(0.9, 0.98),
            clip_norm=None,
        ),
        schedule=replace(run.schedule, warmup_epochs=0.05),
        loop=_on_device(replace(run.loop, epochs=4, batch_size=4, save_every=1000), device),
        workers=1 if device == "cpu" else 8,
    )


def bundled(device: str = "cpu") -> DetectorRun:
    """Second part: as one network, with the teacher's word and, fading, its maps."""
    run = stages(device)
    return replace(
        run,
        stages=StageOptions(alone=False, maps=1.0, last_maps=0.1),
        optim=replace(run.optim, matrix_lr=0.012, lr=2e-3),
        loop=replace(run.loop, epochs=8 if device == "cpu" else 60),
    )


def landmarks(device: str = "cpu") -> DetectorRun:
    """Third part: the teacher's word alone, landmarks before all. Its maps bring its jitter."""
    run = bundled(device)
    return replace(
        run,
        stages=None,
        loss=LossOptions(landmark=80.0, landmark_beta=0.005, focus=3.0),
        optim=replace(run.optim, matrix_lr=0.008, lr=1.5e-3),
        loop=replace(run.loop, batch_size=max(8, run.loop.batch_size)),
    )


def _on_device(loop: LoopOptions, device: str) -> LoopOptions:
    return loop if device == "cpu" else replace(loop, batch_size=16, precision="bf16")


def toy() -> DetectorRun:
    """Seconds on a CPU."""
    run = DetectorRun(net=NetOptions(width=0.25, depth=(0, 0, 0, 0)))
    return replace(run, loop=replace(run.loop, epochs=1, batch_size=4, save_every=None))


def distil(
    run: DetectorRun,
    folders: Sequence[Path],
    out: Path,
    *,
    start: Path | None = None,
    teacher: Path | None = None,
    device: str = "auto",
) -> Finish:
    """Train on the shards in `folders`; continues from `out/last.pt`.

    A new run begins with the weights of `start`, a checkpoint or what `facetrain keep` made of it.
    `teacher` is YuNet's file, for runs that follow its maps.

    Raises:
        ValueError: A run follows maps and no teacher is given, or `start` is of another size.
    """
    with joined_world(device) as world:
        batches = CanvasBatches(
            shard_files(folders),
            batch_size=run.loop.batch_size,
            seed=run.seed,
            rank=world.rank,
            world=world.size,
            workers=run.workers,
        )
        seed_everything(run.seed)
        net = DetectorNet(run.net) if start is None else load_detector(start)
        if net.options != run.net:
            raise ValueError(
                f"{start} holds a network of {net.options}, the run asks for {run.net}"
            )
        return _fit(run, _distil_task(run, net, teacher), batches, out, world)


def _distil_task(run: DetectorRun, net: DetectorNet, teacher: Path | None) -> Task:
    if run.stages is None:
        return DistilTask(net, run.loss)
    if teacher is None:
        raise ValueError("the run follows the teacher's maps; give the teacher's file")
    return StageTask(net, YuNetMaps(teacher), run.stages, run.loss)


def train_from_labels(
    run: DetectorRun, labels: Path, root: Path, out: Path, *, device: str = "auto"
) -> Finish:
    """Train on a WIDER FACE label file and its pictures; continues from `out/last.pt`."""
    with joined_world(device) as world:
        batches = LabelBatches(
            read_wider(labels),
            root,
            batch_size=run.loop.batch_size,
            side_px=run.side_px,
            seed=run.seed,
            rank=world.rank,
            world=world.size,
            workers=run.workers,
        )
        seed_everything(run.seed)
        return _fit(run, LabelTask(DetectorNet(run.net), run.loss), batches, out, world)


def _fit(run: DetectorRun, task: Task, batches: BatchSource, out: Path, world: Any) -> Finish:
    described = json.loads(json.dumps(asdict(run)))
    model = {"name": MODEL_NAME, "options": json.loads(json.dumps(asdict(run.net)))}
    total = planned_steps(run.loop, batches.steps_per_epoch)
    return fit(
        task,
        batches,
        run.loop,
        optim=run.optim,
        schedule=build_schedule(run.schedule, batches.steps_per_epoch, total),
        out=out,
        world=world,
        about=About(model=model, run=described, commit=current_commit()),
    )


def load_detector(path: Path, *, ema: bool = True) -> DetectorNet:
    """The detector of a checkpoint or of what `facetrain keep` made of one, in evaluation mode.

    Raises:
        ValueError: The file holds something else.
    """
    stored = read_checkpoint(path)
    model = stored["model"]
    if model.get("name") != MODEL_NAME:
        raise ValueError(f"{path} holds {model.get('name')!r}, no detector of this package")
    options = {**model["options"], "depth": tuple(model["options"]["depth"])}
    net = DetectorNet(NetOptions(**options))
    if "flat" in stored:
        load_flat(net, stored)
        return net.eval()
    averaged = stored.get("ema")
    net.load_state_dict(averaged if ema and averaged is not None else stored["state"])
    return net.eval()
