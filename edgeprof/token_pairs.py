"""Two runs of one model side by side, token by token: what both were asked, and what each made of it.

Pure functions on the rows of two runs. What was not asked the same is refused, with the place where it differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.display import terminal_text
from edgeprof.divergence import Logits, kl_divergence
from edgeprof.errors import NotComparableError
from edgeprof.metric_values import whole_prompt
from edgeprof.passes import TOKEN_COLUMNS, passes_of

__all__ = ["PAIR_COLUMNS", "TokenPairs", "paired"]

PAIR_COLUMNS = [*TOKEN_COLUMNS, "token_id", "top1_id"]

_AT = ["window", "position"]
_SIDES = ("_run", "_reference")


@dataclass(frozen=True)
class TokenPairs:
    """A run beside its reference.

    Attributes
    ----------
    run, reference : row of table ``runs``
        The two.
    scored : DataFrame
        A row for each scored position that both have: ``window``, ``position``, ``next_id``, ``top1_id_run``,
        ``top1_id_reference``.
    generated : DataFrame
        A row for each generated token of the common length, from the first: ``next_id_run`` and
        ``next_id_reference``, null where the token was lost. Without a row where the prompt's end was lost.
    kl_nat : ndarray of float or None
        KL(reference || run) at each scored position whose logits both have; None where a run has no logits.
    incomplete : int
        Positions of which a piece of the logits is missing on either side.
    """

    run: Any
    reference: Any
    scored: pd.DataFrame
    generated: pd.DataFrame
    kl_nat: npt.NDArray[np.float64] | None
    incomplete: int


def paired(
    run: Any, tokens: pd.DataFrame, reference: Any, reference_tokens: pd.DataFrame,
    logits: Logits | None = None, reference_logits: Logits | None = None,
) -> TokenPairs:  # fmt: skip
    """Put a run beside its reference.

    Parameters
    ----------
    run, reference
        Rows of table ``runs``, of one model with one vocabulary.
    tokens, reference_tokens
        Their rows of table ``tokens``, with :data:`PAIR_COLUMNS`.
    logits, reference_logits
        From :func:`edgeprof.divergence.assembled`, where they were sent.

    Raises
    ------
    NotComparableError
        They are of other models, or were given other tokens.
    """
    if pd.isna(run.model) or pd.isna(reference.model) or run.model != reference.model:
        raise _unlike("another model", str(run.model), str(reference.model))
    if not (pd.isna(run.n_prompt) or pd.isna(reference.n_prompt)) and run.n_prompt != reference.n_prompt:
        raise _unlike("another prompt", f"{run.n_prompt} tokens", f"{reference.n_prompt}")
    _refuse_other_prompt(tokens, reference_tokens)
    scored = _scored(tokens, reference_tokens)
    kl_nat, incomplete = None, 0
    if logits is not None and reference_logits is not None:
        kl_nat = _kl(scored, logits, reference_logits)
        incomplete = logits.incomplete + reference_logits.incomplete
    return TokenPairs(
        run, reference, scored, _generated((run, tokens), (reference, reference_tokens)), kl_nat, incomplete
    )


def _unlike(what: str, one: str, other: str) -> NotComparableError:
    return NotComparableError(
        f"{what}: {terminal_text(one, 40)!r} here, {terminal_text(other, 40)!r} in the reference. Agreement is of one "
        "model at two quantizations that were given the same tokens: name another reference, or capture one."
    )


def _refuse_other_prompt(tokens: pd.DataFrame, reference: pd.DataFrame) -> None:
    """Refuse prompts of other tokens: of each pass what was fed in, and but for the last what was to come next."""
    parts = [_unique(t[t["phase"] == "prefill"]) for t in (tokens, reference)]
    if not all(map(len, parts)):
        return
    both = _merged(parts[0], parts[1], ["token_id", "next_id", "n_batch"])
    both = both[both["n_batch_run"].fillna(1) == both["n_batch_reference"].fillna(1)]
    last = min(int(part["position"].max()) for part in parts)
    for column, rows in (("token_id", both), ("next_id", both[both["position"] < last])):
        _refuse_where(rows, column, "another prompt")


def _refuse_where(both: pd.DataFrame, column: str, what: str) -> None:
    one, other = (both[f"{column}{side}"] for side in _SIDES)
    differ = both[(one.notna() & other.notna() & (one != other)).fillna(False).to_numpy(bool)]
    if len(differ):
        row = differ.iloc[0]
        where = f"position {row['position']}" + (f" of window {row['window']}" if row["window"] >= 0 else "")
        raise _unlike(f"{what} at {where}", *(f"token {row[f'{column}{side}']}" for side in _SIDES))


def _unique(tokens: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose position is known and there once, with a window that can be a key."""
    known = tokens.dropna(subset=["position"])
    keys = {"window": known["window"].fillna(-1).astype("int64"), "position": known["position"].astype("int64")}
    return known.assign(**keys).drop_duplicates(_AT, keep=False)


