"""`facetrain export`, `calibrate` and `pack`."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facetrain.command import Command, say
from facetrain.detector.commands import LANDMARKS
from facetrain.evaluate.commands import PRESETS, add_source, source_of


def _configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file")
    parser.add_argument("--no-fold", action="store_true", help="keep every layer as trained")
    parser.add_argument("--dynamic-batch", action="store_true", help="any batch, not 1")
    parser.add_argument("--int8", type=Path, default=None, help="write an INT8 file too, here")
    parser.add_argument("--faces", type=Path, default=None, help="set of crops for --int8")
    parser.add_argument("--int8-crops", type=int, default=512, help="crops to calibrate on")


def _export(arguments: argparse.Namespace) -> None:
    from facetrain.export.command import ExportOptions, export

    if arguments.int8 is not None and arguments.faces is None:
        raise ValueError("--int8 needs crops to calibrate on: give --faces")
    done = export(
        ExportOptions(
            checkpoint=arguments.checkpoint,
            out=arguments.out,
            fold=not arguments.no_fold,
            dynamic_batch=arguments.dynamic_batch,
        )
    )
    say(f"{done.file}  sha256 {done.sha256}  {done.embedding_dim} dimensions")
    if done.folding is not None:
        say(
            f"folded: {done.folding.macs_before / 1e6:.2f} → {done.folding.macs_after / 1e6:.2f} M "
            f"multiply-adds, {done.folding.layers_before} → {done.folding.layers_after} layers, "
            f"largest difference {done.folding.difference:.1e}"
        )
    if arguments.int8 is not None:
        _quantize(arguments)


def _quantize(arguments: argparse.Namespace) -> None:
    from facetrain.data.sources import open_faces
    from facetrain.export.quantize import QuantizeOptions, quantize

    faces = open_faces(arguments.faces)
    count = min(len(faces), arguments.int8_crops + 200)
    # Evenly over the set, which may be sorted by person or source.
    crops = [faces.crop(int(n * len(faces) / count)) for n in range(count)]
    report = quantize(
        arguments.out, arguments.int8, crops, QuantizeOptions(crops=arguments.int8_crops)
    )
    say(
        f"{arguments.int8}  cosine to float32 {report.cosine_mean:.4f} (least "
        f"{report.cosine_least:.4f}) on {report.held_out} crops held out; "
        f"{report.milliseconds[0]:.2f} → {report.milliseconds[1]:.2f} ms, "
        f"{report.bytes[0] / 1e6:.2f} → {report.bytes[1] / 1e6:.2f} MB"
    )


def _configure_calibrate(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    parser.add_argument("--faces", type=Path, required=True, help="set of aligned crops")
    parser.add_argument("--labels", type=Path, nargs="*", default=[], help="label tables of a tar")
    parser.add_argument("--part", default=None, help='of a tar, for example "val"')
    parser.add_argument("--by-folder", action="store_true", help="a tar's folders are people")
    parser.add_argument("--set", required=True, help="the set in words, for pack.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--group", default=None, help='attribute column, for example "race"')
    parser.add_argument("--one-per-identity", action="store_true")


def _calibrate(arguments: argparse.Namespace) -> None:
    from facetrain.data.sources import open_faces
    from facetrain.export.command import CalibrateOptions, calibrate

    source = source_of(arguments)
    embedder = source.open_embedder()
    report = calibrate(
        open_faces(
            arguments.faces,
            labels_csv=arguments.labels,
            part=arguments.part,
            by_folder=arguments.by_folder,
        ),
        embedder,
        CalibrateOptions(
            set_words=arguments.set,
            out=arguments.out,
            group=arguments.group,
            one_per_identity=arguments.one_per_identity,
            batch_size=arguments.batch_size,
            files={**source.files(), "faces": arguments.faces},
        ),
    )
    say(
        f"{report.table.pairs} pairs, smallest supported FMR {report.table.smallest_fmr:.2e}, "
        f"{report.near_duplicates} near-duplicates left out"
        + (f", worst group {report.worst}" if report.worst else "")
    )
    say(str(arguments.out / "calibration.json"))


def _configure_pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", type=Path, required=True, help="YuNet-layout ONNX")
    parser.add_argument("--embedder", type=Path, required=True, help="as `export` writes it")
    parser.add_argument(
        "--preset", choices=PRESETS, default=None, help="preprocessing of an embedder without it"
    )
    parser.add_argument("--calibration", type=Path, default=None, help="as `calibrate` writes it")
    parser.add_argument("--space", required=True, help="names model and preprocessing")
    parser.add_argument("--source", required=True, help="where the weights come from, in words")
    parser.add_argument("--licence", required=True, help="of the weights")
    parser.add_argument("--commit", default=None, help="that trained the weights")
    parser.add_argument("--score-min", type=float, default=0.7, help="of the detector")
    parser.add_argument(
        "--landmarks",
        choices=LANDMARKS,
        default="best",
        help="of the detector",
    )
    parser.add_argument("--release", type=int, default=0, help="release counter")
    parser.add_argument("--for-doors", action="store_true", help="not only for the demo")
    parser.add_argument("--out", type=Path, required=True, help="the directory; its name is the id")


def _foreign(preset: str | None) -> dict[str, Any]:
    """Of an embedder that `export` did not write: its preprocessing, its own names."""
    from facetrain.preprocessing import PRESETS

    if preset is None:
        return {}
    return {"preprocessing": PRESETS[preset], "input_name": None, "output_name": None}


def _pack(arguments: argparse.Namespace) -> None:
    from facetrain.export.pack import PackOptions, write_pack

    about = write_pack(
        PackOptions(
            out=arguments.out,
            detector=arguments.detector,
            embedder=arguments.embedder,
            calibration=arguments.calibration,
            space_id=arguments.space,
            source=arguments.source,
            licence=arguments.licence,
            training_commit=arguments.commit,
            demo_only=not arguments.for_doors,
            release_counter=arguments.release,
            score_min=arguments.score_min,
            landmarks=arguments.landmarks,
            **_foreign(arguments.preset),
        )
    )
    say(f"{arguments.out}  space {about['embedder']['spaceId']}")
    if "calibration" not in about:
        say("without --calibration every decision is a denial")


COMMANDS: Mapping[str, Command] = {
    "export": Command(configure=_configure_export, run=_export),
    "calibrate": Command(configure=_configure_calibrate, run=_calibrate),
    "pack": Command(configure=_configure_pack, run=_pack),
}
