"""The bundled pack's embedder: PocketNetS-256 from face-reidentification-retail-0095, no labels.

ReLU in place of PReLU: a third of the time in ONNX Runtime at the same multiply-adds. 256
dimensions as the teacher has, so that no projection lies between the two. Run by
``runs/bundled-embedder.sh``, which says where data and teacher come from.
"""

from dataclasses import replace

from facetrain.config import HeldOutOptions, HintOptions, Run, TermOptions
from facetrain.recipes import label_free

SHARES = {
    "fairface": 0.66,
    "sfhq": 0.14,
    "pixabay": 0.08,
    "webmorph": 0.05,
    "faker": 0.03,
    "interfaces": 0.01,
    "congress": 0.03,
}
"""Of an epoch, by source. Even so a FairFace picture comes less often than most: it has four fifths
of all pictures. Studio and synthetic sets are clean and diverse; congress is mostly old portraits
of white men, black and white. (Not ablated.)"""


HINTS = tuple(
    HintOptions(map=number, tensor=tensor, last_weight=0.2)
    for number, tensor in enumerate(("t109", "t238", "t538", "t666", "t675"))
)
"""Of face-reidentification-retail-0095: after two of its blocks at 32 pixels, after all of them,
after those at 16 and at 8, and the map that it weighs away. Where a student's map is larger or
smaller than the teacher's the two are compared at the smaller size."""


def gpu() -> Run:
    """The bundled embedder on one GPU: 7 M views, bf16, CUDA graphs."""
    run = label_free.s256_retail()
    return replace(
        run,
        name="bundled_embedder_gpu",
        data=replace(run.data, weights=SHARES),
        model=replace(run.model, options={"activation": "relu"}),
        loop=replace(run.loop, epochs=190, compile="cudagraphs", save_every=1000),
        held_out=HeldOutOptions(kind="cosine", every=5),
    )


def gpu_hinted() -> Run:
    """The same with the hints that helped on a CPU, without CUDA graphs. (Not run.)"""
    run = gpu()
    return replace(
        run,
        name="bundled_embedder_gpu_hinted",
        hints=HINTS,
        loop=replace(run.loop, compile="off"),
    )


def cpu() -> Run:
    """The same on one or two CPU threads, in the time that ``loop.minutes`` gives it."""
    run = gpu()
    return replace(
        run,
        name="bundled_embedder_cpu",
        data=replace(
            run.data,
            # A picture is decoded in a hundredth of the time that it is trained on.
            in_memory=False,
            workers=0,
            # A view of 56 pixels costs less than half of a whole one, the teacher's share included.
            # Whole ones while the rate is still high: a network has to get used to them.
            sizes=((0.4, 56), (0.6, 80), (1.0, 112)),
            # So few views that the student sees hardly a picture twice: hard ones teach it little.
            augment={
                "preset": "light",
                "zoom": (1.0, 1.12),
                "rotation_degrees": 3.0,
                "brightness": (0.8, 1.2),
                "contrast": (0.8, 1.2),
                "blur": 0.02,
                "low_resolution": 0.05,
                "gamma": 0.05,
                "grey": 0.05,
            },
        ),
        # ONNX Runtime is as quick as torch on a CPU (55 crops/s a thread) and needs less memory.
        teacher=replace(run.teacher, kind="onnx", precision="fp32"),
        hints=HINTS,
        # With similarities, four times the weight on the embedding and twice Muon's rate, all at
        # once, an arm was far behind; which of the three it was is not measured.
        terms=(TermOptions(kind="cosine", weight=1.0),),
        optim=replace(
            run.optim,
            name="muon",
            matrix_lr=0.02,
            lr=3e-3,
            momentum=0.95,
            betas=(0.9, 0.98),
            weight_decay=0.02,
            clip_norm=5.0,
            clip_modules=("backbone",),
        ),
        # Small batches take many steps from few pictures.
        schedule=replace(run.schedule, warmup_epochs=0.03),
        loop=replace(
            run.loop,
            epochs=1,
            batch_size=16,
            precision="fp32",
            compile="off",
            ema_decay=0.99,
            log_every=20,
            save_every=40,
        ),
        held_out=replace(run.held_out, every=0, every_steps=200, pictures=200),
    )
