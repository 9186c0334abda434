"""What a gate compares with what: cells of a base beside the same cells of a candidate.

A cell is a model file on a board: board, model and quantization. Base and candidate are two data sets, or the two sides
of the pairs that one data set has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from edgeprof.changes import Side
from edgeprof.errors import NotComparableError
from edgeprof.gate_rules import CELL
from edgeprof.groups import labelled
from edgeprof.metrics import TOKEN_COLUMNS
from edgeprof.pairs import SIDES, matched_runs

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["Cell", "Couple", "couples_of", "couples_of_pairs"]

UNKNOWN = "unknown"
_FINISHED = ("ok", "does_not_fit")
_UNCHANGED = ("firmware_sha256", "model_sha256")


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A model file on a board; empty where cells are not told apart by it, ``unknown`` where no run says."""

    board: str
    model: str
    quant: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.board, self.model, self.quant)))

    def names(self) -> dict[str, str]:
        """Return the names by column of ``runs``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Couple:
    """A cell of the base beside that of the candidate.

    Attributes
    ----------
    cell
        Which one.
    base, candidate
        Its finished runs on each side, and those that do not fit; None where there is none.
    lost
        What of the base the candidate did not finish, in words: prompts and texts, with what became of them. Empty
        where it finished all.
    """

    cell: Cell
    base: Side | None
    candidate: Side | None
    lost: str = ""


def couples_of(base: Dataset, candidate: Dataset, match: Sequence[str] = CELL) -> list[Couple]:
    """Return the cells of two data sets side by side, in order of their names."""
    mine, theirs = (_cells(labelled(dataset), match) for dataset in (base, candidate))
    return _couples(mine, theirs, _tokens(base), _tokens(candidate))


def couples_of_pairs(dataset: Dataset, match: Sequence[str] = CELL) -> tuple[list[Couple], list[str]]:
    """Return the two sides of the pairs of a data set, and what was left out, in words.

    The cell is the candidate's: its base is what was measured beside it, under whatever name. Pairs in which nothing
    changed tell of noise, and are left out where a cell has others.

    Raises
    ------
    NotComparableError
        No run says that it is part of a pair.
    """
    runs = labelled(dataset)
    paired = runs[runs["side"].isin(SIDES) & runs["pair"].notna()]
    if paired.empty:
        raise NotComparableError(
            f"There is nothing to judge in {dataset.path}: no run has the tags side and pair. `edgeprof sweep PLAN "
            "--against BASE` measures base and candidate in pairs; to judge two data sets, give both --baseline and "
            "--candidate, which must not be the same."
        )
    rows = matched_runs(paired[[name for name in paired.columns if name not in ("pair", "side", "session")]])
    whole = {*rows["base"], *rows["candidate"]}
    notes = []
    lonely = paired.loc[~paired["run_id"].isin(whole), "pair"].nunique()
    if lonely:
        notes.append(f"{lonely} pairs are not whole and were left out: a side of them is missing or did not finish.")
    used, aside = _without_unchanged(paired, rows, match)
    if aside:
        notes.append(f"{aside} pairs in which neither firmware nor model changed were left out: they tell of noise.")
    theirs = _cells(paired[paired["run_id"].isin(set(used["candidate"]))], match)
    beside = dict(zip(used["candidate"], used["base"], strict=True))
    mine = {
        cell: paired[paired["run_id"].isin({beside[run] for run in part["run_id"]})] for cell, part in theirs.items()
    }
    mine |= {  # cells that should have been judged, and of which no pair is whole
        cell: part
        for cell, part in _cells(paired, match).items()
        if cell not in theirs and not part["run_id"].isin(whole).any()
    }
    tokens = _tokens(dataset)
    return _couples(mine, theirs, tokens, tokens), notes


def _without_unchanged(runs: pd.DataFrame, rows: pd.DataFrame, match: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Return matched runs without the pairs in which nothing changed, where their cell has others; and how many."""
    by_run = runs.set_index("run_id", drop=False)
    base, candidate = (by_run.reindex(rows[side]).set_axis(rows.index) for side in SIDES)
    unchanged = pd.Series(True, index=rows.index)
    for column in _UNCHANGED:
        unchanged &= base[column].notna() & (base[column] == candidate[column]).fillna(False).astype(bool)
    cells = _names(candidate, match)
    aside = unchanged & cells.isin(set(cells[~unchanged]))
    return rows[~aside], int(rows.loc[aside, "pair"].nunique())


def _couples(
    mine: Mapping[Cell, pd.DataFrame], theirs: Mapping[Cell, pd.DataFrame], my_tokens: pd.DataFrame,
    their_tokens: pd.DataFrame,
) -> list[Couple]:  # fmt: skip
    return [
        Couple(
            cell,
            _side(mine.get(cell), my_tokens),
            _side(theirs.get(cell), their_tokens),
            _lost(mine.get(cell), theirs.get(cell)),
        )
        for cell in sorted({*mine, *theirs})
    ]


def _names(runs: pd.DataFrame, match: Sequence[str]) -> pd.Series:
    """Return the cell of each run."""
    columns = [runs[c].fillna(UNKNOWN).astype(str) if c in match else [""] * len(runs) for c in CELL]
    return pd.Series([Cell(*names) for names in zip(*columns, strict=True)], index=runs.index, dtype=object)


def _cells(runs: pd.DataFrame, match: Sequence[str]) -> dict[Cell, pd.DataFrame]:
    names = _names(runs, match)
    return {cell: runs[names == cell] for cell in dict.fromkeys(names)}


def _side(runs: pd.DataFrame | None, tokens: pd.DataFrame) -> Side | None:
    if runs is None:
        return None
    done = runs[runs["status"].isin(_FINISHED)]
    return Side(done, tokens[tokens["run_id"].isin(set(done["run_id"]))]) if len(done) else None


def _lost(base: pd.DataFrame | None, candidate: pd.DataFrame | None) -> str:
    """Return which prompts and texts of the base the candidate did not finish: what is not measured may be worse."""
    if base is None:
        return ""
    wanted = set(_asked(base[base["status"].isin(_FINISHED)]))
    rows = base.iloc[:0] if candidate is None else candidate
    done = rows["status"].isin(_FINISHED)
    ends = rows.loc[~done, "status"].fillna("its end was not seen")
    became = dict(zip(_asked(rows[~done]), ends, strict=True))
    lost = sorted(wanted - set(_asked(rows[done])))
    return ", ".join(f"{prompt} ({became.get(prompt, 'not measured')})" for prompt in lost)


def _asked(runs: pd.DataFrame) -> list[str]:
    return [
        " ".join(("text" if kind == "score" else "prompt", repr(prompt)))
        for kind, prompt in zip(runs["kind"], runs["prompt_id"].fillna("").astype(str), strict=True)
    ]


def _tokens(dataset: Dataset) -> pd.DataFrame:
    return dataset.table("tokens", TOKEN_COLUMNS)
