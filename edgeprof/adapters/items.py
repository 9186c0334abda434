"""What adapters find in a line, and how a claimed number is named.

A claim's name is ``claimed_`` and what it counts, and ends with its unit, so that it cannot be taken for something
that edgeprof measured.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["ENDINGS", "MAX_NAME", "NUMBER", "Claim", "Item", "Known", "Refused", "Said", "claim_of", "unit_of"]

ENDINGS = {
    "ms_per_token": "ms/token", "ticks_per_token": "tick/token", "tok_s": "token/s", "tokens": "token",
    "ns": "ns", "us": "us", "ms": "ms", "s": "s", "hz": "Hz", "bytes": "byte", "kb": "KB", "mb": "MB",
    "mv": "mV", "ua": "uA", "ma": "mA", "uw": "uW", "mw": "mW", "uj": "uJ", "mj": "mJ", "celsius": "°C", "percent": "%",
    "nat": "nat", "perplexity": "", "perplexity_error": "", "chunks": "", "passes": "", "score": "",
    "inferences": "inference", "inferences_s": "inference/s",
}  # fmt: skip
"""What a name may end with, and the unit that it says; KB and MB are whatever the board means by them."""

ALONE = ("ms_per_token", "ticks_per_token", "tok_s", "tokens", "perplexity", "perplexity_error", "inferences_s")
"""Endings that say enough to be a name of their own."""

MAX_NAME = 48
NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
"""A number as C's printf writes one that is not negative, finite, and no stranger than a profile has."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that a board says of itself, in the unit that its name ends with."""

    name: str
    value: float

    @property
    def unit(self) -> str:
        """The unit; empty where it has none."""
        return unit_of(self.name) or ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is in an adapter's form but contradicts itself, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a board says of itself that is no number: its name, a mode."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Known:
    """A line that surely is one of its firmware's, and neither a number nor a token."""


Item = Claim | Refused | Said | Known


def unit_of(name: str) -> str | None:
    """Return the unit that a name's ending says, empty for none; None if it has no registered ending.

    >>> unit_of("claimed_prefill_tok_s")
    'token/s'
    """
    key = name.removeprefix("claimed_")
    if not _KEY.fullmatch(key) or len(name) > MAX_NAME:
        return None
    endings = [e for e in ENDINGS if key.endswith("_" + e) or (key == e and e in ALONE)]
    return ENDINGS[max(endings, key=len)] if endings else None


def claim_of(key: str, value: object) -> Claim | None:
    """Return the claim that ``key`` is ``value``; None where the key has no unit, or the value is no finite number.

    >>> claim_of("ttft_ms", 12.5)
    Claim(name='claimed_ttft_ms', value=12.5)
    """
    name = key if key.startswith("claimed_") else f"claimed_{key}"
    if unit_of(name) is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return Claim(name, number) if math.isfinite(number) else None
