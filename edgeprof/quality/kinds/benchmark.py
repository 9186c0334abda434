"""pytest-benchmark's JSON: the figures that a comparison was made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, as_json, counted, items, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["judge", "read"]


def read(content: str) -> tuple[str, ...]:
    """Return the names of the benchmarks in a file."""
    data = table(as_json(content), "the whole")
    listed = items(data.get("benchmarks"), "benchmarks")
    for one in listed:
        table(table(one, "a benchmark").get("stats"), "stats of a benchmark")
    return tuple(text(one.get("name"), "the name of a benchmark") for one in listed)


def judge(found: Sequence[tuple[str, tuple[str, ...]]], limits: Limits) -> Reading:
    """Judge whether there are figures at all; whether they are good is said by the comparison."""
    del limits
    bad = [f"{name} holds no benchmark; wanted at least one." for name, names in found if not names]
    return Reading(counted(sum(len(names) for _, names in found), "benchmark"), tuple(bad))
