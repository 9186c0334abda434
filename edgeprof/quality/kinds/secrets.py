"""The search for secrets: keys and passwords in files, those that were looked at before left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, as_json, count, counted, items, listed, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["Search", "judge", "read"]


@dataclass(frozen=True, slots=True)
class Search:
    """How many files were searched, and (file, line, type) of what is new."""

    checked_files: int
    new: tuple[tuple[str, int, str], ...]


def read(content: str) -> Search:
    """Return what a search found."""
    data = table(as_json(content), "the whole")
    new = [table(each, "an entry of new") for each in items(data.get("new"), "new")]
    return Search(
        count(data.get("checked_files"), "checked_files"),
        tuple((text(e.get("file"), "file"), count(e.get("line"), "line"), text(e.get("type"), "type")) for e in new),
    )


def judge(found: Sequence[tuple[str, Search]], limits: Limits) -> Reading:
    """Judge a search: files were searched, and nothing new is in them. No threshold makes a key harmless."""
    del limits
    new = [each for _, search in found for each in search.new]
    files = sum(search.checked_files for _, search in found)
    bad = [f"{name} searched no file; wanted all of the repository's." for name, s in found if not s.checked_files]
    if new:
        said = listed([f"{kind} at {file}:{line}" for file, line, kind in new])
        bad.append(
            f"{counted(len(new), 'new secret')}; wanted none: {said}. Revoke each, then take it out of the history."
        )
    rows = tuple(
        {"tool": "secrets", "rule": k, "level": "error", "file": f, "line": n, "message": ""} for f, n, k in new
    )
    return Reading(f"{counted(files, 'file')} searched, {counted(len(new), 'new secret')}", tuple(bad), rows=rows)
