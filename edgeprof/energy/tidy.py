"""Energy of runs and groups as tidy frames that plots take, and the formatted tables beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.energy.battery import battery_life
from edgeprof.energy.of_dataset import energy_of, energy_reasons
from edgeprof.errors import NotComparableError, unknown_name
from edgeprof.tidy import labels

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = [
    "ENERGY", "batteries", "battery_table", "belief_table", "first_generation", "front_table",
    "measured_runs", "meter_findings", "parts", "parts_table", "with_energy", "with_interval",
]  # fmt: skip

ENERGY = ["energy_uj", "energy_low_uj", "energy_high_uj"]
"""An energy and the ends of its interval."""
_ENDS = ("_uj", "_low_uj", "_high_uj")


def measured_runs(ds: Dataset, board: str = "", *, meter: str = "", voltage_mv: float | None = None) -> pd.DataFrame:
    """Return the energy of a board's finished runs, with what they are of; the most bits per weight first.

    Parameters
    ----------
    ds
        From :func:`edgeprof.open`.
    board
        Which; by default the one with the most runs that a meter measured.
    meter
        Which meter, where several measured a run.
    voltage_mv
        Millivolts of the supply, where the meter does not say it.

    Returns
    -------
    pandas.DataFrame
        By ``run_id``: what :func:`edgeprof.energy.of_dataset.energy_of` says; ``board``, ``group`` (what plots call
        it), ``model``, ``quant``, ``kind``, ``prompt_id``; and ``net_token_uj`` with its interval: the net energy of a
        generation over its generated tokens, so with its prompt.

    Raises
    ------
    NotComparableError
        No finished run has energy; the reason of the first says why.
    UsageError
        No finished run is of this board, or the meter or its voltage is another.
    """
    runs = ds.runs[ds.runs["status"] == "ok"].set_index("run_id")
    if board and board not in set(runs["board"]):
        raise unknown_name("board with a finished run", board, set(runs["board"].dropna()))
    runs = runs.assign(group=labels(runs))
    runs = runs[runs["board"] == board] if board else runs
    timed = runs.index[runs["tick_hz"].notna()]
    found = energy_of(ds, timed, meter=meter, voltage_mv=voltage_mv)
    found = found[found["energy_uj"].notna()]
    if found.empty:
        why = energy_reasons(ds, [*timed, *runs.index][:1], meter=meter, voltage_mv=voltage_mv)
        raise NotComparableError(
            f"No finished run in {ds.path} has energy. {why.iloc[0] if len(why) else 'There is no run.'} "
            "docs/howto-meter.md says how to measure one."
        )
    runs = runs.loc[found.index]
    runs = runs[runs["board"] == runs["board"].value_counts().index[0]]
    columns = ["board", "group", "model", "quant", "bits_per_weight", "kind", "prompt_id", "n_generated"]
    found = found[found.index.isin(runs.index)].join(runs[columns])
    tokens = found["n_generated"].astype("Float64").to_numpy(float, na_value=np.nan)
    tokens = np.where(tokens > 0, tokens, np.nan)
    net = {f"net_token{end}": found[f"net{end}"] / tokens for end in _ENDS}
    return found.assign(**net).sort_values(
        ["bits_per_weight", "group", "kind", "prompt_id"], ascending=[False, True, True, True]
    )


def belief_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return, as strings, what says of each run of :func:`measured_runs` whether its energy is to be believed."""
    half = (runs["energy_high_uj"] - runs["energy_uj"]) / runs["energy_uj"]
    return pd.DataFrame(
        {
            "group": runs["group"],
            "run": runs["kind"] + " " + runs["prompt_id"].fillna(""),
            "meter": runs["meter"],
            "aligned by": runs["alignment"],
            "off by at most [us]": runs["alignment_error_us"].map(units.significant),
            "clock against the meter's [ppm]": runs["rate_ppm"].map(lambda v: f"{v:+.1f}"),
            "samples": runs["n_samples"].round().map(units.exact),
            "missing [%]": runs["missing_percent"].map(units.significant),
            "energy known to [%]": (100 * half).map(lambda v: "± " + units.significant(v)),
        }
    ).reset_index(drop=True)


def meter_findings(ds: Dataset) -> pd.DataFrame:
    """Return, as strings, what was found about the meters' files as a whole when they were imported."""
    events = ds.table("events", ["capture_id", "kind", "start", "detail"], {"kind": "meter"})
    whole = events[events["start"].isna()]
    return pd.DataFrame({"meter's file": whole["capture_id"], "found": whole["detail"]}).reset_index(drop=True)


def first_generation(runs: pd.DataFrame) -> str:
    """Return the ``run_id`` of the first generation of :func:`measured_runs`; where there is none, of the first run."""
    generations = runs[runs["kind"] == "generate"]
    return str((generations if len(generations) else runs).index[0])


