"""Runs of seconds on a CPU: a toy net, few pictures; for tests and the end-to-end run."""

from dataclasses import replace

from facetrain.config import (
    DataOptions,
    HeadOptions,
    LoopOptions,
    ModelOptions,
    OptimOptions,
    Run,
    ScheduleOptions,
    TeacherOptions,
    TermOptions,
)

EMBEDDING_DIM = 64


def teacher() -> Run:
    """A wider toy net that keeps the weights of every epoch: the teachers of multi-step."""
    return replace(
        student(),
        name="toy_teacher",
        model=ModelOptions(
            name="pocketnet_toy", embedding_dim=EMBEDDING_DIM, options={"cells": 6, "channels": 8}
        ),
        loop=replace(student().loop, keep_epochs=True),
    )


def student() -> Run:
    """The toy student by margin alone: what distillation is compared with."""
    return Run(
        name="toy_student",
        data=DataOptions(augment={"preset": "light"}),
        model=ModelOptions(
            name="pocketnet_toy", embedding_dim=EMBEDDING_DIM, options={"cells": 5, "channels": 4}
        ),
        head=HeadOptions(kind="cosface", scale=30.0, m3=0.2),
        optim=OptimOptions(lr=0.1, clip_modules=("backbone",)),
        schedule=ScheduleOptions(kind="cosine", warmup_epochs=1),
        loop=LoopOptions(epochs=12, batch_size=32, log_every=5),
    )


def distilled() -> Run:
    """The same student with the teacher of each epoch beside the margin (multi-step)."""
    return replace(
        student(),
        name="toy_distilled",
        teacher=TeacherOptions(kind="schedule"),
        terms=(TermOptions(kind="template", weight=100.0),),
    )


def label_free() -> Run:
    """The same student from a finished teacher alone; labels are not looked at."""
    return replace(
        student(),
        name="toy_label_free",
        data=DataOptions(labels="none", augment={"preset": "light"}),
        head=HeadOptions(kind="none"),
        teacher=TeacherOptions(kind="checkpoint"),
        terms=(TermOptions(kind="cosine", weight=10.0),),
    )
