"""The arithmetic of each metric: a run's row and its passes to a number, or None where what it takes is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.passes import Passes

__all__ = [
    "EXACT_CLOCKS",
    "MIN_SLOPE_POSITIONS",
    "Value",
    "between_prints_s",
    "cache_bytes",
    "column",
    "decode",
    "energy",
    "energy_net",
    "energy_per_token",
    "host_itl",
    "host_rate",
    "hz",
    "itl",
    "jitter",
    "macs",
    "milliseconds",
    "nll",
    "perplexity",
    "phase_energy",
    "prefill",
    "rate",
    "slope",
    "stage_share",
    "ttft",
    "weight_bytes",
    "whole_prompt",
]  # fmt: skip

EXACT_CLOCKS = ("fuel", "instructions", "cycles")
"""Clocks that count the same on every execution."""

MIN_SLOPE_POSITIONS = 8

Value = Callable[[Any, Passes], float | None]


def prefill(run: Any, passes: Passes) -> float | None:
    """Return the ticks of a prompt's token."""
    part = passes.prefill & passes.ticks_known & passes.n_batch_known
    count = int(passes.n_batch[part].sum())
    return float(passes.ticks[part].sum()) / count if count else None


def decode(run: Any, passes: Passes) -> float | None:
    """Return the mean ticks of a decode pass."""
    ticks = passes.decode_ticks
    return float(ticks.sum() / len(ticks)) if len(ticks) else None


def whole_prompt(run: Any, passes: Passes) -> bool:
    """Tell whether the last prefill pass that was received is the last one there was."""
    part = np.flatnonzero(passes.prefill)
    if not len(part):
        return False
    if not pd.isna(run.n_prompt):
        return bool(passes.n_batch[passes.prefill & passes.n_batch_known].sum() >= run.n_prompt)
    # The prompt's length was not said: the first decode pass tells where it ended.
    first = np.flatnonzero(passes.decode)[:1]
    return len(first) == 1 and bool(passes.follows(np.array([part[-1], first[0]]))[0])


def ttft(run: Any, passes: Passes) -> float | None:
    """Return the ticks from the run's begin to the first token."""
    if not whole_prompt(run, passes):
        return None
    last = np.flatnonzero(passes.prefill)[-1]
    if not (passes.ticks_start_known[last] and passes.ticks_known[last]):
        return None
    return float(passes.ticks_start[last].item() + passes.ticks[last].item())


def itl(quantile: float) -> Value:
    """Return a quantile of the inter-token latencies, in ticks."""
    return lambda run, passes: passes.itl_quantiles_ticks.get(quantile)


def jitter(run: Any, passes: Passes) -> float | None:
    """Return the mean step from one inter-token latency to the next, in ticks, without a sign."""
    steps = passes.itl_steps_ticks
    return float(steps.sum() / len(steps)) if len(steps) else None


def slope(run: Any, passes: Passes) -> float | None:
    """Return by how many ticks a decode pass grows in 1,000 positions."""
    part = passes.decode & passes.ticks_known & passes.position_known
    positions = passes.position[part].astype(np.float64)
    if len(np.unique(positions)) < MIN_SLOPE_POSITIONS:
        return None
    # With all that it knows it warns of nothing, and finds the same.
    (steepness, _), *_ = np.polyfit(positions, passes.ticks[part].astype(np.float64), 1, full=True)
    return float(1000 * steepness)


def nll(run: Any, passes: Passes) -> float | None:
    """Return the mean of -ln p of the scored tokens, in nat."""
    values = passes.nll[passes.scored & ~np.isnan(passes.nll)]
    with np.errstate(invalid="ignore"):  # a device may say both infinities
        return float(values.sum() / len(values)) if len(values) else None


def perplexity(run: Any, passes: Passes) -> float | None:
    """Return e to the mean of -ln p of the scored tokens."""
    mean = nll(run, passes)
    with np.errstate(over="ignore"):  # a device may claim any nll
        return float(np.exp(mean)) if mean is not None else None


def column(name: str) -> Value:
    """Return what the run itself says."""

    def value(run: Any, passes: Passes) -> float | None:
        said = getattr(run, name)
        return None if pd.isna(said) else float(said)

    return value


