"""`evaluate templates` (IJB-style 1:1) and `evaluate identification` (open-set 1:N)."""

# N pictures, P pairs, D embedding.
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from facetrain.evaluate.acquire import Acquisition, crops_of
from facetrain.evaluate.command import open_pictures
from facetrain.evaluate.embed import EmbedOptions, embed_all
from facetrain.evaluate.identification import GallerySize, by_gallery_size
from facetrain.evaluate.report import header_markdown, header_of, percent, table, write_report
from facetrain.evaluate.source import Source
from facetrain.evaluate.template_protocol import (
    IJB_FARS,
    media_averaged,
    read_template_media,
    read_template_pairs,
    score_template_pairs,
    template_tar_at_far,
)
from facetrain.evaluate.verification import TarAtFar
from facetrain.progress import progress


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateOptions:
    """Attributes:
    media: `PICTURE TEMPLATE MEDIUM` lines.
    pairs: `TEMPLATE TEMPLATE 0|1` lines.
    pictures: Folder or tar.
    out: Directory for the report.
    unit_pictures: See `media_averaged`.
    """

    name: str
    source: Source
    media: Path
    pairs: Path
    pictures: Path
    out: Path
    flip: bool = True
    unit_pictures: bool = True
    fars: tuple[float, ...] = IJB_FARS
    show_progress: bool = True


def evaluate_templates(options: TemplateOptions) -> tuple[TarAtFar, ...]:
    """TAR at each FAR of media-averaged templates; writes a report to `options.out`."""
    names, template_N, medium_N = read_template_media(options.media)
    pairs = read_template_pairs(options.pairs)
    e_ND, about = _embedded(names, options.source, options.pictures, options.flip, options)
    templates = media_averaged(e_ND, template_N, medium_N, unit_pictures=options.unit_pictures)
    scores = score_template_pairs(templates, pairs)
    rates = template_tar_at_far(scores, pairs.same_P, options.fars)
    content = {
        "schema": 1,
        "what": "templates",
        "set": options.name,
        "header": header_of(
            {
                **options.source.files(),
                "media": options.media,
                "pairs": options.pairs,
                "pictures": options.pictures,
            }
        ),
        **about,
        "flip": options.flip,
        "templates": len(templates.id_T),
        "failed_templates": templates.failed,
        "genuine": int(pairs.same_P.sum()),
        "impostors": int((~pairs.same_P).sum()),
        "tar_at_far": rates,
    }
    rows = [
        [
            f"{at.far:g}",
            percent(at.tar),
            f"{at.threshold:.4f}",
            f"{at.false_accepts} of {at.impostors}" + ("" if at.supported else " (rule of 30)"),
        ]
        for at in rates
    ]
    markdown = (
        f"# {options.name}: 1:1 templates\n\n"
        f"{header_markdown(content['header'], about['embedder'])}\n"
        f"{content['genuine']} genuine and {content['impostors']} impostor pairs of "
        f"{content['templates']} templates, {templates.failed} without an embedding; pictures not "
        f"acquired: {about['failures'] or 'none'}; {'with' if options.flip else 'without'} the "
        f"mirrored crop.\n\n{table(['FAR', 'TAR', 'threshold', 'false accepts'], rows)}"
    )
    write_report(options.out, "templates", content, markdown)
    return rates


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentificationOptions:
    """Attributes:
    pictures: Folder or tar of `PERSON/PICTURE`; a person with one picture is a stranger.
    sizes: Galleries by number of people; () takes all that may be enrolled.
    per_person: Pictures of each enrolled person that go into the gallery, the first by name.
    strangers: Share of the people with several pictures who are never enrolled.
    """

    name: str
    source: Source
    pictures: Path
    out: Path
    sizes: tuple[int, ...] = ()
    fpirs: tuple[float, ...] = (0.1, 0.01, 0.001)
    per_person: int = 1
    strangers: float = 0.5
    seed: int = 0
    flip: bool = False
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.per_person < 1:
            raise ValueError(f"per_person must be at least 1, is {self.per_person}")
        if not 0 <= self.strangers < 1:
            raise ValueError(f"strangers must lie in [0, 1), is {self.strangers}")


def evaluate_identification(options: IdentificationOptions) -> list[GallerySize]:
    """Open-set search in galleries of growing size; writes a report to `options.out`."""
    names = open_pictures(options.pictures).names()
    person_N = np.array([PurePosixPath(name).parent.name for name in names])
    enrolled = _gallery(person_N, options)
    e_ND, about = _embedded(names, options.source, options.pictures, options.flip, options)
    people = len(np.unique(person_N[enrolled]))
    sizes = by_gallery_size(
        e_ND[enrolled],
        person_N[enrolled],
        e_ND[~enrolled],
        person_N[~enrolled],
        sizes=options.sizes or (people,),
        fpirs=options.fpirs,
        seed=options.seed,
    )
    content = {
        "schema": 1,
        "what": "identification",
        "set": options.name,
        "header": header_of({**options.source.files(), "pictures": options.pictures}),
        **about,
        "flip": options.flip,
        "per_person": options.per_person,
        "seed": options.seed,
        "sizes": [asdict(size) for size in sizes],
    }
    write_report(options.out, "identification", content, _identification_markdown(content, sizes))
    return sizes


def _gallery(person_N: np.ndarray, options: IdentificationOptions) -> np.ndarray:
    """Which pictures are enrolled: the first ones of the people who are no strangers."""
    people, counts = np.unique(person_N, return_counts=True)
    known = people[counts > options.per_person]
    if len(known) < 2:
        raise ValueError(
            f"{options.pictures} holds {len(known)} people with more than {options.per_person} "
            "pictures (PERSON/PICTURE); at least 2 are needed"
        )
    order = np.random.default_rng(options.seed).permutation(known)
    kept = order[round(options.strangers * len(known)) :]
    enrolled = np.zeros(len(person_N), dtype=bool)
    for person in kept:
        enrolled[np.flatnonzero(person_N == person)[: options.per_person]] = True
    return enrolled


def _embedded(
    names: Sequence[str],
    source: Source,
    pictures: Path,
    flip: bool,
    options: TemplateOptions | IdentificationOptions,
) -> tuple[np.ndarray, dict[str, Any]]:
    embedder, cropper = source.open()
    acquisition = Acquisition()
    crops = progress(
        crops_of(open_pictures(pictures), names, cropper, acquisition),
        len(names),
        "embedding",
        enabled=options.show_progress,
    )
    e_ND = embed_all(crops, embedder, EmbedOptions(batch_size=source.batch_size, flip=flip))
    return e_ND, {
        "embedder": embedder.description,
        "crops": cropper.description,
        "pictures": acquisition.pictures,
        "failures": dict(acquisition.failures),
    }


def _identification_markdown(content: Mapping[str, Any], sizes: Sequence[GallerySize]) -> str:
    rows = [
        [
            str(size.identities),
            f"{at.fpir:g}",
            percent(at.fnir),
            f"{at.threshold:.4f}",
            f"{at.false_positives} of {at.strangers}" + ("" if at.supported else " (rule of 30)"),
            f"{percent(size.rank_1)} of {size.mated}",
        ]
        for size in sizes
        for at in size.fnir_at_fpir
    ]
    head = ["people enrolled", "FPIR", "FNIR", "threshold", "strangers let through", "rank 1"]
    return (
        f"# {content['set']}: open-set identification\n\n"
        f"{header_markdown(content['header'], content['embedder'])}\n"
        f"{content['per_person']} picture(s) of each person in the gallery; pictures not acquired: "
        f"{content['failures'] or 'none'}.\n\n{table(head, rows)}"
    )
