"""What pip-audit's report comes to. A package that nobody could look up is not a clean one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Audit:
    """The judgement of a report.

    Attributes
    ----------
    audited : int
        Packages that the advisory service knew.
    unknown : dict of str to str
        Packages that were not audited, each with the reason.
    faulty : dict of str to list of str
        Packages (``name version``) with known faults, each with the advisories' names.
    """

    audited: int
    unknown: dict[str, str] = field(default_factory=dict)
    faulty: dict[str, list[str]] = field(default_factory=dict)

    @property
    def verdict(self) -> Literal["faulty", "not run", "incomplete", "clean"]:
        """Clean is only what was audited as a whole: pip-audit ends with 0, too, where it could look up nothing."""
        if self.faulty:
            return "faulty"
        if not self.audited:
            return "not run"
        return "incomplete" if self.unknown else "clean"

    def __str__(self) -> str:
        listed = self.audited + len(self.unknown)
        said = [f"{self.verdict}: {self.audited} of {listed} packages audited, {len(self.faulty)} with known faults"]
        said += [f"{package}: {', '.join(names)}" for package, names in self.faulty.items()]
        return "; ".join(said)


def judge(report: dict[str, Any], own: str = "edgeprof") -> Audit:
    """Return what a report of ``pip-audit --format=json`` comes to, our own package left out: no service knows it."""
    listed = [entry for entry in report["dependencies"] if entry["name"] != own]
    audited = [entry for entry in listed if "vulns" in entry]
    return Audit(
        len(audited),
        {e["name"]: e.get("skip_reason", "no reason was given") for e in listed if "vulns" not in e},
        {f"{e['name']} {e['version']}": [v["id"] for v in e["vulns"]] for e in audited if e["vulns"]},
    )
