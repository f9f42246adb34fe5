"""From a ``Run`` to a trained folder: data, backbone, task and schedule, then the loop.

The folder holds ``run.json`` (the resolved run, commit, data), ``metrics.jsonl``, ``last.pt`` and,
where asked for, ``epoch_NNN.pt``. The same call continues a run that was stopped.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrain.config import DataOptions, ModelOptions, Run
from facetrain.config_json import to_json
from facetrain.data.augment import Augment, AugmentOptions
from facetrain.data.batches import Batches, source_weights
from facetrain.data.face_set import FaceSet, Relabelled, Subset
from facetrain.data.packed import PackedFaces
from facetrain.data.sources import open_faces
from facetrain.data.split import by_identity
from facetrain.distill.build import build_task, build_teacher
from facetrain.distill.views import Augmentation, Views, flip
from facetrain.engine.checkpoint import About, current_commit, load_backbone
from facetrain.engine.distributed import World, joined_world
from facetrain.engine.loop import Finish, fit, planned_steps
from facetrain.engine.schedule import build_schedule
from facetrain.engine.seed import seed_everything
from facetrain.engine.task import Evaluator
from facetrain.held_out import HeldOutCosine, HeldOutVerification
from facetrain.models.backbone import Backbone
from facetrain.models.create import create_backbone

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
MAY_CHANGE = {
    "data.path",
    "data.workers",
    "data.in_memory",
    "data.sizes",
    "teacher.path",
    "held_out.path",
    "loop.max_minutes",
    "loop.minutes",
    "loop.log_every",
    "loop.save_every",
}
"""Options that a run may continue with others of: they do not change what is learned, or plan anew
for the time that is left (``data.sizes``, ``loop.minutes``)."""


def train(run: Run, out: Path, *, device: str = "auto") -> Finish:
    """Train, or continue, a run in a folder; under ``torchrun`` as one of its processes.

    Raises:
        ValueError: The run cannot be built, or the folder holds another one.
    """
    with joined_world(device) as world:
        seed_everything(run.seed, world.rank)
        training = training_set(run.data, world)
        batches = training.batches(run, world)
        backbone = build_backbone(run.model)
        about = About(model=backbone.spec, run=to_json(run), commit=current_commit())
        if world.is_main:
            write_run(out, about, training.described())
        world.barrier()
        task = build_task(
            run,
            backbone,
            Views(augmentation(run.data), seed=run.seed, rank=world.rank, sizes=run.data.sizes),
            num_identities=training.faces.num_identities,
            world=world,
            pictures=training.pictures,
        )
        total = planned_steps(run.loop, batches.steps_per_epoch)
        return fit(
            task,
            batches,
            run.loop,
            optim=run.optim,
            schedule=build_schedule(run.schedule, batches.steps_per_epoch, total),
            out=out,
            world=world,
            about=about,
            evaluators=evaluators_of(run, world),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSet:
    """The pictures that a run learns from, and where they stand in the whole set."""

    faces: FaceSet | PackedFaces
    pictures: np.ndarray

    def batches(self, run: Run, world: World) -> Batches:
        share = run.data.weights
        return Batches(
            self.faces,
            batch_size=run.loop.batch_size,
            seed=run.seed,
            rank=world.rank,
            world=world.size,
            workers=run.data.workers,
            weights=source_weights(self.faces.groups["source"], dict(share)) if share else None,
        )

    def described(self) -> dict[str, Any]:
        """How many, and a fingerprint of names and labels."""
        digest = hashlib.sha256("\n".join(self.faces.names).encode())
        digest.update(np.ascontiguousarray(self.faces.labels).tobytes())
        return {
            "pictures": len(self.faces),
            "identities": self.faces.num_identities,
            "sha256": digest.hexdigest(),
        }


def training_set(options: DataOptions, world: World) -> TrainingSet:
    """Open the set, keep the run's share of identities, label as asked.

    Raises:
        ValueError: No path, no such set, or no identities where they are needed.
    """
    if not options.path:
        raise ValueError("data.path is empty; give --data PATH")
    whole = open_faces(options.path, by_folder=options.labels == "identity")
    pictures = split_pictures(whole.labels, options)
    faces: FaceSet = Subset(whole, pictures, relabel=True) if len(pictures) < len(whole) else whole
    if options.labels == "instance":
        faces = Relabelled(faces)
    elif options.labels == "identity" and faces.num_identities < 2:
        raise ValueError(
            f"{options.path} has {faces.num_identities} identities; set data.labels to instance "
            "(one class per picture), or to none with a recipe that only distils"
        )
    if options.weights and "source" not in faces.groups:
        raise ValueError(f"data.weights is given, but {options.path} has no column source")
    if options.in_memory:
        packed = faces if isinstance(faces, PackedFaces) else PackedFaces.of(faces)
        faces = packed.to(world.device)
    return TrainingSet(faces=faces, pictures=pictures)


def split_pictures(labels: np.ndarray, options: DataOptions) -> np.ndarray:
    """Indices of the pictures whose identities lie in the run's share."""
    low, high = options.identities
    if (low, high) == (0.0, 1.0):
        return np.arange(len(labels))
    # Whole identities in one order for every share: shares that do not meet share nobody.
    fractions = [high] if low == 0 else [low, high - low]
    return by_identity(labels, fractions, options.split_seed)[-1]


