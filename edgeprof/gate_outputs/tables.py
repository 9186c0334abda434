"""What a gate found, as the tidy frame that :func:`edgeprof.plots.plot_changes` takes and the table beside it."""

from __future__ import annotations

import math

import pandas as pd

from edgeprof.changes import FITS
from edgeprof.gate_outputs.text import table
from edgeprof.gate_outputs.wording import cell_text, headline, in_order, limit_text, shown
from edgeprof.gating import EVERYTHING, GateResult

__all__ = ["checks_for_plot", "checks_table", "verdict_table"]


def checks_table(result: GateResult, *, everything: bool = False) -> pd.DataFrame:
    """Return the checks as strings: those that somebody may want to look at, or all."""
    return table(in_order(result) if everything else shown(result))


def checks_for_plot(result: GateResult) -> pd.DataFrame:
    """Return every check of a size, cost or quality that changed at all, by metric; ``smallest`` is its limit.

    What passed is ``same`` or ``better``, or ``worse`` below the limit, which the word says.
    """
    rows = []
    for check in result.checks:
        change = check.change
        if change is None or check.metric in (FITS, EVERYTHING) or check.outcome == "skipped":
            continue
        v = change.verdict
        if v.certain and v.change == 0:
            continue
        rows.append(
            {
                "label": cell_text(check.cell),
                "group": f"{check.metric} (limit {limit_text(check)})",
                "change": v.change,
                "low": v.low,
                "high": v.high,
                "word": None if math.isnan(v.change) else _word(check.outcome, check.word, v.change),
                "certain": v.certain,
                "reason": check.reason,
                "smallest": check.limit,
            }
        )
    columns = ["label", "group", "change", "low", "high", "word", "certain", "reason", "smallest"]
    shown = pd.DataFrame(rows, columns=columns)
    order = {group: at for at, group in enumerate(dict.fromkeys(shown["group"]))}
    return shown.sort_values("group", key=lambda g: g.map(order), kind="stable").reset_index(drop=True)


def _word(outcome: str, word: str, change: float) -> str:
    """Return the verdict by the limit in a word that plots know."""
    if outcome == "fail":
        return "worse"
    if outcome == "could not judge":
        return "not enough data"
    return "better" if word == "better" and change else "same"


def verdict_table(result: GateResult) -> pd.DataFrame:
    """Return the verdict in a line, then the reason of whatever did not pass, problems and notes."""
    rows = [("verdict", headline(result))]
    rows += [(check.outcome, f"{cell_text(check.cell)}, {check.metric}: {check.reason}")
             for check in result.of("could not judge")]  # fmt: skip
    rows += [("problem", problem) for problem in result.problems] + [("note", note) for note in result.notes]
    return pd.DataFrame(rows, columns=["", "what was found"], dtype=object)
