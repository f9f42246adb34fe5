"""Options as JSON and back, checked against their annotations; and single options by path."""

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Plain dictionaries, lists, numbers and strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f"{value!r} cannot stand in a run: only plain values can")


def from_json(kind: type[T], value: Any, where: str = "") -> T:
    """The dataclass ``kind`` from what ``to_json`` gives; defaults fill in what is left out.

    Raises:
        ValueError: An unknown key or a value of another type, named by its path.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where or kind.__name__}: expected an object, found {value!r}")
    hints = get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise ValueError(
            f"{where or kind.__name__}: no option {unknown[0]!r}; there are {', '.join(hints)}"
        )
    return kind(**{key: _typed(hints[key], item, _join(where, key)) for key, item in value.items()})


def with_settings(run: T, settings: Mapping[str, str]) -> T:
    """The run with options replaced: ``{"optim.lr": "0.05"}``; values are JSON or plain words."""
    tree = to_json(run)
    for path, text in settings.items():
        *parents, last = path.split(".")
        branch = tree
        for name in parents:
            branch = branch.get(name) if isinstance(branch, dict) else None
        if not isinstance(branch, dict):
            raise ValueError(f"{path}: there is no such option")
        try:
            branch[last] = json.loads(text)
        except json.JSONDecodeError:
            branch[last] = text
    return from_json(type(run), tree)


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(next(a for a in arguments if a is not type(None)), value, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where}: expected a list, found {value!r}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(value):
            raise ValueError(f"{where}: expected {len(kinds)} values, found {len(value)}")
        return tuple(
            _typed(k, v, f"{where}[{n}]") for n, (k, v) in enumerate(zip(kinds, value, strict=True))
        )
    if origin is Literal or hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected: Any = Mapping if origin is not None else hint
    if not isinstance(value, expected) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, found {value!r}")
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
