"""`evaluate verification`, `templates` and `identification`: plain functions with their options."""

# N pictures, P pairs, D embedding.
import csv
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from facetrain.evaluate.acquire import (
    Acquisition,
    FolderPictures,
    MappedPictures,
    Pictures,
    TarPictures,
    crops_of,
)
from facetrain.evaluate.bootstrap import (
    BootstrapOptions,
    Interval,
    interval,
    weighted_area,
    weighted_equal_error_rate,
    weighted_share,
    weighted_tar_at_far,
)
from facetrain.evaluate.embed import Embedder, EmbedOptions, batches_of, embed_all
from facetrain.evaluate.groups import GroupReport, group_report
from facetrain.evaluate.insightface_bin import read_bin
from facetrain.evaluate.pairs import PicturePairs, read_cfp_pairs, read_lfw_pairs, read_pair_list
from facetrain.evaluate.report import header_of, write_report
from facetrain.evaluate.roc import area_under_curve, equal_error_rate
from facetrain.evaluate.source import Source
from facetrain.evaluate.verification import (
    ScoredPairs,
    VerificationReport,
    fold_thresholds,
    tar_at_far,
    verification_report,
)
from facetrain.progress import progress

logger = logging.getLogger(__name__)

PairFormat = Literal["lfw", "list", "cfp-fp", "cfp-ff", "bin"]
FARS = (1e-2, 1e-3, 1e-4)

