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

__all__ = ["PAIR_COLUMNS", "TokenPairs", "TokenRows", "paired", "token_rows"]

PAIR_COLUMNS = [*TOKEN_COLUMNS, "token_id", "top1_id"]

_Ints = npt.NDArray[np.int64]
_UNKNOWN = -1
"""No token has this id: what is not known, or was lost."""
_LONGEST = 1 << 20
"""More tokens no context has; a device may claim any position."""


@dataclass(frozen=True)
class _Places:
    """Rows by their place, ascending: window (-1 where there is none) and position, each place once."""

    place: _Ints
    token_id: _Ints
    next_id: _Ints
    top1_id: _Ints
    n_batch: _Ints


@dataclass(frozen=True)
class TokenRows:
    """What a run was given and what it made of it.

    Attributes
    ----------
    run : row of table ``runs``
        Which.
    prompt, scored : places
        Its prefill passes, and the scored positions of an evaluation.
    sampled : ndarray of int
        The generated tokens, from the first; -1 where one was lost. Empty where the prompt did not arrive as a whole.
    """

    run: Any
    prompt: _Places
    scored: _Places
    sampled: _Ints


@dataclass(frozen=True)
class TokenPairs:
    """A run beside its reference.

    Attributes
    ----------
    run, reference : row of table ``runs``
        The two.
    top1, reference_top1 : ndarray of int, shape (positions,)
        What each finds the most probable at the scored positions that both have; -1 where it is not known.
    sampled, reference_sampled : ndarray of int, shape (tokens,)
        The generated tokens of the common length, from the first; -1 where one was lost.
    kl_nat : ndarray of float or None
        KL(reference || run) at each scored position whose logits both have; None where a run has no logits.
    incomplete : int
        Positions of which a piece of the logits is missing, on both sides together.
    """

    run: Any
    reference: Any
    top1: _Ints
    reference_top1: _Ints
    sampled: _Ints
    reference_sampled: _Ints
    kl_nat: npt.NDArray[np.float64] | None
    incomplete: int


def token_rows(run: Any, tokens: pd.DataFrame) -> TokenRows:
    """Take a run's tokens apart.

    Parameters
    ----------
    run
        Its row of table ``runs``.
    tokens
        Its rows of table ``tokens``, with :data:`PAIR_COLUMNS`, in any order.
    """
    phase = tokens["phase"]
    scored = tokens["scored"].fillna(False).to_numpy(np.bool_)
    return TokenRows(run, _places(tokens[phase == "prefill"]), _places(tokens[scored]), _sampled(run, tokens))


def paired(
    rows: TokenRows, reference: TokenRows, logits: Logits | None = None, reference_logits: Logits | None = None
) -> TokenPairs:
    """Put a run beside its reference.

    Parameters
    ----------
    rows, reference
        From :func:`token_rows`, of runs of one vocabulary.
    logits, reference_logits
        From :func:`edgeprof.divergence.assembled`, where they were sent.

    Raises
    ------
    NotComparableError
        They are of other models, or were given other tokens.
    """
    run, other = rows.run, reference.run
    if pd.isna(run.model) or pd.isna(other.model) or run.model != other.model:
        raise _unlike("another model", str(run.model), str(other.model))
    if not (pd.isna(run.n_prompt) or pd.isna(other.n_prompt)) and run.n_prompt != other.n_prompt:
        raise _unlike("another prompt", f"{run.n_prompt} tokens", f"{other.n_prompt}")
    _refuse_other_prompt(rows.prompt, reference.prompt)
    mine, theirs = rows.scored, reference.scored
    place, at, there = _both(mine.place, theirs.place)
    if len(mine.place) and len(theirs.place) and not len(place):
        raise _unlike("another text", *(f"{len(x.place)} scored, from {_where(x.place[0])}" for x in (mine, theirs)))
    _refuse_other(place, mine.next_id[at], theirs.next_id[there], "another text")
    known = (mine.next_id[at] != _UNKNOWN) & (theirs.next_id[there] != _UNKNOWN)
    common = min(len(rows.sampled), len(reference.sampled))
    kl_nat, incomplete = None, 0
    if logits is not None and reference_logits is not None:
        kl_nat = _kl(place[known], logits, reference_logits)
        incomplete = logits.incomplete + reference_logits.incomplete
    return TokenPairs(
        run, other, mine.top1_id[at][known], theirs.top1_id[there][known], rows.sampled[:common],
        reference.sampled[:common], kl_nat, incomplete,
    )  # fmt: skip


