"""One run of a data set: ``ds.run(…)``. What is known of it, its rows of every table, its metrics, its plots."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING

import pandas as pd

from edgeprof import units
from edgeprof.display import Shown, Table
from edgeprof.errors import UsageError
from edgeprof.object_plots import RunPlots

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["Run", "find_run"]

_SHOWN = (
    "board", "clock", "emulator", "emulator_version", "model", "quant", "prompt_id", "kind", "status", "passes",
    "passes_received", "frames_lost", "model_bytes", "ram_needed_bytes", "flash_needed_bytes",
)  # fmt: skip
_LISTED = 3


class Run(Shown):
    """One run: a prompt, or an evaluation text, on one board with one model at one quantization.

    Attributes
    ----------
    dataset, run_id
        Where it is, and what it is called there.
    plot
        Its plots: ``run.plot.latency()``, ``run.plot.stages()``, …
    """

    def __init__(self, dataset: Dataset, run_id: str) -> None:
        self.dataset, self.run_id = dataset, run_id
        self.plot = RunPlots(self)

    @cached_property
    def _row(self) -> pd.DataFrame:
        runs = self.dataset.runs
        return runs[runs["run_id"] == self.run_id]

    @property
    def row(self) -> pd.Series:
        """Its row of ``runs``."""
        return self._row.iloc[0]

    @property
    def budget(self) -> pd.DataFrame:
        """What it takes of the board's RAM and flash, part by part (:func:`edgeprof.memory_budget`)."""
        from edgeprof.budget import memory_budget

        return memory_budget(self._row, self.memory)

    @property
    def name(self) -> str:
        """Model and quantization, as plots and tables call it."""
        return " ".join(str(v) for v in self.row[["model", "quant"]] if pd.notna(v)) or "unknown model"

    @property
    def clock(self) -> str:
        """What a tick of its board counts."""
        from edgeprof.tidy import run_clock

        return run_clock(self.dataset, self.run_id)

    @property
    def facts(self) -> pd.DataFrame:
        """All that is known of it, as strings: ``what`` and ``value``."""
        from edgeprof.tidy import run_facts

        return run_facts(self.dataset, self.run_id)

    @cached_property
    def tokens(self) -> pd.DataFrame:
        """A row a forward pass, in order."""
        return self._rows("tokens").sort_values(["window", "position"], kind="stable", ignore_index=True)

    @property
    def passes(self) -> pd.DataFrame:
        """What :func:`edgeprof.plots.plot_passes` takes of them."""
        from edgeprof.tidy import passes

        return passes(self.dataset, self.run_id)

    @cached_property
    def stages(self) -> pd.DataFrame:
        """A row a timed stage of a pass, in ticks."""
        return self._rows("stages")

    @cached_property
    def memory(self) -> pd.DataFrame:
        """A row each time that the board said what it used, in bytes."""
        return self._rows("memory")

    @cached_property
    def events(self) -> pd.DataFrame:
        """A row a gap, reset or mark."""
        return self._rows("events")

    @cached_property
    def text(self) -> str:
        """What the model generated.

        Raises
        ------
        NotComparableError
            The data set has not the vocabulary of its model.
        """
        from edgeprof.runs import generated_text

        return generated_text(self.dataset, self.run_id)

    @cached_property
    def prompt(self) -> str:
        """What the model continued; empty where the capture does not say."""
        from edgeprof.runs import prompt_text

        return prompt_text(self.dataset, self.run_id)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Every metric by name: ``value``, ``unit``, and of a null one in words what is ``missing``."""
        from edgeprof.decode_work import work_by_run
        from edgeprof.energy.columns import with_energy
        from edgeprof.metrics import METRICS, with_passes

        row, tokens = with_energy(self.dataset, self._row, self.tokens)
        ((run, passes),) = with_passes(row, tokens, self.stages, work_by_run(self.dataset))
        rows = [(m.name, m.value(run, passes), m.unit, m.lack(run, passes)) for m in METRICS.values()]
        table = pd.DataFrame(rows, columns=["metric", "value", "unit", "missing"])
        return table.astype({"value": "float64"}).set_index("metric")

    def _rows(self, table: str) -> pd.DataFrame:
        return self.dataset.table(table, where={"run_id": self.run_id})

    def _shown(self) -> Iterator[Table | str]:
        from edgeprof.runs import shown_text

        facts = self.facts[self.facts["what"].isin(_SHOWN)]
        yield Table(facts.rename(columns={"what": "edgeprof run", "value": self.run_id}))
        if self.row["kind"] == "generate":
            yield f"prompt: {' '.join(self.prompt.split()) or units.UNKNOWN}"
            yield f"text: {' '.join(shown_text(self.dataset, self.run_id).split()) or units.UNKNOWN}"
        known = self.metrics.dropna(subset=["value"])
        names = [f"{name} [{unit}]" if unit else name for name, unit in zip(known.index, known["unit"], strict=True)]
        values = [
            units.exact(value) if unit == "byte" else units.significant(value, 4)
            for value, unit in zip(known["value"], known["unit"], strict=True)
        ]
        yield Table(pd.DataFrame({"metric": names, "value": values}))
        if lacking := len(self.metrics) - len(known):
            yield f"{lacking} metrics are not known; `run.metrics` says of each what is missing."


def find_run(dataset: Dataset, wanted: str | int) -> Run:
    """Return a run by its number in ``dataset.runs``, its ``run_id``, or a part of that which only it has.

    Raises
    ------
    UsageError
        There is no such run, or there are several.
    """
    ids = [str(name) for name in dataset.runs["run_id"]]
    if isinstance(wanted, (int, Integral)):  # NumPy's integers, too
        if not -len(ids) <= int(wanted) < len(ids):
            raise UsageError(f"There is no run number {wanted} among {len(ids)}: `ds.runs` lists them, from 0.")
        return Run(dataset, ids[int(wanted)])
    found = [wanted] if wanted in ids else [name for name in ids if wanted in name]
    if len(found) == 1:
        return Run(dataset, found[0])
    if found:
        some = ", ".join(map(repr, found[:_LISTED])) + (", …" if len(found) > _LISTED else "")
        raise UsageError(f"{len(found)} runs have {wanted!r} in their run_id: {some}. Give more of it.")
    close = difflib.get_close_matches(wanted, ids, n=1, cutoff=0.4)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(
        f"There is no run {wanted!r} among {len(ids)}.{guess} `ds.runs` lists them by run_id; "
        "`ds.run(board=…, model=…, quant=…, prompt=…)` finds one by what it is of."
    )
