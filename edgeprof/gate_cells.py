"""What a gate compares with what: cells of a base beside the same cells of a candidate.

A cell is a model file on a board: board, model and quantization. Base and candidate are two data sets, or the two sides
of the pairs that one data set has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from edgeprof.changes import Side
from edgeprof.energy.columns import with_energy
from edgeprof.errors import NotComparableError
from edgeprof.gate_lost import Lost, find_lost
from edgeprof.gate_rules import CELL
from edgeprof.groups import labelled
from edgeprof.metrics import TOKEN_COLUMNS
from edgeprof.pairs import FINISHED, IDENTITY, SIDES, matched_runs, unchanged

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["Cell", "Couple", "couples_of", "couples_of_pairs"]

UNKNOWN = "unknown"
_PLACE = ["pair", "kind", "prompt_id"]  # what is measured once on each side of a pair


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
        What of the base the candidate did not finish; said wherever it has no finished run at all.
    """

    cell: Cell
    base: Side | None
    candidate: Side | None
    lost: Lost = field(default_factory=Lost)


def couples_of(base: Dataset, candidate: Dataset, match: Sequence[str] = CELL, *, energy: bool = False) -> list[Couple]:
    """Return the cells of two data sets side by side, in order of their names; with their energy, if that is asked for.

    Raises
    ------
    NotComparableError
        One of them has both sides of pairs, so that a cell of it is two firmwares or models.
    """
    (my_runs, my_tokens), (their_runs, their_tokens) = (_rows(dataset, energy) for dataset in (base, candidate))
    mine, theirs = _cells(my_runs, match), _cells(their_runs, match)
    for dataset, cells in ((base, mine), (candidate, theirs)):
        _refuse_both_sides(dataset.path, cells)
    return [
        Couple(
            cell,
            _side(mine.get(cell), my_tokens),
            _side(theirs.get(cell), their_tokens),
            find_lost(mine.get(cell), theirs.get(cell)),
        )
        for cell in sorted({*mine, *theirs})
    ]


def couples_of_pairs(
    dataset: Dataset, match: Sequence[str] = CELL, *, energy: bool = False
) -> tuple[list[Couple], list[str]]:
    """Return the two sides of the pairs of a data set, and what was left out, in words.

    The cell is the candidate's: its base is what was measured beside it, under whatever name. Pairs in which nothing
    changed tell of noise, and are left out where a cell has others.

    Raises
    ------
    NotComparableError
        No run says that it is part of a pair.
    """
    runs, tokens = _rows(dataset, energy)
    paired = runs[runs["side"].isin(SIDES) & runs["pair"].notna()]
    if paired.empty:
        found = "no run has the tags side and pair" if len(runs) else "it is empty, without a run of a device"
        raise NotComparableError(
            f"There is nothing to judge in {dataset.path}: {found}. `edgeprof sweep PLAN "
            "--against BASE` measures base and candidate in pairs; to judge two data sets, give both --baseline and "
            "--candidate, which must not be the same."
        )
    rows = matched_runs(paired[[name for name in paired.columns if name not in ("pair", "side", "session")]])
    whole = {*rows["base"], *rows["candidate"]}
    lonely = paired[~paired["run_id"].isin(whole)]
    why = {str(pair): _why_not_whole(part) for pair, part in lonely.groupby("pair", sort=False)}
    notes = [
        f"{count} pairs are not whole and were left out: {reason}." for reason, count in Counter(why.values()).items()
    ]
    aside = _unchanged_pairs(paired, match)
    left_out = set(rows["pair"]) & aside
    if left_out:
        text = "pairs in which neither firmware nor model changed were left out: they tell of noise."
        notes.append(f"{len(left_out)} {text}")
    mine, theirs = _cells_of_pairs(paired[~paired["pair"].isin(aside)], match)
    couples = []
    for cell in sorted({*mine, *theirs}):
        base, candidate = (_side(part.get(cell), tokens, whole) for part in (mine, theirs))
        lost = find_lost(mine.get(cell), theirs.get(cell))
        if candidate is None and not lost.text:
            reasons = sorted({why[str(pair)] for pair in theirs[cell]["pair"]})
            lost = Lost("missing", f"No pair of it is whole: {', or '.join(reasons)}. Measure it in pairs again.")
        couples.append(Couple(cell, base, candidate, lost))
    return couples, notes