def _merged(tokens: pd.DataFrame, reference: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    one, other = (part[[*_AT, *columns]].astype(dict.fromkeys(columns, "Int64")) for part in (tokens, reference))
    return one.merge(other, on=_AT, suffixes=_SIDES, sort=True)


def _scored(tokens: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    parts = [_unique(t[t["scored"].fillna(False).to_numpy(bool)]) for t in (tokens, reference)]
    both = _merged(parts[0], parts[1], ["next_id", "top1_id"])
    if both.empty and all(map(len, parts)):
        raise _unlike("another text", *(f"{len(p)} scored positions, from {p['position'].min()}" for p in parts))
    _refuse_where(both, "next_id", "another text")
    same = both[both["next_id_run"].notna() & both["next_id_reference"].notna()]
    return same.rename(columns={"next_id_run": "next_id"}).drop(columns="next_id_reference").reset_index(drop=True)


def _generated(*sides: tuple[Any, pd.DataFrame]) -> pd.DataFrame:
    one, other = (_sampled(run, tokens) for run, tokens in sides)
    if one.empty or other.empty:
        both = pd.DataFrame({f"next_id{side}": pd.array([], "Int64") for side in _SIDES})
    else:
        common = range(min(int(one.index[-1]), int(other.index[-1])) + 1)
        both = pd.DataFrame({f"next_id{s}": part.reindex(common) for s, part in zip(_SIDES, (one, other), strict=True)})
    return both.reset_index(drop=True)


def _sampled(run: Any, tokens: pd.DataFrame) -> pd.Series:
    """Return the tokens that were sampled by their number, from 0; none where the prompt did not arrive as a whole.

    The last prefill pass samples the first one; tokens that were lost leave their numbers out.
    """
    made = _unique(tokens[tokens["phase"].isin(["prefill", "decode"]).to_numpy(bool)]).sort_values("position")
    ends = (made["position"] + made["n_batch"].fillna(1).astype("int64") - 1).to_numpy(np.int64)
    sampled = pd.Series(made["next_id"].astype("Int64").to_numpy(), index=ends)
    if made.empty or not whole_prompt(run, passes_of(made)):
        return sampled.iloc[:0]
    first = int(np.flatnonzero((made["phase"] == "prefill").to_numpy(bool))[-1])
    sampled = sampled.iloc[first:]
    sampled.index -= ends[first]
    return sampled[~sampled.index.duplicated()]


def _kl(scored: pd.DataFrame, logits: Logits, reference: Logits) -> npt.NDArray[np.float64]:
    if len(logits.at) and len(reference.at) and logits.logits.shape[1] != reference.logits.shape[1]:
        raise _unlike("another vocabulary", *(f"{x.logits.shape[1]} tokens" for x in (logits, reference)))
    both = scored[_AT].merge(logits.at.reset_index(names="run"), on=_AT).merge(
        reference.at.reset_index(names="reference"), on=_AT
    )  # fmt: skip
    return kl_divergence(reference.logits[both["reference"].to_numpy(int)], logits.logits[both["run"].to_numpy(int)])
