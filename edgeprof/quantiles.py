"""Exact quantiles over all tokens of a data set, however many: each file is read once, and numbers alone are kept.

They describe tokens. Whether two groups differ is another question, which runs answer, not tokens
(``docs/statistics.md``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.frames import to_pandas
from edgeprof.records import PHASES
from edgeprof.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["linear_quantiles", "token_quantiles"]

_ALIKE = ("clock", "tick_hz", "emulator", "emulator_version", "emulator_flags")
"""Ticks of runs that differ in one of these are not the same thing."""
_THREADS = min(4, os.cpu_count() or 1)
Values = npt.NDArray[Any]


def token_quantiles(
    dataset: Dataset, column: str = "ticks", by: str | Sequence[str] = "quant",
    q: float | Sequence[float] = (0.5, 0.95), *, phase: str | None = "decode", where: Mapping[str, Any] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return exact quantiles of a column of ``tokens`` for each group of runs.

    What is kept in memory is 8 bytes a token, those of a few groups a second time, and a few batches of the files.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    column
        A column of numbers of table ``tokens``; unknown values and NaN do not count.
    by
        Columns of ``runs`` that tell groups apart. Board and model do, too, where there are several.
    q
        Which quantiles, each from 0 to 1; between two values by a straight line, as :func:`numpy.quantile`.
    phase
        ``prefill``, ``decode``, ``score`` or ``unknown``; None for all passes.
    where
        Column of ``runs`` to value or list of values: only these runs. All by default, whatever their status.

    Returns
    -------
    DataFrame
        A row a group, sorted: the group's columns, ``tokens`` (how many values there were), and for each quantile a
        column such as ``p95_ticks``, in the column's unit; NaN where there was no value.

    Raises
    ------
    UsageError
        A column that does not exist or holds no numbers, a phase that there is not, or a quantile out of range.
    NotComparableError
        No run matches, or ticks of one group are of different clocks, emulators, versions or flags.
    StorageError
        A file is damaged.
    """
    wanted = [float(v) for v in ([q] if isinstance(q, (int, float)) else q)]
    if not wanted or not all(0 <= v <= 1 for v in wanted):
        raise UsageError(f"Quantiles are numbers from 0 to 1, at least one; not {q!r}. The median is 0.5.")
    known = [str(name) for name in PHASES.to_pylist()]
    if phase is not None and phase not in known:
        raise unknown_name("phase", phase, known)
    unit = _unit(column)
    runs, key = _runs(dataset, [by] if isinstance(by, str) else list(by), where)
    alike = [c for c in _ALIKE if c not in key] if unit == "tick" else []
    found = runs.groupby([*key, *alike], dropna=False, sort=True)
    group_of = dict(zip(runs["run_id"].astype(str), found.ngroup(), strict=True))
    # Only the files of these runs are read, if not all are wanted.
    batches = dataset.batches("tokens", ["run_id", "phase", column], where)
    values = _gather(batches, group_of, found.ngroups, phase)
    names = [f"p{100 * v:.6g}_{column}" for v in wanted]
    table = runs.assign(_group=found.ngroup()).drop_duplicates("_group").sort_values("_group")
    table = table[[*key, *alike]].reset_index(drop=True)
    table["tokens"] = [sum(map(len, parts)) for parts in values]
    if alike:
        table = _one_clock(table, key, alike)

    def of_group(i: int) -> Values:
        return linear_quantiles(np.concatenate(values[i] or [np.empty(0)]), wanted)

    with ThreadPoolExecutor(_THREADS) as pool:  # numpy lets go of the interpreter while it selects
        rows = list(pool.map(of_group, table.index))
    table[names] = np.array(rows).reshape(len(table), len(names))
    return table[[*key, "tokens", *names]].reset_index(drop=True)


def linear_quantiles(values: Values, q: Iterable[float]) -> npt.NDArray[np.float64]:
    """Return quantiles of numbers, exactly those of :func:`numpy.quantile`; NaN where there are none.

    Parameters
    ----------
    values
        Numbers that are no NaN, shape (n,). Their order is changed.
    q
        Which quantiles, each from 0 to 1.
    """
    last = len(values) - 1
    q = np.asarray(list(q), np.float64)
    if last < 0:
        return np.full(len(q), np.nan)
    places = last * q
    below = np.floor(places).astype(np.int64)
    at: dict[int, Any] = {}
    # Numpy selects one place several times as fast as it selects many: one after the other, each in what lies above.
    done = 0
    for place in np.unique(np.concatenate((below, np.minimum(below + 1, last)))).tolist():
        rest = values[done:]
        rest.partition(place - done)
        at[place], done = rest[place - done], place
    low = np.array([at[i] for i in below.tolist()])
    high = np.array([at[min(i + 1, last)] for i in below.tolist()])
    part, step = places - below, high - low
    with np.errstate(invalid="ignore"):  # a device may say infinity
        return np.asarray(np.where(part >= 0.5, high - step * (1 - part), low + step * part), np.float64)


