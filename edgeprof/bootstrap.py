"""The interval of a change of NLL on the same text: a block bootstrap, studentized and symmetric.

The tokens of one text are scored twice, and their differences averaged. Neighbours share their context, so whole
blocks of the text are drawn, not tokens. Intervals by the percentiles of the draws would be too narrow: differences of
NLL are heavy-tailed, and a text holds few blocks (``docs/statistics.md``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from edgeprof.errors import NotComparableError, UsageError
from edgeprof.intervals import ALPHA, Interval

__all__ = ["BLOCK_TOKENS", "LEAST_BLOCKS", "block_bootstrap_nll", "block_limits", "block_sums"]

BLOCK_TOKENS = 128
"""Longer than any dependence that was seen, and as long as the scored half of a window of 256 tokens."""
LEAST_BLOCKS = 10
DRAWS = 1999
_AT_ONCE = 2_000_000

Float = npt.NDArray[np.float64]


def block_bootstrap_nll(
    differences: npt.ArrayLike, positions: npt.ArrayLike, *, block_tokens: int = BLOCK_TOKENS, draws: int = DRAWS,
    seed: int = 0, alpha: float = ALPHA,
) -> Interval | None:  # fmt: skip
    """Return the interval of the mean difference of NLL over the scored tokens of a text, in nats per token.

    It is the log of the ratio of perplexities.

    Parameters
    ----------
    differences
        NLL of the candidate minus that of the base, one a token, shape (n,), in nats.
    positions
        Where each token stands in the text (window times the context's length, plus position), shape (n,).
    block_tokens
        Length of a block of the text, in tokens; scored or not.
    draws
        How often blocks are drawn.
    seed
        Of the draws: the same seed, the same interval.
    alpha
        Risk of the wide interval.

    Returns
    -------
    Interval or None
        None for fewer than ten blocks. ``n`` counts blocks.

    Raises
    ------
    NotComparableError
        A difference is not finite, or a token counts twice.
    UsageError
        A parameter that is not positive.
    """
    values, at = np.asarray(differences, np.float64), np.asarray(positions, np.int64)
    if block_tokens < 1 or draws < 1:
        raise UsageError(f"Blocks have at least one token, and at least one is drawn; not {block_tokens} and {draws}.")
    if values.shape != at.shape or values.ndim != 1 or len(np.unique(at)) != len(at):
        raise NotComparableError(
            f"Differences are paired by token: one of each position of the text. There are {values.size} differences "
            f"at {len(np.unique(at))} of {at.size} positions. Average repeated runs by token first."
        )
    if not np.all(np.isfinite(values)):
        raise NotComparableError(
            f"{int(np.sum(~np.isfinite(values)))} of {values.size} differences of NLL are infinite or unknown. Leave "
            "out the tokens that only one of the two has."
        )
    order = np.argsort(at)
    sums, counts = block_sums(values[order], at[order], block_tokens)
    if len(counts) < LEAST_BLOCKS:
        return None
    limits = block_limits(sums, counts, draws, np.random.default_rng(seed), alpha)
    return Interval.of(limits, len(counts), alpha)


def block_sums(values: Float, positions: npt.NDArray[np.int64], block_tokens: int) -> tuple[Float, Float]:
    """Return the sum of each block on the last axis, and the tokens in it; ``positions`` rise."""
    begins = np.flatnonzero(np.diff(positions // block_tokens, prepend=-1))
    if not len(begins):
        return np.zeros((*values.shape[:-1], 0)), np.zeros(0)
    counts = np.diff(begins, append=len(positions)).astype(np.float64)
    return np.add.reduceat(values, begins, axis=-1), counts


def block_limits(
    sums: Float, counts: Float, draws: int, rng: np.random.Generator, alpha: float = ALPHA
) -> tuple[Float, ...]:
    """Return the mean of blocks on the last axis, the wide interval and the narrow one: five arrays.

    Each draw's distance from the estimate is divided by the draw's own standard error; the quantile of the absolute
    values, times the estimate's standard error, is the half-width (P. Hall, "On symmetric bootstrap confidence
    intervals", JRSS B 50, 1988).
    """
    blocks = len(counts)
    estimate = sums.sum(axis=-1) / counts.sum()
    error = np.sqrt(((sums - estimate[..., None] * counts) ** 2).sum(axis=-1)) / counts.sum()
    parts = []
    step = max(_AT_ONCE // blocks, 1)
    for begin in range(0, draws, step):
        weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=min(step, draws - begin)).T.astype(float)
        drawn_counts = counts @ weights
        means = (sums @ weights) / drawn_counts
        squares = sums**2 @ weights - 2 * means * ((sums * counts) @ weights) + means**2 * (counts**2 @ weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.abs(means - estimate[..., None]) / (np.sqrt(np.maximum(squares, 0)) / drawn_counts)
        parts.append(np.nan_to_num(scores, nan=0.0, posinf=np.inf))
    scores = np.concatenate(parts, axis=-1)
    found = [estimate]
    # Blocks that are all alike have no error, and rounding must not divide by it.
    calm = error <= 1e-12 * np.abs(sums).max(axis=-1) / counts.max()
    for tail in (alpha / 2, alpha):
        # No narrower than Student's: with few blocks a quantile of draws is uncertain itself.
        quantile = np.maximum(np.quantile(scores, 1 - 2 * tail, axis=-1), scipy.special.stdtrit(blocks - 1, 1 - tail))
        half = np.where(calm, 0.0, quantile * error)
        found += [estimate - half, estimate + half]
    return tuple(np.asarray(f, np.float64) for f in found)
