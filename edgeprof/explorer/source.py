"""A data set as an explorer needs it: read once, so that a change of a control reads no file again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof import budget, stage_profile
from edgeprof.errors import unknown_name
from edgeprof.explorer.summary import Summary, summarize
from edgeprof.explorer.view import PHASES, View
from edgeprof.metrics import measure
from edgeprof.tidy import labels

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["FILTERS", "Source"]

FILTERS = {"boards": "board", "quants": "quant", "prompts": "prompt_id"}
"""Attributes of a view, and the columns of ``runs`` that they choose by."""
_COLUMNS = ("position", "ticks", "nll")
_KEPT = 512
_ALIKE = {
    "clock": "clock", "tick_hz": "clock rate", "emulator": "emulator", "emulator_version": "emulator version",
    "emulator_flags": "emulator setting",
}  # fmt: skip
"""Columns in which runs of one board must not differ for their ticks to be the same thing, and what they are called."""


class Source:
    """Runs, tokens, metrics and memory of a data set, each read when it is first needed.

    Attributes
    ----------
    dataset
        What is read.
    runs
        Its runs, the most bits per weight first, with ``quant_label`` and ``counted``: runs whose ticks are the same
        thing have the same; it is the board, and its clock or emulator where the board's runs differ in it.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        runs = dataset.runs
        runs = runs.assign(quant_label=labels(runs), counted=counted(runs))
        order = ["bits_per_weight", "quant_label", "prompt_id", "run_id"]
        self.runs = runs.sort_values(order, ascending=[False, True, True, True], kind="stable").reset_index(drop=True)
        self._kept: dict[Hashable, Any] = {}

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = make()
        return self._kept[key]

    def names(self, attribute: str) -> list[str]:
        """Return the values that a filter of a view can have, as they come in :attr:`runs`."""

        def make() -> list[str]:
            names = self.runs[FILTERS[attribute]].dropna().astype(str).unique().tolist()
            return names if attribute == "quants" else sorted(names)

        found: list[str] = self._once(("names", attribute), make)
        return found

    def selected(self, view: View, filters: Iterable[str] = tuple(FILTERS)) -> pd.DataFrame:
        """Return the runs of a view, with ``group``: the quantization, and what counted it where that are several.

        Raises
        ------
        UsageError
            A board, quantization, prompt or run that there is not; the message names the closest.
        """
        key = ("selected", *((attribute, tuple(getattr(view, attribute))) for attribute in filters))
        found: pd.DataFrame = self._once(key, lambda: self._select(view, filters))
        return found

    def _select(self, view: View, filters: Iterable[str]) -> pd.DataFrame:
        mine = self.runs
        for attribute in filters:
            wanted, column = getattr(view, attribute), FILTERS[attribute]
            for name in wanted:
                if name not in set(self.names(attribute)):
                    raise unknown_name(f"{column} in this data set", name, self.names(attribute))
            if wanted:
                mine = mine[mine[column].isin(wanted)]
        group = mine["quant_label"]
        if len(mine["counted"].unique()) > 1:
            group = mine["counted"] + " · " + group
        return mine.assign(group=group)

    def run(self, run_id: str) -> pd.Series:
        """Return the row of a run, or raise UsageError with the closest one."""
        found = self.runs[self.runs["run_id"] == run_id]
        if found.empty:
            raise unknown_name("run in this data set", run_id, self.runs["run_id"].astype(str))
        return found.iloc[0]

    def alike(self, runs: pd.DataFrame) -> bool:
        """Tell whether ticks of these runs are the same thing: of one board, clock and emulator."""
        return len(runs["counted"].unique()) <= 1

    def differing(self, runs: pd.DataFrame) -> list[str]:
        """Return in what these runs differ, in words: in their boards, and in what runs of one board differ."""
        parts = [_known(part) for _, part in runs.groupby(_boards(runs))]
        words = [word for column, word in _ALIKE.items() if any(len(part[column].unique()) > 1 for part in parts)]
        return ["board", *words] if len(parts) > 1 else words

    @cached_property
    def _tokens(self) -> dict[str, npt.NDArray[Any]]:
        """Return all tokens as columns, run after run in the order of :attr:`runs`, with where each run begins."""
        place = {str(run): number for number, run in enumerate(self.runs["run_id"])}
        phases = {name: number for number, name in enumerate(PHASES)}
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("run", "phase", *_COLUMNS)}
        for batch in self.dataset.batches("tokens", ["run_id", "phase", *_COLUMNS]):
            for name, column, known in (("run", "run_id", place), ("phase", "phase", phases)):
                coded: Any = batch.column(column)
                meaning = [known.get(str(v), -1) for v in coded.dictionary.to_pylist()]
                codes = np.asarray(coded.indices.fill_null(len(meaning)))
                parts[name].append(np.array([*meaning, -1], np.int32)[codes])
            for name in _COLUMNS:
                numbers = batch.column(name).to_numpy(zero_copy_only=False)
                parts[name].append(numbers.astype(np.int64 if name == "position" else np.float64))
        whole = {name: np.concatenate(part) if part else np.empty(0, np.int64) for name, part in parts.items()}
        if np.any(np.diff(whole["run"]) < 0):
            order = np.argsort(whole["run"], kind="stable")
            whole = {name: values[order] for name, values in whole.items()}
        whole["begin"] = np.searchsorted(whole["run"], np.arange(len(self.runs) + 1))
        return whole

    def tokens(self, places: Iterable[int], phase: str, value: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return position and value of the tokens of some runs (by their place in :attr:`runs`) in a phase."""
        whole, stretches = self._tokens, list[list[int]]()
        for place in sorted(places):  # runs that lie beside each other are one stretch
            first, last = int(whole["begin"][place]), int(whole["begin"][place + 1])
            if stretches and stretches[-1][1] == first:
                stretches[-1][1] = last
            else:
                stretches.append([first, last])
        cuts = [slice(*stretch) for stretch in stretches]
        mine = {
            name: np.concatenate([whole[name][cut] for cut in cuts] or [whole[name][:0]])
            for name in ("position", "phase", value)
        }
        chosen = mine["phase"] == PHASES.index(phase)
        return mine["position"][chosen], mine[value][chosen]

    def summary(self, places: Iterable[int], phase: str, value: str) -> Summary | None:
        """Return what is drawn of the tokens of some runs; None where there are none."""
        key = ("summary", tuple(places), phase, value)
        found: Summary | None = self._once(key, lambda: summarize(*self.tokens(key[1], phase, value)))
        return found

    def passes(self, run_id: str) -> pd.DataFrame:
        """Return a run's passes in order: window, position, phase, ``next_id``, ticks, NLL."""
        columns = ["window", "position", "phase", "next_id", "ticks", "nll"]

        def make() -> pd.DataFrame:
            row = self.run(run_id)
            parts = {name: row[name] for name in ("board", "model", "quant") if not pd.isna(row[name])}
            # Files of other boards, models and quantizations are not looked into.
            rows = self.dataset.table("tokens", columns, {"run_id": run_id, **parts})
            return rows.sort_values(["window", "position"], kind="stable").reset_index(drop=True)

        found: pd.DataFrame = self._once(("passes", run_id), make)
        return found

    def stages(self, run_id: str) -> pd.DataFrame:
        """Return :func:`edgeprof.stage_shares` of a run."""

        def make() -> pd.DataFrame:
            where = {"run_id": run_id}
            return stage_profile.stage_shares(
                self.dataset.table("tokens", where=where), self.dataset.table("stages", where=where)
            )

        found: pd.DataFrame = self._once(("stages", run_id), make)
        return found

    def pieces(self, model_sha256: Any) -> dict[int, str]:
        """Return how a model spells its tokens; empty where the data set does not say."""
        if pd.isna(model_sha256):
            return {}

        def make() -> dict[int, str]:
            vocab = self.dataset.table("vocab", ["token_id", "piece"], {"model_sha256": model_sha256})
            return dict(zip(vocab["token_id"].astype(int), vocab["piece"].fillna("").astype(str), strict=True))

        found: dict[int, str] = self._once(("pieces", model_sha256), make)
        return found

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Every metric of every run, by ``run_id``."""
        return measure(self.dataset).set_index("run_id")

    def budget(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return :func:`edgeprof.budget.largest` of some runs."""
        key = ("budget", tuple(runs.index))
        found: pd.DataFrame = self._once(
            key, lambda: budget.largest(self._budgets[self._budgets["run_id"].isin(runs["run_id"])])
        )
        return found

    @cached_property
    def _budgets(self) -> pd.DataFrame:
        return budget.memory_budget(self.runs, self.dataset.table("memory"))


def _boards(runs: pd.DataFrame) -> pd.Series:
    return runs["board"].astype(object).where(runs["board"].notna(), "unknown").astype(str)


def _known(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what runs of one board were counted by, as text: no emulator is one, an unknown clock is no other one."""
    found = {}
    for column in _ALIKE:
        said = runs[column].dropna()
        unknown = "none" if column.startswith("emulator") else "unknown"
        if unknown == "unknown" and len(said.unique()) == 1:
            unknown = said.iloc[0]
        found[column] = [unknown if pd.isna(v) else v for v in runs[column]]
    return pd.DataFrame(found, index=runs.index).astype(str)


def counted(runs: pd.DataFrame) -> pd.Series:
    """Return what counts the ticks of each run: its board, and in what the runs of this board differ."""
    names = _boards(runs)
    for _, part in runs.groupby(names):
        known = _known(part)
        for column in _ALIKE:
            if len(known[column].unique()) > 1:
                names[part.index] += ", " + known[column]
    return names
