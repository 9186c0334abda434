"""pip-audit's JSON: which installed packages have known faults, and which nobody could ask about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, UnreadableError, as_json, counted, items, listed, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["OWN", "Package", "judge", "read"]

OWN = "edgeprof"
"""This package itself, which is in no database of faults while it is developed."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package: the faults that are known of it, or why it was not audited."""

    name: str
    version: str
    faults: tuple[str, ...]
    skipped: str


def read(content: str) -> tuple[Package, ...]:
    """Return the packages of an audit, without edgeprof itself."""
    data = table(as_json(content), "the whole")
    packages = []
    for entry in items(data.get("dependencies"), "dependencies"):
        name = text(table(entry, "a dependency").get("name"), "the name of a dependency")
        if "vulns" not in entry and "skip_reason" not in entry:
            raise UnreadableError(f"{name} has neither vulns nor a skip_reason")
        vulns = items(entry.get("vulns", []), f"vulns of {name}")
        ids = tuple(text(table(vuln, "a fault").get("id"), f"the id of a fault of {name}") for vuln in vulns)
        skipped = "" if "vulns" in entry else text(entry["skip_reason"], f"skip_reason of {name}") or "no reason given"
        packages.append(Package(name, str(entry.get("version", "")), ids, skipped))
    return tuple(package for package in packages if package.name.lower() != OWN)


def judge(found: Sequence[tuple[str, tuple[Package, ...]]], limits: Limits) -> Reading:
    """Judge an audit: something was audited, nothing was left out, and no fault is known."""
    del limits
    packages = [package for _, listed_there in found for package in listed_there]
    faulty, skipped = [p for p in packages if p.faults], [p for p in packages if p.skipped]
    audited = len(packages) - len(skipped)
    bad, unsettled = [], []
    if faulty:
        names = listed([f"{p.name} {p.version}: {', '.join(p.faults)}".replace("  ", " ") for p in faulty])
        bad.append(f"{counted(len(faulty), 'package')} with known faults; wanted none: {names}. Upgrade them.")
    if not audited:
        why = f" ({skipped[0].skipped})" if skipped else ""
        unsettled.append(
            f"It audited nothing: none of {counted(len(packages), 'package')}{why}. Run it where the service answers."
        )
    elif skipped:
        names = listed([f"{p.name} ({p.skipped})" for p in skipped])
        unsettled.append(f"{len(skipped)} of {counted(len(packages), 'package')} not audited: {names}. Run it again.")
    shown = f"{audited} of {counted(len(packages), 'package')} audited"
    shown += f", {len(faulty)} with known faults" if audited else ""
    rows = tuple(
        {
            "tool": "pip-audit",
            "rule": fault,
            "level": "error",
            "file": f"{p.name} {p.version}",
            "line": None,
            "message": "",
        }
        for p in faulty
        for fault in p.faults
    )
    return Reading(shown, tuple(bad), tuple(unsettled), rows=rows)
