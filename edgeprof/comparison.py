"""Comparing groups of runs with a baseline: one table, verdicts only where they can be given.

Ratios and verdicts stay within one board and one clock. Cost is compared over the passes that both have (same prompt,
phase and position); perplexity over the same scored tokens, paired window by window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.display import html_table, terminal_text, text_table
from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.metrics import EXACT_CLOCKS, METRICS, TOKEN_COLUMNS, measure_runs
from edgeprof.stats import Interval, paired_interval, verdict

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["SMALLEST_COST_EFFECT", "SMALLEST_PERPLEXITY_EFFECT", "Comparison", "compare"]

SMALLEST_COST_EFFECT = 0.02
SMALLEST_PERPLEXITY_EFFECT = 0.01
_ALIKE = ("clock", "emulator", "emulator_version", "emulator_flags")
_MEANS = (
    "prefill_ticks_per_token", "decode_ticks_per_token", "ttft_ticks", "itl_p50_ticks", "itl_p95_ticks",
    "itl_p99_ticks", "position_slope_ticks", "decode_nominal_tok_s", "decode_tok_s",
)  # fmt: skip
_CONSTANTS = ("bits_per_weight", "model_bytes", "ram_needed_bytes", "flash_needed_bytes")


@dataclass(frozen=True)
class Comparison:
    """Groups of runs beside a baseline.

    Attributes
    ----------
    table
        A row a group, numbers with units in the columns' names: counts, cost, ``cost_ratio`` to the baseline,
        ``cost_verdict``, perplexity, ``nll_difference`` with its 95 % interval, ``quality_verdict``, memory, status.
    by
        The columns that tell groups apart.
    baseline
        For each board, the values of ``by`` of its baseline.
    notes
        What the reader should know: clock kinds, what could not be judged and why.
    """

    table: pd.DataFrame
    by: tuple[str, ...]
    baseline: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    def formatted(self) -> pd.DataFrame:
        """Return the table as strings with units in the header, as people read it."""
        t = self.table
        text: dict[str, Any] = {column: t[column].fillna("unknown").astype(str) for column in self.by}
        text |= {
            "bits / weight": t["bits_per_weight"].map(units.significant),
            "size": t["model_bytes"].map(units.iec),
            "RAM needed": t["ram_needed_bytes"].map(units.iec),
            "decode [tick/token]": t["decode_ticks_per_token"].map(units.si),
            "cost": [_cost(*row) for row in zip(t["cost_ratio"], t["cost_verdict"], strict=True)],
            "TTFT [tick]": t["ttft_ticks"].map(units.si),
            "perplexity": t["perplexity"].map(lambda v: units.significant(v, 5)),
            "Δ perplexity [95 %]": [
                "baseline" if base else _change(*row)
                for base, *row in zip(
                    t["is_baseline"], t["nll_difference"], t["nll_difference_low"], t["nll_difference_high"],
                    strict=True,
                )
            ],
            "quality": t["quality_verdict"],
        }  # fmt: skip
        if (t["status"] != "ok").any():
            text["status"] = t["status"]
        return pd.DataFrame(text)

    def __repr__(self) -> str:
        return "\n".join([text_table(self.formatted()), *(f"note: {terminal_text(n, 1000)}" for n in self.notes)])

    def _repr_html_(self) -> str:
        return html_table(self.formatted(), " ".join(self.notes))


def _change(mean: float, low: float, high: float) -> str:
    """Return a difference of NLL as a change of perplexity, with its interval."""
    if mean != mean:
        return units.UNKNOWN
    a, b, c = (np.expm1(v) for v in (mean, low, high))
    places = 2 if abs(a) < 1 else 0
    low_text, high_text = (units.percent(v, places).removesuffix(" %") for v in (b, c))
    return f"{units.percent(a, places)} [{low_text}, {high_text}]"


def _cost(ratio: float, judged: str) -> str:
    """Return a ratio with its verdict: ``0.552× better``."""
    return judged if ratio != ratio or judged == "baseline" else f"{units.ratio(ratio)} {judged}"


def compare(
    dataset: Dataset, by: str | Sequence[str] = "quant", *, baseline: str | Mapping[str, str] | None = None,
    board: str | None = None,
) -> Comparison:  # fmt: skip
    """Compare groups of runs.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    by
        Columns of ``runs`` that tell groups apart. The board always does; so does the model where there are several.
    baseline
        What the others are compared with: a value of the first column of ``by`` that is not the board or the model, or
        column to value. By default, on each board, the group with the most bits per weight (the first by name where
        several have them).
    board
        Only this board's runs; all by default.

    Raises
    ------
    NotComparableError
        There is no finished run, or runs of one board are not alike (emulator, version, flags).
    UsageError
        An unknown column or baseline; the message names the closest.
    """
    columns = [by] if isinstance(by, str) else list(by)
    runs = dataset.runs
    if board is not None:
        if board not in set(runs["board"].dropna()):
            raise unknown_name("board in this data set", board, set(runs["board"].dropna()))
        runs = runs[runs["board"] == board]
    for column in columns:
        if column not in runs.columns:
            raise unknown_name("column of runs", column, runs.columns)
    # What a host saw printed, or what was imported, has no passes of a device.
    said = (runs["kind"] == "llama-bench") | ((runs["clock"] == "host") & runs["boot"].isna())
    done = runs[runs["status"].isin(["ok", "does_not_fit"]) & ~said]
    if done.empty:
        found = ", ".join(f"{n} {s}" for s, n in runs["status"].fillna("unfinished").value_counts().items())
        raise NotComparableError(
            f"There is nothing to compare in {dataset.path}: no finished run ({found or 'the data set is empty'}). "
            "`edgeprof demo` or `edgeprof sweep` makes some."
        )
    if len(done["model"].dropna().unique()) > 1 and "model" not in columns:
        columns.insert(0, "model")
    key = ["board", *(c for c in columns if c != "board")]
    _refuse_unlike(done)
    tokens = dataset.table("tokens", [*TOKEN_COLUMNS])
    measured = done.merge(measure_runs(done, tokens).drop(columns=list(_CONSTANTS)), on="run_id", validate="one_to_one")
    labelled = tokens.merge(done[[*dict.fromkeys(["run_id", *key, "prompt_id"])]], on="run_id")
    groups, parts = _grouped(measured, key), _grouped(labelled, key)
    bases = _baselines(groups, key, baseline)
    rows, notes = [], []
    for name, group in groups.items():
        base = bases[name[0]]
        rows.append(
            {column: group[column].iloc[0] for column in key}
            | {"is_baseline": name == base}
            | _summary(group, parts.get(name))
            | _against(group, parts.get(name), groups[base], parts.get(base), name == base)
        )
    table = pd.DataFrame(rows)
    # What no run says becomes a column of floats, which take no word for what is unknown.
    table = table.astype({column: object for column in key if table[column].isna().all()})
    table = table.sort_values(
        ["board", "bits_per_weight", *key[1:]], ascending=[True, False, *[True] * (len(key) - 1)], kind="stable"
    ).reset_index(drop=True)
    notes += _notes(done, bases, key)
    shown = tuple(key) if len(done["board"].unique()) > 1 or "board" in columns else tuple(key[1:])
    return Comparison(table, shown, {b: v[1:] for b, v in bases.items()}, tuple(notes))


def _grouped(rows: pd.DataFrame, key: list[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return the groups by name, unknown as an empty text."""
    found = rows.groupby(key, dropna=False, sort=True)
    return {tuple("" if pd.isna(v) else str(v) for v in name): part for name, part in found}  # type: ignore[call-overload]