CONVENTIONS = {
    "face": "of several faces the one nearest to the picture's centre",
    "failure_to_acquire": "a pair with a picture that gave no embedding is never accepted: an "
    "error where it is the same person",
    "threshold": "per fold, the best one on the other folds; a score strictly above it is accepted",
    "supported": "false where fewer than 30 / FAR different pairs were compared (rule of 30)",
    "interval": "percentiles over draws of identities, not of pairs; accuracy at the thresholds of "
    "the folds, TAR with the threshold chosen anew in each draw",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationOptions:
    """Attributes:
    name: Of the set, for titles: "LFW".
    pairs: The list; for CFP the data set's folder; for `bin` the file.
    pictures: Folder or tar of the pictures; not needed for `bin`.
    format: See `facetrain.evaluate.pairs` and `insightface_bin`; None: by the file's name.
    out: Directory for report and plots.
    flips: Which variants to report: without and with the mirrored crop.
    folds: Only these folds; None: all.
    groups: CSV with the columns `picture` and one per attribute; rates are reported by each.
    group_far: Rates by group are taken at the threshold of this FAR over all pairs.
    """

    name: str
    source: Source
    pairs: Path
    out: Path
    pictures: Path | None = None
    format: PairFormat | None = None
    flips: tuple[bool, ...] = (False, True)
    fars: tuple[float, ...] = FARS
    folds: tuple[int, ...] | None = None
    groups: Path | None = None
    group_far: float = 1e-3
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)
    show_progress: bool = True


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to embed: with or without the mirrored crop.

    Attributes:
        intervals: Figure ("accuracy", "tar@0.001", "eer", "auc") → interval by identity.
        groups: Attribute → rates of its groups.
    """

    flip: bool
    report: VerificationReport
    equal_error_rate: float
    area_under_curve: float
    intervals: dict[str, Interval]
    groups: dict[str, GroupReport]


@dataclass(frozen=True, slots=True)
class Verification:
    """Attributes:
    failures: Reason → pictures that gave no crop.
    scores: Flip → scored pairs, for plots and further figures.
    """

    variants: tuple[Variant, ...]
    pictures: int
    failures: dict[str, int]
    scores: dict[bool, ScoredPairs]


def evaluate_verification(options: VerificationOptions) -> Verification:
    """A verification set through an embedder; writes report and plots to `options.out`."""
    from facetrain.evaluate.markdown import verification_markdown
    from facetrain.evaluate.plots import plot_det, plot_scores

    pairs, pictures = open_pairs(options.pairs, options.pictures, options.format)
    if options.folds is not None:
        pairs = pairs.of_folds(options.folds)
    embedder, cropper = options.source.open()
    columns = read_groups(options.groups, pairs.pictures) if options.groups else {}
    acquisition = Acquisition()
    crops = progress(
        crops_of(pictures, pairs.pictures, cropper, acquisition),
        len(pairs.pictures),
        "embedding",
        enabled=options.show_progress,
    )
    embeddings = embed_variants(crops, embedder, options.flips, options.source.batch_size)
    variants, scores = [], {}
    for flip, e_ND in embeddings.items():
        scored = score_pairs(pairs, e_ND)
        scores[flip] = scored
        variants.append(_variant(flip, scored, pairs, columns, options))
    found = Verification(tuple(variants), acquisition.pictures, dict(acquisition.failures), scores)
    header = header_of(
        {**options.source.files(), "pairs": options.pairs, "pictures": options.pictures}
    )
    content = {
        "schema": 1,
        "what": "verification",
        "set": options.name,
        "header": header,
        "embedder": embedder.description,
        "crops": cropper.description,
        "pictures": found.pictures,
        "failures": found.failures,
        "conventions": CONVENTIONS,
        "variants": found.variants,
    }
    write_report(options.out, "verification", content, verification_markdown(content, found))
    labels = {("with flip" if flip else "no flip"): s for flip, s in scores.items()}
    curves = {label: (s.genuine_G, s.impostor_I) for label, s in labels.items()}
    plot_det(curves, options.out / "det.png", f"{options.name}: DET")
    first = next(iter(scores.values()))
    thresholds = {
        f"FAR {at.far:g}": at.threshold for at in variants[0].report.tar_at_far if at.supported
    }
    plot_scores(
        first.genuine_G, first.impostor_I, options.out / "scores.png", options.name, thresholds
    )
    return found


def open_pairs(
    file: Path, pictures: Path | None, form: PairFormat | None
) -> tuple[PicturePairs, Pictures]:
    """Pairs and their pictures.

    Raises:
        ValueError: The list is not of its format, or there are no pictures to it.
    """
    form = form or _format_of(file)
    if form == "bin":
        packed = read_bin(file)
        return packed.pairs, MappedPictures(packed.encoded)
    if form in ("cfp-fp", "cfp-ff"):
        return read_cfp_pairs(file, form[-2:].upper()), open_pictures(pictures or file)
    if pictures is None:
        raise ValueError(f"{file} names pictures: give the folder or tar that holds them")
    read = read_lfw_pairs if form == "lfw" else read_pair_list
    return read(file), open_pictures(pictures)


def open_pictures(path: Path) -> FolderPictures | TarPictures:
    """A folder or an uncompressed tar."""
    return FolderPictures(path) if path.is_dir() else TarPictures(path)


def embed_variants(
    crops: Iterable[np.ndarray | None], embedder: Embedder, flips: Sequence[bool], batch_size: int
) -> dict[bool, np.ndarray]:
    """Flip → unit embeddings (N, D); every picture is cropped once."""
    parts: dict[bool, list[np.ndarray]] = {flip: [] for flip in flips}
    for batch in batches_of(crops, batch_size):
        for flip, rows in parts.items():
            rows.append(embed_all(batch, embedder, EmbedOptions(batch_size=batch_size, flip=flip)))
    return {flip: np.concatenate(rows) for flip, rows in parts.items()}


def score_pairs(pairs: PicturePairs, e_ND: np.ndarray) -> ScoredPairs:
    """Cosines of the pairs; NaN where a picture has none."""
    first, second = (e_ND[side].astype(np.float64) for side in (pairs.first_P, pairs.second_P))
    return ScoredPairs(np.einsum("pd,pd->p", first, second), pairs.same_P, pairs.fold_P)


def read_groups(file: Path, pictures: Sequence[str]) -> dict[str, np.ndarray]:
    """Attribute → group of each picture (N,), "" where the table has none.

    Raises:
        ValueError: The table has no column `picture` or names none of the pictures.
    """
    with file.open(newline="") as source:
        rows = list(csv.DictReader(source))
    if not rows or "picture" not in rows[0]:
        raise ValueError(f"{file}: expected a head line with `picture` and attribute columns")
    by_name = {row["picture"]: row for row in rows}
    if not any(name in by_name for name in pictures):
        raise ValueError(f"{file} names none of the pictures, for example {pictures[0]}")
    return {
        column: np.array([by_name.get(name, {}).get(column) or "" for name in pictures])
        for column in rows[0]
        if column != "picture"
    }


def _variant(
    flip: bool,
    scored: ScoredPairs,
    pairs: PicturePairs,
    columns: Mapping[str, np.ndarray],
    options: VerificationOptions,
) -> Variant:
    report = verification_report(scored, options.fars)
    at_group_far = tar_at_far(scored.genuine_G, scored.impostor_I, options.group_far).threshold
    return Variant(
        flip=flip,
        report=report,
        equal_error_rate=equal_error_rate(scored.genuine_G, scored.impostor_I),
        area_under_curve=area_under_curve(scored.genuine_G, scored.impostor_I),
        intervals=_intervals(scored, pairs, options),
        groups={
            column: group_report(
                scored, group_N[pairs.first_P], group_N[pairs.second_P], at_group_far
            )
            for column, group_N in columns.items()
        },
    )


def _intervals(
    scored: ScoredPairs, pairs: PicturePairs, options: VerificationOptions
) -> dict[str, Interval]:
    thresholds = fold_thresholds(scored)
    at_P = np.array([thresholds[int(fold)] for fold in scored.fold_P])
    right_P = (scored.effective_P > at_P) == scored.same_P
    everything = np.ones(len(right_P), dtype=bool)
    statistics: dict[str, Callable[[np.ndarray], float]] = {
        "accuracy": weighted_share(right_P, everything),
        **{
            f"tar@{far:g}": weighted_tar_at_far(scored.effective_P, scored.same_P, far)
            for far in options.fars
        },
        "eer": weighted_equal_error_rate(scored.effective_P, scored.same_P),
        "auc": weighted_area(scored.effective_P, scored.same_P),
    }
    first, second = pairs.person_N[pairs.first_P], pairs.person_N[pairs.second_P]
    return {
        name: interval(statistic, first, second, options.bootstrap)
        for name, statistic in statistics.items()
    }


def _format_of(file: Path) -> PairFormat:
    if file.suffix == ".bin":
        return "bin"
    if file.is_dir():
        return "cfp-fp"
    words = file.read_text(errors="replace").split("\n", 1)[0].split()
    return "lfw" if len(words) in (1, 2) and all(word.isdigit() for word in words) else "list"
