"""What of two sides can be held against each other: the passes that both have, the runs of a pair, the same tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.bootstrap import BLOCK_TOKENS
from edgeprof.errors import NotComparableError

__all__ = ["NllDifferences", "Units", "common_passes", "in_units", "nll_differences", "tick_fraction"]

Float = npt.NDArray[np.float64]


def common_passes(
    base_runs: pd.DataFrame, base_tokens: pd.DataFrame, candidate_runs: pd.DataFrame, candidate_tokens: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the finished runs of prompts that both have, with the decode passes that all of a prompt's runs have.

    Attention costs more at later positions: a generation that ended early must not look cheap.
    """
    sides = []
    shared = _prompts(base_runs) & _prompts(candidate_runs)
    for runs, tokens in ((base_runs, base_tokens), (candidate_runs, candidate_tokens)):
        mine = runs[(runs["status"] == "ok") & runs["prompt_id"].fillna("").isin(shared)]
        prompt = dict(zip(mine["run_id"].astype(str), mine["prompt_id"].fillna(""), strict=True))
        named = tokens[tokens["run_id"].isin(mine["run_id"])]
        sides.append((mine, named.assign(prompt_id=named["run_id"].astype(str).map(prompt))))
    # Copies of one capture have the same run_id on both sides.
    both = pd.concat(
        [tokens.assign(run_id=name + tokens["run_id"]) for name, (_, tokens) in zip("ab", sides, strict=True)]
    )
    decode = both[(both["phase"] == "decode") & both["ticks"].notna()]
    runs_of = decode.groupby("prompt_id")["run_id"].nunique()
    seen = decode.groupby(["prompt_id", "position"])["run_id"].nunique()
    whole = seen.index[seen.to_numpy() == runs_of.reindex(seen.index.get_level_values("prompt_id")).to_numpy()]
    cut = []
    for runs, tokens in sides:
        at = pd.MultiIndex.from_arrays([tokens["prompt_id"], tokens["position"]])
        kept = tokens[~(tokens["phase"] == "decode").fillna(False).astype(bool) | at.isin(whole)]
        cut += [runs, kept.drop(columns="prompt_id")]
    return cut[0], cut[1], cut[2], cut[3]


def _prompts(runs: pd.DataFrame) -> set[str]:
    return set(runs[runs["status"] == "ok"]["prompt_id"].fillna(""))


@dataclass(frozen=True, slots=True)
class Units:
    """One number a pair or a capture, the prompts in it averaged.

    Attributes
    ----------
    base, candidate
        In the metric's unit, shapes (n,) and (m,), in the order of measuring; of pairs n = m.
    log_ratios
        log(candidate / base) of each pair, shape (n,); None where nothing was measured in pairs.
    apart
        True unless the captures of both sides were mixed in one session.
    """

    base: Float
    candidate: Float
    log_ratios: Float | None
    apart: bool


def in_units(
    base_runs: pd.DataFrame, base_values: pd.Series, candidate_runs: pd.DataFrame, candidate_values: pd.Series
) -> Units | None:
    """Return one number a pair where there are pairs, else one a capture; None where a side has no value at all.

    Parameters
    ----------
    base_runs, candidate_runs
        Rows of ``runs``, with columns ``pair`` and ``session`` where they are known.
    base_values, candidate_values
        One number a run, by ``run_id``.

    Raises
    ------
    NotComparableError
        A value is not positive, so that there is no ratio to it.
    """
    base, candidate = (
        runs.assign(log=_logs(runs, values), prompt_id=runs["prompt_id"].fillna("")).dropna(subset="log")
        for runs, values in ((base_runs, base_values), (candidate_runs, candidate_values))
    )
    if base.empty or candidate.empty:
        return None
    if "pair" in base.columns and "pair" in candidate.columns:
        a, b = (_by(side.dropna(subset="pair"), ["pair"]) for side in (base, candidate))
        together = [pair for pair in a.index if pair in b.index]
        ratios = (b.loc[together] - a.loc[together]).mean(axis=1).dropna() if together else pd.Series(dtype=float)
        if len(ratios):
            return Units(
                np.exp(a.loc[ratios.index].mean(axis=1).to_numpy(np.float64)),
                np.exp(b.loc[ratios.index].mean(axis=1).to_numpy(np.float64)), ratios.to_numpy(np.float64), False,
            )  # fmt: skip
    # A prompt's own level is taken out, so that captures of other prompts can stand beside each other.
    level = base.groupby("prompt_id")["log"].mean()
    values = [
        np.exp(_by(side.assign(log=side["log"] - side["prompt_id"].map(level)), ["capture_id", "port"]).mean(axis=1)
               .to_numpy(np.float64) + float(level.mean()))
        for side in (base, candidate)
    ]  # fmt: skip
    return Units(values[0], values[1], None, _apart(base, candidate))


def _logs(runs: pd.DataFrame, values: pd.Series) -> Float:
    found = values.reindex(runs["run_id"].astype(str)).to_numpy(np.float64)
    bad = np.isinf(found) | (found <= 0)
    if bad.any():
        raise NotComparableError(
            f"Ratios take positive numbers; run {runs['run_id'].to_numpy()[bad][0]!r} has {found[bad][0]:g}. Leave out "
            "that run, or judge another metric."
        )
    return np.asarray(np.log(found), np.float64)