def _refuse_unlike(runs: pd.DataFrame) -> None:
    for board, part in runs.groupby("board", dropna=False):
        for column in _ALIKE:
            # An unknown clock is not another one; no emulator is another one than any.
            values = part[column].dropna() if column == "clock" else part[column].fillna("none")
            found = sorted({str(v) for v in values})
            if len(found) > 1:
                raise NotComparableError(
                    f"Runs of board {board!r} cannot be compared: {column} differs ({', '.join(found)}). Counts of one "
                    "clock are exact only on the same emulator, version and flags. Capture them again on one of these, "
                    "or open a data set that holds only one."
                )


def _baselines(
    groups: dict[tuple[str, ...], pd.DataFrame], key: list[str], wanted: str | Mapping[str, str] | None
) -> dict[str, tuple[str, ...]]:
    """Return each board's baseline group."""
    column = next((c for c in key if c not in ("board", "model")), key[-1])
    want = {column: wanted} if isinstance(wanted, str) else {c: str(v) for c, v in (wanted or {}).items()}
    for name in want:
        if name not in key:
            raise unknown_name("column of the comparison", name, key)
    bases: dict[str, tuple[str, ...]] = {}
    for board in sorted({name[0] for name in groups}):
        mine = {n: g for n, g in groups.items() if n[0] == board}
        fits = {n: g for n, g in mine.items() if (g["status"] == "ok").any()} or mine
        chosen = [n for n in fits if all(n[key.index(c)] == v for c, v in want.items())]
        if not chosen:
            if any(all(n[key.index(c)] == v for c, v in want.items()) for n in mine):
                raise NotComparableError(f"The baseline {want} does not fit on board {board!r}; choose another one.")
            for column, value in want.items():
                known = {n[key.index(column)] for n in fits}
                if value not in known:
                    raise unknown_name(f"baseline {column}", value, known, f"Board: {board!r}.")
            raise UsageError(f"No group of board {board!r} has {want}.")

        def bits(name: tuple[str, ...]) -> float:
            value = groups[name]["bits_per_weight"].max()
            return 0.0 if pd.isna(value) else float(value)

        bases[board] = min(chosen, key=lambda n: (-bits(n), n))
    return bases


