"""What a gate found, for a terminal or a build's log."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from edgeprof.display import terminal_text, text_table
from edgeprof.gate_outputs.wording import (
    LONGEST_REASON,
    change_text,
    headline,
    in_order,
    limit_text,
    metric_text,
    one_line,
    shown,
    value_text,
)
from edgeprof.gating import Check, GateResult

__all__ = ["report"]


def report(result: GateResult, *, everything: bool = False) -> str:
    """Return the table of checks, the reasons of those that did not pass, notes and the verdict.

    Parameters
    ----------
    result
        From :func:`edgeprof.gating.gate`.
    everything
        Also what passed unchanged, and what was skipped.
    """
    checks = in_order(result) if everything else shown(result)
    blocks = [text_table(table(checks))] if checks else []
    blocks += [f"{check.outcome}: {one_line(check)}" for check in result.of("fail", "could not judge")]
    blocks += [f"problem: {terminal_text(problem, LONGEST_REASON)}" for problem in result.problems]
    blocks += [f"note: {terminal_text(note, LONGEST_REASON)}" for note in result.notes]
    # GitHub's older commands may stand anywhere in a line of a log; its newer ones begin a line, which no name does.
    return "\n".join([*blocks, headline(result)]).replace("##[", "#[")


def table(checks: Iterable[Check]) -> pd.DataFrame:
    """Return checks as strings, as people read them."""
    rows = [
        {
            "outcome": check.outcome,
            "board": check.cell.board,
            "model": check.cell.model,
            "quant": check.cell.quant,
            "metric": metric_text(check),
            "base": value_text(check.change.base, check.change) if check.change else "–",
            "candidate": value_text(check.change.candidate, check.change) if check.change else "–",
            "change": change_text(check.change),
            "limit": limit_text(check),
            "verdict": check.word,
        }
        for check in checks
    ]
    return pd.DataFrame(rows)
