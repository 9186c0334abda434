"""The gate: whether a candidate is worse than a base beyond what the rules allow, cell by cell, metric by metric.

A limit and an interval make three answers. The interval lies beyond the limit: fail. It lies below: pass, and what is
certainly worse all the same is reported. It does neither, or there is none: could not judge, which is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edgeprof.changes import FITS, Change, Side, judge_changes
from edgeprof.comparison_text import energy_notes
from edgeprof.display import Shown, Table
from edgeprof.errors import NotComparableError
from edgeprof.gate_cells import Cell, Couple, couples_of, couples_of_pairs
from edgeprof.gate_limits import LEAST_LIMIT, Outcome, decide
from edgeprof.gate_rules import Rule, Rules, load_rules
from edgeprof.metrics import ENERGY, EXACT_CLOCKS
from edgeprof.noise_floor import Noise
from edgeprof.object_plots import GatePlots
from edgeprof.store import Dataset, open_dataset

__all__ = ["EVERYTHING", "Check", "GateResult", "Judge", "gate", "gate_paths", "judge_couples"]

EVERYTHING = "*"
"""The metric of a check that is of the cell as a whole."""
SETTLED = ("worse", "better", "same")
BELOW = "worse, below the limit"
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 1, "could not judge": 2}


class Judge(Protocol):
    """What judges metrics of two sides, as :func:`edgeprof.changes.judge_changes` does."""

    def __call__(  # noqa: D102
        self, metrics: Sequence[str], base: Side, candidate: Side, *, smallest: float | None = None, looks: int = 1,
        noise: Noise | None = None, allow: Collection[str] = (),
    ) -> list[Change]: ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One metric of one cell, judged.

    Attributes
    ----------
    cell
        Board, model and quantization.
    metric
        A metric's name, ``fits``, or ``*`` for what is of the cell as a whole.
    outcome
        ``pass``, ``fail``, ``could not judge`` or ``skipped``. Only the last one is nothing to the verdict.
    word
        What became of it: a verdict's word, ``below the limit``, ``worse, below the limit``, ``missing``, ``new``,
        ``not comparable``, ``not finished``, ``does not fit``, ``not measured``.
    reason
        Why, with the figures, and what to do next.
    limit
        By how much it may be worse, as a fraction; NaN where there is no limit.
    change
        What was measured; None where nothing could be.
    """

    cell: Cell
    metric: str
    outcome: Outcome
    word: str
    reason: str
    limit: float = math.nan
    change: Change | None = None


