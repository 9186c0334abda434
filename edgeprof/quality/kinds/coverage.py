"""coverage.py's JSON: how much of the package the tests executed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from edgeprof.quality.reading import Reading, UnreadableError, as_json, count, number, table

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["Covered", "judge", "read"]


@dataclass(frozen=True, slots=True)
class Covered:
    """Coverage of everything in percent, and (covered, all) lines and branches by part of the package."""

    percent: float
    statements: int
    parts: tuple[tuple[str, int, int], ...]


def read(content: str) -> Covered:
    """Return what coverage.py's JSON says."""
    data = table(as_json(content), "the whole")
    totals = table(data.get("totals"), "totals")
    percent = number(totals.get("percent_covered"), "totals.percent_covered")
    if not 0 <= percent <= 100:
        raise UnreadableError(f"totals.percent_covered is {percent:g}, not a percentage")
    statements = count(totals.get("num_statements"), "totals.num_statements")
    parts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, entry in table(data.get("files", {}), "files").items():
        covered, everything = _counts(table(table(entry, name).get("summary"), f"summary of {name}"), name)
        part = parts[_part(name)]
        part[0] += covered
        part[1] += everything
    return Covered(percent, statements, tuple((part, done, of) for part, (done, of) in sorted(parts.items())))


def _counts(summary: dict[str, Any], name: str) -> tuple[int, int]:
    def of(key: str) -> int:
        return count(summary.get(key, 0), f"{key} of {name}")

    return of("covered_lines") + of("covered_branches"), of("num_statements") + of("num_branches")


def _part(name: str) -> str:
    """Return the folder that a file is counted in: the package itself or one of its own folders."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(parts[:-1][:2]) or "."


def judge(found: Sequence[tuple[str, Covered]], limits: Limits) -> Reading:
    """Judge coverage against the least there may be."""
    least = limits.coverage_threshold_percent
    bad = []
    for name, covered in found:
        if not covered.statements:
            bad.append(f"{name} measured no statement; wanted the package's. Look at what coverage was told to watch.")
        elif covered.percent < least:
            said = f"{name}: {_down(covered.percent)} % is covered; wanted at least {least:g} %."
            bad.append(f"{said} Test what reports/coverage/html shows in red.")
    shown = ", ".join(f"{_down(covered.percent)} % covered" for _, covered in found)
    rows = [
        {"part": part, "covered": covered, "all": everything, "percent": 100 * covered / everything}
        for part, covered, everything in (found[0][1].parts if found else ())
        if everything
    ]
    total = [{"part": "all", "percent": covered.percent} for _, covered in found[:1] if covered.statements]
    return Reading(shown, tuple(bad), rows=(*total, *rows))


def _down(percent: float) -> str:
    """Return a percentage rounded down, so that 79.999 is never shown as what was wanted."""
    return f"{math.floor(100 * percent + 1e-9) / 100:.2f}"
