"""What to ship where: which model files meet every limit on a board, ranked, and what each of the others misses.

A limit is judged by the worst run of a file on a board: a prompt that takes too long is one too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.comparison_text import energy_notes
from edgeprof.display import Shown, Table
from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.fronts import pareto
from edgeprof.metrics import EXACT_CLOCKS, measure

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["Recommendation", "recommend"]

KIB, UJ = 1024.0, 1000.0  # bytes; microjoules of a millijoule
_WORST = {
    "decode_ticks_per_token": "max", "itl_p95_ms": "max", "ram_needed_bytes": "max", "flash_needed_bytes": "max",
    "energy_per_token_uj": "max",
}  # fmt: skip
_LIMITS: dict[str, tuple[str, float, Callable[[Any], str], str]] = {
    # Parameter: (column, its factor, how a value is written, where it would come from).
    "max_ticks": ("decode_ticks_per_token", 1.0, lambda v: units.si(v, "tick/token"), "a prompt to generate from"),
    "max_itl_ms": ("itl_p95_ms", 1.0, lambda v: f"{units.significant(v)} ms", "a prompt to generate from"),
    "max_ram_kib": ("ram_needed_bytes", KIB, units.iec, "firmware that says what it needs"),
    "max_flash_kib": ("flash_needed_bytes", KIB, units.iec, "firmware that says what it needs"),
    "max_perplexity": ("perplexity", 1.0, lambda v: units.significant(v, 4), "an evaluation text (capture --eval)"),
    "max_energy_mj": (
        "energy_per_token_uj",
        UJ,
        lambda v: f"{units.significant(v / UJ)} mJ/token",
        "samples of a meter, with the voltage (docs/howto-meter.md)",
    ),
}
_NAMES = {
    "max_ticks": "decode", "max_itl_ms": "ITL p95", "max_ram_kib": "RAM", "max_flash_kib": "flash",
    "max_perplexity": "perplexity", "max_energy_mj": "energy",
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Recommendation(Shown):
    """Model files on boards, those that meet every limit first.

    Attributes
    ----------
    table
        A row a board and file: ``rank`` (null where a limit is missed), ``board``, ``model``, ``quant``,
        ``bits_per_weight``, ``decode_ticks_per_token``, ``itl_p95_ms`` (``itl_is_nominal`` where a tick is no time),
        ``ram_needed_bytes``, ``flash_needed_bytes``, ``perplexity`` (``perplexity_board``: where it was measured),
        ``energy_per_token_uj`` (``meter``: by what),
        ``meets`` and ``misses`` (in words), ``on_front`` and ``dominated_by`` among those that meet the limits.
    limits
        What was asked for.
    notes
        What the reader should know.
    """

    table: pd.DataFrame
    limits: dict[str, float]
    notes: tuple[str, ...]

    @property
    def best(self) -> pd.DataFrame:
        """The first of each board, if one meets the limits."""
        return self.table[self.table["meets"]].drop_duplicates("board")

    def formatted(self) -> pd.DataFrame:
        """Return the table as strings with units in the header, as people read it."""
        t = self.table
        itl = [
            units.UNKNOWN if pd.isna(v) else units.significant(v) + (" (nominal)" if nominal else "")
            for v, nominal in zip(t["itl_p95_ms"], t["itl_is_nominal"], strict=True)
        ]
        says = [
            miss or ("" if pd.isna(by) else f"no better than {by} in anything")
            for miss, by in zip(t["misses"], t["dominated_by"], strict=True)
        ]
        return pd.DataFrame(
            {
                "rank": t["rank"].map(lambda v: units.UNKNOWN if pd.isna(v) else str(int(v))),
                "board": t["board"],
                "model": t["model"],
                "quant": t["quant"],
                "bits / weight": t["bits_per_weight"].map(units.significant),
                "decode [tick/token]": t["decode_ticks_per_token"].map(units.si),
                "ITL p95 [ms]": itl,
                "RAM needed": t["ram_needed_bytes"].map(units.iec),
                "flash needed": t["flash_needed_bytes"].map(units.iec),
                "perplexity": t["perplexity"].map(lambda v: units.significant(v, 4)),
            }
            | self._energy()
            | {"misses": says}
        )

    def _energy(self) -> dict[str, pd.Series]:
        """Return the columns of energy, where it was measured or asked for."""
        energy = self.table["energy_per_token_uj"] / UJ
        if energy.isna().all() and "max_energy_mj" not in self.limits:
            return {}
        return {"energy [mJ/token]": energy.map(units.significant), "meter": self.table["meter"].fillna(units.UNKNOWN)}

    def _shown(self) -> Iterator[Table | str]:
        yield Table(self.formatted())
        yield from (f"note: {note}" for note in self.notes)


def recommend(
    dataset: Dataset, *, board: str | None = None, max_ticks: float | None = None, max_itl_ms: float | None = None,
    max_ram_kib: float | None = None, max_flash_kib: float | None = None, max_perplexity: float | None = None,
    max_energy_mj: float | None = None,
) -> Recommendation:  # fmt: skip
    """Rank the model files of a data set that meet limits, and say of the others what they miss and by how much.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    board
        Only this board; all by default, each ranked by itself.
    max_ticks
        Ticks of a decode pass; boards with other clocks have other ticks, so this needs one board.
    max_itl_ms
        95th percentile of the time between generated tokens; nominal (one instruction a cycle) where a tick is no time.
    max_ram_kib, max_flash_kib
        What the firmware says it needs. What the board does not have is missed in any case.
    max_perplexity
        On the evaluation text of the data set, measured on any board: every board computes the same.
    max_energy_mj
        Energy of a generated token, in millijoules, as a meter measured it (docs/energy.md).

    Returns
    -------
    Recommendation
        Ranked by perplexity, where it is known, then by cost.

    Raises
    ------
    NotComparableError
        There is no finished run.
    UsageError
        There is no such board, a limit is not a positive number, or ``max_ticks`` is given for several clocks.
    """
    given = {"max_ticks": max_ticks, "max_itl_ms": max_itl_ms, "max_ram_kib": max_ram_kib,
             "max_flash_kib": max_flash_kib, "max_perplexity": max_perplexity,
             "max_energy_mj": max_energy_mj}  # fmt: skip
    limits = {name: float(value) for name, value in given.items() if value is not None}
    for name, value in limits.items():
        if not 0 < value < np.inf:
            raise UsageError(f"{name} must be a positive number, not {value:g}.")
    runs = measure(dataset)
    known = set(runs["board"].dropna())
    if board is not None and board not in known:
        raise unknown_name("board in this data set", board, known)
    files = candidates(runs)
    if board is not None:
        files = files[files["board"] == board]
    if files.empty:
        raise NotComparableError(
            f"There is nothing to recommend in {dataset.path}: no finished run. `edgeprof sweep` or `edgeprof capture` "
            "makes some."
        )
    clocks = sorted(set(files["clock"].dropna()))
    if max_ticks is not None and len(clocks) > 1:
        raise UsageError(
            f"max_ticks needs one board: a tick of these boards is not the same ({', '.join(clocks)}). Name one of "
            f"{', '.join(sorted(set(files['board'])))}, or limit the time between tokens instead (max_itl_ms)."
        )
    return Recommendation(ranked(files, limits), limits, tuple(_notes(files, limits)))


def candidates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each file on each board, from runs with their metrics (:func:`edgeprof.measure`).

    The worst run counts, and what does not fit is a row too.
    """
    done = runs[runs["status"].isin(["ok", "does_not_fit"]) & runs["board"].notna()].copy()
    done = done[done["kind"].isin(["generate", "score"])]
    exact = done["clock"].isin(EXACT_CLOCKS)
    hz = done["tick_hz"].astype(float).where(~exact, done["board_clock_hz"].astype(float))
    done["itl_p95_ms"] = 1000 * done["itl_p95_ticks"] / hz.where(hz > 0)
    done["itl_is_nominal"] = exact
    key = ["board", "model", "quant"]
    if "meter" not in done.columns:  # nothing measured any energy
        done["meter"] = pd.Series(dtype="str")
    groups = done.assign(**{name: done[name].fillna("unknown") for name in key}).groupby(key, sort=True)
    first = groups[["clock", "bits_per_weight", "ram_bytes", "flash_bytes", "itl_is_nominal"]].first()
    worst = groups.agg(dict(_WORST))
    meters = groups["meter"].agg(lambda s: ", ".join(sorted(set(s.dropna())))).replace("", None)
    fits = groups["status"].agg(lambda s: bool((s == "ok").any())).rename("fits")
    out = first.join(worst).join(meters).join(fits).reset_index()
    measured = done[done["perplexity"].notna()].drop_duplicates(["model", "quant"])
    measured = measured[["model", "quant", "perplexity", "board"]].rename(columns={"board": "perplexity_board"})
    return out.merge(measured, on=["model", "quant"], how="left", validate="many_to_one")