def evaluators_of(run: Run, world: World) -> Sequence[Evaluator]:
    """What the run evaluates on the way."""
    options = run.held_out
    if not options.wanted:
        return ()
    rhythm = {"every": options.every, "every_steps": options.every_steps}
    if options.kind == "cosine":
        if not options.path:
            raise ValueError("held_out.path is empty; name the set to compare on")
        teacher = build_teacher(run.teacher, world.device)
        assert teacher is not None, "Run has one"
        faces = open_faces(options.path)
        return (HeldOutCosine(faces, teacher, pictures=options.pictures, **rhythm),)
    whole = open_faces(run.data.path, by_folder=True)
    other = dataclasses.replace(run.data, identities=run.held_out.identities)
    faces = Subset(whole, split_pictures(whole.labels, other), relabel=True)
    return (HeldOutVerification(faces, **rhythm),)


def augmentation(options: DataOptions) -> Augmentation | None:
    """What ``data.augment`` names; a list from JSON is as good as a tuple.

    Raises:
        ValueError: No such preset or field.
    """
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in options.augment.items()}
    preset = fields.pop("preset", "none")
    if preset == "none" and not fields:
        return None
    if preset == "flip" and not fields:
        return flip
    presets = {
        "none": AugmentOptions.none,
        "flip": lambda: dataclasses.replace(AugmentOptions.none(), flip=0.5),
        "light": AugmentOptions.light,
        "full": AugmentOptions,
        "label_free": AugmentOptions.label_free,
    }
    unknown = set(fields) - {field.name for field in dataclasses.fields(AugmentOptions)}
    if preset not in presets or unknown:
        raise ValueError(
            f"data.augment: no {sorted(unknown) or preset!r}; presets are {', '.join(presets)}, "
            "fields those of AugmentOptions"
        )
    return Augment(dataclasses.replace(presets[preset](), **fields))


def build_backbone(options: ModelOptions) -> Backbone:
    """A fresh backbone, or one that starts from another run's weights.

    Raises:
        ValueError: The weights are of another network.
    """
    backbone = create_backbone(
        options.name, embedding_dim=options.embedding_dim, **dict(options.options)
    )
    if options.init_from:
        try:
            backbone.load_state_dict(load_backbone(options.init_from).state_dict())
        except RuntimeError as error:
            raise ValueError(
                f"model.init_from: {options.init_from} holds another network than {options.name}"
            ) from error
    return backbone


def write_run(out: Path, about: About, data: dict[str, Any]) -> None:
    """Write ``run.json``.

    Raises:
        ValueError: The folder holds another run.
    """
    file = out / RUN_FILE
    if file.exists():
        stored = json.loads(file.read_text())
        differing = _differences(stored["run"], dict(about.run))
        if stored["data"] != data:
            differing.append("the data")
        if differing:
            raise ValueError(
                f"{out} holds another run (it differs in {', '.join(differing[:5])}); "
                "take another --out, or remove it"
            )
    out.mkdir(parents=True, exist_ok=True)
    content = {"run": about.run, "model": about.model, "commit": about.commit, "data": data}
    file.write_text(json.dumps(content, indent=2) + "\n")


def _differences(stored: Any, given: Any, where: str = "") -> list[str]:
    if where in MAY_CHANGE or stored == given:
        return []
    if not (isinstance(stored, dict) and isinstance(given, dict)):
        return [where]
    return [
        name
        for key in sorted(stored.keys() | given.keys())
        for name in _differences(
            stored.get(key), given.get(key), f"{where}.{key}" if where else key
        )
    ]
