"""How the checks of a gate are worded and ordered, for people, in every format alike."""

from __future__ import annotations

from edgeprof import units
from edgeprof.changes import FITS, Change
from edgeprof.display import terminal_text
from edgeprof.gate_cells import Cell
from edgeprof.gate_limits import Outcome
from edgeprof.gating import EVERYTHING, Check, GateResult

__all__ = ["cell_text", "headline", "in_order", "limit_text", "metric_text", "one_line", "plain", "shown", "value_text"]

LONGEST_NAME = 60
LONGEST_REASON = 600
_ORDER: tuple[Outcome, ...] = ("fail", "could not judge", "pass", "skipped")
_MARKUP = str.maketrans(dict.fromkeys('<>&|`"[]@#*\\', "�"))


def plain(text: object, longest: int = 4 * LONGEST_NAME) -> str:
    """Return a name without what terminals, HTML or Markdown would act on: for files that others render."""
    return terminal_text(text, longest).translate(_MARKUP)


def cell_text(cell: Cell) -> str:
    """Return a cell by name, harmless in a terminal; however long a name is, the others are seen."""
    return " ".join(terminal_text(name, LONGEST_NAME) for name in cell.names().values() if name)


def metric_text(check: Check) -> str:
    """Return what was judged."""
    return "all metrics" if check.metric == EVERYTHING else check.metric


def limit_text(check: Check) -> str:
    """Return a limit: ``10 %``."""
    if check.limit != check.limit or check.metric == FITS:
        return units.UNKNOWN
    return f"{100 * check.limit:g} %"


def value_text(value: float, change: Change) -> str:
    """Return one side's value with its unit."""
    if change.metric == FITS:
        return {1.0: "fits", 0.0: "does not fit"}.get(value, units.UNKNOWN)
    if change.unit == "byte":
        return units.iec(value)
    return (
        units.si(value, change.unit, 4)
        if change.unit.startswith("tick")
        else (f"{units.significant(value, 5)} {change.unit}".rstrip())
    )


def change_text(change: Change | None) -> str:
    """Return a change with its interval, where it has one."""
    if change is None or change.metric == FITS or change.verdict.change != change.verdict.change:
        return units.UNKNOWN
    v = change.verdict
    said = units.percent(v.change, 2)
    return said if v.certain else f"{said} [{units.percent(v.low, 2)}, {units.percent(v.high, 2)}]"


def one_line(check: Check) -> str:
    """Return a check in one line: what became of what, and why."""
    reason = terminal_text(" ".join(check.reason.split()), LONGEST_REASON)
    return f"{cell_text(check.cell)}: {metric_text(check)}: {terminal_text(check.word)}. {reason}"


def in_order(result: GateResult) -> list[Check]:
    """Return the checks, those that decide first."""
    return sorted(result.checks, key=lambda check: _ORDER.index(check.outcome))


def shown(result: GateResult) -> list[Check]:
    """Return, in order, the checks that somebody may want to look at: all but those that passed unchanged."""
    quiet = {("pass", "same"), ("skipped", "not measured"), ("skipped", "does not fit")}
    return [check for check in in_order(result) if (check.outcome, check.word) not in quiet]


def headline(result: GateResult) -> str:
    """Return the verdict with the counts behind it."""
    named: tuple[tuple[Outcome, str], ...] = (
        ("pass", "passed"), ("fail", "failed"), ("could not judge", "could not be judged"), ("skipped", "skipped"),
    )  # fmt: skip
    counts = [(len(result.of(outcome)), text) for outcome, text in named]
    parts = [f"{count} {text}" for count, text in counts if count] or ["none"]
    cells = len({check.cell for check in result.checks})
    problems = f"; {len(result.problems)} problems" if result.problems else ""
    return f"Gate: {result.verdict}. {len(result.checks)} checks of {cells} cells: {', '.join(parts)}{problems}."