@dataclass(frozen=True, slots=True, repr=False)
class GateResult(Shown):
    """All checks of a gate.

    Attributes
    ----------
    checks
        One a cell and metric.
    problems
        Why the whole cannot pass, whatever the checks say: damaged captures, nothing to judge.
    notes
        What the reader should know.
    base, candidate
        What was compared, as it was named; the same where one data set has both sides.
    measured_at
        When the newest capture of the candidate began, UTC, ISO 8601; empty where that is not known.
    """

    checks: tuple[Check, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    base: str = ""
    candidate: str = ""
    measured_at: str = ""

    @property
    def verdict(self) -> Outcome:
        """Return ``fail`` if any check failed, else ``could not judge`` if any could not be, else ``pass``."""
        found = {check.outcome for check in self.checks}
        if "fail" in found:
            return "fail"
        return "could not judge" if self.problems or "could not judge" in found or "pass" not in found else "pass"

    @property
    def exit_code(self) -> int:
        """Return what the command line ends with: 0, 1 or 2."""
        return EXIT_CODES[self.verdict]

    def of(self, *outcomes: Outcome) -> list[Check]:
        """Return the checks that came to one of these."""
        return [check for check in self.checks if check.outcome in outcomes]

    @property
    def plot(self) -> GatePlots:
        """Its plot: ``gated.plot.changes()``."""
        return GatePlots(self)

    def _shown(self) -> Iterator[Table | str]:
        from edgeprof.gate_outputs.tables import checks_table, verdict_table

        (_, headline), *others = verdict_table(self).itertuples(index=False)
        yield str(headline)
        yield Table(checks_table(self))
        yield from (f"{kind}: {text}" for kind, text in others)


def gate(
    base: Dataset, candidate: Dataset | None = None, rules: Rules | None = None, *, noise: Noise | None = None,
    judge: Judge = judge_changes,
) -> GateResult:  # fmt: skip
    """Judge whether a candidate is worse than a base beyond what rules allow.

    Parameters
    ----------
    base
        The base's data set, or one that has both sides in pairs.
    candidate
        The candidate's data set; None: ``base`` has both sides.
    rules
        From :func:`edgeprof.gate_rules.load_rules`; the defaults if there are none.
    noise
        What the boards do with no change; by default what these data sets say of it.
    judge
        What judges metrics of two sides.

    Raises
    ------
    NotComparableError
        One data set has to have both sides, and has no pairs.
    StorageError
        A table cannot be read.
    """
    rules = rules or Rules()
    notes: list[str] = []
    energy = not {rule.metric for rule in rules.metrics}.isdisjoint(ENERGY)
    if candidate is None:
        couples, notes = couples_of_pairs(base, rules.match, energy=energy)
    else:
        couples = couples_of(base, candidate, rules.match, energy=energy)
    sets = [base] if candidate is None else [base, candidate]
    if noise is None and (energy or not all(set(d.runs["clock"].dropna()) <= set(EXACT_CLOCKS) for d in sets)):
        noise = Noise.of(*sets, energy=energy)
    problems = [f"{d.path}: {problem}" for d in sets for problem in d.problems]
    if not any(couple.base for couple in couples):
        lacks = "finished run to compare with" if candidate else "whole pair"
        problems.append(f"There is nothing to judge: {base.path} has no {lacks}.")
    return GateResult(
        tuple(judge_couples(couples, rules, judge, noise=noise)),
        tuple(problems),
        (*notes, *_idle(rules, couples), *_synthetic(couples)),
        base.path,
        sets[-1].path,
        max(sets[-1].captures["started_at"].dropna().astype(str), default=""),
    )


def gate_paths(base: str, candidate: str = "", rules: str | Path = "") -> GateResult:
    """Judge data sets by their paths: without a candidate the base has both sides, without rules the defaults hold.

    Raises what :func:`gate`, :func:`edgeprof.open` and :func:`edgeprof.gate_rules.load_rules` do.
    """
    found = load_rules(Path(rules)) if rules else Rules()
    return gate(open_dataset(base), open_dataset(candidate) if candidate else None, found)


def judge_couples(
    couples: Iterable[Couple], rules: Rules, judge: Judge, *, noise: Noise | None = None
) -> list[Check]:  # fmt: skip
    """Return the checks of all cells."""
    return [check for couple in couples for check in _judge_couple(couple, rules, judge, noise)]


def _judge_couple(couple: Couple, rules: Rules, judge: Judge, noise: Noise | None) -> list[Check]:
    cell, base, candidate = couple.cell, couple.base, couple.candidate
    if candidate is None:
        return [Check(cell, EVERYTHING, "could not judge", couple.lost.word, couple.lost.text)]
    if base is None:
        return [Check(cell, EVERYTHING, "skipped", "new", "The base has no finished run of it.")]
    checks = []
    if couple.lost.text:
        checks.append(Check(cell, EVERYTHING, "could not judge", couple.lost.word, couple.lost.text))

    def judged(metrics: Sequence[str], smallest: float | None) -> dict[str, Change]:
        found = judge(metrics, base, candidate, smallest=smallest, looks=rules.looks, noise=noise, allow=rules.allow)
        return dict(zip(metrics, found, strict=True))

    asked = rules.of(cell.names())
    try:
        at_limit: dict[str, Change] = {}
        # Each call works out once what both sides measured; whether it fits is the same at every limit.
        limits = {rule.metric: asked[0].limit if rule.metric == FITS else rule.limit for rule in asked}
        for limit in dict.fromkeys(limits.values()):
            at_limit |= judged([metric for metric in limits if limits[metric] == limit], max(limit, LEAST_LIMIT))
        found = [_check(cell, rule, at_limit[rule.metric], base, candidate) for rule in asked]
        moved = [check.metric for check in found if check.outcome == "pass" and _moved(check)]
        finer = judged(moved, rules.smallest) if moved else {}
    except NotComparableError as error:
        return [*checks, Check(cell, EVERYTHING, "could not judge", "not comparable", str(error))]
    checks += [_reported(check, finer[check.metric]) if check.metric in finer else check for check in found]
    return checks


def _check(cell: Cell, rule: Rule, change: Change, base: Side, candidate: Side) -> Check:
    fitted, fits = (bool((side.runs["status"] == "ok").any()) for side in (base, candidate))
    outcome: Outcome
    if rule.metric == FITS or (fitted and fits):
        outcome, reason = decide(change, rule, base)
        word = str(change.verdict.word) if change.method != "none" else "not measured"
        if outcome == "pass" and word not in SETTLED:  # the limit is kept, whatever else is open
            word = "below the limit"
    elif fitted:
        # Never a pass: where fits is judged, that has failed already.
        outcome, word, reason = "could not judge", "does not fit", "It does not fit the board any more."
    else:
        outcome, word, reason = "skipped", "does not fit", "It did not fit the board in the base."
    return Check(cell, rule.metric, outcome, word, reason, rule.limit, change)


def _moved(check: Check) -> bool:
    """Tell whether a metric that passed may have changed, so that this may have to be reported."""
    if check.metric == FITS or check.change is None:
        return False
    return (check.change.verdict.low, check.change.verdict.high) != (0, 0)


def _reported(check: Check, finer: Change) -> Check:
    """Return a check that passed in the words for the smallest effect, where that is smaller than the limit."""
    assert check.change is not None
    if finer.smallest >= check.change.smallest:
        return check
    if finer.verdict.word not in SETTLED:
        return replace(check, word="below the limit")
    word = BELOW if finer.verdict.word == "worse" else finer.verdict.word
    return replace(check, word=word, reason=finer.verdict.reason)


def _synthetic(couples: Iterable[Couple]) -> list[str]:
    sides = [side.runs for couple in couples for side in (couple.base, couple.candidate) if side is not None]
    return list(dict.fromkeys(note for runs in sides for note in energy_notes(runs)))


def _idle(rules: Rules, couples: Iterable[Couple]) -> list[str]:
    """Return, in words, the overrides that are for no cell: most likely a name in them is not spelt right."""
    cells = [couple.cell.names() for couple in couples]
    return [
        f"An override of {o.metric} is for no cell here: "
        + ", ".join(f"{name} = {value!r}" for name in ("board", "model", "quant") if (value := getattr(o, name)))
        for o in rules.overrides
        if not any(o.is_for(cell) for cell in cells)
    ]