def _refuse_both_sides(path: str, cells: Mapping[Cell, pd.DataFrame]) -> None:
    for cell, runs in cells.items():
        sides = runs[runs["side"].isin(SIDES) & runs["pair"].notna()]
        identities = sides[list(IDENTITY)].drop_duplicates()
        if len(set(sides["side"])) > 1 and (len(identities) > 1 or identities.isna().any(axis=None)):
            raise NotComparableError(
                f"{path} has both sides of pairs of {cell}: as one side of a gate it would mix old and new firmware or "
                f"models. Judge the pairs with `edgeprof gate --data {path}`, or give data sets of one side each."
            )


def _why_not_whole(part: pd.DataFrame) -> str:
    """Return why a pair is not whole, by its runs."""
    done = part[part["status"].isin(FINISHED)]
    if done.groupby("side")["capture_id"].nunique().gt(1).any() or done.duplicated(["side", *_PLACE]).any():
        return "a side of them was measured more than once under one name"
    if len(set(done["board"])) > 1:
        return "their sides are of two boards"
    return "a side of them is missing or did not finish"


def _unchanged_pairs(paired: pd.DataFrame, match: Sequence[str]) -> set[str]:
    """Return the pairs in which nothing changed, where their cell has others, whatever became of those."""
    bases, candidates = (paired[paired["side"] == side] for side in SIDES)
    beside = candidates[_PLACE].merge(bases.drop_duplicates(_PLACE)[[*_PLACE, "run_id", *IDENTITY]], "left", _PLACE)
    same = unchanged(beside, candidates)
    cells = _names(candidates, match)
    others = set(cells[~same & beside["run_id"].notna().to_numpy(bool)])
    return set(candidates.loc[same & cells.isin(others).to_numpy(bool), "pair"])


def _cells_of_pairs(
    paired: pd.DataFrame, match: Sequence[str]
) -> tuple[dict[Cell, pd.DataFrame], dict[Cell, pd.DataFrame]]:
    """Return the runs of the base and of the candidate by the candidate's cells, finished or not.

    A base that no candidate stands beside is a cell by its own name: it should have been measured.
    """
    bases, candidates = (paired[paired["side"] == side] for side in SIDES)
    names = _names(candidates, match)
    by_place = dict(zip(_places(candidates), names, strict=True))
    by_pair = dict(zip(candidates["pair"], names, strict=True))
    own = _names(bases, match)
    beside = [
        by_place.get(place) or by_pair.get(place[0]) or name for place, name in zip(_places(bases), own, strict=True)
    ]
    theirs = _grouped(candidates, names)
    judged_elsewhere = set(own[bases["pair"].isin(by_pair)])
    mine = _grouped(bases, pd.Series(beside, index=bases.index, dtype=object))
    return {cell: part for cell, part in mine.items() if cell in theirs or cell not in judged_elsewhere}, theirs


def _places(runs: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(runs[_PLACE].astype(object).fillna("").itertuples(index=False, name=None))


def _names(runs: pd.DataFrame, match: Sequence[str]) -> pd.Series:
    """Return the cell of each run."""
    columns = [runs[c].fillna(UNKNOWN).astype(str) if c in match else [""] * len(runs) for c in CELL]
    return pd.Series([Cell(*names) for names in zip(*columns, strict=True)], index=runs.index, dtype=object)


def _cells(runs: pd.DataFrame, match: Sequence[str]) -> dict[Cell, pd.DataFrame]:
    return _grouped(runs, _names(runs, match))


def _grouped(runs: pd.DataFrame, names: pd.Series) -> dict[Cell, pd.DataFrame]:
    return {cell: runs[names == cell] for cell in dict.fromkeys(names)}


def _side(runs: pd.DataFrame | None, tokens: pd.DataFrame, whole: Collection[str] | None = None) -> Side | None:
    """Return the finished runs, of pairs those of whole ones; None where there is none."""
    if runs is None:
        return None
    done = runs[runs["status"].isin(FINISHED)]
    if whole is not None:
        done = done[done["run_id"].isin(set(whole))]
    return Side(done, tokens[tokens["run_id"].isin(set(done["run_id"]))]) if len(done) else None


def _rows(dataset: Dataset, energy: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of runs and of their tokens."""
    runs, tokens = labelled(dataset), dataset.table("tokens", TOKEN_COLUMNS)
    return with_energy(dataset, runs, tokens) if energy else (runs, tokens)
