"""Checks of options whose message says what was given and what is allowed."""

from collections.abc import Sequence


def one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ``ValueError`` unless the value is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(str, allowed))}")


def at_least(name: str, value: float, low: float) -> None:
    """Raise ``ValueError`` for a value below ``low``."""
    if not value >= low:
        raise ValueError(f"{name} is {value}; it must be {low} or more")


def between(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    """Raise ``ValueError`` for a value outside [low, high], or (low, high]."""
    if not low <= value <= high or (open_low and value == low):
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} is {value}; it must lie in {bracket}{low}, {high}]")