def ranked(files: pd.DataFrame, limits: dict[str, float]) -> pd.DataFrame:
    """Return candidates with what they miss, those that meet the limits ranked first on each board."""
    out = files.copy()
    out["misses"] = ["; ".join(_misses(row, limits)) for row in out.to_dict("records")]
    out["meets"] = out["misses"] == ""
    order = ["board", "meets", "perplexity", "decode_ticks_per_token", "bits_per_weight"]
    out = out.sort_values(order, ascending=[True, False, True, True, True], kind="stable", na_position="last")
    place = out.groupby("board")["meets"].cumsum()
    out["rank"] = place.where(out["meets"]).astype("Int64")
    parts = []
    for _, part in out.groupby("board", sort=False):
        good = part[part["meets"]]
        metrics = [m for m in ("perplexity", "decode_ticks_per_token", "ram_needed_bytes", "flash_needed_bytes")
                   if good[m].notna().any()]  # fmt: skip
        if len(good) and good["energy_per_token_uj"].notna().all():
            metrics.append("energy_per_token_uj")
        marked = part.assign(on_front=pd.array([None] * len(part), "boolean"), dominated_by=None)
        if len(good) and metrics and good[metrics].notna().all(axis=1).any():
            named = good.assign(label=good["quant"] + " of " + good["model"])
            found = pareto(named, dict.fromkeys(metrics, "lower"), label="label")
            marked.loc[found.index, ["on_front", "dominated_by"]] = found[["on_front", "dominated_by"]]
        parts.append(marked)
    return pd.concat(parts).reset_index(drop=True)


