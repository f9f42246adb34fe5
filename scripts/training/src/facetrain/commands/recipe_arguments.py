"""The arguments of every command that runs a recipe."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from facetrain.config_json import with_settings
from facetrain.recipes.find import all_recipes, find_recipe

T = TypeVar("T")

EPILOG = """
A recipe is MODULE:FUNCTION of facetrain.recipes, or FILE.py:FUNCTION. Any option of it is
changed by --set, for example:

  facetrain {command} {example} --data faces.pack --out runs/first \\
      --set {setting}

The same command continues a run that was stopped (--max-minutes, SIGTERM: exit status 3; a kill).
Several GPUs: torchrun --nproc-per-node=4 -m facetrain {command} …
"""


def add_recipe_arguments(
    parser: argparse.ArgumentParser, *, command: str, kind: str, example: str, setting: str
) -> None:
    """Recipe, data, teacher, folder, device, settings; and the list of recipes as epilogue."""
    recipes = all_recipes(kind)
    width = max(map(len, recipes))
    listed = "\n".join(f"  {recipe:<{width}}  {about}" for recipe, about in recipes.items())
    text = EPILOG.format(command=command, example=example, setting=setting)
    parser.epilog = f"recipes:\n{listed}\n{text}"
    parser.add_argument("recipe", help="module:function, or file.py:function")
    parser.add_argument("--data", type=Path, help="pack, folder, list file, .rec or tar of crops")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--teacher", type=Path, help="checkpoint, folder of a run, .onnx or .npy")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="change an option"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--max-minutes", type=float, help="checkpoint and stop after this time")


def recipe_of(arguments: argparse.Namespace, kind: type[T]) -> T:
    """The recipe's run with what the command line adds."""
    run = with_settings(find_recipe(arguments.recipe, kind), settings_of(arguments.set))
    for part, path in (("data", arguments.data), ("teacher", arguments.teacher)):
        if path is not None:
            options = replace(getattr(run, part), path=str(path))
            run = replace(run, **{part: options})  # pyright: ignore[reportArgumentType]
    return run


def settings_of(given: list[str]) -> Mapping[str, str]:
    """``["optim.lr=0.05"]`` as a mapping."""
    settings = {}
    for setting in given:
        path, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write PATH=VALUE, for example optim.lr=0.05")
        settings[path] = value
    return settings
