"""How far one distribution over the vocabulary is from another: Kullback-Leibler divergence, from logits.

As in llama.cpp's ``perplexity --kl-divergence``: of the reference from the quantization, position by position. The rows
of table ``logits`` are pieces of the vocabulary, and a position of which one was lost is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from edgeprof.errors import NotComparableError

__all__ = ["LOGIT_COLUMNS", "Logits", "assembled", "kl_divergence"]

LOGIT_COLUMNS = ["window", "position", "first_id", "logits"]

_AT_ONCE = 1 << 21
"""So many logits are taken at a time: beyond, temporary arrays would take more than some dozen MiB."""


class Logits(NamedTuple):
    """The positions of a run whose logits are complete.

    Attributes
    ----------
    places : DataFrame
        ``window`` and ``position`` of each.
    logits : ndarray of float, shape (positions, vocabulary)
        In nat.
    incomplete : int
        How many positions more there are of which a piece is missing.
    """

    places: pd.DataFrame
    logits: npt.NDArray[np.float32]
    incomplete: int


def kl_divergence(reference: npt.ArrayLike, other: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return KL(P || Q) of each position, P being the softmax of the reference's logits and Q that of the other's.

    KL(P || Q) = sum over the vocabulary of P (ln P - ln Q) (Kullback & Leibler 1951, equation 2.4).

    Parameters
    ----------
    reference, other : array_like, shape (positions, vocabulary)
        Logits, in nat; an offset of a whole position makes no difference. -inf is a token that cannot come.

    Returns
    -------
    ndarray of float, shape (positions,)
        In nat, 0 or more. Infinite where the other gives no chance to a token that the reference gives one; NaN where
        logits make no distribution: NaN, +inf, or -inf throughout.

    Raises
    ------
    NotComparableError
        The two are not of the same positions and vocabulary.
    """
    p, q = np.atleast_2d(np.asarray(reference)), np.atleast_2d(np.asarray(other))
    if p.shape != q.shape or p.ndim != 2:
        raise NotComparableError(
            f"Logits of {' x '.join(map(str, p.shape))} and {' x '.join(map(str, q.shape))} (positions x vocabulary) "
            "cannot be compared: give both for the same positions, over the whole vocabulary."
        )
    if not p.size:
        return np.full(len(p), np.nan)
    step = max(1, _AT_ONCE // p.shape[1])
    return np.concatenate([_kl(p[at : at + step], q[at : at + step]) for at in range(0, len(p), step)] or [np.empty(0)])


def _kl(p: npt.NDArray[Any], q: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    p, q = p.astype(np.float64), q.astype(np.float64)
    sound = np.logical_and.reduce([(np.isfinite(x) | (x == -np.inf)).all(1) & np.isfinite(x).any(1) for x in (p, q)])
    found = np.full(len(p), np.nan)
    log_p, log_q = scipy.special.log_softmax(p[sound], axis=1), scipy.special.log_softmax(q[sound], axis=1)
    chance = np.exp(log_p)
    # What cannot come by the reference adds nothing, whatever the other says of it.
    with np.errstate(invalid="ignore"):
        terms = np.where(chance > 0, chance * (log_p - log_q), 0.0)
    found[sound] = np.maximum(terms.sum(axis=1), 0.0)  # rounding may take equal ones below zero
    return found


def assembled(rows: pd.DataFrame, n_vocab: int | None = None) -> Logits:
    """Put the pieces of a run's logits together.

    Parameters
    ----------
    rows
        Rows of table ``logits`` of one run, with :data:`LOGIT_COLUMNS`, in any order.
    n_vocab
        Tokens of the vocabulary; by default as many as most positions have.

    Returns
    -------
    Logits
        The positions whose pieces join without a gap or an overlap, from token 0 to the vocabulary's end, in order of
        window and position.
    """
    known = rows.dropna(subset=["position", "first_id", "logits"]).assign(window=rows["window"].fillna(-1))
    known = known.sort_values(["window", "position", "first_id"], kind="stable")
    sizes = known["logits"].map(len).to_numpy(np.int64) if len(known) else np.empty(0, np.int64)
    begins = known["first_id"].to_numpy(np.int64)
    ends = begins + sizes
    joined = [
        part
        for part in _groups(known[["window", "position"]].to_numpy(np.int64))
        if begins[part][0] == 0 and (begins[part][1:] == ends[part][:-1]).all()
    ]
    sizes_seen = Counter(int(ends[part][-1]) for part in joined)
    whole = n_vocab if n_vocab is not None else max(sizes_seen, key=lambda n: (sizes_seen[n], n), default=0)
    sound = [part for part in joined if ends[part][-1] == whole]
    pieces = known["logits"].tolist()
    values = np.empty((len(sound), whole), np.float32)
    for row, part in zip(values, sound, strict=True):
        np.concatenate(pieces[part], out=row, casting="unsafe")
    places = known[["window", "position"]].iloc[[part.start for part in sound]].astype("int64").reset_index(drop=True)
    every = len(rows[["window", "position"]].drop_duplicates())
    return Logits(places, values, every - len(sound))


def _groups(keys: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Yield the stretches of equal rows."""
    edges = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
    for begin, end in zip([0, *edges], [*edges, len(keys)], strict=True):
        if end > begin:
            yield slice(int(begin), int(end))
