"""``facetrain train`` and ``facetrain distill``: a recipe, where its data lies, where it goes."""

import argparse
from dataclasses import replace

from facetrain.command import STOPPED, Command, say
from facetrain.commands.recipe_arguments import add_recipe_arguments, recipe_of
from facetrain.config import Run


def _configure(parser: argparse.ArgumentParser, command: str, example: str) -> None:
    add_recipe_arguments(
        parser, command=command, kind="Run", example=example, setting="optim.lr=0.05"
    )


def _run(arguments: argparse.Namespace, *, distils: bool) -> int:
    run = recipe_of(arguments, Run)
    if distils and not run.terms:
        raise ValueError(f"recipe {arguments.recipe} has no terms to distil by; use train")
    if arguments.max_minutes is not None:
        run = replace(run, loop=replace(run.loop, max_minutes=arguments.max_minutes))
    from facetrain.training import train

    finish = train(run, arguments.out, device=arguments.device)
    state = "complete" if finish.complete else f"stopped: {finish.reason}; run again to continue"
    say(f"{arguments.out}: step {finish.step}, epoch {finish.epoch}, {state}")
    return 0 if finish.complete else STOPPED


COMMANDS = {
    "train": Command(
        configure=lambda parser: _configure(parser, "train", "toy:student"),
        run=lambda arguments: _run(arguments, distils=False),
    ),
    "distill": Command(
        configure=lambda parser: _configure(parser, "distill", "toy:distilled"),
        run=lambda arguments: _run(arguments, distils=True),
    ),
}
