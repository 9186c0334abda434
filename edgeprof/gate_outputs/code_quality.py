"""``gl-code-quality.json``: a code quality report, which GitLab shows beside a merge request."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from edgeprof.display import terminal_text
from edgeprof.gate_outputs.wording import LONGEST_REASON, one_line
from edgeprof.gating import BELOW, Check, GateResult

__all__ = ["code_quality_json"]

PATH = "gate.toml"
"""No line of code is at fault by name, and the format asks for a place."""
_SEVERITIES = {"fail": "critical", "could not judge": "major"}


def code_quality_json(result: GateResult) -> str:
    """Return what failed, what could not be judged and what is worse below its limit, in GitLab's format."""
    found = [
        _entry(check.metric, one_line(check), _SEVERITIES.get(check.outcome, "minor"), _identity(check))
        for check in result.checks
        if check.outcome in _SEVERITIES or check.word == BELOW
    ]
    found += [_entry("data", problem, "major", ("problem", problem)) for problem in result.problems]
    return json.dumps(found, indent=1) + "\n"


def _identity(check: Check) -> tuple[str, ...]:
    """Return what makes it the same finding in the next run: what was judged, and not the figures."""
    return (*check.cell.names().values(), check.metric, check.outcome)


def _entry(name: str, text: str, severity: str, identity: tuple[str, ...]) -> dict[str, Any]:
    return {
        "description": terminal_text(text, LONGEST_REASON + 200),
        "check_name": f"edgeprof.gate.{name}".rstrip(".*"),
        "fingerprint": hashlib.sha256("\0".join(identity).encode()).hexdigest(),
        "severity": severity,
        "location": {"path": PATH, "lines": {"begin": 1}},
    }