def _unit(column: str) -> str:
    """Return the unit of a column of numbers."""
    schema = arrow_schema("tokens")
    numbers = {c.name: c.unit for c in TABLES["tokens"] if _is_number(schema.field(c.name).type)}
    if column not in numbers:
        raise unknown_name("column of numbers in tokens", column, numbers)
    return str(numbers[column])


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _runs(dataset: Dataset, by: list[str], where: Mapping[str, Any] | None) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs that are wanted, and the columns that tell their groups apart."""
    known = [c.name for c in TABLES["runs"]]
    for column in [*by, *(where or {})]:
        if column not in known:
            raise unknown_name("column of runs", column, known)
    needed = [*dict.fromkeys(["run_id", "board", "model", *by, *_ALIKE])]
    runs = to_pandas(dataset.arrow("runs", needed, where))
    if runs.empty:
        raise NotComparableError(
            f"No run {f'of {dict(where)} ' if where else ''}is in {dataset.path}: there are no tokens to look at. "
            "`edgeprof runs` lists what is there."
        )
    more = [c for c in ("board", "model") if c not in by and len(runs[c].unique()) > 1]
    return runs, [*more, *dict.fromkeys(by)]


def _gather(
    batches: Iterable[pa.RecordBatch], group_of: Mapping[str, int], n_groups: int, phase: str | None
) -> list[list[Values]]:
    """Return the values of each group, in pieces."""
    values: list[list[Values]] = [[] for _ in range(n_groups)]
    narrow = np.int16 if n_groups < np.iinfo(np.int16).max else np.int32  # 16 bits are sorted by counting
    for batch in batches:
        for group, piece in _split(batch, group_of, phase, narrow):
            values[group].append(piece)
    return values


def _split(
    batch: pa.RecordBatch, group_of: Mapping[str, int], phase: str | None, narrow: type
) -> Iterator[tuple[int, Values]]:
    """Yield the values of each group that is in a batch of run, phase and value."""
    columns: list[Any] = batch.columns
    run, phases, column = columns
    keep = None
    if phase is not None:
        said = phases.dictionary.to_pylist()
        if phase not in said:
            return
        keep = _codes(phases) == said.index(phase)
    if column.null_count:
        known = column.is_valid().to_numpy(zero_copy_only=False)
        keep = known if keep is None else keep & known
        column = column.fill_null(0)
    values = column.to_numpy()
    if values.dtype.kind == "f":
        real = ~np.isnan(values)
        keep = real if keep is None else keep & real
    # The last one is for rows of no run.
    groups: Values = np.array([*(group_of.get(name, -1) for name in run.dictionary.to_pylist()), -1], narrow)
    present = np.unique(groups if run.null_count else groups[:-1])
    if len(present) > 1:
        group = groups[_codes(run)]
        group, values = (group, values) if keep is None else (group[keep], values[keep])
        order = np.argsort(group, kind="stable")
        values = values[order]
        ends = np.searchsorted(group[order], present, side="right")
    else:
        values = values if keep is None else values[keep]
        ends = np.array([len(values)])
    for group_number, begin, end in zip(present.tolist(), [0, *ends[:-1]], ends, strict=True):
        if group_number >= 0:
            yield group_number, values[begin:end]


def _codes(column: Any) -> npt.NDArray[np.int32]:
    """Return the codes of a column of text, -1 where there is none."""
    return np.asarray(pc.fill_null(column.indices, -1), np.int32)


def _one_clock(table: pd.DataFrame, key: list[str], alike: list[str]) -> pd.DataFrame:
    """Return a row for each group of ``key``; its tokens have to be of one clock."""
    counted = table[table["tokens"] > 0]
    twice = counted[counted.duplicated(key, keep=False)]
    if len(twice):
        n_groups = len(twice.drop_duplicates(key))
        differs = [c for c in alike if len(twice.drop_duplicates([*key, c])) > n_groups]
        raise NotComparableError(
            f"Ticks of one group are of different clocks: {', '.join(differs)} differ. Add {differs[0]!r} to what "
            "tells groups apart, or choose runs (where)."
        )
    return table.sort_values("tokens", ascending=False, kind="stable").drop_duplicates(key).sort_index()
