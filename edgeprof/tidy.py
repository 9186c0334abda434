"""From a data set to the tidy frames that plots take and the formatted tables that stand beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.errors import NotComparableError, unknown_name
from edgeprof.fronts import pareto
from edgeprof.metrics import TOKEN_COLUMNS, itl_ticks

if TYPE_CHECKING:
    from edgeprof.comparison import Comparison
    from edgeprof.store import Dataset

__all__ = [
    "changes", "clock", "cost_table", "costs", "front", "front_table", "itl", "itl_table", "labels", "passes",
    "passes_table", "pick_run", "quality_table", "run_clock", "run_facts", "tradeoff",
]  # fmt: skip

_FACTS = (
    "board", "core", "clock", "emulator", "emulator_version", "compiler", "kernel_variant", "firmware", "model", "arch",
    "n_params", "quant", "bits_per_weight", "prompt_id", "kind", "n_prompt", "n_generated", "n_ctx", "sampler",
    "status", "passes", "passes_received", "frames_lost",
)  # fmt: skip
_BYTES = ("model_bytes", "ram_needed_bytes", "ram_bytes", "flash_needed_bytes", "flash_bytes")


def labels(runs: pd.DataFrame) -> pd.Series:
    """Return what each run's group is called in plots: its quantization, and its model if not the usual one."""
    counts = runs.groupby("model", dropna=True)["quant"].nunique()
    common = counts.index[int(np.argmax(counts.to_numpy()))] if len(counts) else None
    quant, model = runs["quant"].fillna("unknown").astype(str), runs["model"].fillna("unknown").astype(str)
    return quant.where(runs["model"] == common, quant + " · " + model).rename("group")


def _of_board(dataset: Dataset, board: str) -> pd.DataFrame:
    runs = dataset.runs
    if board not in set(runs["board"].dropna()):
        raise unknown_name("board in this data set", board, set(runs["board"].dropna()))
    return runs[runs["board"] == board]


def clock(dataset: Dataset, board: str) -> str:
    """Return the kind of a board's clock, for the axes of plots."""
    return _kind(_of_board(dataset, board))


def run_clock(dataset: Dataset, run_id: str) -> str:
    """Return the kind of the clock of a run, for the axes of plots."""
    return _kind(dataset.runs[dataset.runs["run_id"] == run_id])


def _kind(runs: pd.DataFrame) -> str:
    kinds = runs["clock"].dropna()
    return str(kinds.iloc[0]) if len(kinds) else "an unknown clock"


def _ordered(dataset: Dataset, board: str) -> pd.DataFrame:
    """Return a board's finished runs with their labels, the most bits per weight first."""
    runs = _of_board(dataset, board)
    mine = runs[runs["status"] == "ok"]
    if mine.empty:
        raise NotComparableError(f"Board {board!r} has no finished run in {dataset.path}.")
    mine = mine.assign(group=labels(mine))
    return mine.sort_values(["bits_per_weight", "group"], ascending=[False, True], kind="stable")


def costs(dataset: Dataset, board: str) -> pd.DataFrame:
    """Return the decode passes of a board: ``group``, ``position``, ``ticks``, groups by falling bits per weight."""
    runs = _ordered(dataset, board)
    tokens = dataset.table("tokens", ["run_id", "phase", "position", "ticks"], {"board": board})
    decode = tokens[(tokens["phase"] == "decode") & tokens["ticks"].notna()]
    found = runs[["run_id", "group"]].merge(decode, on="run_id")
    return found[["group", "position", "ticks"]].reset_index(drop=True)


