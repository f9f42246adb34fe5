"""Recipes by name: ``module:function`` in this package, or ``file.py:function`` anywhere."""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import facetrain.recipes
from facetrain.config import Run

NOT_RECIPES = {"find", "commands"}
Recipe = Callable[[], Run]


def find_recipe(name: str) -> Run:
    """The run of a recipe.

    Raises:
        ValueError: There is no such module, file or function.
    """
    source, _, function = name.rpartition(":")
    if not source:
        raise ValueError(f"recipe {name!r}: write module:function; there are {_names()}")
    module = _from_file(Path(source)) if source.endswith(".py") else _from_package(source)
    recipes = recipes_of(module)
    if function not in recipes:
        raise ValueError(f"recipe {name!r}: {source} has {', '.join(recipes)}")
    return recipes[function]()


def recipes_of(module: ModuleType) -> Mapping[str, Recipe]:
    """Public functions of the module that return a run, in their order."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.signature(function).parameters
    }


def all_recipes() -> Mapping[str, str]:
    """Name → first line of its description, for every recipe of this package."""
    described = {}
    for info in pkgutil.iter_modules(facetrain.recipes.__path__):
        if info.name not in NOT_RECIPES:
            for name, recipe in recipes_of(_from_package(info.name)).items():
                described[f"{info.name}:{name}"] = (recipe.__doc__ or "").strip().split("\n")[0]
    return described


def _names() -> str:
    return ", ".join(all_recipes())


def _from_package(name: str) -> ModuleType:
    known = [i.name for i in pkgutil.iter_modules(facetrain.recipes.__path__)]
    if name in NOT_RECIPES or name not in known:
        raise ValueError(f"there are no recipes {name!r}; there are {_names()}")
    return importlib.import_module(f"facetrain.recipes.{name}")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file of recipes")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