def _by(runs: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return a row a unit and a column a prompt; units in the order in which they were measured."""
    wide = runs.pivot_table(index=key, columns="prompt_id", values="log", sort=False)
    return wide.loc[list(dict.fromkeys(wide.index))]


def _apart(base: pd.DataFrame, candidate: pd.DataFrame) -> bool:
    if "session" not in base.columns or "session" not in candidate.columns:
        return True
    mine, theirs = (set(side["session"].fillna("")) for side in (base, candidate))
    return mine != theirs or "" in mine


@dataclass(frozen=True, slots=True)
class NllDifferences:
    """NLL of the same tokens, scored twice.

    Attributes
    ----------
    differences
        Candidate minus base, one a token of the text, in nats, shape (n,).
    positions
        Where each token stands in the text, shape (n,).
    base_nll, candidate_nll
        Means over these tokens, in nats.
    blocks
        Of the text, that hold a scored token.
    compared
        The share of the scored tokens of the side that has more which both have.
    """

    differences: Float
    positions: npt.NDArray[np.int64]
    base_nll: float
    candidate_nll: float
    blocks: int
    compared: float


def nll_differences(
    base_runs: pd.DataFrame, base_tokens: pd.DataFrame, candidate_runs: pd.DataFrame, candidate_tokens: pd.DataFrame
) -> NllDifferences | None:
    """Return the differences over the scored tokens that both have; None where one has scored nothing.

    Repeated runs are averaged token by token.

    Raises
    ------
    NotComparableError
        Tokens of one place in the text are not the same tokens.
    """
    index = ["prompt_id", "window", "position"]
    base, candidate = (
        _averaged(_scored(runs, tokens).groupby(index)[["nll", "next_id"]])
        for runs, tokens in ((base_runs, base_tokens), (candidate_runs, candidate_tokens))
    )
    if base.empty or candidate.empty:
        return None
    both = base.merge(candidate, left_index=True, right_index=True, suffixes=("_base", "_candidate"))
    if both.empty or (both["next_id_base"] != both["next_id_candidate"]).any():
        raise NotComparableError("The two scored other tokens: another text, another context or another tokenizer.")
    if not (both["nll_base"].notna().any() and both["nll_candidate"].notna().any()):
        return None
    for name, side in (("base", "nll_base"), ("candidate", "nll_candidate")):
        bad = int((~np.isfinite(both[side])).sum())
        if bad:
            raise NotComparableError(
                f"{bad} of {len(both)} scored tokens of the {name} have no finite NLL, so there is no "
                "difference. A kernel that overflows says such. Mend it, or score a text that it can."
            )
    context = _context(base_runs, base)
    text = both.index.get_level_values("prompt_id")
    # Texts stand behind each other, each at the beginning of a block.
    length = context * (int(both.index.get_level_values("window").max()) + 1)
    length = math.ceil(length / BLOCK_TOKENS) * BLOCK_TOKENS
    positions = (
        pd.factorize(text, sort=True)[0] * length
        + both.index.get_level_values("window").to_numpy(np.int64) * context
        + both.index.get_level_values("position").to_numpy(np.int64)
    )
    differences = (both["nll_candidate"] - both["nll_base"]).to_numpy(np.float64)
    return NllDifferences(
        differences, positions, float(both["nll_base"].mean()), float(both["nll_candidate"].mean()),
        len(np.unique(positions // BLOCK_TOKENS)), len(both) / max(len(base), len(candidate)),
    )  # fmt: skip


def _averaged(tokens: Any) -> pd.DataFrame:
    """Return the mean over repeated runs of each token; unknown if any of them is, for none may hide."""
    with np.errstate(invalid="ignore"):  # a device may send a NaN that signals
        found: pd.DataFrame = tokens.mean().astype(float)
    return found.where(tokens.count() == tokens.size().to_numpy()[:, None])


def _scored(runs: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    prompt = dict(zip(runs["run_id"].astype(str), runs["prompt_id"].fillna(""), strict=True))
    scored = tokens[tokens["scored"].fillna(False).astype(bool)]
    return scored.assign(prompt_id=scored["run_id"].astype(str).map(prompt))


def _context(runs: pd.DataFrame, scored: pd.DataFrame) -> int:
    """Return how far windows of a text lie apart, in tokens."""
    last = int(scored.index.get_level_values("position").max()) + 1
    said = runs["n_ctx"].dropna()
    return max(last, int(said.max())) if len(said) else last


def tick_fraction(unit: str, value: float, *, hz: float) -> float:
    """Return a tick of the clock as a fraction of a value in ticks, in milliseconds, or in tokens a second."""
    if unit.startswith("tick"):
        ticks = value
    elif unit == "ms":
        ticks = value * hz / 1000
    elif unit.endswith("/s"):
        ticks = hz / value if value > 0 else 0.0
    else:
        return 0.0
    return 1 / ticks if ticks > 0 and math.isfinite(ticks) else 0.0
