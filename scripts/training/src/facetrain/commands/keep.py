"""``facetrain keep``: a run's averaged weights in half precision, small enough to commit."""

import argparse
from pathlib import Path

from facetrain.command import Command, say

EPILOG = """
A later run starts from such a file with --set model.init_from=FILE; evaluate and export read it
like any checkpoint. Optimiser and schedule are not in it.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("checkpoint", type=Path, help="a run's last.pt")
    parser.add_argument("--out", type=Path, required=True, help="the .pt file")


def _run(arguments: argparse.Namespace) -> None:
    from facetrain.engine.small import keep

    size = keep(arguments.checkpoint, arguments.out)
    say(f"{arguments.out}: {size / 2**20:.2f} MiB")


COMMANDS = {"keep": Command(configure=_configure, run=_run)}
