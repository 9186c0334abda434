"""A sweep in pairs: each cell of a plan and its base, measured next to each other on the same board, again and again.

What changes slowly (temperature, supply, what else the machine does) moves both halves of a pair, and a coin says which
of them comes first. So the difference within a pair is the candidate's, and verdicts go by pairs. A pair of which one
half failed is measured again as a whole, under a new number: a partner that is measured later is no partner. The half
that is left over stays in the data set, and :func:`edgeprof.pairs.matched_runs` passes it over.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprof.capture import new_capture_id
from edgeprof.conversation import Progress
from edgeprof.errors import UsageError, unknown_name
from edgeprof.intervals import LEAST_RUNS
from edgeprof.layout import CAPTURE_JSON
from edgeprof.pairs import SIDES
from edgeprof.seal import load_capture
from edgeprof.store import open_dataset
from edgeprof.sweep import (
    Cell,
    Plan,
    capture_cell,
    cells,
    load_plan,
    make_models,
    n_jobs,
    refuse_failures,
    what_is_asked,
)  # fmt: skip
from edgeprof.work_pool import at_a_time, is_exact, run_all

__all__ = ["NOISY_PAIRS", "Pair", "pair_notes", "paired_cells", "pairs_a_cell", "pairs_to_do", "run_paired_sweep"]

NOISY_PAIRS = 10
"""So many find 5 % in 85 of 100 cases where pairs differ by 2.6 % (docs/statistics.md)."""

_FINISHED = ("ok", "does_not_fit")


@dataclass(frozen=True, slots=True)
class Pair:
    """A base and a candidate to be measured side by side; ``key`` says of what, and the how many-th time."""

    base: Cell
    candidate: Cell
    key: str

    @property
    def board(self) -> str:
        """The board that measures both."""
        return self.candidate.board


def pairs_a_cell(plan: Plan, board: str, asked: int | None = None) -> int:
    """Return how many pairs each cell of a board gets: as asked for, as in the plan, or as its clock calls for.

    Raises
    ------
    UsageError
        Less than one.
    """
    wanted = asked if asked is not None else plan.pairs
    if wanted is None:
        return 1 if is_exact(board) else NOISY_PAIRS
    if wanted < 1:
        raise UsageError(f"{wanted} pairs of each cell are none: take at least 1, or {NOISY_PAIRS} on a noisy clock.")
    return wanted


def pair_notes(plan: Plan, asked: int | None = None) -> list[str]:
    """Return what whoever measures should know of the number of pairs, in words.

    Parameters are those of :func:`pairs_a_cell`.
    """
    exact, few = ([b for b in plan.boards if is_exact(b) == wanted] for wanted in (True, False))
    few = [board for board in few if pairs_a_cell(plan, board, asked) < LEAST_RUNS]
    notes = []
    if exact and asked is None and plan.pairs is None:
        notes.append(f"one pair of each cell on {', '.join(exact)}: an exact clock says the same again every time.")
    if few:
        notes.append(
            f"fewer than {LEAST_RUNS} pairs on {', '.join(few)} have no interval, hence no verdict; {NOISY_PAIRS} are "
            "a good beginning on a noisy clock."
        )
    return notes


def paired_cells(plan: Plan, against: str, folder: Path, pairs: int | None = None) -> list[Pair]:
    """Return all pairs of a plan against a base, in random, seeded order.

    Parameters
    ----------
    plan
        The candidates.
    against
        Another plan's file, whose cells are the bases: those of the same place of the board and of the model in their
        lists and of the same quantization. Or a quantization of the plan: the base of all the others.
    folder
        Where quantized models go.
    pairs
        Of each cell; by default as in the plan, else one on an exact clock and ten on any other.

    Raises
    ------
    UsageError
        The base cannot be read, is on another board, asks for something else, or has no partner for a cell.
    """
    if against.endswith(".toml") or Path(against).is_file():
        base_plan = load_plan(Path(against))
        partners = list(_of_another_plan(plan, base_plan, Path(against).name))
    else:
        base_plan = plan
        partners = list(_of_a_quantization(plan, against))
    count = {board: pairs_a_cell(plan, board, pairs) for board in plan.boards}
    most = max(count.values(), default=1)
    candidates = _by_place(replace(plan, repeats=most), folder)
    bases = candidates if base_plan is plan else _by_place(replace(base_plan, repeats=most), folder)
    found = []
    for board, (base, candidate), repeat in itertools.product(plan.boards, partners, range(most)):
        if repeat < count[board]:
            halves = bases[board, *base, repeat], candidates[board, *candidate, repeat]
            key = hashlib.sha256(f"{halves[0].key} {halves[1].key}".encode()).hexdigest()[:16]
            found.append(Pair(*halves, key))
    random.Random(plan.seed).shuffle(found)
    return found


_Place = tuple[int, str]
"""A model's place in a plan, and a quantization."""


def _places(plan: Plan) -> list[_Place]:
    return [(number, quant) for number, (_, quants, _) in enumerate(plan.models) for quant in quants]


def _of_another_plan(plan: Plan, base: Plan, name: str) -> Iterator[tuple[_Place, _Place]]:
    if base.boards[: len(plan.boards)] != plan.boards:
        raise UsageError(
            f"A pair is measured on one board; this plan has {', '.join(plan.boards)}, and {name} has "
            f"{', '.join(base.boards)} in these places. Give both the same boards, in the same order."
        )
    if what_is_asked(plan) != what_is_asked(base):
        raise UsageError(
            f"A pair is asked for the same; this plan and {name} differ in prompts, n_generate or [eval]. Change only "
            "what is to be compared: the model, or the firmware."
        )
    known = _places(base)
    for number, quant in _places(plan):
        if (number, quant) not in known:
            there = [q for n, q in known if n == number]
            raise unknown_name(f"quantization of the {number + 1}. model in the base {name}", quant, there)
        yield (number, quant), (number, quant)


