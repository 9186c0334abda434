"""What a quality gate found, as the tables of its report and the tidy frames of its charts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from edgeprof.quality.judging import Check, Outcome, Quality

__all__ = [
    "changes_for_plot",
    "coverage_frame",
    "coverage_table",
    "evidence_table",
    "findings_table",
    "headline",
    "reasons_table",
    "regression_table",
    "security_note",
    "tests_frame",
    "tests_table",
    "verdict_record",
    "verdict_table",
]

_ORDER: tuple[Outcome, ...] = ("fail", "not run", "pass")
_NOT_RUN = "not run"
_FOUND = ["tool", "rule", "level", "place", "message"]


def _in_order(quality: Quality) -> list[Check]:
    return sorted(quality.checks, key=lambda check: _ORDER.index(check.outcome))


def verdict_table(quality: Quality) -> pd.DataFrame:
    """Return the verdict in a line, the thresholds, and what they were held against."""
    limits, head = quality.limits, headline(quality)
    rows = [
        ("verdict", quality.headline, ""),
        ("coverage", _percent(head["coverage_percent"]), f"at least {limits.coverage_threshold_percent:g} %"),
        ("findings of security tools", _with_rest(quality, "sarif", _count(head["security_findings"])),
         f"at most {limits.security_issues_threshold:g}"),
        ("known faults of dependencies", _count(head["known_faults"]), "none"),
        ("new secrets", _count(head["new_secrets"]), "none"),
        ("benchmarks too slow", _count(head["benchmarks_too_slow"]),
         f"none by more than {limits.performance_regression_threshold_percent:g} %"),
        ("tests failed", _with_rest(quality, "junit", _count(head["tests_failed"])), "none"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["", "found", "wanted"], dtype=object)


def headline(quality: Quality) -> dict[str, Any]:
    """Return the figures that matter; what was not run is None, never 0."""

    def ran(kind: str) -> bool:
        return any(check.kind == kind and check.reading for check in quality.checks)

    audits = [c for c in quality.checks if c.kind == "audit" and c.reading and not c.reading.unsettled]
    covered = [row["percent"] for row in quality.rows("coverage") if row["part"] == "all"]
    return {
        "verdict": quality.verdict,
        "tests_passed": _sum(quality, "passed"),
        "tests_failed": _sum(quality, "failed"),
        "coverage_percent": min(covered, default=None),
        "security_findings": len(quality.rows("sarif")) if ran("sarif") else None,
        # Of an audit that left something out only faults that it found are known.
        "known_faults": len(quality.rows("audit")) or (0 if audits else None),
        "new_secrets": len(quality.rows("secrets")) if ran("secrets") else None,
        "benchmarks_too_slow": sum(bool(row["too_slow"]) for row in quality.rows("regression"))
        if ran("regression") else None,
    }  # fmt: skip


def _sum(quality: Quality, column: str) -> int | None:
    rows = quality.rows("junit")
    return sum(int(row[column]) for row in rows) if rows else None


def _with_rest(quality: Quality, kind: str, found: str) -> str:
    """Return a figure, and beside it what it is not of: a sum over some tools is not one over all."""
    left = _left_out(quality, kind)
    return f"{found}; not run: {', '.join(left)}" if found != _NOT_RUN and left else found


def _left_out(quality: Quality, *kinds: str) -> list[str]:
    """Return the evidence of some kinds that there is no figure of."""
    return [check.name for check in quality.checks if check.kind in kinds and check.reading is None]


def _count(value: int | None) -> str:
    return _NOT_RUN if value is None else f"{value:,}"


def _percent(value: float | None) -> str:
    return _NOT_RUN if value is None else f"{int(100 * value + 1e-9) / 100:.2f} %"


def verdict_record(quality: Quality) -> dict[str, Any]:
    """Return the verdict for programs, with the profile and thresholds that it was come to by."""
    return {
        "verdict": quality.verdict,
        "exit_code": quality.exit_code,
        "profile": quality.profile,
        "text": quality.headline,
        "thresholds": asdict(quality.limits),
    }


def evidence_table(quality: Quality) -> pd.DataFrame:
    """Return a row a check, those that decide first."""
    rows = [(check.outcome, check.name, check.shown, ", ".join(check.files) or "–") for check in _in_order(quality)]
    return pd.DataFrame(rows, columns=["outcome", "evidence", "what it says", "files"], dtype=object)


def reasons_table(quality: Quality) -> pd.DataFrame:
    """Return every reason not to pass, and what else a reader should know."""
    rows = [(check.outcome, check.name, reason) for check in _in_order(quality) for reason in check.reasons]
    rows += [("note", check.name, text) for check in quality.checks for text in check.noted]  # type: ignore[misc]
    return pd.DataFrame(rows, columns=["outcome", "evidence", "reason"], dtype=object)


def tests_frame(quality: Quality) -> pd.DataFrame:
    """Return how many tests passed, failed, were not run, and are for other platforms, by session."""
    columns = ["session", "passed", "failed", "not_run", "elsewhere"]
    frame = pd.DataFrame(quality.rows("junit"), columns=columns)
    return frame.drop_duplicates("session", ignore_index=True)


def tests_table(quality: Quality) -> pd.DataFrame:
    """Return the same as text."""
    frame = tests_frame(quality).map(lambda cell: cell if isinstance(cell, str) else f"{cell:,}")
    return frame.rename(columns={"not_run": "not run", "elsewhere": "for other platforms"})


def coverage_frame(quality: Quality) -> pd.DataFrame:
    """Return coverage of all, then of each part of the package, in percent."""
    return pd.DataFrame(quality.rows("coverage"), columns=["part", "covered", "all", "percent"])


def coverage_table(quality: Quality) -> pd.DataFrame:
    """Return the same as text."""
    rows = [
        (row["part"], _percent(row["percent"]), *(f"{row[key]:,}" if key in row else "–" for key in ("covered", "all")))
        for row in quality.rows("coverage")
    ]
    return pd.DataFrame(rows, columns=["part", "covered [%]", "lines and branches covered", "of"], dtype=object)


def security_note(quality: Quality) -> str:
    """Return who looked for what is in :func:`findings_table`, and who did not."""
    kinds = ("secrets", "audit", "sarif")
    looked = [check.name for check in quality.checks if check.kind in kinds and check.reading]
    left = _left_out(quality, *kinds)
    found = sum(len(quality.rows(kind)) for kind in kinds)
    by = f"{found or 'Nothing'} found by {', '.join(looked)}." if looked else "Nobody looked."
    return f"{by} Not run: {', '.join(left)}." if left else by


def findings_table(quality: Quality) -> pd.DataFrame:
    """Return what security tools, the search for secrets and the audit found, as text."""
    rows = [
        (row["tool"], row["rule"], row["level"], f"{row['file']}:{row['line']}" if row["line"] else row["file"],
         row["message"])
        for kind in ("secrets", "audit", "sarif")
        for row in quality.rows(kind)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=_FOUND, dtype=object)


def changes_for_plot(quality: Quality) -> pd.DataFrame:
    """Return benchmarks as :func:`edgeprof.plots.plot_changes` takes them, by clock; beyond the limit is ``worse``."""
    columns = ["label", "group", "change", "low", "high", "word", "certain"]
    rows = [
        {
            "label": row["name"], "group": f"clock: {row['clock']}", "change": row["change"], "low": row["low"],
            "high": row["high"], "word": _word(row), "certain": row["exact"],
        }
        for row in sorted(quality.rows("regression"), key=lambda row: str(row["clock"]))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _word(row: Any) -> str:
    """Return the verdict in a word that the plot knows; slower within the limit is no more than noted."""
    if row["too_slow"]:
        return "worse"
    return "slower" if row["word"] == "worse" or (row["exact"] and row["change"] > 0) else str(row["word"])


def regression_table(quality: Quality) -> pd.DataFrame:
    """Return the same as text."""

    def percent(value: float) -> str:
        return f"{100 * value:+.1f} %" if value == value else "–"

    rows = [
        (row["name"], row["clock"], percent(row["change"]),
         "exact" if row["exact"] else f"{percent(row['low'])} to {percent(row['high'])}",
         "too slow" if row["too_slow"] else _word(row))
        for row in quality.rows("regression")
    ]  # fmt: skip
    columns = ["benchmark", "clock", "time or count against base", "95 % interval", "verdict"]
    return pd.DataFrame(rows, columns=columns, dtype=object)
