"""What a judge says of evidence, and how parsed evidence is taken apart without trusting its shape."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Reading",
    "UnreadableError",
    "as_json",
    "count",
    "counted",
    "flag",
    "items",
    "listed",
    "number",
    "table",
    "text",
]

_MOST = 5
"""So many of a list stand in a reason; the rest are counted."""


class UnreadableError(ValueError):
    """A file that is there and is not what it should be. The text says what was found in place of what."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files of one piece of evidence say.

    Attributes
    ----------
    shown
        The figures, in words.
    bad
        Reasons to be red, under any profile.
    unsettled
        What these files say was not run or could not be judged: red where everything is required.
    noted
        What a reader should know, and no reason to be red.
    issues
        How many findings count against the threshold of security issues; None where that is not what it is about.
    rows
        The figures, for tables and charts.
    """

    shown: str
    bad: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    issues: int | None = None
    rows: tuple[Mapping[str, Any], ...] = ()


def as_json(content: str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    UnreadableError
        It is empty, or no JSON.
    """
    if not content.strip():
        raise UnreadableError("it is empty")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON ({error})") from error


def table(value: Any, what: str) -> dict[str, Any]:
    """Return a JSON object, or say that ``what`` is none."""
    if not isinstance(value, dict):
        raise UnreadableError(f"{what} is {_kind(value)}, not an object")
    return value


def items(value: Any, what: str) -> list[Any]:
    """Return a JSON array, or say that ``what`` is none."""
    if not isinstance(value, list):
        raise UnreadableError(f"{what} is {_kind(value)}, not a list")
    return value


def text(value: Any, what: str) -> str:
    """Return a text, or say that ``what`` is none."""
    if not isinstance(value, str):
        raise UnreadableError(f"{what} is {_kind(value)}, not a text")
    return value


def flag(value: Any, what: str) -> bool:
    """Return true or false, or say that ``what`` is neither."""
    if not isinstance(value, bool):
        raise UnreadableError(f"{what} is {_kind(value)}, not true or false")
    return value


def number(value: Any, what: str) -> float:
    """Return a finite number, or say that ``what`` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableError(f"{what} is {_kind(value)}, not a number")
    return float(value)


def count(value: Any, what: str) -> int:
    """Return a whole number that is not negative, or say that ``what`` is none."""
    found = number(value, what)
    if found < 0 or found != int(found):
        raise UnreadableError(f"{what} is {found:g}, not a count")
    return int(found)


def _kind(value: Any) -> str:
    return "not there" if value is None else f"a {type(value).__name__}"


def counted(n: int, noun: str) -> str:
    """Return a count with its noun: ``1 test``, ``1,200 tests``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Return the first few of a list in words, and how many more there are."""
    more = len(names) - _MOST
    return "; ".join(names[:_MOST]) + (f"; and {more} more" if more > 0 else "")