def cost_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return what a plot of :func:`costs` shows, as strings."""
    rows = []
    for name, part in data.groupby("group", sort=False):
        mean = part.groupby("position")["ticks"].mean().astype(float)
        slope = np.polyfit(mean.index.to_numpy(float), mean.to_numpy(), 1)[0] if len(mean) > 1 else float("nan")
        rows.append(
            {
                "group": name,
                "passes": units.exact(len(part)),
                "positions": f"{mean.index.min()}–{mean.index.max()}",
                "first [tick]": units.si(mean.iloc[0], digits=4),
                "last [tick]": units.si(mean.iloc[-1], digits=4),
                "growth [tick/position]": units.si(slope),
            }
        )
    return pd.DataFrame(rows)


def itl(dataset: Dataset, board: str) -> pd.DataFrame:
    """Return the inter-token latencies of a board: ``group`` and ``itl_ticks``."""
    runs = _ordered(dataset, board)
    tokens = dataset.table("tokens", TOKEN_COLUMNS, {"board": board, "kind": "generate"})
    by_run = {str(key): part.sort_values("position") for key, part in tokens.groupby("run_id", sort=False)}
    parts = [
        pd.DataFrame({"group": run.group, "itl_ticks": itl_ticks(by_run[str(run.run_id)])})
        for run in runs.itertuples(index=False)
        if str(run.run_id) in by_run
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"group": [], "itl_ticks": []})


def itl_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return what a plot of :func:`itl` shows, as strings."""
    rows = []
    for name, part in data.groupby("group", sort=False):
        values = part["itl_ticks"].to_numpy(float)
        p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
        rows.append(
            {
                "group": name,
                "intervals": units.exact(len(values)),
                "p50 [tick]": units.si(p50, digits=4),
                "p95 [tick]": units.si(p95, digits=4),
                "p99 [tick]": units.si(p99, digits=4),
                "p99 over p50": units.ratio(p99 / p50),
            }
        )
    return pd.DataFrame(rows)


def tradeoff(comparison: Comparison, board: str) -> pd.DataFrame:
    """Return a board's groups with perplexity, also as percent above the best, size and cost, for plots."""
    table = comparison.table[comparison.table["board"] == board]
    if {"model", "quant"} <= set(table.columns):
        name = labels(table)
    else:
        columns = [c for c in comparison.by if c != "board"] or ["board"]
        name = table[columns].fillna("unknown").astype(str).apply(" · ".join, axis=1, result_type="reduce")
    above = 100 * (table["perplexity"] / table["perplexity"].min() - 1)
    columns = ["group", "perplexity", "perplexity_above_best_pct", "model_bytes", "decode_ticks_per_token"]
    return table.assign(group=name, perplexity_above_best_pct=above)[columns]


