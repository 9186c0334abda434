"""What the verbs of the data set's care print: a line a capture, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.rewrite import Outcome

__all__ = ["show"]


def show(outcomes: Iterable[Outcome], *, all_of_them: bool = False) -> int:
    """Print what became of each capture; return the exit code.

    Storage (5) comes before a judgement (1). That some captures could not be judged (2) is the result only where
    that is so of every one, or if ``all_of_them`` should have been.
    """
    from edgeprof.display import terminal_text

    codes = []
    for outcome in outcomes:
        print(f"{terminal_text(outcome.capture, 120)}: {terminal_text(outcome.what, 600)}")
        codes.append(outcome.code)
    for code in (5, 1):
        if code in codes:
            return code
    return 2 if 2 in codes and (all_of_them or set(codes) == {2}) else 0
