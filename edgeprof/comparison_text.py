"""Comparisons as people read them: tables of strings with units in the header, and what to know beside them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.changes import MISSING, SMALLEST_EFFECT, SMALLEST_EFFECTS
from edgeprof.energy.run_energy import is_synthetic

__all__ = ["changes_table", "energy_notes", "groups_table", "notes"]

_MOST_REASONS = 4
_TICKS = {
    "fuel": "executed WebAssembly instructions (fuel)",
    "instructions": "executed instructions",
    "cycles": "cycles of the core",
    "device_timer": "the board's own timer",
    "host": "nanoseconds of this machine's clock",
}


def groups_table(table: pd.DataFrame, by: Sequence[str], *, judged: bool) -> pd.DataFrame:
    """Return a comparison's groups as strings; with ``judged``, what each is beside its baseline."""
    text: dict[str, Any] = {column: table[column].fillna("unknown").astype(str) for column in by}
    text |= {
        "bits / weight": table["bits_per_weight"].map(units.significant),
        "size": table["model_bytes"].map(units.iec),
        "RAM needed": table["ram_needed_bytes"].map(units.iec),
        "decode [tick/token]": table["decode_ticks_per_token"].map(units.si),
    }
    if judged:
        text["cost"] = [_cost(row) for row in table.to_dict("records")]
    text["TTFT [tick]"] = table["ttft_ticks"].map(units.si)
    text["perplexity"] = table["perplexity"].map(lambda v: units.significant(v, 5))
    if judged:
        text["Δ perplexity [95 %]"] = [_perplexity(row) for row in table.to_dict("records")]
        text["quality"] = table["quality_verdict"]
    if "meter" in table.columns:
        text["energy [uJ/token]"] = table["energy_per_token_uj"].map(lambda v: units.significant(v, 4))
        text["meter"] = table["meter"].fillna(units.UNKNOWN)
    if (table["status"] != "ok").any():
        text["status"] = table["status"]
    return pd.DataFrame(text)


def changes_table(changes: pd.DataFrame) -> pd.DataFrame:
    """Return judged changes as strings, each with its interval and how it was judged; a single base is not repeated."""
    rows = changes.to_dict("records")
    base = {"base": changes["base"].astype(str)} if len(set(changes["base"])) > 1 else {}
    return pd.DataFrame(
        base
        | {
            "candidate": changes["candidate"].astype(str),
            "metric": [f"{r['metric']} [{r['unit']}]" if r["unit"] else r["metric"] for r in rows],
            "base value": changes["base_value"].map(lambda v: units.significant(v, 5)),
            "candidate value": changes["candidate_value"].map(lambda v: units.significant(v, 5)),
            "change": [change(r["change"], r["low"], r["high"], certain=bool(r["certain"])) for r in rows],
            "verdict": changes["word"].where(changes["method"] != "none", "not judged").astype(str),
            "by": [_by(r) for r in rows],
        }
    )


def change(centre: float, low: float, high: float, *, certain: bool) -> str:
    """Return a change with its 95 % interval, in percent; of a certain one there is none."""
    if not np.isfinite(centre):
        return units.UNKNOWN
    places = 2 if abs(centre) < 1 else 0
    if certain:
        return "0 %" if centre == 0 else units.percent(centre, places)
    if not (np.isfinite(low) and np.isfinite(high)):
        return units.percent(centre, places)
    ends = [units.percent(v, places).removesuffix(" %") for v in (low, high)]
    return f"{units.percent(centre, places)} [{ends[0]}, {ends[1]}]"


def _by(row: Mapping[Hashable, Any]) -> str:
    if row["method"] in ("exact", "none"):
        return str(row["method"])
    n = {row["n_base"], row["n_candidate"]}
    return f"{row['method']} ({' and '.join(map(str, sorted(n)))})"


def _cost(row: Mapping[Hashable, Any]) -> str:
    """Return a ratio with its verdict: ``0.552× better``, with its interval where the clock is not exact."""
    word, ratio = row["cost_verdict"], row["cost_ratio"]
    if word == "baseline" or ratio != ratio:
        return str(word)
    if row["cost_low"] == row["cost_high"] or not (np.isfinite(row["cost_low"]) and np.isfinite(row["cost_high"])):
        return f"{units.ratio(ratio)} {word}"
    return f"{units.ratio(ratio)} [{row['cost_low']:.3g}, {row['cost_high']:.3g}] {word}"


def _perplexity(row: Mapping[Hashable, Any]) -> str:
    if row["is_baseline"]:
        return "baseline"
    ends = (np.expm1(row[f"nll_difference{end}"]) for end in ("", "_low", "_high"))
    return change(*ends, certain=False)


def notes(
    runs: pd.DataFrame, baseline: Mapping[str, tuple[str, ...]], changes: pd.DataFrame,
    refused: Mapping[Any, str], metrics: Sequence[str], smallest: float | None = None,
) -> list[str]:  # fmt: skip
    """Return what the reader of a comparison should know."""
    found = []
    for board, part in runs.groupby("board", dropna=False):
        clock = part["clock"].iloc[0]
        emulator = part["emulator"].dropna()
        where = f"emulated by {emulator.iloc[0]} {part['emulator_version'].iloc[0]}" if len(emulator) else "real"
        base = baseline.get("" if pd.isna(board) else str(board))
        said = f" Baseline: {' · '.join(name or 'unknown' for name in base)}." if base else ""
        found.append(f"Board {board} ({where}): a tick counts {_TICKS.get(str(clock), str(clock))}.{said}")
    lost = int(runs["frames_lost"].fillna(0).sum())
    if lost:
        found.append(f"{lost:,} frames of these runs were sent and did not arrive: what they held is missing.")
    found += energy_notes(runs)
    found.append(_rule(metrics, smallest))
    weak = changes[changes["word"].isin(["not enough data", "close to the smallest effect"])]
    weak = weak[~weak["reason"].isin(list(refused.values())) & ~weak["reason"].str.startswith(MISSING)]
    why = [f"{r['candidate']}, {r['metric']}: {r['reason']}" for r in weak.to_dict("records")]
    why += [f"{text}" for text in dict.fromkeys(refused.values())]
    found += why[:_MOST_REASONS]
    if len(why) > _MOST_REASONS:
        found.append(f"{len(why) - _MOST_REASONS} more could not be judged; `changes` (--changes) says of each why.")
    findings = changes.loc[changes["findings"] != "", "findings"]
    found += list(dict.fromkeys(map(str, findings)))[:_MOST_REASONS]
    return found


def energy_notes(runs: pd.DataFrame) -> list[str]:
    """Return what the reader should know of runs' energy, by their column ``meter``; there may be several in one."""
    if "meter" not in runs.columns:
        return []
    made = sorted({m for text in runs["meter"].dropna().unique() for m in str(text).split(", ") if is_synthetic(m)})
    note = f"energy is synthetic: {', '.join(made)} measured no board, its samples were made."
    return [note] if made else []


def _rule(metrics: Sequence[str], smallest: float | None) -> str:
    cost, quality = (100 * (smallest or usual) for usual in (SMALLEST_EFFECT, SMALLEST_EFFECTS["perplexity"]))
    rule = (
        f"Cost: better or worse beyond {cost:g} %, exact on clocks that count, by the whole 95 % interval on others, "
        "over the prompts and passes that both have."
    )
    if "perplexity" not in metrics:
        return rule
    return (
        f"{rule} Quality: change of perplexity on the same text, paired by token, blocks of the text drawn; better or "
        f"worse if the whole 95 % interval lies beyond {quality:g} %."
    )
