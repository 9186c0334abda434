"""What a board does where nothing changed: pairs whose base and candidate are the same firmware and the same model.

A difference that such pairs show as well is no effect. What differs between sessions is seen from runs of the same cell
(board, firmware, model, quantization, prompt) that several sessions have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.energy.columns import with_energy
from edgeprof.intervals import gate_interval, session_deviation
from edgeprof.metrics import EXACT_CLOCKS, METRICS, TOKEN_COLUMNS
from edgeprof.pairs import IDENTITY, SIDES, matched_runs, pair_tags, unchanged
from edgeprof.run_values import DECODE_MEDIAN, all_run_values

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["LEAST_FLOOR", "Noise", "noise_floors"]

LEAST_FLOOR = float(np.log1p(0.02)) / 0.044
"""An effect of 2 % where pairs differ by 4.4 %: the most noise at which few gates of ten pairs raise a false alarm.

The interval of many pairs is narrow however noisy they are. Verdicts depend on the ratio of effect to noise alone, so
with the floor no lower than this, that share of false alarms holds for any noise.
"""

_CELL = ["board", *IDENTITY, "quant", "kind", "prompt_id"]
_IN_TICKS = ("tick", "tick/token")
_JUDGED = (DECODE_MEDIAN, *(name for name, metric in METRICS.items() if metric.better))
_COLUMNS = [
    "board", "metric", "pairs", "pair_deviation_pct", "floor_pct", "sessions", "session_deviation_pct",
]  # fmt: skip

Float = npt.NDArray[np.float64]


def noise_floors(runs: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Return what each board's metrics do with no change.

    Parameters
    ----------
    runs
        Rows of table ``runs``; only those count whose tags say ``pair`` and ``side``, or ``session``.
    tokens
        Rows of table ``tokens`` of these runs, and maybe of others.

    Returns
    -------
    pandas.DataFrame
        A row a board and metric that has any of these: ``pairs`` with no change; ``pair_deviation_pct``, the standard
        deviation of their log ratios; ``floor_pct``, the end of their 95 % interval that is farther from no change, or
        :data:`LEAST_FLOOR` of their deviation if that is more (unknown for fewer than six pairs, unless the clock is
        exact and all of them are equal); ``sessions`` that the cell with the most sessions was measured in, and
        ``session_deviation_pct``, the standard deviation of the logs of their medians.

    Raises
    ------
    NotComparableError
        A run is there twice.
    """
    values, tagged = _values(runs, tokens)
    rows = []
    pairs, medians = _pairs(values, tagged), _sessions(values, tagged)
    exact = set(tagged.loc[tagged["clock"].isin(EXACT_CLOCKS), "board"].astype(str))
    for board, metric in sorted({*pairs, *medians}):
        ratios, typical = pairs.get((board, metric), (np.array([]), np.nan))
        known = medians.get((board, metric))
        tick = 1 / typical if _in_ticks(metric) and typical > 0 else 0.0
        rows.append(
            {
                "board": board,
                "metric": metric,
                "pairs": len(ratios),
                "pair_deviation_pct": 100 * np.std(ratios, ddof=1) if len(ratios) > 1 else np.nan,
                "floor_pct": 100 * _floor(ratios, tick, exact=board in exact),
                "sessions": 0 if known is None else len(known),
                "session_deviation_pct": np.nan if known is None else 100 * session_deviation(known),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


@dataclass(frozen=True)
class Noise:
    """What is known of boards with no change: noise floors, and medians of sessions.

    Attributes
    ----------
    floors
        Board and metric to the noise floor, as a fraction.
    medians
        Board and metric to the medians of one cell in each of at least two sessions, in the metric's unit.
    """

    floors: Mapping[tuple[str, str], float] = field(default_factory=dict)
    medians: Mapping[tuple[str, str], Float] = field(default_factory=dict)

    @classmethod
    def of(cls, *datasets: Dataset, energy: bool = False) -> Noise:
        """Return what data sets say, taken together; one that is given twice counts once.

        Parameters
        ----------
        datasets
            From :func:`edgeprof.open`.
        energy
            Find it of energy, too, for which the samples of meters are read.
        """
        runs, tokens = _gathered(datasets, energy)
        if runs.empty:
            return cls()
        found = noise_floors(runs, tokens).dropna(subset=["floor_pct"])
        floors = {
            (str(board), str(metric)): float(percent) / 100
            for board, metric, percent in zip(found["board"], found["metric"], found["floor_pct"], strict=True)
        }
        return cls(floors, _sessions(*_values(runs, tokens)))

    def floor(self, board: str, metric: str) -> float:
        """Return the noise floor as a fraction: no effect that is smaller is one. 0 where it is not known."""
        return self.floors.get((board, metric), 0.0)

    def sessions(self, board: str, metric: str) -> Float | None:
        """Return the medians of one cell in K sessions, shape (K,), as ``welch_interval`` takes them; None if K < 2."""
        return self.medians.get((board, metric))


def _gathered(datasets: tuple[Dataset, ...], energy: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of all data sets whose tags speak of pairs or sessions, and their tokens."""
    runs, tokens, seen = [], [], set[str]()
    for dataset in datasets:
        own = dataset.runs
        own = own[pair_tags(own).notna().any(axis=1) & ~own["run_id"].isin(seen)]
        ids = own["run_id"].astype(str).tolist()
        if ids:
            seen.update(ids)
            of_them = dataset.table("tokens", TOKEN_COLUMNS, {"run_id": ids})
            own, of_them = with_energy(dataset, own, of_them) if energy else (own, of_them)
            runs.append(own)
            tokens.append(of_them)
    if not runs:
        return pd.DataFrame(), pd.DataFrame()
    return pd.concat(runs, ignore_index=True), pd.concat(tokens, ignore_index=True)


def _values(runs: pd.DataFrame, tokens: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one number a run and metric, and the rows of these runs with their tags, both by ``run_id``."""
    tags = pair_tags(runs)
    wanted = runs["status"].isin(["ok"]) & tags.notna().any(axis=1)
    tagged = pd.concat([runs, tags], axis=1)[wanted]
    of_them = tokens[tokens["run_id"].isin(set(tagged["run_id"]))]
    values = all_run_values(of_them, tagged.drop(columns=list(tags.columns)))
    return values[list(_JUDGED)], tagged.set_index(tagged["run_id"].astype(str))


def _pairs(values: pd.DataFrame, tagged: pd.DataFrame) -> dict[tuple[str, str], tuple[Float, float]]:
    """Return, by board and metric, a log ratio for each pair with no change, and the median of the base's values."""
    rows = matched_runs(tagged.drop(columns=["pair", "side", "session"]))
    base, candidate = (tagged.reindex(rows[side]) for side in SIDES)
    rows = rows[unchanged(base, candidate)]
    one, other = (values.reindex(rows[side]).to_numpy(np.float64) for side in SIDES)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where((one > 0) & (other > 0), np.log(other) - np.log(one), np.nan)
    found: dict[tuple[str, str], tuple[Float, float]] = {}
    boards = rows["board"].fillna("").astype(str).to_numpy(object)
    for board in sorted(set(boards)):
        mine = boards == board
        # Prompts of a pair share what the board was doing then: together they are one measurement.
        by_pair = pd.DataFrame(logs[mine], columns=values.columns).groupby(rows["pair"].to_numpy(object)[mine]).mean()
        typical = pd.DataFrame(one[mine], columns=values.columns).median()
        for metric in _JUDGED:
            ratios = by_pair[metric].dropna().to_numpy(np.float64)
            if len(ratios):
                found[board, metric] = ratios, float(typical[metric])
    return found


def _sessions(values: pd.DataFrame, tagged: pd.DataFrame) -> dict[tuple[str, str], Float]:
    """Return, by board and metric, the medians of the sessions of one cell: of that which the most sessions have.

    Of cells that have as many, the one that differs most between them.
    """
    known = tagged[tagged["session"].notna()]
    found: dict[tuple[str, str], Float] = {}
    for _, cell in known.groupby(_CELL, dropna=False, sort=True):
        if cell["session"].nunique() < 2:
            continue
        medians = values.loc[cell.index].groupby(cell["session"]).median()
        for metric, column in _usable(medians):
            name = (str(cell["board"].iloc[0]), metric)
            best = found.get(name)
            if best is None or (len(column), session_deviation(column)) > (len(best), session_deviation(best)):
                found[name] = column
    return found


def _usable(medians: pd.DataFrame) -> Iterator[tuple[str, Float]]:
    """Yield metrics of which at least two sessions have a positive value."""
    for metric in medians.columns:
        column = medians[metric].to_numpy(np.float64)
        column = column[np.isfinite(column) & (column > 0)]
        if len(column) > 1:
            yield str(metric), column


def _floor(ratios: Float, tick_fraction: float, *, exact: bool) -> float:
    if exact and len(ratios) and not ratios.any():
        return 0.0
    interval = gate_interval(ratios, tick_fraction=tick_fraction)
    if interval is None:
        return np.nan
    return math.expm1(max(-interval.low, interval.high, LEAST_FLOOR * float(np.std(ratios, ddof=1))))


def _in_ticks(metric: str) -> bool:
    return metric == DECODE_MEDIAN or METRICS[metric].unit in _IN_TICKS
