"""Energy of passes and of runs, as tables: gross and net, by phase, and for what came out of it.

Tables of passes have ``run_id``, ``begin_ns``, ``end_ns`` (on the samples' clock) and ``phase``; where it is known
``scored``, ``correct`` (top-1 is the next token), ``nll`` in nat and ``unigram_nll``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.energy.baseline import Baseline, net_energy
from edgeprof.energy.certainty import COVERAGE_FACTOR, stated_energy
from edgeprof.energy.kernels import peak_power
from edgeprof.energy.resolution import resolves
from edgeprof.energy.stretches import Source, first_period_ns

__all__ = ["energy_per_run", "energy_per_stage", "pass_energy", "unigram_nll"]

Float = npt.NDArray[np.float64]


def pass_energy(samples: Source, passes: pd.DataFrame, **errors: float) -> pd.DataFrame:
    """Return a table of intervals with the energy of each.

    Parameters
    ----------
    samples
        A meter's samples, or what reads them.
    passes
        With at least ``begin_ns`` and ``end_ns``; intervals of one kind.
    **errors
        ``error_ns``, ``edge_error_ns``, ``rate_ppm``, as :func:`edgeprof.energy.certainty.stated_energy` takes them.

    Returns
    -------
    pandas.DataFrame
        All columns of ``passes`` and ``energy_uj``, its 95 % interval ``energy_low_uj`` and ``energy_high_uj``, the
        standard uncertainties ``sampling_uj``, ``edges_uj``, ``rate_uj``, ``charge_uc``, ``mean_power_uw``,
        ``peak_power_uw``, ``n_samples`` and ``n_missing``.
    """
    begins, ends = (passes[name].to_numpy(np.float64, na_value=np.nan) for name in ("begin_ns", "end_ns"))
    found = stated_energy(samples, begins, ends, **errors)
    return passes.assign(
        energy_uj=found.energy_uj, energy_low_uj=found.energy_low_uj, energy_high_uj=found.energy_high_uj,
        sampling_uj=found.sampling_uj, edges_uj=found.edges_uj, rate_uj=found.rate_uj,
        charge_uc=found.intervals.charge_uc, mean_power_uw=found.intervals.mean_power_uw,
        peak_power_uw=peak_power(samples, begins, ends), n_samples=found.intervals.n_samples,
        n_missing=found.intervals.n_missing,
    )  # fmt: skip


def energy_per_run(
    samples: Source, passes: pd.DataFrame, *, baseline: Baseline | None = None, **errors: float
) -> pd.DataFrame:
    """Return the energy of each run, from the begin of its first pass to the end of its last.

    Parameters
    ----------
    samples, passes, **errors
        As :func:`pass_energy` takes them; ``passes`` with ``run_id`` and ``phase``, too.
    baseline
        Idle power of the same capture; without it what is net is unknown.

    Returns
    -------
    pandas.DataFrame
        A row a run, by ``run_id``: what :func:`pass_energy` says of it; ``duration_ns``; ``net_uj`` with
        ``net_low_uj`` and ``net_high_uj``; of the phases ``prefill_uj``, ``decode_uj`` and ``score_uj``, each with
        its interval; and

        - ``generated_token_uj``: the energy of the decode passes over their number, with its interval;
        - ``correct_token_uj``: the energy of all passes of an evaluation over the scored tokens whose top-1 was right;
        - ``gained_bit_uj``: the same over the bits by which the scored tokens were less surprising than to a unigram
          model, ``sum(unigram_nll - nll) / ln 2``. Unknown where nothing was gained.
    """
    each = pass_energy(samples, passes, **errors)
    spans = each.groupby("run_id", sort=True).agg(begin_ns=("begin_ns", "min"), end_ns=("end_ns", "max"))
    runs = pass_energy(samples, spans, **errors)
    runs["duration_ns"] = runs["end_ns"] - runs["begin_ns"]
    half = (runs["energy_high_uj"] - runs["energy_uj"]).to_numpy()
    if baseline is None:
        net, net_half = np.full(len(runs), np.nan), np.full(len(runs), np.nan)
    else:
        net, net_half = net_energy(runs["energy_uj"].to_numpy(), half, runs["duration_ns"].to_numpy(), baseline)
    runs = runs.assign(net_uj=net, net_low_uj=net - net_half, net_high_uj=net + net_half)
    rows = {run_id: _outcome(some) for run_id, some in each.groupby("run_id", sort=True)}
    return runs.join(pd.DataFrame.from_dict(rows, orient="index"))


def _outcome(passes: pd.DataFrame) -> dict[str, float]:
    """Return the energy of one run's phases and of what came out of them."""
    found: dict[str, float] = {}
    for phase in ("prefill", "decode", "score"):
        some = passes[passes["phase"] == phase]
        found |= _with_ends(f"{phase}_uj", *_sum(some), 1)
        if phase == "decode":
            found |= _with_ends("generated_token_uj", *_sum(some), len(some))
    scored = _flags(passes, "scored")
    energy, half = _sum(passes[passes["phase"] == "score"])
    found |= _with_ends("correct_token_uj", energy, half, int(np.sum(scored & _flags(passes, "correct"))))
    gained = 0.0
    if {"nll", "unigram_nll"} <= set(passes):
        nll, unigram = (passes[name].to_numpy(np.float64, na_value=np.nan) for name in ("nll", "unigram_nll"))
        gained = float(np.sum((unigram - nll)[scored])) / np.log(2)

    return found | _with_ends("gained_bit_uj", energy, half, gained if gained > 0 else 0.0)


