"""PocketNet as published (Boutros et al., arXiv 2108.10710): MS1MV2, ArcFace, 26 epochs.

The rate of 0.1 belongs to 512 pictures a step: four processes of 128. For another number of
pictures scale ``optim.lr`` with it.
"""

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

PUBLISHED_WEIGHT = 100.0


def s128() -> Run:
    """PocketNetS-128 by ArcFace alone."""
    return _published("pocketnet_s", 128)


def s256() -> Run:
    """PocketNetS-256 by ArcFace alone."""
    return _published("pocketnet_s", 256)


def m128() -> Run:
    """PocketNetM-128 by ArcFace alone."""
    return _published("pocketnet_m", 128)


def m256() -> Run:
    """PocketNetM-256 by ArcFace alone."""
    return _published("pocketnet_m", 256)


def teacher128() -> Run:
    """iResNet-100 of 128 dimensions, weights of every epoch kept: the teacher of the -128s."""
    return _teacher(128)


def teacher256() -> Run:
    """iResNet-100 of 256 dimensions, weights of every epoch kept: the teacher of the -256s."""
    return _teacher(256)


def s128_kd() -> Run:
    """PocketNetS-128, template distillation from the finished teacher."""
    return _distilled(s128(), "checkpoint")


def s128_multi_step() -> Run:
    """PocketNetS-128, multi-step distillation: the teacher of the student's own epoch."""
    return _distilled(s128(), "schedule")


def s256_multi_step() -> Run:
    """PocketNetS-256, multi-step distillation."""
    return _distilled(s256(), "schedule")


def m128_multi_step() -> Run:
    """PocketNetM-128, multi-step distillation."""
    return _distilled(m128(), "schedule")


def m256_multi_step() -> Run:
    """PocketNetM-256, multi-step distillation."""
    return _distilled(m256(), "schedule")


def _published(name: str, embedding_dim: int) -> Run:
    return Run(
        name=f"{name}_{embedding_dim}",
        data=DataOptions(augment={"preset": "flip"}, in_memory=False, workers=8),
        model=ModelOptions(name=name, embedding_dim=embedding_dim),
        head=HeadOptions(kind="arcface", scale=64.0, m2=0.5),
        optim=OptimOptions(
            lr=0.1, momentum=0.9, weight_decay=5e-4, clip_norm=5.0, clip_modules=("backbone",)
        ),
        schedule=ScheduleOptions(kind="multi_step", milestones=(7, 13, 19, 24), gamma=0.1),
        loop=LoopOptions(epochs=26, batch_size=128, save_every=2000, log_every=100),
    )


def _teacher(embedding_dim: int) -> Run:
    run = _published("iresnet100", embedding_dim)
    return replace(run, loop=replace(run.loop, keep_epochs=True))


def _distilled(run: Run, kind) -> Run:
    return replace(
        run,
        name=f"{run.name}_{'multi_step' if kind == 'schedule' else 'kd'}",
        teacher=TeacherOptions(kind=kind),
        terms=(TermOptions(kind="template", weight=PUBLISHED_WEIGHT, per_dim=True),),
    )
