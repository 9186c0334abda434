"""Simulated runs: shapes of noise, and what time does to a session. All are logs of a cost; arrays of data sets."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter


def normal(rng, shape, deviation=0.027):
    return np.log1p(deviation * rng.standard_normal(shape))


def lognormal(rng, shape):
    return 0.5 * rng.standard_normal(shape)


def bimodal(rng, shape):
    """60 % of runs in one state, 40 % in another that is 10 % slower, 1 % of noise in each."""
    return np.log1p(0.1) * (rng.random(shape) < 0.4) + 0.01 * rng.standard_normal(shape)


def heavy(rng, shape):
    """Student's t with two degrees of freedom: no variance."""
    return 0.01 * rng.standard_t(2, shape)


def spikes(rng, shape):
    """A tenth of the runs slower by 5 to 50 %."""
    return 0.01 * rng.standard_normal(shape) + np.log1p(rng.uniform(0.05, 0.5, shape)) * (rng.random(shape) < 0.1)


def token_logs(rng, shape, tokens=64, run_deviation=0.027, token_deviation=0.1):
    """Logs of the costs of tokens, which share what their run is: one more axis."""
    level = run_deviation * rng.standard_normal((*shape, 1))
    return level + token_deviation * rng.standard_normal((*shape, tokens))


def hierarchical(rng, shape):
    """Medians of 64 tokens a run."""
    return np.median(token_logs(rng, shape), axis=-1)


SHAPES = {
    "normal 2.7 %": normal, "log-normal s=0.5": lognormal, "bimodal 60/40": bimodal, "heavy t(2)": heavy,
    "hierarchical": hierarchical, "spikes": spikes,
}  # fmt: skip


def centre(name):
    """Return the median of a shape, and its mean without the outer fifths, by a million draws of another seed."""
    values = np.sort(SHAPES[name](np.random.default_rng(987), (100_000 if name == "hierarchical" else 1_000_000,)))
    cut = len(values) // 5
    return float(np.median(values)), float(values[cut:-cut].mean())


# ---- what a session does to the board, at each of its slots in time; arrays (data sets, slots) ----


def steady(rng, sets, slots):
    return np.zeros((sets, slots))


def linear_drift(rng, sets, slots, whole=0.05):
    return np.broadcast_to(whole * np.linspace(0, 1, slots), (sets, slots))


def wander(rng, sets, slots, deviation=0.027, memory=0.9):
    noise = rng.standard_normal((sets, slots)) * deviation * np.sqrt(1 - memory**2)
    noise[:, 0] /= np.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], noise, axis=1)


def step(rng, sets, slots, size=0.05):
    at = rng.integers(1, slots, (sets, 1))
    return size * (np.arange(slots) >= at)


SESSIONS = {"steady": steady, "drift 5 %": linear_drift, "wander AR(.9) 2.7 %": wander, "step 5 %": step}


def split(rng, slots_of, design):
    """Return the logs of base and candidate from a session's slots: in pairs, one group after the other, or shuffled.

    ``slots_of`` has shape (sets, 2 n). In pairs, a coin says which of the two comes first.
    """
    sets, slots = slots_of.shape
    if design == "blocked":
        return slots_of[:, : slots // 2], slots_of[:, slots // 2 :]
    if design == "shuffled":
        order = np.argsort(rng.random((sets, slots)), axis=1)
        # In each group the runs stay in the order in which they were measured.
        halves = np.sort(order[:, : slots // 2], axis=1), np.sort(order[:, slots // 2 :], axis=1)
        return tuple(np.take_along_axis(slots_of, half, 1) for half in halves)
    pairs = slots_of.reshape(sets, slots // 2, 2)
    if design == "pairs":
        first = rng.integers(0, 2, (sets, slots // 2, 1))
    else:  # always the base first
        first = np.zeros((sets, slots // 2, 1), int)
    return np.take_along_axis(pairs, first, 2)[..., 0], np.take_along_axis(pairs, 1 - first, 2)[..., 0]