def _sum(passes: pd.DataFrame) -> tuple[float, float]:
    """Return the energy of passes and half of its interval; unknown where one is, or where there is none.

    What happens between samples, and at edges, is another thing in each pass; the clock is the same in all.
    """
    if passes.empty:
        return np.nan, np.nan
    own = float(np.sum(passes["sampling_uj"] ** 2 + passes["edges_uj"] ** 2))
    half = COVERAGE_FACTOR * np.sqrt(own + float(np.sum(passes["rate_uj"])) ** 2)
    return float(passes["energy_uj"].sum(skipna=False)), float(half)


def _with_ends(name: str, energy: float, half: float, count: float) -> dict[str, float]:
    values = (energy, energy - half, energy + half)
    names = (name, name.replace("_uj", "_low_uj"), name.replace("_uj", "_high_uj"))
    return {key: value / count if count else np.nan for key, value in zip(names, values, strict=True)}


def _flags(passes: pd.DataFrame, name: str) -> npt.NDArray[np.bool_]:
    if name not in passes:
        return np.zeros(len(passes), np.bool_)
    return passes[name].astype("boolean").fillna(False).to_numpy(np.bool_)


def unigram_nll(next_ids: npt.ArrayLike) -> Float:
    """Return how surprising each token is to a model that knows how often each occurs and nothing else, in nat.

    Parameters
    ----------
    next_ids
        The tokens of the evaluation text that were to be guessed, shape (n,).

    Notes
    -----
    -ln(count / n), from the evaluation text's own counts: no unigram model does better on this text, so what is gained
    over it is rather too little than too much.
    """
    ids, place, counts = np.unique(np.asarray(next_ids), return_inverse=True, return_counts=True)
    out: Float = -np.log(counts / max(len(place), 1))[place] if len(ids) else np.zeros(0)
    return out


def energy_per_stage(samples: Source, stages: pd.DataFrame, **errors: float) -> pd.DataFrame:
    """Return the energy of each stage, where the meter can tell it from its neighbours.

    Parameters
    ----------
    samples, **errors
        As :func:`pass_energy` takes them.
    stages
        With ``stage``, ``begin_ns`` and ``end_ns``: one row each time that a stage was executed.

    Returns
    -------
    pandas.DataFrame
        A row a stage: ``energy_uj`` of all its rows with its interval, ``duration_ns`` in all, ``n`` and ``reason``:
        why its energy is null, where it is.

    Raises
    ------
    NotComparableError
        There are no samples.
    """
    edge_ns = max(errors.get("error_ns", 0.0), errors.get("edge_error_ns", 0.0))
    period_ns = first_period_ns(samples)
    rows: dict[Any, dict[str, Any]] = {}
    for stage, some in stages.groupby("stage", sort=True):
        each = pass_energy(samples, some, **errors)
        lasts = some["end_ns"] - some["begin_ns"]
        reason = resolves(float(lasts.median()), period_ns, edge_ns)
        energy, half = (np.nan, np.nan) if reason else _sum(each)
        if reason is None and np.isnan(energy):
            reason = "needs samples all the while, with a voltage; of some of these intervals too many are missing"
        rows[stage] = _with_ends("energy_uj", energy, half, 1) | {
            "duration_ns": float(lasts.sum()), "n": len(some), "reason": reason,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")
