"""Which of a data set's boards, models, quantizations and prompts a notebook looks at, where nobody said.

What is given is taken. The rest is chosen in this order, each among the runs that are left: the board with the most
runs, the model with the most, the quantization with the most bits that is one (floats only if there is no other), the
prompt with the most; the first by name where several are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from edgeprof.errors import NotComparableError, unknown_name

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["ALL", "Choice", "beside", "best_file", "choose", "choose_board", "spread"]

ALL = "all"
"""What a board or model is called where all are meant."""
_FLOAT_BITS = 16.0
_COLUMNS = {"board": "board", "model": "model", "quant": "quant", "prompt": "prompt_id"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A run, and what it is of; a name is empty where no run says it."""

    board: str
    model: str
    quant: str
    prompt: str
    run_id: str


def choose(
    dataset: Dataset, *, board: str = "", model: str = "", quant: str = "", prompt: str = "", run: str = ""
) -> Choice:
    """Return the finished run to look at; what is empty is chosen.

    Runs of a generation whose passes arrived come first; where there is none, any finished run will do. A ``run`` (its
    ``run_id`` or a part of it) is taken whether it finished or not.

    Raises
    ------
    UsageError
        No finished run has such a board, model, quantization or prompt, or there is no such run; the message names the
        closest.
    NotComparableError
        No run has all of what was given, or none is finished.
    """
    wanted = {"board": board, "model": model, "quant": quant, "prompt": prompt}
    if run:
        return _named(dataset, run, wanted)
    runs = _given(_finished(dataset), wanted, dataset.path)
    generated = runs[(runs["kind"] == "generate") & (runs["passes_received"].fillna(0) > 0)]
    runs = generated if len(generated) else runs
    chosen = {}
    for name, column in _COLUMNS.items():
        chosen[name] = wanted[name] or _first(runs, column, _bits if name == "quant" else _count)
        if chosen[name]:
            runs = runs[runs[column] == chosen[name]]
    order = runs.sort_values(["board", "model", "quant", "prompt_id", "run_id"], kind="stable")
    return Choice(**chosen, run_id=str(order["run_id"].iloc[0]))


def _named(dataset: Dataset, run: str, wanted: dict[str, str]) -> Choice:
    """Return a run that was named, if it is of what else was given."""
    from edgeprof.one_run import find_run

    run_id = find_run(dataset, run).run_id
    row = dataset.runs[dataset.runs["run_id"] == run_id].iloc[0]
    found = {name: "" if pd.isna(row[column]) else str(row[column]) for name, column in _COLUMNS.items()}
    for name, value in wanted.items():
        if value and value != found[name]:
            raise NotComparableError(
                f"Run {run_id!r} has {name} {found[name] or 'unknown'!r}, not {value!r}: leave one of the two empty."
            )
    return Choice(**found, run_id=run_id)


def choose_board(dataset: Dataset, board: str = "", model: str = "") -> tuple[str, str]:
    """Return the board and model whose memory is worth looking at: the board that the most runs did not fit.

    Of boards that are alike in this, the one with the most runs; of models, the one with the most runs on it. ``all``
    and names that no run says become empty.

    Raises
    ------
    UsageError
        There is no such board or model; the message names the closest.
    NotComparableError
        There is no run.
    """
    known = {"board": "" if board == ALL else board, "model": "" if model == ALL else model}
    runs = _given(dataset.runs, known, dataset.path)
    if not board:
        known["board"] = _first(
            runs, "board", lambda part: ((part["status"] != "does_not_fit").sum() - len(part), -len(part))
        )
        runs = runs[runs["board"] == known["board"]] if known["board"] else runs
    if not model:
        known["model"] = _first(runs, "model", _count)
    return known["board"], known["model"]


def _finished(dataset: Dataset) -> pd.DataFrame:
    runs = dataset.runs[dataset.runs["status"] == "ok"]
    if runs.empty:
        raise NotComparableError(f"There is no finished run in {dataset.path}; `edgeprof runs` lists what there is.")
    return runs


def _given(runs: pd.DataFrame, wanted: dict[str, str], path: str) -> pd.DataFrame:
    """Return the runs that have all that was given."""
    left = runs
    for name, value in wanted.items():
        column = _COLUMNS[name]
        if not value:
            continue
        if value not in set(runs[column].dropna()):
            raise unknown_name(f"run with {column}", value, {str(v) for v in runs[column].dropna()})
        left = left[left[column] == value]
    if left.empty:
        said = ", ".join(f"{name} {value!r}" for name, value in wanted.items() if value)
        raise NotComparableError(
            f"No run in {path} has {said} together; `edgeprof runs` lists them. Leave one of these empty."
            if said
            else f"There is no run in {path}; `edgeprof capture` or `edgeprof demo` makes some."
        )
    return left


def _first(runs: pd.DataFrame, column: str, rank: Callable[[pd.DataFrame], Any]) -> str:
    """Return the value whose runs rank first, then by name; empty if no run says one."""
    groups = [(rank(part), str(value)) for value, part in runs.groupby(column)]
    return min(groups)[1] if groups else ""


def _count(runs: pd.DataFrame) -> int:
    return -len(runs)


def _bits(runs: pd.DataFrame) -> tuple[bool, float, int]:
    bits = runs["bits_per_weight"].max()
    return (True, 0.0, -len(runs)) if pd.isna(bits) else (bool(bits >= _FLOAT_BITS), -float(bits), -len(runs))


def best_file(table: pd.DataFrame) -> dict[str, str] | None:
    """Return model and quantization with the lowest perplexity of a comparison; None where none was measured.

    Parameters
    ----------
    table
        :attr:`edgeprof.Comparison.table`, of one board.
    """
    measured = table[table["perplexity"].notna() & (table["status"] != "does not fit")]
    if measured.empty:
        return None
    row = measured.sort_values("perplexity", kind="stable").iloc[0]
    known = [column for column in ("model", "quant") if column in table.columns and pd.notna(row[column])]
    return {column: str(row[column]) for column in known}


def beside(runs: pd.DataFrame, chosen: Choice) -> pd.DataFrame:
    """Return those of these runs that continued a choice's prompt on its board."""
    for column, value in (("board", chosen.board), ("prompt_id", chosen.prompt)):
        runs = runs[runs[column] == value] if value else runs
    return runs


def spread(dataset: Dataset, chosen: Choice, n: int = 3) -> pd.DataFrame:
    """Return the runs of a choice's prompt on its board: of each model ``n`` quantizations, from most to fewest bits.

    Returns
    -------
    DataFrame
        Rows of ``runs``, one a file; the chosen model's first.
    """
    runs = beside(_finished(dataset), chosen)
    runs = runs.sort_values(["bits_per_weight", "quant", "run_id"], ascending=[False, True, True], kind="stable")
    runs = runs.drop_duplicates(["model", "quant"])
    parts = [_evenly(part, n) for _, part in runs.groupby("model", dropna=False)]
    found = pd.concat(parts)
    return (
        found.assign(other=found["model"] != chosen.model)
        .sort_values(["other", "model"], kind="stable")
        .drop(columns="other")
    )


def _evenly(rows: pd.DataFrame, n: int) -> pd.DataFrame:
    last = len(rows) - 1
    at = sorted({round(i * last / (n - 1)) for i in range(n)}) if n > 1 else [0]
    return rows.iloc[at]