def front(points: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """Return :func:`tradeoff`'s points with their Pareto front; where nobody has all metrics, nothing is on it.

    Differences below the smallest effect that matters do not count: a file that is smaller by a few bytes beats none.
    """
    from edgeprof.changes import SMALLEST_EFFECT, SMALLEST_EFFECTS

    within = {name: SMALLEST_EFFECTS.get(name, SMALLEST_EFFECT) for name in metrics}
    try:
        return pareto(points, metrics, tolerance=within)
    except NotComparableError:
        unknown = {"on_front": pd.array([None] * len(points), "boolean"), "dominated_by": None}
        return points.assign(**unknown)


def front_table(front: pd.DataFrame) -> pd.DataFrame:
    """Return what a plot of a Pareto front shows, as strings: of each what dominates it."""
    beaten = front["dominated_by"].where(front["dominated_by"].notna(), units.UNKNOWN)
    on_front = front["on_front"].astype("boolean")
    return pd.DataFrame(
        {
            "group": front["group"],
            "size": front["model_bytes"].map(units.iec),
            "decode [tick/token]": front["decode_ticks_per_token"].map(units.si),
            "perplexity": front["perplexity"].map(lambda v: units.significant(v, 5)),
            "on the front": on_front.map({True: "yes", False: "no"}).fillna("a metric is missing"),
            "beaten by": beaten.astype(str),
        }
    )


def changes(comparison: Comparison, metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Return judged changes for plots, metric by metric: ``label``, ``group``, the change, its interval and verdict.

    Parameters
    ----------
    comparison
        From :func:`edgeprof.compare`.
    metrics
        Which, in this order; by default all that were judged.
    """
    table = comparison.changes
    order = list(metrics) or list(dict.fromkeys(table["metric"]))
    table = table[table["metric"].isin(order)]
    boards = len(set(table["board"])) > 1 and "board" not in comparison.by
    several = not comparison.baseline
    label = table["candidate"] + (" against " + table["base"] if several else "")
    unit = table["unit"].where(table["unit"] == "", " [" + table["unit"] + "]")
    group = table["metric"] + unit + (" · " + table["board"] if boards else "")
    shown = table.assign(label=label, group=group, at=table["metric"].map(order.index))
    shown["word"] = shown["word"].where(shown["method"] != "none")
    columns = ["label", "group", "change", "low", "high", "word", "certain", "reason", "smallest"]
    return shown.sort_values("at", kind="stable")[columns].reset_index(drop=True)


def quality_table(comparison: Comparison) -> pd.DataFrame:
    """Return of a comparison, as strings, what says how good each group is, without cost and memory."""
    shown = comparison.formatted()
    wanted = (*comparison.by, "bits / weight", "perplexity", "Δ perplexity [95 %]", "quality")
    return shown[[column for column in shown.columns if column in wanted]]


def pick_run(dataset: Dataset, **wanted: str) -> str:
    """Return the ``run_id`` of the first finished run with the wanted columns; empty values do not matter.

    Raises
    ------
    UsageError
        No run has such a value; the message names the closest.
    """
    runs = dataset.runs
    runs = runs[runs["status"] == "ok"]
    for column, value in wanted.items():
        if not value:
            continue
        if column not in runs.columns:
            raise unknown_name("column of runs", column, runs.columns)
        if value not in set(runs[column].dropna()):
            raise unknown_name(f"run with {column}", value, {str(v) for v in runs[column].dropna()})
        runs = runs[runs[column] == value]
    if runs.empty:
        raise NotComparableError(f"There is no finished run in {dataset.path}; `edgeprof runs` lists what there is.")
    order = runs.sort_values(["board", "model", "quant", "prompt_id", "run_id"], kind="stable")
    return str(order["run_id"].iloc[0])


def run_facts(dataset: Dataset, run_id: str) -> pd.DataFrame:
    """Return what is known of a run as two columns of strings; what is unknown is left out."""
    runs = dataset.table("runs", where={"run_id": run_id})
    if runs.empty:
        raise unknown_name("run in this data set", run_id, dataset.runs["run_id"])
    run, rows = runs.iloc[0], []
    for name in (*_FACTS, *_BYTES):
        value = run[name]
        if pd.isna(value):
            continue
        if name in _BYTES:
            text = f"{units.exact(value)} bytes ({units.iec(value)})"
        elif isinstance(value, str):
            text = value
        else:
            text = units.exact(value) if float(value).is_integer() else units.significant(value, 4)
        rows.append({"what": name, "value": text})
    return pd.DataFrame(rows)


def passes(dataset: Dataset, run_id: str) -> pd.DataFrame:
    """Return a run's passes in order: ``window``, ``position``, ``phase``, ``ticks``, ``nll``, ``scored``."""
    columns = ["window", "position", "phase", "ticks", "nll", "scored"]
    return dataset.table("tokens", columns, {"run_id": run_id}).sort_values(["window", "position"], kind="stable")


def passes_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return a run's passes by phase, as strings."""
    rows = []
    for phase, part in data.groupby("phase", sort=False):
        ticks = part["ticks"].astype(float)
        rows.append(
            {
                "phase": phase,
                "passes": units.exact(len(part)),
                "total [tick]": units.si(ticks.sum(), digits=4),
                "mean [tick]": units.si(ticks.mean(), digits=4),
                "least [tick]": units.si(ticks.min(), digits=4),
                "most [tick]": units.si(ticks.max(), digits=4),
                "mean NLL [nat]": units.significant(part["nll"].astype(float).mean(), 4),
            }
        )
    return pd.DataFrame(rows)