def _unlike(what: str, one: str, other: str) -> NotComparableError:
    return NotComparableError(
        f"{what}: {terminal_text(one, 40)!r} here, {terminal_text(other, 40)!r} in the reference. Agreement is of one "
        "model at two quantizations that were given the same tokens: name another reference, or capture one."
    )


def _keys(window: _Ints, position: _Ints) -> _Ints:
    """Return one number for a window and a position, both of which fit 32 bits."""
    return (window << 32) + position


def _where(place: int) -> str:
    window, position = int(place) >> 32, int(place) & 0xFFFFFFFF
    return f"position {position}" + (f" of window {window}" if window >= 0 else "")


def _places(tokens: pd.DataFrame) -> _Places:
    tokens = tokens[tokens["position"].notna()]
    columns = {
        name: tokens[name].to_numpy(np.int64, na_value=1 if name == "n_batch" else _UNKNOWN)
        for name in ("window", "position", "token_id", "next_id", "top1_id", "n_batch")
    }
    keys, first, times = np.unique(
        _keys(columns.pop("window"), columns.pop("position")), return_index=True, return_counts=True
    )
    once = times == 1
    return _Places(keys[once], **{name: values[first[once]] for name, values in columns.items()})


def _both(one: _Ints, other: _Ints) -> tuple[_Ints, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the places that both have, and where each has them."""
    return np.intersect1d(one, other, assume_unique=True, return_indices=True)


def _refuse_other_prompt(prompt: _Places, reference: _Places) -> None:
    """Refuse prompts of other tokens: of each pass what was fed in, and but for the last what was to come next."""
    place, at, there = _both(prompt.place, reference.place)
    same = prompt.n_batch[at] == reference.n_batch[there]
    place, at, there = place[same], at[same], there[same]
    _refuse_other(place, prompt.token_id[at], reference.token_id[there], "another prompt")
    if len(place):
        inside = place < min(prompt.place[-1], reference.place[-1])
        _refuse_other(place[inside], prompt.next_id[at][inside], reference.next_id[there][inside], "another prompt")


def _refuse_other(place: _Ints, one: _Ints, other: _Ints, what: str) -> None:
    differ = np.flatnonzero((one != _UNKNOWN) & (other != _UNKNOWN) & (one != other))
    if len(differ):
        first = differ[0]
        raise _unlike(f"{what} at {_where(place[first])}", f"token {one[first]}", f"token {other[first]}")


def _sampled(run: Any, tokens: pd.DataFrame) -> _Ints:
    """Return the tokens that were sampled: the last prefill pass samples the first one, each decode pass one more."""
    none = np.empty(0, np.int64)
    made = tokens[
        tokens["phase"].isin(["prefill", "decode"]).to_numpy(bool) & tokens["position"].notna().to_numpy(bool)
    ]
    if made.empty or not whole_prompt(run, passes_of(made.sort_values("position"))):
        return none
    prompt, decode = (_places(made[made["phase"] == phase]) for phase in ("prefill", "decode"))
    if not len(prompt.place):
        return none
    end = prompt.place[-1] + prompt.n_batch[-1] - 1
    numbers = np.append(0, decode.place + decode.n_batch - 1 - end)
    said, follows = np.append(prompt.next_id[-1], decode.next_id), numbers >= 0
    found = np.full(min(int(numbers.max()), _LONGEST) + 1, _UNKNOWN)
    fits = follows & (numbers < len(found))
    found[numbers[fits]] = said[fits]
    return found


def _kl(place: _Ints, logits: Logits, reference: Logits) -> npt.NDArray[np.float64]:
    sides = (logits, reference)
    if all(len(x.places) for x in sides) and logits.logits.shape[1] != reference.logits.shape[1]:
        raise _unlike("another vocabulary", *(f"{x.logits.shape[1]} tokens" for x in sides))
    mine, theirs = (_keys(*(x.places[c].to_numpy(np.int64) for c in ("window", "position"))) for x in sides)
    _, at, there = _both(mine, theirs)
    scored = np.isin(mine[at], place)
    return kl_divergence(reference.logits[there[scored]], logits.logits[at[scored]])
