"""Whether two captures are the same: all that the device said in runs, tokens, stages, memory and logits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from edgeprof.schema import device_columns

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["differences"]

_IDENTITY = ["board", "kernel_variant", "model", "quant", "kind", "prompt_id"]
_OF_THE_MOMENT = ("pair", "session")  # tags that name when something was measured
_ROWS = {"tokens": ["window", "position"], "stages": ["position"], "memory": ["ticks"],
         "logits": ["window", "position", "first_id"]}  # fmt: skip


def differences(a: Dataset, b: Dataset, *, subset: bool = False) -> list[str]:
    """Return, in words, where the device columns of two data sets differ; an empty list if nowhere.

    Runs are matched by board, kernels, model, quantization, kind and prompt, and by order among those alike; when they
    were captured, and in which order, does not matter. With ``subset`` it does not count what only ``b`` has.
    """
    runs_a, runs_b = (_named(d.runs) for d in (a, b))
    found = [f"only in {a.path}: {name}" for name in sorted(set(runs_a.index) - set(runs_b.index))]
    if not subset:
        found += [f"only in {b.path}: {name}" for name in sorted(set(runs_b.index) - set(runs_a.index))]
    both = runs_a.index.intersection(runs_b.index)
    found += _differing("runs", runs_a.loc[both, device_columns("runs")], runs_b.loc[both, device_columns("runs")])
    for table, order in _ROWS.items():
        parts = [_rows(d, table, runs.loc[both], order) for d, runs in ((a, runs_a), (b, runs_b))]
        found += _differing(table, *parts)
    return found


def _named(runs: pd.DataFrame) -> pd.DataFrame:
    keys = runs[_IDENTITY].fillna("").astype(str)
    count = keys.groupby(_IDENTITY).cumcount().astype(str)
    tags = runs["tags"].map(_lasting, na_action="ignore")
    return runs.assign(name=keys.agg("/".join, axis=1) + "#" + count, tags=tags).set_index("name")


def _lasting(tags: str) -> str:
    """Return the tags without those that name when something was measured."""
    found = json.loads(tags)
    return json.dumps({k: v for k, v in found.items() if k not in _OF_THE_MOMENT}, sort_keys=True)


def _rows(dataset: Dataset, table: str, runs: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    names = runs.reset_index()[["run_id", "name"]]
    rows = dataset.table(table, ["run_id", *device_columns(table)]).merge(names, on="run_id")
    return rows.sort_values(["name", *order], kind="stable").set_index("name").drop(columns="run_id")


def _differing(table: str, a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    if not a.index.equals(b.index):
        return [f"{table}: the runs have other numbers of rows ({len(a)} against {len(b)} in all)"]
    found = []
    for column in a.columns:
        left, right = (frame[column].reset_index(drop=True) for frame in (a, b))
        if column == "logits":
            left, right = (side.map(lambda row: row.tobytes().hex(" ", 4)) for side in (left, right))
        unlike = ~((left == right).fillna(False).astype(bool) | (left.isna() & right.isna())).to_numpy(bool)
        if unlike.any():
            first = int(unlike.argmax())
            found.append(
                f"{table}.{column}: {int(unlike.sum())} of {len(a)} differ; the first in {a.index[first]}: "
                f"{left.iloc[first]} against {right.iloc[first]}"
            )
    return found
