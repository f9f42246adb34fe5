"""Recipes by name: ``module:function`` in this package, or ``file.py:function`` anywhere."""

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")
HERE = Path(__file__).parent


def find_recipe(name: str, kind: type[T]) -> T:
    """What a recipe returns.

    Raises:
        ValueError: There is no such module, file or function, or it returns something else.
    """
    source, _, function = name.rpartition(":")
    known = all_recipes(kind.__name__)
    if not source:
        raise ValueError(f"recipe {name!r}: write module:function; there are {', '.join(known)}")
    if source.endswith(".py"):
        module = _from_file(Path(source))
    elif name in known:
        module = importlib.import_module(f"{__package__}.{source}")
    else:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(known)}")
    recipe = getattr(module, function, None)
    if not inspect.isfunction(recipe):
        raise ValueError(f"recipe {name!r}: {source} has no function {function!r}")
    run = recipe()
    if not isinstance(run, kind):
        raise ValueError(f"recipe {name!r} returns {type(run).__name__}, not {kind.__name__}")
    return run


def all_recipes(kind: str) -> Mapping[str, str]:
    """Name → first line of its description, of this package's recipes for a kind of run.

    Read from the source by the annotated return type: nothing is imported.
    """
    described = {}
    for file in sorted(HERE.glob("*.py")):
        if file.name in ("__init__.py", Path(__file__).name):
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            if isinstance(node.returns, ast.Name) and node.returns.id == kind:
                about = (ast.get_docstring(node) or "").split("\n")[0]
                described[f"{file.stem}:{node.name}"] = about
    return described


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file of recipes")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
