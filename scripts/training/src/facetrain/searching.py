"""From a search's recipe to a genotype: two halves of a set, an objective, then the search."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facetrain.config import DataOptions, TeacherOptions
from facetrain.data.batches import Batches
from facetrain.data.split import stratified_halves
from facetrain.distill.build import build_teacher
from facetrain.engine.distributed import World, joined_world
from facetrain.engine.seed import seed_everything
from facetrain.search.objective import IdentityObjective, Objective, TeacherObjective
from facetrain.search.options import SearchOptions
from facetrain.search.run import SearchOutcome, run_search
from facetrain.training import TrainingSet, training_set


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRun:
    """Everything that a search is. With a teacher it looks at no labels."""

    name: str
    data: DataOptions = field(default_factory=DataOptions)
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    search: SearchOptions = field(default_factory=SearchOptions)

    def __post_init__(self) -> None:
        if self.teacher.kind == "none" and self.data.labels == "none":
            raise ValueError("a search needs labels or a teacher; set teacher.kind")


def search(
    run: SearchRun, out: Path, *, device: str = "auto", max_minutes: float | None = None
) -> SearchOutcome:
    """Search, or continue, in a folder; under ``torchrun`` as one of its processes.

    Raises:
        ValueError: The search cannot be built, or the folder holds another one.
    """
    with joined_world(device) as world:
        seed_everything(run.search.seed, world.rank)
        training = training_set(run.data, world)
        weights, alphas = stratified_halves(training.faces.labels, run.search.seed)
        return run_search(
            run.search,
            weights_data=_batches(training, weights, run, world),
            alphas_data=_batches(training, alphas, run, world),
            out=out,
            objective=_objective(run, training, world),
            world=world,
            max_minutes=max_minutes,
        )


def _objective(run: SearchRun, training: TrainingSet, world: World) -> Objective:
    teacher = build_teacher(run.teacher, world.device, pictures=training.pictures)
    if teacher is None:
        return IdentityObjective(training.faces.num_identities)
    return TeacherObjective(teacher)


def _batches(training: TrainingSet, indices: np.ndarray, run: SearchRun, world: World) -> Batches:
    return Batches(
        training.faces,
        batch_size=run.search.batch_size,
        seed=run.search.seed,
        rank=world.rank,
        world=world.size,
        workers=run.data.workers,
        indices=indices,
    )
