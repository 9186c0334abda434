"""``results.json``: everything that a gate found, for programs. The format is documented in ``docs/gate.md``."""

from __future__ import annotations

import json
import math
from typing import Any

from edgeprof._version import __version__
from edgeprof.changes import Change
from edgeprof.gating import GateResult

__all__ = ["FORMAT_VERSION", "results_json"]

FORMAT_VERSION = 1
"""Raised when a key changes its meaning or goes; new keys do not raise it."""


def results_json(result: GateResult) -> str:
    """Return the result as JSON; what is not known is null."""
    found = {
        "format_version": FORMAT_VERSION,
        "edgeprof_version": __version__,
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "base": result.base,
        "candidate": result.candidate,
        "measured_at": result.measured_at or None,
        "problems": list(result.problems),
        "notes": list(result.notes),
        "checks": [
            check.cell.names()
            | {
                "metric": check.metric,
                "outcome": check.outcome,
                "word": check.word,
                "reason": check.reason,
                "limit_pct": _percent(check.limit),
            }
            | _change(check.change)
            for check in result.checks
        ],
    }
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _change(change: Change | None) -> dict[str, Any]:
    if change is None:
        return {}
    verdict = change.verdict
    return {
        "unit": change.unit,
        "better": change.better,
        "base_value": _number(change.base),
        "candidate_value": _number(change.candidate),
        "n_base": change.n_base,
        "n_candidate": change.n_candidate,
        "method": change.method,
        "change_pct": _percent(verdict.change),
        "low_pct": _percent(verdict.low),
        "high_pct": _percent(verdict.high),
        "smallest_pct": _percent(change.smallest),
        "certain": verdict.certain,
        "more_runs": verdict.more_runs,
        "findings": [{"kind": f.kind, "text": f.text, "next_step": f.next_step} for f in change.findings],
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _percent(fraction: float) -> float | None:
    return None if not math.isfinite(fraction) else round(100 * float(fraction), 6)
