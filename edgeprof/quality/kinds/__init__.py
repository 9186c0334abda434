"""The kinds of evidence: each a reader of one file's text, and a judge of all files of one piece of evidence.

A reader raises :class:`edgeprof.quality.reading.UnreadableError`. A judge takes ``(name of the file, what was read)``
and the limits; both are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeprof.quality.kinds import (
    audit,
    benchmark,
    container,
    coverage,
    gate,
    junit,
    needs,
    regression,
    sarif,
    sbom,
    secrets,
    validation,
)
from edgeprof.quality.reading import Reading

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How evidence of a kind is read and judged; ``wanted`` says in words what a file of it is."""

    wanted: str
    read: Callable[[str], Any]
    judge: Callable[[Sequence[tuple[str, Any]], Limits], Reading]


KINDS: Mapping[str, Kind] = {
    "audit": Kind("pip-audit's JSON", audit.read, audit.judge),
    "benchmark": Kind("pytest-benchmark's JSON", benchmark.read, benchmark.judge),
    "container": Kind("the JSON of the container's checks", container.read, container.judge),
    "coverage": Kind("coverage.py's JSON", coverage.read, coverage.judge),
    "gate": Kind("results.json of `edgeprof gate --out`", gate.read, gate.judge),
    "junit": Kind("JUnit XML", junit.read, junit.judge),
    "needs": Kind("GitHub's toJSON(needs)", needs.read, needs.judge),
    "regression": Kind("the JSON of benchmarks of base and head", regression.read, regression.judge),
    "sarif": Kind("SARIF 2.1.0", sarif.read, sarif.judge),
    "sbom": Kind("CycloneDX 1.6 as JSON", sbom.read, sbom.judge),
    "secrets": Kind("the JSON of the search for secrets", secrets.read, secrets.judge),
    "validation": Kind("the JSON of the SBOM's validation", validation.read, validation.judge),
}
"""All kinds, by the names that rules have for them."""
