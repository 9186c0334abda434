"""The quality gate: whether all that a build left as evidence is there, can be read, and is good.

Sessions leave files in a folder (JUnit, coverage, SARIF, audits, benchmarks, an SBOM, …). Rules (:mod:`.rules`) say
which must be there under a profile, and how good is good enough. Each kind of evidence (:mod:`.kinds`) is a reader of
text and a judge of what was read. What was not run is never counted as clean: it is ``not run``, its figures unknown.
"""

from __future__ import annotations

from edgeprof.quality.evidence import judge_folder
from edgeprof.quality.judging import Check, Quality, judge
from edgeprof.quality.rules import PROFILES, Evidence, Limits, Rules, load_rules, parse_rules

__all__ = [
    "PROFILES",
    "Check",
    "Evidence",
    "Limits",
    "Quality",
    "Rules",
    "judge",
    "judge_folder",
    "load_rules",
    "parse_rules",
]
