"""Finding pictures that show somebody of another set: training must not see the test's people."""

# N pictures, M pictures of the other set, B batch, D embedding.
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrain.data.batches import Batches
from facetrain.data.face_set import FaceSet
from facetrain.progress import progress

logger = logging.getLogger(__name__)

Embed = Callable[[Tensor], Tensor]
"""Crops (B, 3, 112, 112), uint8 RGB -> embeddings (B, D), of any length."""

ROWS = 2048


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much each picture resembles the other set.

    Attributes:
        cosine_N: Cosine to the most similar picture of the other set.
        nearest_N: Which one that is.
        kept: Indices of the pictures at or below the threshold, ascending.
        dropped: The others.
    """

    cosine_N: np.ndarray
    nearest_N: np.ndarray
    kept: np.ndarray
    dropped: np.ndarray


def drop_like(
    faces: FaceSet,
    others: FaceSet,
    embed: Embed,
    *,
    threshold: float = 0.6,
    batch_size: int = 64,
    workers: int = 1,
) -> Likeness:
    """Find the pictures of `faces` whose cosine to any of `others` is above `threshold`.

    The count is logged; `Subset(faces, likeness.kept)` is the set without them.
    """
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; a cosine lies in [-1, 1]")
    if not len(faces) or not len(others):
        raise ValueError("both sets must hold pictures")
    other_MD = embed_all(others, embed, batch_size=batch_size, workers=workers)
    own_ND = embed_all(faces, embed, batch_size=batch_size, workers=workers)
    best, nearest = [], []
    for rows_BD in progress(own_ND.split(ROWS), -(-len(faces) // ROWS), "comparing"):
        values, indices = (rows_BD @ other_MD.T).max(dim=1)
        best.append(values)
        nearest.append(indices)
    cosine_N = torch.cat(best).cpu().numpy()
    is_like = cosine_N > threshold
    logger.info(
        "%d of %d pictures dropped: cosine above %.2f to one of %d others",
        int(is_like.sum()),
        len(faces),
        threshold,
        len(others),
    )
    kept, dropped = np.flatnonzero(~is_like), np.flatnonzero(is_like)
    return Likeness(cosine_N, torch.cat(nearest).cpu().numpy(), kept, dropped)


@torch.no_grad()
def embed_all(faces: FaceSet, embed: Embed, *, batch_size: int = 64, workers: int = 1) -> Tensor:
    """Unit embeddings (N, D), float32, in the set's order."""
    batches = Batches(
        faces, batch_size=batch_size, seed=0, drop_last=False, shuffle=False, workers=workers
    )
    parts = [
        F.normalize(embed(batch.crop_BCHW).float(), dim=1)
        for batch in progress(batches.epoch(0), batches.steps_per_epoch, "embedding")
    ]
    return torch.cat(parts)
