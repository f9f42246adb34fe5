"""Students of an ONNX teacher on unlabelled faces, where pictures are plenty and names are not."""

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


def s256_retail() -> Run:
    """PocketNetS-256 from face-reidentification-retail-0095 (256 dimensions); one GPU."""
    return Run(
        name="pocketnet_s_256_retail",
        data=DataOptions(labels="none", augment={"preset": "label_free"}),
        model=ModelOptions(name="pocketnet_s", embedding_dim=256),
        head=HeadOptions(kind="none"),
        # bf16 moves the teacher's embeddings by far less than the student is from them.
        teacher=TeacherOptions(
            kind="graph",
            preprocessing={
                "width_px": 128,
                "height_px": 128,
                "channel_order": "bgr",
                "mean": (0.0, 0.0, 0.0),
                "std": (1.0, 1.0, 1.0),
            },
            precision="bf16",
        ),
        # 1 − cos pulls each embedding to its target, the similarity matrix keeps the distances
        # between faces; its squares are small, so 5 makes the two of one size early on.
        terms=(
            TermOptions(kind="cosine", weight=1.0),
            TermOptions(kind="similarity", weight=5.0),
        ),
        optim=OptimOptions(name="adamw", lr=2e-3, weight_decay=0.05, decay_1d=False, clip_norm=1.0),
        schedule=ScheduleOptions(kind="cosine", warmup_epochs=2),
        loop=LoopOptions(
            epochs=200,
            batch_size=512,
            precision="bf16",
            channels_last=True,
            compile="default",
            ema_decay=0.999,
        ),
    )
