"""Model files ranked by what a decode pass costs, on each board for itself. Pure functions on DataFrames.

A rank stays within one board, one clock and one source, for ticks of two of them cannot be compared. What is ranked is
``cost_ratio``, the cost over the passes that a file shares with its board's baseline: means over other passes would
rank prompts, not files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.errors import NotComparableError
from edgeprof.metrics import EXACT_CLOCKS

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["COLUMNS", "dataset_table", "formatted", "ranked", "results_table"]

COLUMNS = (
    "source", "board", "clock", "exact", "rank", "model", "quant", "bits_per_weight", "model_bytes", "ram_needed_bytes",
    "decode_ticks_per_token", "cost_ratio", "is_baseline", "perplexity", "perplexity_board", "status",
)  # fmt: skip
_SCOPE = ["source", "board", "clock"]
_TEXT = ("source", "board", "clock", "model", "quant", "status")
_NUMBERS = (
    "bits_per_weight", "model_bytes", "ram_needed_bytes", "decode_ticks_per_token", "cost_ratio", "perplexity",
)  # fmt: skip


def dataset_table(dataset: Dataset) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a data set's model files on each board, unranked, and why boards are missing.

    Raises
    ------
    NotComparableError
        No board has anything that can be compared.
    """
    from edgeprof.comparison import compare

    tables, notes, errors = [], [], []
    for board in sorted(dataset.runs["board"].dropna().unique()):
        try:
            tables.append(compare(dataset, by=["model", "quant"], board=board).table)
        except NotComparableError as error:  # the other boards can still be ranked
            notes.append(f"Board {board} is not ranked: {error}")
            errors.append(error)
    if not tables:
        raise (errors or [NotComparableError(f"No run in {dataset.path} says on which board it ran.")])[0]
    return pd.concat(tables, ignore_index=True), tuple(notes)


def results_table(results: Sequence[tuple[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Return what the comparisons in several ``results.json`` say of model files, unranked.

    A source is a data set, by the digest of what was read: two reports of the same data are one source.

    Parameters
    ----------
    results
        Name and content of each.

    Raises
    ------
    NotComparableError
        None of them holds a comparison with boards, clocks and costs.
    """
    needed = {"board", "clock", "quant", "cost_ratio", "decode_ticks_per_token"}
    sources: dict[str, str] = {}
    tables: dict[tuple[str, ...], dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for name, content in results:
        inputs = content.get("inputs")
        digest = inputs.get("sha256") if isinstance(inputs, Mapping) else None
        source = sources.setdefault(str(digest or name), name)
        recorded = content.get("results")
        for what, table in recorded.items() if isinstance(recorded, Mapping) else ():
            for row in table if isinstance(table, list) else ():
                if isinstance(row, dict) and needed <= set(row):
                    scope = (source, str(row["board"]), str(row["clock"]))
                    tables.setdefault(scope, {}).setdefault((what, name), []).append({**row, "source": source})
    if not tables:
        raise NotComparableError(
            f"None of {len(results)} reports holds a comparison of model files. `edgeprof report compare_quantizations "
            "DATA` makes one, and `--leaderboard DATA` takes the data set itself."
        )
    # Another comparison may have another baseline, so other ratios: each board's ranks come from one alone.
    chosen = [
        max(found.items(), key=lambda item: (len(item[1]), item[0][0] == "comparison")) for found in tables.values()
    ]
    return pd.DataFrame([row for _, rows in chosen for row in rows])


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of model files with their ranks.

    Parameters
    ----------
    table
        A row a board and file, as of :func:`edgeprof.compare`; columns that are missing are unknown.

    Returns
    -------
    DataFrame
        The columns :data:`COLUMNS`, by source, board, clock and rank. Costs that are equal in three digits share a
        rank, in order of perplexity, then size. What has no known cost has no rank (null) and stands last, as does what
        did not fit or whose clock is not known. ``exact`` tells whether the clock counts the same on every execution.
    """
    out = pd.DataFrame({name: table.get(name, pd.Series(dtype=object)) for name in COLUMNS}, index=table.index)
    for name in _TEXT:
        # Text only, whatever another program wrote into a results.json.
        out[name] = [None if _unknown(value) else str(value) for value in out[name]]
    for name in _NUMBERS:
        number = pd.to_numeric(out[name], errors="coerce").astype(float)
        out[name] = number.where(np.isfinite(number))
    out["is_baseline"] = [value is True or value is np.True_ for value in out["is_baseline"]]
    out["exact"] = out["clock"].isin(EXACT_CLOCKS)
    known = out["cost_ratio"].where(out["decode_ticks_per_token"].notna() & out["clock"].notna())
    # As they are shown: what nobody can see is no order.
    known = known.where(out["status"] != "does not fit").map(lambda ratio: float(f"{ratio:.3g}"))
    out["rank"] = known.groupby([out[c] for c in _SCOPE], dropna=False).rank(method="min").astype("Int64")
    out = _with_perplexity(out)
    order = [*_SCOPE, "rank", "perplexity", "model_bytes", "model", "quant"]
    return out.sort_values(order, kind="stable", na_position="last").reset_index(drop=True)[[*COLUMNS]]


def _with_perplexity(out: pd.DataFrame) -> pd.DataFrame:
    """Return the files with the perplexity that was measured on another board, where a board measured none itself.

    It belongs to the file: every board computes the same.
    """
    file = ["source", "model", "quant"]
    measured = out[out["perplexity"].notna()].drop_duplicates(file)[[*file, "perplexity", "board"]]
    joined = out.merge(measured, on=file, how="left", suffixes=("", "_there"), validate="many_to_one")
    own = joined["perplexity"].notna()
    joined["perplexity_board"] = joined["board"].where(own, joined["board_there"])
    joined["perplexity"] = joined["perplexity"].fillna(joined["perplexity_there"])
    return joined


def _unknown(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def formatted(board: pd.DataFrame) -> pd.DataFrame:
    """Return the ranks of one board as strings, units in the header."""
    return pd.DataFrame(
        {
            "rank": board["rank"].map(units.exact),
            "model": board["model"].fillna("unknown"),
            "quant": board["quant"].fillna("unknown"),
            "decode [tick/token]": board["decode_ticks_per_token"].map(units.si),
            "cost": [
                "baseline" if base else units.ratio(ratio)
                for base, ratio in zip(board["is_baseline"], board["cost_ratio"], strict=True)
            ],
            "perplexity": board["perplexity"].map(lambda v: units.significant(v, 5)),
            "bits / weight": board["bits_per_weight"].map(units.significant),
            "size": board["model_bytes"].map(units.iec),
            "RAM needed": board["ram_needed_bytes"].map(units.iec),
            "status": board["status"].fillna("unknown"),
        }
    )
