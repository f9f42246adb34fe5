"""Teachers and tasks as a run names them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from facetrain.checks import one_of
from facetrain.config import Run, TeacherOptions, TermOptions
from facetrain.distill.adaptive import AdaptiveCentres
from facetrain.distill.task import ClassifyTask, DistillTask, Term
from facetrain.distill.teacher import (
    CheckpointTeacher,
    OnnxTeacher,
    PrecomputedTeacher,
    ScheduledTeacher,
    Teacher,
    TorchGraphTeacher,
)
from facetrain.distill.views import Views
from facetrain.engine.distributed import World
from facetrain.heads.build import build_head
from facetrain.heads.margin import Margin
from facetrain.models.backbone import Backbone
from facetrain.preprocessing import Preprocessing


def build_teacher(
    options: TeacherOptions,
    device: torch.device,
    *,
    pictures: np.ndarray | None = None,
    maps: Sequence[str] = (),
) -> Teacher | None:
    """The teacher, on the device; None for "none".

    Args:
        pictures: Where the training pictures stand in the whole set, for precomputed embeddings;
            None: they are the whole set.
        maps: Tensors inside the ONNX file that it shows besides its embeddings.

    Raises:
        ValueError: Its file is missing or something else.
    """
    if options.kind == "none":
        return None
    if not options.path:
        raise ValueError(f"teacher.kind is {options.kind}; teacher.path must name its file")
    common: dict[str, Any] = {"device": device, "precision": options.precision}
    match options.kind:
        case "checkpoint":
            return CheckpointTeacher(options.path, **common)
        case "schedule":
            return ScheduledTeacher.of_run(options.path, epochs=options.epochs, **common)
        case "graph":
            return TorchGraphTeacher(options.path, preprocessing_of(options), maps=maps, **common)
        case "onnx":
            threads = torch.get_num_threads()
            return OnnxTeacher(options.path, preprocessing_of(options), threads=threads, maps=maps)
        case "precomputed":
            whole = PrecomputedTeacher.load(options.path, device=device)
            return whole if pictures is None else whole.of_pictures(pictures)


def preprocessing_of(options: TeacherOptions) -> Preprocessing:
    """An ONNX teacher's preprocessing; a JSON list is as good as a tuple."""
    if not options.preprocessing:
        raise ValueError(
            f"teacher.preprocessing is empty; an ONNX file ({options.path}) does not say how its "
            "pixels are prepared: give width_px, height_px, channel_order, mean and std"
        )
    tuples: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in options.preprocessing.items()
    }
    unknown = set(tuples) - {"width_px", "height_px", "channel_order", "mean", "std"}
    for name in unknown:
        one_of("teacher.preprocessing", name, sorted(Preprocessing.__dataclass_fields__))
    return Preprocessing(**tuples)


def build_task(
    run: Run,
    backbone: Backbone,
    views: Views,
    *,
    num_identities: int,
    world: World,
    pictures: np.ndarray | None = None,
) -> ClassifyTask | DistillTask:
    """Classification, distillation, or both, as the run's head and terms say.

    Args:
        pictures: See ``build_teacher``.
    """
    head = build_head(
        run.head, backbone.embedding_dim, num_identities, rank=world.rank, world=world.size
    )
    shown = [hint.tensor for hint in run.hints]
    teacher = build_teacher(run.teacher, world.device, pictures=pictures, maps=shown)
    if teacher is None or not run.terms:
        assert isinstance(head, nn.Module), "Run has a head or terms"
        return ClassifyTask(backbone, head, views)
    terms = [_term(term, backbone.embedding_dim, num_identities, world) for term in run.terms]
    return DistillTask(backbone, teacher, terms, views, head=head, hints=run.hints)


def _term(options: TermOptions, embedding_dim: int, classes: int, world: World) -> Term:
    if options.kind != "adaptive":
        return Term(options=options)
    margin = Margin.arcface(options.margin, options.scale)
    centres = AdaptiveCentres(embedding_dim, classes, margin, world=world.size)
    return Term(options=options, centres=centres)
