"""``facetrain search``: a recipe of a search over two halves of a set."""

import argparse

from facetrain.command import STOPPED, Command, say
from facetrain.commands.recipe_arguments import add_recipe_arguments, recipe_of


def _configure(parser: argparse.ArgumentParser) -> None:
    add_recipe_arguments(
        parser, command="search", kind="SearchRun", example="search:toy", setting="search.epochs=8"
    )


def _run(arguments: argparse.Namespace) -> int:
    from facetrain.searching import SearchRun, search

    run = recipe_of(arguments, SearchRun)
    outcome = search(run, arguments.out, device=arguments.device, max_minutes=arguments.max_minutes)
    why = f" ({outcome.reason})" if outcome.reason else ""
    state = "complete" if outcome.complete else "stopped; run again to continue"
    say(f"{arguments.out}: step {outcome.step}, epoch {outcome.epoch}, {state}{why}")
    say(f"{arguments.out / 'genotype.json'}: for --set model.options.genotype=…")
    return 0 if outcome.complete else STOPPED


COMMANDS = {"search": Command(configure=_configure, run=_run)}
