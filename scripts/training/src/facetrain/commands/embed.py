"""``facetrain embed``: embeddings of a set, once, for a run with ``teacher.kind`` precomputed."""

import argparse
from pathlib import Path

from facetrain.command import Command, say
from facetrain.evaluate.commands import add_source, source_of


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, help="set of aligned crops")
    parser.add_argument("--out", type=Path, required=True, help=".npy of (N, D), float32")
    add_source(parser)


def _run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from facetrain.data.sources import open_faces
    from facetrain.evaluate.embed import EmbedOptions, embed_all
    from facetrain.progress import progress

    faces = open_faces(arguments.faces)
    crops = progress((faces.crop(n) for n in range(len(faces))), len(faces), "embedding")
    embedder = source_of(arguments).open_embedder()
    e_ND = embed_all(crops, embedder, EmbedOptions(batch_size=arguments.batch_size))
    failed = int(np.isnan(e_ND[:, 0]).sum())
    if failed:
        raise ValueError(f"{arguments.faces}: {failed} crops gave no embedding")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("wb") as file:
        np.save(file, e_ND)
    say(f"{arguments.out}: {len(e_ND)} embeddings of {e_ND.shape[1]} dimensions")


COMMANDS = {"embed": Command(configure=_configure, run=_run)}
