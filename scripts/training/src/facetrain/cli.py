"""``facetrain COMMAND``: finds the command, then imports it; nothing heavy before."""

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

from facetrain.command import Command

COMMANDS: Mapping[str, tuple[str, str]] = {
    "data": ("facetrain.data.commands", "read, align, pack, split and look at pictures of faces"),
    "search": (
        "facetrain.commands.search",
        "search PocketNet's space for cells; writes a genotype",
    ),
    "train": ("facetrain.commands.training", "train a backbone by a recipe"),
    "distill": ("facetrain.commands.training", "train by a recipe that learns from a teacher"),
    "keep": ("facetrain.commands.keep", "a run's weights, small enough to commit and go on from"),
    "refit": ("facetrain.commands.refit", "a student's last layer by regression on its teacher"),
    "compare": ("facetrain.commands.compare", "a checkpoint beside its teacher: mean cosine, EER"),
    "embed": ("facetrain.commands.embed", "embeddings of a set, for a precomputed teacher"),
    "evaluate": ("facetrain.evaluate.commands", "verification, identification and rates by group"),
    "export": (
        "facetrain.export.commands",
        "fold a checkpoint and write it as ONNX, INT8 if wanted",
    ),
    "calibrate": ("facetrain.export.commands", "measure which score means which false match rate"),
    "pack": ("facetrain.export.commands", "put detector, embedder and calibration into a pack"),
    "report": ("facetrain.commands.report", "a pack's figures beside its targets"),
    "bench": (
        "facetrain.commands.bench",
        "images per second of backbones, beside the machine's limits",
    ),
    "detector": (
        "facetrain.detector.commands",
        "train, distil, evaluate and export a face detector",
    ),
}
"""Command → the module that has it, and what it does."""

USER_ERROR, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given else ""
    if name not in COMMANDS:
        return _overview(given)
    module, summary = COMMANDS[name]
    command: Command = importlib.import_module(module).COMMANDS[name]
    parser = argparse.ArgumentParser(
        prog=f"facetrain {name}",
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    parsed = parser.parse_args(given[1:])
    logging.basicConfig(
        level=os.environ.get("FACETRAIN_LOG", "INFO").upper(),
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        return command.run(parsed) or 0
    except ValueError as error:
        if _raised_by(error) == "torch":
            # Nothing that a user could change is named in it: a fault of this package, shown whole.
            raise
        sys.stderr.write(f"facetrain {name}: {error}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _raised_by(error: BaseException) -> str:
    """The package whose code raised an error."""
    *_, last = traceback.walk_tb(error.__traceback__)
    return str(last[0].f_globals.get("__name__", "")).partition(".")[0]


def _overview(given: list[str]) -> int:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    text = "usage: facetrain COMMAND …\n\n" + "\n".join(lines)
    text += "\n\nfacetrain COMMAND --help says what a command takes.\n"
    if given and given[0] not in ("-h", "--help"):
        sys.stderr.write(f"facetrain: there is no command {given[0]!r}\n\n{text}")
        return USER_ERROR
    (sys.stdout if given else sys.stderr).write(text)
    return 0 if given else USER_ERROR
