"""The IJB-style 1:1 protocol: templates of several pictures at very low false accept rates.

Pictures of one medium (a video, a photograph) are averaged first, then media, so that a long video
weighs no more than a photograph (Klare et al., CVPR 2015, IJB-A; Whitelam et al., IJB-B 2017; Maze
et al., IJB-C 2018). Files, whitespace-separated, as the data sets ship them:

    face_tid_mid.txt          PICTURE TEMPLATE MEDIUM
    template_pair_label.txt   TEMPLATE TEMPLATE 0|1
"""

# N pictures, D embedding, T templates, P pairs.
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facetrain.evaluate.verification import TarAtFar, tar_at_far

IJB_FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Templates:
    """Attributes:
    id_T: Template ids, rising, int64.
    e_TD: Unit embeddings, float32; NaN rows for templates of which no picture gave an embedding.
    """

    id_T: np.ndarray
    e_TD: np.ndarray

    @property
    def failed(self) -> int:
        """Templates without any embedding (failures to enrol)."""
        return int(np.isnan(self.e_TD[:, 0]).sum())


@dataclass(frozen=True, slots=True)
class TemplatePairs:
    """Attributes:
    first_P: Template ids, int64.
    second_P: Template ids, int64.
    same_P: True where both show one person.
    """

    first_P: np.ndarray
    second_P: np.ndarray
    same_P: np.ndarray


def read_template_media(file: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Reads `PICTURE TEMPLATE MEDIUM` lines: names, template ids (N,), medium ids (N,)."""
    rows = _rows(file, 3, "PICTURE TEMPLATE MEDIUM")
    numbers = np.array([row[1:] for row in rows], dtype=np.int64)
    return [row[0] for row in rows], numbers[:, 0], numbers[:, 1]


def read_template_pairs(file: Path) -> TemplatePairs:
    """Reads `TEMPLATE TEMPLATE 0|1` lines."""
    numbers = np.array(_rows(file, 3, "TEMPLATE TEMPLATE 0|1"), dtype=np.int64)
    return TemplatePairs(numbers[:, 0], numbers[:, 1], numbers[:, 2] == 1)


def _rows(file: Path, columns: int, form: str) -> list[list[str]]:
    rows = [line.split() for line in file.read_text().splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != columns or not all(_is_whole(word) for word in row[1:]):
            raise ValueError(f"{file}, line {number}: expected `{form}`, found {' '.join(row)!r}")
    if not rows:
        raise ValueError(f"{file} holds no lines; expected `{form}`")
    return rows


def _is_whole(word: str) -> bool:
    return word.removeprefix("-").isdigit()


def media_averaged(
    e_ND: np.ndarray, template_N: np.ndarray, medium_N: np.ndarray, *, unit_pictures: bool = True
) -> Templates:
    """Mean over the pictures of each medium, sum over media, normalised.

    Args:
        e_ND: Embeddings; rows of NaN (failures to acquire) are left out of their template.
        template_N: Template of each picture.
        medium_N: Medium of each picture; media are told apart within a template only.
        unit_pictures: Normalise each picture first. Without it the length of an embedding, which
            falls with quality in many models, weighs the picture.
    """
    ids = np.unique(template_N)
    e_TD = np.full((len(ids), e_ND.shape[1]), np.nan, dtype=np.float32)
    good = ~np.isnan(e_ND).any(axis=1)
    e_ND, template_N, medium_N = e_ND[good].astype(np.float64), template_N[good], medium_N[good]
    if len(e_ND) == 0:
        return Templates(ids, e_TD)
    if unit_pictures:
        e_ND = e_ND / np.linalg.norm(e_ND, axis=1, keepdims=True)
    keys, medium_of = np.unique(
        np.stack([template_N, medium_N], axis=1), axis=0, return_inverse=True
    )
    medium_of = medium_of.reshape(-1)
    sums = np.zeros((len(keys), e_ND.shape[1]))
    np.add.at(sums, medium_of, e_ND)
    means = sums / np.bincount(medium_of)[:, None]
    places = np.searchsorted(ids, keys[:, 0])
    totals = np.zeros((len(ids), e_ND.shape[1]))
    np.add.at(totals, places, means)
    filled = np.unique(places)
    norms = np.linalg.norm(totals[filled], axis=1, keepdims=True)
    e_TD[filled] = totals[filled] / norms
    return Templates(ids, e_TD)


def score_template_pairs(templates: Templates, pairs: TemplatePairs) -> np.ndarray:
    """Cosines (P,) float32, in blocks; NaN where a template has no embedding.

    Raises:
        ValueError: A pair names a template that there is not.
    """
    first, second = (_places(templates.id_T, ids) for ids in (pairs.first_P, pairs.second_P))
    scores = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores[block] = np.einsum(
            "pd,pd->p", templates.e_TD[first[block]], templates.e_TD[second[block]]
        )
    return scores


def _places(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    places = np.searchsorted(ids, wanted).clip(max=len(ids) - 1)
    unknown = wanted[ids[places] != wanted]
    if len(unknown):
        raise ValueError(f"a pair names template {unknown[0]}, which has no pictures")
    return places


def template_tar_at_far(
    score_P: np.ndarray, same_P: np.ndarray, fars: tuple[float, ...] = IJB_FARS
) -> tuple[TarAtFar, ...]:
    """TAR at each FAR; a pair with a failed template is never accepted."""
    score_P = np.where(np.isnan(score_P), -2, score_P)
    return tuple(tar_at_far(score_P[same_P], score_P[~same_P], far) for far in fars)
