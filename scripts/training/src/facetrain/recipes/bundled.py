"""The bundled pack's embedder: PocketNetS-256 from face-reidentification-retail-0095, no labels.

ReLU in place of PReLU: a third of the time in ONNX Runtime at the same multiply-adds. 256
dimensions as the teacher has, so that no projection lies between the two. Run by
``runs/bundled-embedder.sh``, which says where data and teacher come from.
"""

from dataclasses import replace

from facetrain.config import HeldOutOptions, Run
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


def cpu() -> Run:
    """The same on one or two CPU threads: as far as some ten thousand views reach."""
    run = gpu()
    return replace(
        run,
        name="bundled_embedder_cpu",
        # So few views that the student sees hardly a picture twice: the hard ones teach it little.
        # No swaps and morphs, moves and light as usual, a quarter of the degradations.
        # A picture is decoded in a hundredth of the time that it is trained on.
        data=replace(
            run.data,
            in_memory=False,
            workers=0,
            augment={
                "preset": "label_free",
                "zoom": (1.0, 1.15),
                "shift_px": 2.0,
                "rotation_degrees": 5.0,
                "brightness": (0.8, 1.2),
                "contrast": (0.8, 1.2),
                "swap_parts": 0.0,
                "morph": 0.0,
                "occlude": 0.03,
                "blur": 0.04,
                "low_resolution": 0.04,
                "motion": 0.0,
                "low_light": 0.03,
                "jpeg": 0.06,
                "gamma": 0.1,
            },
        ),
        # ONNX Runtime is as quick as torch on a CPU (45 crops/s a thread) and needs less memory.
        teacher=replace(run.teacher, kind="onnx", precision="fp32"),
        # Small batches take many steps from few pictures, and above 32 the caches overflow.
        # A quarter of an epoch of warm-up would be a third of the run.
        schedule=replace(run.schedule, warmup_epochs=0.05),
        loop=replace(
            run.loop,
            epochs=3,
            batch_size=16,
            precision="fp32",
            compile="off",
            ema_decay=0.99,
            log_every=20,
            save_every=40,
        ),
        held_out=replace(run.held_out, every=0, every_steps=80, pictures=500),
    )