def hz(run: Any, *, nominal: bool) -> float | None:
    """Return the clock's rate, or nominally the core's; None where there is none, or what was said is not one."""
    said = run.board_clock_hz if nominal else run.tick_hz
    if pd.isna(said) or not 0 < said < np.inf or (nominal and run.clock not in EXACT_CLOCKS):
        return None
    return float(said)


def rate(ticks: Value, *, nominal: bool) -> Value:
    """Return tokens per second from ticks per token."""

    def value(run: Any, passes: Passes) -> float | None:
        per_second, per_token = hz(run, nominal=nominal), ticks(run, passes)
        return per_second / per_token if per_second and per_token else None

    return value


def milliseconds(*, nominal: bool) -> Value:
    """Return the time to the first token, in ms."""

    def value(run: Any, passes: Passes) -> float | None:
        per_second, ticks = hz(run, nominal=nominal), ttft(run, passes)
        return 1000 * ticks / per_second if per_second and ticks is not None else None

    return value


def between_prints_s(run: Any, passes: Passes) -> npt.NDArray[np.float64]:
    """Return the times between prints that the host saw, in seconds; of a run that was timed otherwise there are none.

    A print is no token: a firmware that prints two within one read gives one.
    """
    per_second = hz(run, nominal=False)
    if run.clock != "host" or per_second is None:
        return np.array([], np.float64)
    return passes.ticks[passes.printed & passes.ticks_known].astype(np.float64) / per_second


def host_itl(quantile: float) -> Value:
    """Return a quantile of the times between prints, in ms."""

    def value(run: Any, passes: Passes) -> float | None:
        seconds = between_prints_s(run, passes)
        return float(1000 * np.quantile(seconds, quantile)) if len(seconds) else None

    return value


def host_rate(run: Any, passes: Passes) -> float | None:
    """Return prints per second."""
    seconds = between_prints_s(run, passes)
    whole = float(seconds.sum())
    return float(len(seconds) / whole) if whole else None


def stage_share(stage: str) -> Value:
    """Return a stage's share of the decode passes, 0 to 1."""
    return lambda run, passes: passes.stage_shares.get(stage)


def weight_bytes(run: Any, passes: Passes) -> float | None:
    """Return the bytes of weights that a decode pass reads."""
    return float(passes.work.weight_bytes) if passes.work and passes.decode.any() else None


def _attended(passes: Passes) -> float | None:
    """Return to how many positions a decode pass attends, on average."""
    positions = passes.position[passes.decode & passes.position_known]
    return float(positions.sum() / len(positions)) + 1 if len(positions) else None


def cache_bytes(run: Any, passes: Passes) -> float | None:
    """Return the bytes of the KV cache that a decode pass reads, on average."""
    attended = _attended(passes)
    return passes.work.cache_bytes_per_position * attended if passes.work and attended is not None else None


def macs(run: Any, passes: Passes) -> float | None:
    """Return the multiply-accumulates of a decode pass, on average."""
    work, attended = passes.work, _attended(passes)
    return work.weight_macs + work.cache_macs_per_position * attended if work and attended is not None else None


def energy(name: str) -> Value:
    """Return what a meter said of the run as a whole: a field of :class:`edgeprof.energy.run_energy.RunEnergy`."""

    def value(run: Any, passes: Passes) -> float | None:
        said = getattr(passes.energy, name, np.nan)
        return float(said) if np.isfinite(said) else None

    return value


def phase_energy(phase: str) -> Value:
    """Return the energy of the ``prefill`` or ``decode`` passes, in microjoules; None where that of one is unknown."""

    def value(run: Any, passes: Passes) -> float | None:
        part = passes.energy_uj[passes.timed(getattr(passes, phase))]
        whole = float(part.sum())
        return whole if len(part) and passes.energy and np.isfinite(whole) else None

    return value


def energy_per_token(run: Any, passes: Passes) -> float | None:
    """Return the mean energy of a decode pass, in microjoules."""
    whole = phase_energy("decode")(run, passes)
    return whole / int(passes.timed(passes.decode).sum()) if whole is not None else None


def energy_net(run: Any, passes: Passes) -> float | None:
    """Return the mean energy of a decode pass less what idling for as long would have taken, in microjoules."""
    gross, idle_uw = energy_per_token(run, passes), energy("idle_power_uw")(run, passes)
    per_second = hz(run, nominal=False)
    if gross is None or idle_uw is None or per_second is None:
        return None
    return gross - idle_uw * float(passes.ticks[passes.timed(passes.decode)].mean()) / per_second
