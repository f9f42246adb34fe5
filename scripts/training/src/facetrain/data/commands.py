"""``facetrain data``: pack, crops, info, preview and drop-like."""

import argparse
import json
from pathlib import Path

from facetrain.command import Command, say

EPILOG = """
A source is a folder (one folder per identity), a list (.lst, .txt), InsightFace's .rec, a .tar, or
a .pack. Everything here is about aligned 112x112 crops, but for `crops`, which makes them.

  facetrain data pack fairface=fairface_aligned112.tar sfhq=sfhq_aligned112.tar \\
      --part fairface=train --labels fairface=fairface_label_train.csv --form webp --out train.pack
  facetrain data crops lfw_pairs.tar --detector yunet.onnx --out lfw.pack
  facetrain data drop-like train.pack --others lfw.pack --embedder teacher.onnx \\
      --preset retail-0095 --out clean.pack
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _configure_pack(verbs.add_parser("pack", help="any sources into one file"))
    _configure_crops(verbs.add_parser("crops", help="pictures into aligned crops, as the daemon"))

    info = verbs.add_parser("info", help="count pictures, identities and groups")
    info.add_argument("faces", type=Path)
    info.add_argument("--labels", type=Path, action="append", default=[], metavar="CSV")
    info.add_argument("--json", action="store_true", help="print one JSON document")

    preview = verbs.add_parser("preview", help="a contact sheet of the augmentations, as PNG")
    preview.add_argument("faces", type=Path)
    preview.add_argument("--out", type=Path, required=True, metavar="PNG")
    presets = ("operations", "label_free", "full", "light")
    preview.add_argument(
        "--show", choices=presets, default="operations", help="each operation alone, or a preset"
    )
    preview.add_argument("--rows", type=int, default=8)
    preview.add_argument("--seed", type=int, default=0)

    like = verbs.add_parser("drop-like", help="leave out who is in another set")
    like.add_argument("faces", type=Path)
    like.add_argument("--others", type=Path, required=True, help="the set to keep apart from")
    like.add_argument("--embedder", type=Path, required=True, help=".onnx file that compares")
    like.add_argument(
        "--preset",
        choices=("pocketnet", "retail-0095"),
        help="the embedder's preprocessing, where its file says nothing of it",
    )
    like.add_argument("--threshold", type=float, default=0.6, help="cosine (default 0.6)")
    like.add_argument("--out", type=Path, required=True, help=".pack without them")
    like.add_argument("--report", type=Path, help="CSV of the dropped: picture, cosine, nearest")


def _configure_pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--out", type=Path, required=True, help=".pack to write")
    parser.add_argument("--form", choices=("pixels", "webp"), default="pixels")
    parser.add_argument("--quality", type=int, default=76, help="of WebP (default 76)")
    parser.add_argument("--part", action="append", default=[], metavar="NAME=PART")
    parser.add_argument("--labels", action="append", default=[], metavar="NAME=CSV")
    parser.add_argument("--by-folder", action="store_true", help="folders in tars are identities")
    parser.add_argument("--without", type=Path, help="file of names to leave out, one a line")
    parser.add_argument("--skip-broken", action="store_true", help="leave out and count")


def _configure_crops(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", type=Path, help="folder or tar")
    parser.add_argument("--detector", type=Path, required=True, help="YuNet-layout ONNX file")
    parser.add_argument("--out", type=Path, required=True, help=".pack, or a folder for PNGs")
    parser.add_argument("--which", choices=("central", "largest", "all"), default="central")
    parser.add_argument("--eye-distance-min", type=float, default=0.0, metavar="PX")
    parser.add_argument("--by-folder", action="store_true", help="folders are identities")


def _run(arguments: argparse.Namespace) -> None:
    match arguments.verb:
        case "pack":
            _pack(arguments)
        case "crops":
            _crops(arguments)
        case "info":
            _info(arguments)
        case "preview":
            _preview(arguments)
        case "drop-like":
            _drop_like(arguments)


def _pack(arguments: argparse.Namespace) -> None:
    from facetrain.data.make_pack import PackOptions, pack
    from facetrain.data.packed import WebpOptions

    tables: dict[str, list[Path]] = {}
    for given in arguments.labels:
        name, path = _named(given, "--labels NAME=CSV")
        tables.setdefault(name, []).append(Path(path))
    without = frozenset[str]()
    if arguments.without is not None:
        without = frozenset(arguments.without.read_text(encoding="utf-8").splitlines())
    options = PackOptions(
        sources={n: Path(p) for n, p in (_named(s, "NAME=PATH") for s in arguments.source)},
        labels_csv=tables,
        part=dict(_named(given, "--part NAME=PART") for given in arguments.part),
        form=arguments.form,
        webp=WebpOptions(quality=arguments.quality),
        by_folder=arguments.by_folder,
        skip_broken=arguments.skip_broken,
        without=without,
    )
    count = pack(options, arguments.out)
    say(f"{arguments.out}: {count} pictures, {arguments.out.stat().st_size / 2**20:.1f} MiB")


def _crops(arguments: argparse.Namespace) -> None:
    from collections import Counter

    from facetrain.data.detect import Detector
    from facetrain.data.make_crops import CropOptions, make_crops, write_crops
    from facetrain.data.sources import Pictures

    options = CropOptions(
        which=arguments.which,
        eye_distance_min_px=arguments.eye_distance_min,
        by_folder=arguments.by_folder,
    )
    cropped = make_crops(Pictures(arguments.pictures), Detector(arguments.detector), options)
    write_crops(cropped, arguments.out)
    reasons = Counter(cropped.dropped.values())
    said = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()) or "none"
    say(f"{arguments.out}: {len(cropped.faces)} crops; pictures without: {said}")


def _info(arguments: argparse.Namespace) -> None:
    from facetrain.data.info import as_text, describe
    from facetrain.data.sources import open_faces

    description = describe(open_faces(arguments.faces, labels_csv=arguments.labels))
    say(json.dumps(description) if arguments.json else as_text(description))


def _preview(arguments: argparse.Namespace) -> None:
    from facetrain.data.augment import AugmentOptions
    from facetrain.data.preview import operations_sheet, views_sheet
    from facetrain.data.sources import open_faces

    faces = open_faces(arguments.faces)
    common = {"rows": arguments.rows, "seed": arguments.seed}
    match arguments.show:
        case "operations":
            operations_sheet(faces, arguments.out, **common)
        case "full":
            views_sheet(faces, arguments.out, AugmentOptions(), **common)
        case preset:
            views_sheet(faces, arguments.out, getattr(AugmentOptions, preset)(), **common)
    say(f"{arguments.out}: look at it")


def _drop_like(arguments: argparse.Namespace) -> None:
    import csv

    import torch

    from facetrain.data.drop_like import drop_like
    from facetrain.data.face_set import Subset
    from facetrain.data.make_pack import PackOptions, write_pack
    from facetrain.data.packed import WebpFaces, WebpOptions
    from facetrain.data.sources import open_faces
    from facetrain.evaluate.embed import open_onnx
    from facetrain.preprocessing import PRESETS

    faces, others = open_faces(arguments.faces), open_faces(arguments.others)
    embedder = open_onnx(arguments.embedder, PRESETS.get(arguments.preset))

    def embed(crop_BCHW: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(embedder.embed(crop_BCHW.permute(0, 2, 3, 1).numpy()))

    likeness = drop_like(faces, others, embed, threshold=arguments.threshold)
    if arguments.report is not None:
        with arguments.report.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("picture", "cosine", "nearest"))
            for index in likeness.dropped:
                nearest = others.names[int(likeness.nearest_N[index])]
                cosine = f"{likeness.cosine_N[index]:.4f}"
                rows.writerow((faces.names[int(index)], cosine, nearest))
    options = PackOptions(
        sources={"given": arguments.faces},
        form="webp" if isinstance(faces, WebpFaces) else "pixels",
        webp=WebpOptions(keep_webp=True),
    )
    count = write_pack(Subset(faces, likeness.kept), arguments.out, options)
    say(f"{arguments.out}: {count} pictures; {len(likeness.dropped)} dropped")


def _named(given: str, form: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name or not value:
        raise ValueError(f"{given!r}: write {form}")
    return name, value


COMMANDS = {"data": Command(configure=_configure, run=_run)}