def parts(runs: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return energies of groups, for plots: ``group``, ``part``, ``energy_uj`` with its interval, ``meter``.

    Parameters
    ----------
    runs
        From :func:`measured_runs`.
    columns
        What a part is called, and the beginning of its columns: ``{"net": "net", "a gained bit": "gained_bit"}``.

    Notes
    -----
    The mean over the group's runs that have the part, and the mean of their ends: as wide as one run's, for what is
    wrong with a clock or an alignment may be the same in all of them.
    """
    rows = []
    for name, group in runs.groupby("group", sort=False):
        for part, column in columns.items():
            values = group[[f"{column}{end}" for end in _ENDS]].mean()
            energy = dict(zip(ENERGY, values, strict=True))
            rows.append({"group": name, "part": part, **energy, "meter": group["meter"].iloc[0]})
    return pd.DataFrame(rows, columns=["group", "part", *ENERGY, "meter"])


def parts_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return what a plot of :func:`parts` shows, as strings: a row a group, a column a part, in microjoules."""
    text = data.assign(text=with_interval(data))
    columns = {f"{part} [uJ]": rows.set_index("group")["text"] for part, rows in text.groupby("part", sort=False)}
    return pd.DataFrame(columns, index=list(dict.fromkeys(data["group"]))).rename_axis("group").reset_index()


def with_energy(points: pd.DataFrame, energy: pd.DataFrame) -> pd.DataFrame:
    """Return points of :func:`edgeprof.tidy.tradeoff` with the energy of a token, one part of :func:`parts`."""
    found = points.merge(energy[["group", *ENERGY, "meter"]], on="group", how="left")
    return found.assign(energy_per_token_uj=found["energy_uj"])


def front_table(front: pd.DataFrame) -> pd.DataFrame:
    """Return a front over energy and perplexity as strings: of each what beats it."""
    on_front = front["on_front"].astype("boolean")
    return pd.DataFrame(
        {
            "group": front["group"],
            "energy of a generated token [uJ]": with_interval(front),
            "perplexity": front["perplexity"].map(lambda v: units.significant(v, 5)),
            "size": front["model_bytes"].map(units.iec),
            "on the front": on_front.map({True: "yes", False: "no"}).fillna("a metric is missing"),
            "beaten by": front["dominated_by"].where(front["dominated_by"].notna(), units.UNKNOWN).astype(str),
        }
    )


def batteries(energy: pd.DataFrame, tokens_per_day: Sequence[float], **battery: float) -> pd.DataFrame:
    """Return how long a battery lasts with each group: ``group``, ``tokens_per_day``, ``days`` and its interval.

    Parameters
    ----------
    energy
        One part of :func:`parts`, net and of a token.
    tokens_per_day
        How many are generated.
    **battery
        As :func:`edgeprof.energy.battery.battery_life` takes it: ``capacity_mah``, ``voltage_mv``, …
    """
    rows: list[dict[str, Any]] = []
    for row in energy.dropna(subset=ENERGY).to_dict("records"):
        ends = {"energy_per_token_uj": row["energy_uj"]} | {name: row[name] for name in ENERGY[1:]}
        for tokens in tokens_per_day:
            life = battery_life(tokens_per_day=tokens, **ends, **battery)
            days = {"days": life.days, "days_low": life.days_low, "days_high": life.days_high}
            share = {"token_share": life.token_share, "meter": row["meter"]}
            rows.append({"group": row["group"], "tokens_per_day": tokens} | days | share)
    columns = ["group", "tokens_per_day", "days", "days_low", "days_high", "token_share", "meter"]
    return pd.DataFrame(rows, columns=columns)


def battery_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`batteries` as strings."""
    ends = zip(data["days"], data["days_low"], data["days_high"], strict=True)
    return pd.DataFrame(
        {
            "group": data["group"],
            "tokens a day": data["tokens_per_day"].map(units.exact),
            "days [95 %]": [f"{day:,.1f} [{low:,.1f}, {high:,.1f}]" for day, low, high in ends],
            "of it for tokens [%]": (100 * data["token_share"]).map(units.significant),
        }
    )


def with_interval(data: pd.DataFrame) -> pd.Series:
    """Return energies in microjoules with their 95 % interval, in as many digits as tell the two apart."""
    texts = []
    for energy, low, high in data[ENERGY].astype(float).itertuples(index=False):
        places = 0 if not high > low else min(max(1 - int(np.floor(np.log10((high - low) / 2))), 0), 4)
        known = f"{energy:,.{places}f} [{low:,.{places}f}, {high:,.{places}f}]"
        texts.append(units.UNKNOWN if np.isnan(energy) else known)
    return pd.Series(texts, index=data.index)
