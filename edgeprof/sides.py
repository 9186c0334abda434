"""Two sides of a comparison, as judging sees them: finished runs, the passes that both have, what they measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.errors import NotComparableError
from edgeprof.metrics import EXACT_CLOCKS, METRICS, measure_runs
from edgeprof.paired import common_passes
from edgeprof.passes import passes_by_run, passes_of
from edgeprof.run_values import DECODE_MEDIAN, run_values

__all__ = ["Cut", "Side", "Sides", "cut_to_common", "only_one"]

_PREFILL = ("prefill_ticks_per_token", "prefill_tok_s", "prefill_nominal_tok_s", "energy_prefill_uj")
_NAMES = ("the base", "the candidate")


@dataclass(frozen=True, slots=True)
class Side:
    """A group of runs, rows of tables ``runs`` and ``tokens``; energy is judged if ``with_energy`` gave it to them.

    Where the runs have columns ``pair`` and ``session``, those say what was measured side by side.
    """

    runs: pd.DataFrame
    tokens: pd.DataFrame


class Cut:
    """A side's finished runs, cut to the passes that both have; what they measured is worked out once."""

    def __init__(self, name: str, whole: Side, runs: pd.DataFrame, tokens: pd.DataFrame) -> None:
        self.name, self.whole = name, whole
        # A firmware need not name its prompts; what has no name is one prompt.
        self.runs, self.tokens = runs.assign(prompt_id=runs["prompt_id"].fillna("")), tokens

    @cached_property
    def _measured(self) -> pd.DataFrame:
        return measure_runs(self.runs, self.tokens).set_index("run_id")

    @cached_property
    def _whole_prompts(self) -> npt.NDArray[np.bool_]:
        """Tell of each run whether all of its prompt arrived: a mean over the rest of it is of another prompt."""
        prefill = self.tokens[(self.tokens["phase"] == "prefill") & self.tokens["ticks"].notna()]
        arrived = prefill.groupby("run_id")["n_batch"].sum().reindex(self.runs["run_id"]).fillna(0)
        wanted = self.runs["n_prompt"].fillna(0)
        return np.asarray(arrived.to_numpy(np.float64) >= wanted.to_numpy(np.float64), np.bool_)

    def values(self, metric: str) -> pd.Series:
        """Return one number a run, by ``run_id`` and in the order of the runs; NaN where it has none."""
        if metric == DECODE_MEDIAN:
            return run_values(self.tokens, self.runs, metric)
        found = self._measured[metric].reindex(self.runs["run_id"].astype(str)).astype("float64")
        return found.where(self._whole_prompts) if metric in _PREFILL else found

    def lack(self, metric: str) -> str:
        """Return why no run of this side has a value, in words."""
        if self.runs.empty:
            statuses = self.whole.runs["status"].fillna("unfinished").value_counts()
            found = ", ".join(f"{count} {status}" for status, count in statuses.items())
            return f"finished runs of a prompt that both have; {self.name} has {found or 'no run'}"
        by_run, empty = passes_by_run(self.tokens), passes_of(self.tokens.iloc[:0])
        for run in self.runs.itertuples(index=False):
            passes = replace(by_run.get(str(run.run_id), empty), energy=getattr(run, "energy", None))
            reason = METRICS[metric].lack(run, passes)
            if reason is not None:
                return f"{reason.removeprefix('needs ')} ({self.name})"
        return f"{METRICS[metric].needs}; {self.name} has not all of it"


@dataclass(frozen=True, slots=True)
class Sides:
    """Base and candidate beside each other.

    Attributes
    ----------
    base, candidate
        Cut to what both have.
    compared
        The share of the decode passes that either had which both have, 0 to 1; NaN where there are none.
    """

    base: Cut
    candidate: Cut
    compared: float

    def each(self) -> tuple[Cut, Cut]:
        """Return both."""
        return self.base, self.candidate

    @property
    def clocks(self) -> list[str]:
        """The kinds of clocks; what is unknown is none."""
        both = pd.concat([self.base.whole.runs["clock"], self.candidate.whole.runs["clock"]])
        return sorted(map(str, both.dropna().unique()))

    @property
    def rates_hz(self) -> list[float]:
        """The rates of the clocks that are time."""
        both = pd.concat([self.base.whole.runs["tick_hz"], self.candidate.whole.runs["tick_hz"]])
        return sorted(float(v) for v in both.dropna().unique())

    @property
    def exact(self) -> bool:
        """Whether every run says that its clock counts the same on every execution."""
        both = pd.concat([self.base.whole.runs["clock"], self.candidate.whole.runs["clock"]])
        return bool(len(both) and both.isin(EXACT_CLOCKS).all())

    @property
    def boards(self) -> list[str]:
        """The names of the boards, usually one."""
        both = pd.concat([self.base.runs["board"], self.candidate.runs["board"]])
        return sorted(map(str, both.fillna("").unique()))

    def missing(self, metric: str, base: float, candidate: float) -> str:
        """Return what is needed and not there, for values of which one is unknown."""
        lacking = [side for side, value in zip(self.each(), (base, candidate), strict=True) if math.isnan(value)]
        return "; ".join(dict.fromkeys(side.lack(metric) for side in lacking or self.each()))


def cut_to_common(base: Side, candidate: Side) -> Sides:
    """Return two sides cut to the prompts and passes that both have."""
    cut = common_passes(base.runs, base.tokens, candidate.runs, candidate.tokens)
    sides = Cut(_NAMES[0], base, *cut[:2]), Cut(_NAMES[1], candidate, *cut[2:])
    return Sides(*sides, _share(*sides))


def _share(base: Cut, candidate: Cut) -> float:
    had = [_decode_positions(side.whole.tokens, side.whole.runs) for side in (base, candidate)]
    both = _decode_positions(base.tokens, base.runs)
    most = max(map(len, had))
    return len(both) / most if most else math.nan


def _decode_positions(tokens: pd.DataFrame, runs: pd.DataFrame) -> set[tuple[str, int]]:
    ok = runs[runs["status"] == "ok"]
    prompt = dict(zip(ok["run_id"].astype(str), ok["prompt_id"].fillna(""), strict=True))
    decode = tokens[(tokens["phase"] == "decode") & tokens["ticks"].notna() & tokens["run_id"].isin(list(prompt))]
    return set(zip(decode["run_id"].astype(str).map(prompt), decode["position"], strict=True))


def only_one(cut: Cut, columns: Sequence[str], why: str) -> None:
    """Refuse a side whose runs differ in what has to be one.

    Raises
    ------
    NotComparableError
        With the column and some of its values, and what to do.
    """
    found = several(cut.runs, columns)
    if found:
        raise NotComparableError(f"{why}: {cut.name} holds {found}. Tell them apart: --by takes several columns.")


def several(runs: pd.DataFrame, columns: Collection[str]) -> str:
    """Return which column has several values, and some of them; empty where none has."""
    for column in columns:
        values = sorted(map(str, runs[column].dropna().unique()))
        if len(values) > 1:
            return f"several of {column} ({', '.join(v[:24] for v in values[:3])})"
    return ""
