"""Times of things beside each other, on a machine whose speed changes from moment to moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turns(works: Mapping[str, Callable[[], Any]], turns: int, seconds: float = 0.4) -> dict[str, float]:
    """Return the least CPU time that each took.

    They take turns of as long a time each, so that a slow moment of the machine hits all, and none has more luck.
    """
    least = dict.fromkeys(works, float("inf"))
    for _ in range(turns):
        for name, work in works.items():
            until = time.monotonic() + seconds
            while True:
                began = time.process_time()
                work()
                least[name] = min(least[name], time.process_time() - began)
                if time.monotonic() >= until:
                    break
    return least
