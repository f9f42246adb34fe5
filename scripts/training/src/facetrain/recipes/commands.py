"""``facetrain train`` and ``facetrain distill``: a recipe, where its data lies, where it goes."""

import argparse
from dataclasses import replace
from pathlib import Path

from facetrain.command import STOPPED, Command, say
from facetrain.config import Run
from facetrain.config_json import with_settings

EPILOG = """
A recipe is MODULE:FUNCTION of facetrain.recipes, or FILE.py:FUNCTION. Any option of it is
changed by --set, for example:

  facetrain {name} {example} --data faces.pack --out runs/first \\
      --set loop.epochs=10 --set optim.lr=0.05

The same command continues a run that was stopped (--max-minutes, SIGTERM: exit status 3; a kill).
Several GPUs: torchrun --nproc-per-node=4 -m facetrain {name} …
"""


def run_of(arguments: argparse.Namespace) -> Run:
    """The recipe's run with what the command line adds."""
    from facetrain.recipes.find import find_recipe

    settings = {}
    for setting in arguments.set:
        path, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write PATH=VALUE, for example optim.lr=0.05")
        settings[path] = value
    run = with_settings(find_recipe(arguments.recipe), settings)
    if arguments.data is not None:
        run = replace(run, data=replace(run.data, path=str(arguments.data)))
    if arguments.teacher is not None:
        run = replace(run, teacher=replace(run.teacher, path=str(arguments.teacher)))
    if arguments.max_minutes is not None:
        run = replace(run, loop=replace(run.loop, max_minutes=arguments.max_minutes))
    return run


def _configure(parser: argparse.ArgumentParser, name: str, example: str) -> None:
    from facetrain.recipes.find import all_recipes

    recipes = all_recipes()
    width = max(map(len, recipes))
    listed = "\n".join(f"  {recipe:<{width}}  {about}" for recipe, about in recipes.items())
    parser.epilog = f"recipes:\n{listed}\n{EPILOG.format(name=name, example=example)}"
    parser.add_argument("recipe", help="module:function, or file.py:function")
    parser.add_argument("--data", type=Path, help="pack, folder, list file, .rec or tar of crops")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--teacher", type=Path, help="checkpoint, folder of a run, .onnx or .npy")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="change an option"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--max-minutes", type=float, help="checkpoint and stop after this time")


def _run(arguments: argparse.Namespace, *, distils: bool) -> int:
    run = run_of(arguments)
    if distils and not run.terms:
        raise ValueError(f"recipe {arguments.recipe} has no terms to distil by; use train")
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