def _of_a_quantization(plan: Plan, base: str) -> Iterator[tuple[_Place, _Place]]:
    for number, (model, quants, _) in enumerate(plan.models):
        if base not in quants:
            hint = "A base is one of the plan's quantizations, or another plan's file."
            raise unknown_name(f"quantization of {model.name} in the plan, or file,", base, quants, hint)
        if len(set(quants)) == 1:
            raise UsageError(
                f"{base} is the only quantization of {model.name} in the plan, so there is none to hold against it. "
                "Name another one in the plan, or another plan as the base."
            )
        yield from (((number, base), (number, quant)) for quant in quants if quant != base)


def _by_place(plan: Plan, folder: Path) -> dict[tuple[str, int, str, int], Cell]:
    """Return a plan's cells by board, place of the model, quantization and repeat."""
    models = make_models(plan, folder)
    by_name = {(c.board, c.model, c.repeat): c for c in cells(plan, models)}
    return {
        (board, number, quant, repeat): by_name[board, model, repeat]
        for board in plan.boards
        for (number, quant), (model, _) in zip(_places(plan), models, strict=True)
        for repeat in range(plan.repeats)
    }


def pairs_to_do(pairs: list[Pair], out: Path, n_runs: int) -> list[Pair]:
    """Return the pairs of which the data set does not have both halves, each with so many finished runs."""
    done = _whole_keys(_headers(out), out, n_runs)
    return [pair for pair in pairs if pair.key not in done]


def _headers(out: Path) -> list[dict[str, Any]]:
    """Return what the captures of paired sweeps were told at their start."""
    headers = [load_capture(path.parent) for path in out.glob(f"capture=*/{CAPTURE_JSON}")]
    return [header for header in headers if header.get("pair_cell")]


def _whole_keys(headers: list[dict[str, Any]], out: Path, n_runs: int) -> set[str]:
    if not headers:
        return set()
    runs = open_dataset(out).runs
    finished = runs[runs["status"].isin(_FINISHED)].groupby("capture_id").size()
    sides: dict[tuple[str, str], set[str]] = {}
    for header in headers:
        if finished.get(header["capture_id"], 0) >= n_runs:
            sides.setdefault((header["pair_cell"], header["pair"]), set()).add(header["side"])
    return {key for (key, _), found in sides.items() if found == set(SIDES)}


def _numbers(headers: list[dict[str, Any]], sweep: str) -> tuple[str, Iterator[int]]:
    """Return the id of a sweep and the numbers that its next pairs get, which none has had before.

    The id is random where the data set does not know the sweep: data sets can be merged.
    """
    mine = [header["pair"] for header in headers if header.get("sweep") == sweep]
    names = [pair.rsplit("/", 1) for pair in mine]
    known = sorted(names, key=lambda parts: int(parts[1]))
    return (known[-1][0], itertools.count(int(known[-1][1]) + 1)) if known else (new_capture_id(), itertools.count(1))


def run_paired_sweep(
    plan: Plan, against: str, out: Path, *, pairs: int | None = None, jobs: int = 0,
    on_progress: Callable[[Cell, Progress | None], None] | None = None,
) -> list[Pair]:  # fmt: skip
    """Measure every pair of a plan and a base that the data set does not have yet.

    On a clock that is not exact nothing runs beside a pair.

    Parameters
    ----------
    plan, against, pairs
        As of :func:`paired_cells`.
    out
        The data set's folder; quantized models go to ``out/models``.
    jobs
        Pairs at a time on exact clocks; 0 is one a core.
    on_progress
        Called with each half of a pair and how far it is; with None when it is done.

    Returns
    -------
    list of Pair
        The pairs that were measured now.

    Raises
    ------
    UsageError
        As of :func:`paired_cells`.
    DeviceError
        Boards that stopped answering; the other pairs were measured. The same command tries these again.
    """
    workers = at_a_time(jobs)
    everything = paired_cells(plan, against, out / "models", pairs)
    headers = _headers(out)
    todo = pairs_to_do(everything, out, n_jobs(plan))
    # Of the first pair of each cell: more pairs of the same cells are the same sweep.
    cells_of_it = sorted({pair.key for pair in everything if pair.candidate.repeat == 0})
    sweep = hashlib.sha256(" ".join(cells_of_it).encode()).hexdigest()[:16]
    (name, numbers), session = _numbers(headers, sweep), new_capture_id()

    def work(pair: Pair, stop: threading.Event) -> str | None:
        halves = [("base", pair.base), ("candidate", pair.candidate)]
        random.Random(f"{plan.seed} {pair.key}").shuffle(halves)
        facts = {"pair": f"{name}/{next(numbers)}", "session": session}
        for side, cell in halves:
            tags = facts | {"side": side, "repeat": str(cell.repeat)}
            header = facts | {"side": side, "pair_cell": pair.key, "sweep": sweep}
            if error := capture_cell(
                plan, cell, out, stop, tags=tags, header=header, order=pair.key, on_progress=on_progress
            ):
                return error
        return None

    failures = run_all(todo, work, alone=lambda pair: not is_exact(pair.board), workers=workers)
    refuse_failures(failures, len(todo), "pairs")
    return todo