def _summary(group: pd.DataFrame, tokens: pd.DataFrame | None) -> dict[str, Any]:
    ok = group[group["status"] == "ok"]
    row: dict[str, Any] = {"runs": len(ok), "clock": group["clock"].iloc[0]}
    row |= {name: group[name].dropna().max() if group[name].notna().any() else np.nan for name in _CONSTANTS}
    row |= {name: ok[name].mean() for name in _MEANS}
    perplexity = None if tokens is None else METRICS["perplexity"].compute(None, tokens)
    row["perplexity"] = np.nan if perplexity is None else perplexity
    row["frames_lost"] = float(group["frames_lost"].sum()) if group["frames_lost"].notna().any() else np.nan
    row["status"] = "ok" if len(ok) == len(group) else ("does not fit" if ok.empty else f"{len(ok)} of {len(group)} ok")
    return row


def _against(
    group: pd.DataFrame, tokens: pd.DataFrame | None, base: pd.DataFrame, base_tokens: pd.DataFrame | None, same: bool
) -> dict[str, Any]:
    """Return a group's ratio, differences and verdicts against its baseline."""
    nothing = {
        "cost_ratio": np.nan, "cost_passes": 0, "cost_verdict": units.UNKNOWN, "nll_difference": np.nan,
        "nll_difference_low": np.nan, "nll_difference_high": np.nan, "quality_verdict": units.UNKNOWN,
    }  # fmt: skip
    if tokens is None or base_tokens is None:
        return nothing
    cost, passes = cost_ratio(tokens, base_tokens)
    quality = paired_nll(tokens, base_tokens)
    if same:
        return nothing | {"cost_ratio": cost, "cost_passes": passes, "cost_verdict": "baseline", "nll_difference": 0.0,
                          "quality_verdict": "baseline"}  # fmt: skip
    row = nothing | {"cost_ratio": cost, "cost_passes": passes}
    if passes and cost == cost:
        row["cost_verdict"] = _judge_cost(cost, str(group["clock"].iloc[0]))
    if isinstance(quality, str):
        row["quality_verdict"] = quality
    elif quality is not None:
        row |= {"nll_difference": quality.mean, "nll_difference_low": quality.low, "nll_difference_high": quality.high}
        row["quality_verdict"] = verdict(quality, float(np.log1p(SMALLEST_PERPLEXITY_EFFECT)))
    return row