def _misses(row: Mapping[Any, Any], limits: dict[str, float]) -> list[str]:
    """Return, in words, every limit that a candidate misses, and by how much."""
    found = []
    if not row["fits"]:
        short = [
            f"the board's {region} by {units.iec(row[f'{low}_needed_bytes'] - row[f'{low}_bytes'])}"
            for region, low in (("RAM", "ram"), ("flash", "flash"))
            if pd.notna(row[f"{low}_bytes"]) and row[f"{low}_needed_bytes"] > row[f"{low}_bytes"]
        ]
        found += short or ["does not fit the board"]
    for name, limit in limits.items():
        column, factor, show, source = _LIMITS[name]
        value, most = row[column], limit * factor
        if pd.isna(value):
            if row["fits"]:
                found.append(f"{_NAMES[name]} is not known: it takes {source}")
        elif value > most:
            over = f"{units.percent(value / most - 1)}".removeprefix("+")
            found.append(f"{_NAMES[name]} by {show(value - most)} ({over})")
    return found


def _notes(files: pd.DataFrame, limits: dict[str, float]) -> list[str]:
    notes = []
    if limits:
        asked = ", ".join(f"{_NAMES[n]} at most {_LIMITS[n][2](v * _LIMITS[n][1])}" for n, v in limits.items())
        notes.append(f"Asked for: {asked}. The worst run of a file counts.")
    if files["itl_is_nominal"].any():
        notes.append("Nominal: one instruction or cycle counted by an emulator is one cycle at the board's clock.")
    notes += energy_notes(files)
    elsewhere = files[files["perplexity"].notna() & (files["board"] != files["perplexity_board"])]
    if len(elsewhere):
        where = ", ".join(sorted(set(elsewhere["perplexity_board"])))
        notes.append(f"Perplexity was measured on {where}: every board computes the same from a file.")
    return notes
