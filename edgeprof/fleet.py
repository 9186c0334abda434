"""Every model file on every board: what fits, what it costs there, and how good it is. For deciding what to ship where.

Speed is a ratio to the same board's own cost of one reference quantization, because ticks of two boards cannot be
compared. Perplexity belongs to the file: it is measured on one board, and every board computes the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.comparison import COST, Comparison, compare
from edgeprof.errors import NotComparableError, unknown_name
from edgeprof.tidy import labels

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["common_reference", "fleet", "fleet_table"]


def common_reference(dataset: Dataset) -> tuple[str, str]:
    """Return model and quantization with the most bits per weight that ran on every board.

    Raises
    ------
    NotComparableError
        Nothing ran on all of them.
    """
    runs = dataset.runs
    ran = runs[(runs["status"] == "ok") & (runs["kind"] == "generate")]
    boards = set(runs["board"].dropna())
    found = [
        (-float(part["bits_per_weight"].max()), str(model), str(quant))
        for (model, quant), part in ran.groupby(["model", "quant"])
        if set(part["board"]) == boards
    ]
    if not found:
        raise NotComparableError(
            f"No model file ran on all boards of {dataset.path} ({', '.join(sorted(boards)) or 'there is none'}), so "
            "there is no common reference. Name one with reference=, and open a data set of boards that ran it."
        )
    _, model, quant = min(found)
    return model, quant


def fleet(dataset: Dataset, *, reference: str | None = None, quality: Comparison | None = None) -> pd.DataFrame:
    """Return every model file on every board.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    reference
        The quantization whose cost on the same board is 1; by default :func:`common_reference`.
    quality
        ``compare(dataset, by="quant")``, if the caller has it already.

    Returns
    -------
    DataFrame
        A row a board and file: ``group``, ``board``, ``clock``, ``model``, ``quant``, ``bits_per_weight``,
        ``model_bytes``, ``fits``, ``short_bytes`` and ``short_of`` (by how much what does not fit misses, in RAM or
        flash), ``ram_needed_bytes``, ``flash_needed_bytes``, ``cost_ratio`` and ``cost_verdict`` against the board's
        own reference, ``reference``, ``perplexity`` and ``perplexity_board`` (where it was measured).

    Raises
    ------
    NotComparableError
        A board did not run the reference.
    """
    if reference is None:
        model, quant = common_reference(dataset)
    else:
        known = set(dataset.runs["quant"].dropna())
        if reference not in known:
            raise unknown_name("quantization in this data set", reference, known)
        model, quant = _model_of(dataset, reference), reference
    quality = quality or compare(dataset, by="quant")
    several = "model" in quality.table.columns
    baseline = {"quant": quant} | ({"model": model} if several else {})
    cost = compare(dataset, by="quant", baseline=baseline, metrics=[COST]).table
    table = cost if several else cost.assign(model=model)
    sizes = dataset.runs.groupby("board")[["ram_bytes", "flash_bytes"]].max()
    out = table[["board", "clock", "model", "quant", "bits_per_weight", "model_bytes"]].copy()
    out["group"] = labels(table)
    out["fits"] = table["status"] != "does not fit"
    short = pd.DataFrame(
        {
            region: table[f"{region}_needed_bytes"].astype(float)
            - table["board"].map(sizes[f"{region}_bytes"]).astype(float)
            for region in ("ram", "flash")
        }
    )
    worst = short.fillna(-np.inf).idxmax(axis=1)
    missing = short.max(axis=1)
    out["short_bytes"] = missing.where(~out["fits"] & (missing > 0))
    out["short_of"] = worst.map({"ram": "RAM", "flash": "flash"}).where(out["short_bytes"].notna())
    for column in ("ram_needed_bytes", "flash_needed_bytes", "cost_ratio", "cost_verdict"):
        out[column] = table[column]
    out["reference"] = f"{quant} of {model}"
    return _with_perplexity(out, quality.table if several else quality.table.assign(model=model))


def _model_of(dataset: Dataset, quant: str) -> str:
    """Return the model with the most quantizations of those that have this one."""
    runs = dataset.runs
    having = set(runs.loc[runs["quant"] == quant, "model"].dropna())
    counts = runs[runs["model"].isin(having)].groupby("model")["quant"].nunique()
    return str(counts.idxmax()) if len(counts) else ""


def _with_perplexity(out: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    measured = quality[quality["perplexity"].notna()].drop_duplicates(["model", "quant"])
    columns = measured[["model", "quant", "perplexity", "board"]].rename(columns={"board": "perplexity_board"})
    joined = out.merge(columns, on=["model", "quant"], how="left", validate="many_to_one")
    order = ["bits_per_weight", "group", "board"]
    return joined.sort_values(order, ascending=[False, True, True], kind="stable").reset_index(drop=True)


def cell(row: pd.Series) -> str:
    """Return what a board does with a file, in a few characters."""
    if row["fits"]:
        return units.ratio(row["cost_ratio"]) if pd.notna(row["cost_ratio"]) else "runs"
    if pd.isna(row["short_bytes"]):
        return "does not fit"
    return f"{row['short_of']} +{units.iec(row['short_bytes'])}"


def fleet_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`fleet` as strings, a row a file and a column a board.

    A ratio is the cost of a decode pass to that of the board's own reference; a size is what the file is too large by.
    """
    shown = data.assign(cell=data.apply(cell, axis=1))
    files = shown.drop_duplicates("group").set_index("group")
    table = pd.DataFrame(
        {
            "file": files.index,
            "bits / weight": files["bits_per_weight"].map(units.significant),
            "size": files["model_bytes"].map(units.iec),
            "perplexity": files["perplexity"].map(lambda v: units.significant(v, 5)),
        }
    )
    wide = shown.pivot_table(index="group", columns="board", values="cell", aggfunc="first", sort=False)
    for board in sorted(shown["board"].unique()):
        table[board] = wide[board].reindex(files.index).fillna("not run")
    return table.reset_index(drop=True)
