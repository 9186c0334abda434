"""Annotations: lines of a log that GitHub Actions shows above a run and on its page."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprof.display import terminal_text
from edgeprof.gate_outputs.wording import one_line
from edgeprof.gating import BELOW, GateResult

__all__ = ["MOST", "commands"]

MOST = 10
"""GitHub shows no more of a kind in one step."""


def commands(result: GateResult) -> list[str]:
    """Return commands for GitHub's runner, one a line: errors of what stops the gate, warnings of what is reported."""
    errors = [("edgeprof gate", problem) for problem in result.problems]
    errors += [(f"edgeprof gate: {check.outcome}", one_line(check)) for check in result.of("fail", "could not judge")]
    warnings = [("edgeprof gate: reported", one_line(c)) for c in result.checks if c.word in (BELOW, "new")]
    warnings += [("edgeprof gate", note) for note in result.notes]
    return [*_commands("error", errors), *_commands("warning", warnings)]


def _commands(kind: str, found: Sequence[tuple[str, str]]) -> list[str]:
    shown = list(found) if len(found) <= MOST else list(found[: MOST - 1])
    if len(shown) < len(found):
        shown.append(("edgeprof gate", f"{len(found) - len(shown)} more like these are in the log."))
    return [f"::{kind} title={_property(title)}::{_data(text)}" for title, text in shown]


def _data(text: str) -> str:
    clean = terminal_text(text, 1000)
    return clean.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