def _judge_cost(cost: float, clock: str) -> str:
    if clock not in EXACT_CLOCKS:
        return "not judged (noisy clock)"
    if 1 - SMALLEST_COST_EFFECT <= cost <= 1 + SMALLEST_COST_EFFECT:
        return "same"
    return "worse" if cost > 1 else "better"


def cost_ratio(candidate: pd.DataFrame, baseline: pd.DataFrame) -> tuple[float, int]:
    """Return the ratio of decode costs over the passes that both have, and how many these are.

    Pairing by prompt and position keeps a generation that ended early from looking cheap: attention costs more at
    later positions.
    """
    index = ["prompt_id", "position"]
    a, b = (
        part[part["phase"] == "decode"].groupby(index)["ticks"].mean().astype(float) for part in (candidate, baseline)
    )
    both = pd.concat([a, b], axis=1, keys=["candidate", "baseline"], join="inner").dropna()
    total = float(both["baseline"].sum())
    return (float(both["candidate"].sum()) / total if total else float("nan")), len(both)


def paired_nll(candidate: pd.DataFrame, baseline: pd.DataFrame) -> Interval | str | None:
    """Return the interval of the mean NLL difference, paired by window; words where it cannot be had."""
    index = ["prompt_id", "window", "position"]
    a, b = (
        part[part["scored"].fillna(False).astype(bool)].groupby(index)[["nll", "next_id"]].mean().astype(float)
        for part in (candidate, baseline)
    )
    if a.empty or b.empty:
        return None
    both = a.merge(b, left_index=True, right_index=True, suffixes=("_candidate", "_baseline"))
    if both.empty or (both["next_id_candidate"] != both["next_id_baseline"]).any():
        return "not comparable: other tokens"
    difference = (both["nll_candidate"] - both["nll_baseline"]).dropna()
    windows = difference.groupby(["prompt_id", "window"]).mean()
    return paired_interval(windows.to_numpy(float)) or verdict(None, SMALLEST_PERPLEXITY_EFFECT)


def _notes(runs: pd.DataFrame, bases: dict[str, tuple[str, ...]], key: list[str]) -> list[str]:
    notes = []
    for board, part in runs.groupby("board", dropna=False):
        clock = part["clock"].iloc[0]
        emulator = part["emulator"].dropna()
        where = f"emulated by {emulator.iloc[0]} {part['emulator_version'].iloc[0]}" if len(emulator) else "real"
        tick = {"fuel": "executed WebAssembly instructions (fuel)", "instructions": "executed instructions"}.get(
            str(clock), str(clock)
        )
        base = " · ".join(str(v) for v in bases["" if pd.isna(board) else str(board)][1:])
        notes.append(f"Board {board} ({where}): a tick counts {tick}. Baseline: {base}.")
    lost = int(runs["frames_lost"].fillna(0).sum())
    if lost:
        notes.append(f"{lost:,} frames of these runs were sent and did not arrive: what they held is missing.")
    notes.append(
        f"Cost: better or worse beyond {100 * SMALLEST_COST_EFFECT:g} %, exact on clocks that count. Quality: change "
        "of perplexity on the same text, paired by window; better or worse if the whole 95 % interval lies beyond "
        f"{100 * SMALLEST_PERPLEXITY_EFFECT:g} %."
    )
    return notes
