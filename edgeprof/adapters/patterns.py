"""Adapters that are a list of patterns: most firmware prints with a fixed format."""

from __future__ import annotations

import re
from typing import Any

from edgeprof.adapters.items import NUMBER, Item, Known, claim_of

__all__ = ["Patterns"]

_PLACE = re.compile(r"\{(\w+)\}")


class Patterns:
    """An adapter without memory: a line is taken if one of its patterns is all of it.

    Parameters
    ----------
    name, description
        What it is called, and whose lines it reads.
    example
        Lines that it takes, each of them.
    patterns
        Regular expressions in which ``{decode_ms}`` stands for a number that becomes the claim
        ``claimed_decode_ms``. A brace of the expression's own is not possible. One that has no place is a line that
        is known and says no number.
    """

    def __init__(self, name: str, description: str, example: str, patterns: tuple[str, ...]) -> None:
        self.name, self.description, self.example = name, description, example
        self.patterns = [re.compile(_PLACE.sub(rf"(?P<\1>{NUMBER})", p), re.ASCII) for p in patterns]

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return the claims of a line."""
        for pattern in self.patterns:
            found = pattern.fullmatch(line)
            if found:
                said = ((key, float(text)) for key, text in found.groupdict().items() if text is not None)
                return [claim for key, value in said if (claim := claim_of(key, value))] or [Known()]
        return []
