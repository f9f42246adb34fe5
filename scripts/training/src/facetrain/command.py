"""What a command of the command line is, and how it speaks.

A module of commands has ``COMMANDS: Mapping[str, Command]``. It is imported once the command is
known; what is heavy (torch, ONNX Runtime) it imports inside ``run``, so that ``--help`` answers at
once.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

STOPPED = 3
"""Exit status of work that was stopped before its end: the same command continues it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One command."""

    configure: Callable[[argparse.ArgumentParser], None]
    """Add the description and the arguments."""
    run: Callable[[argparse.Namespace], int | None]
    """Do it; the exit status, None for 0. ``ValueError`` is the user's mistake: its message is
    shown without a trace."""


def say(text: str) -> None:
    """One line of a command's result on stdout; progress and logs go to stderr."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
