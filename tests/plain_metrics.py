"""Every metric in its plainest form, on DataFrames: slow, and what the fast form has to agree with to the last bit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

EXACT_CLOCKS = ("fuel", "instructions", "cycles")


def _phase(tokens: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the passes of a phase whose cost is known."""
    return tokens[(tokens["phase"] == name) & tokens["ticks"].notna()]


def _prefill(run: Any, tokens: pd.DataFrame) -> float | None:
    part = _phase(tokens, "prefill")
    part = part[part["n_batch"].notna()]
    count = int(part["n_batch"].sum())
    return float(part["ticks"].sum()) / count if count else None


def _decode(run: Any, tokens: pd.DataFrame) -> float | None:
    part = _phase(tokens, "decode")
    return float(part["ticks"].sum() / len(part)) if len(part) else None


def _ttft(run: Any, tokens: pd.DataFrame) -> float | None:
    part = tokens[tokens["phase"] == "prefill"]
    if part.empty:
        return None
    last, decode = part.iloc[-1], tokens[tokens["phase"] == "decode"]
    if not pd.isna(run.n_prompt):
        whole = part["n_batch"].sum() >= run.n_prompt
    else:  # the prompt's length was not said: the first decode pass tells where it ended
        whole = len(decode) and bool(_follows(pd.concat([part.iloc[-1:], decode.iloc[:1]]))[0])
    if not whole or pd.isna(last["ticks_start"]) or pd.isna(last["ticks"]):
        return None
    return float(last["ticks_start"] + last["ticks"])


def _follows(passes: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell, for each pass but the first, whether it comes right after the one before it, nothing lost between."""
    step = np.diff(passes["position"].to_numpy(np.int64))
    return np.asarray((step == 1) | (step == passes["n_batch"].fillna(1).to_numpy(np.int64)[:-1]), np.bool_)


def itl_ticks(tokens: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the inter-token latencies of one run, in ticks: n generated tokens give n - 1.

    A token is there at the end of the pass that sampled it: the last prefill pass samples the first one, each decode
    pass one more. A gap in the positions (a lost frame) gives no value, rather than a long one.
    """
    made = tokens[tokens["phase"].isin(["prefill", "decode"])]
    made = made[made["ticks_start"].notna() & made["ticks"].notna()]
    ends = (made["ticks_start"] + made["ticks"]).to_numpy(np.int64)
    decode = (made["phase"] == "decode").to_numpy(bool)
    return np.diff(ends)[decode[1:] & _follows(made)]


def _itl(quantile: float) -> Callable[[Any, pd.DataFrame], float | None]:
    def compute(run: Any, tokens: pd.DataFrame) -> float | None:
        values = itl_ticks(tokens)
        return float(np.quantile(values, quantile)) if len(values) else None

    return compute


def _slope(run: Any, tokens: pd.DataFrame) -> float | None:
    part = _phase(tokens, "decode")
    if part["position"].nunique() < 8:
        return None
    slope, _ = np.polyfit(part["position"].to_numpy(float), part["ticks"].to_numpy(float), 1)
    return float(1000 * slope)


def _nll(run: Any, tokens: pd.DataFrame) -> float | None:
    values = tokens.loc[tokens["scored"].fillna(False).astype(bool), "nll"].dropna()
    with np.errstate(invalid="ignore"):  # a device may say both infinities
        return float(values.astype(float).mean()) if len(values) else None


def _perplexity(run: Any, tokens: pd.DataFrame) -> float | None:
    mean = _nll(run, tokens)
    with np.errstate(over="ignore"):  # a device may claim any nll
        return float(np.exp(mean)) if mean is not None else None


def _column(name: str) -> Callable[[Any, pd.DataFrame], float | None]:
    def compute(run: Any, tokens: pd.DataFrame) -> float | None:
        value = getattr(run, name)
        return None if pd.isna(value) else float(value)

    return compute


def _hz(run: Any, *, nominal: bool) -> float | None:
    """Return the clock's rate, or nominally the core's; None where there is none, or what was said is not one."""
    hz = run.board_clock_hz if nominal else run.tick_hz
    if pd.isna(hz) or not 0 < hz < np.inf or (nominal and run.clock not in EXACT_CLOCKS):
        return None
    return float(hz)


def _rate(ticks: Callable[[Any, pd.DataFrame], float | None], *, nominal: bool) -> Callable[..., float | None]:
    """Return tokens per second from ticks per token."""

    def compute(run: Any, tokens: pd.DataFrame) -> float | None:
        hz, per_token = _hz(run, nominal=nominal), ticks(run, tokens)
        return hz / per_token if hz and per_token else None

    return compute


def _milliseconds(*, nominal: bool) -> Callable[..., float | None]:
    def compute(run: Any, tokens: pd.DataFrame) -> float | None:
        hz, value = _hz(run, nominal=nominal), _ttft(run, tokens)
        return 1000 * value / hz if hz and value is not None else None

    return compute


def _between_prints(run: Any, tokens: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the times between prints that the host saw, in seconds; of a run that was timed otherwise there are none.

    A print is no token: a firmware that prints two within one read gives one.
    """
    hz = _hz(run, nominal=False)
    if run.clock != "host" or hz is None:
        return np.array([], np.float64)
    prints = tokens[(tokens["source"] == "host") & tokens["ticks"].notna()]
    return prints["ticks"].to_numpy(np.float64) / hz


def _host_itl(quantile: float) -> Callable[[Any, pd.DataFrame], float | None]:
    def compute(run: Any, tokens: pd.DataFrame) -> float | None:
        seconds = _between_prints(run, tokens)
        return float(1000 * np.quantile(seconds, quantile)) if len(seconds) else None

    return compute


def _host_rate(run: Any, tokens: pd.DataFrame) -> float | None:
    seconds = _between_prints(run, tokens)
    return float(len(seconds) / seconds.sum()) if seconds.sum() else None


def _jitter(run: Any, tokens: pd.DataFrame) -> float | None:
    """Walk from token to token: two intervals are neighbours where the pass between them ends both."""
    made = tokens[tokens["phase"].isin(["prefill", "decode"]) & tokens["ticks_start"].notna() & tokens["ticks"].notna()]
    steps, last = [], None
    for before, after in itertools.pairwise(made.to_dict("records")):
        n_batch = 1 if pd.isna(before["n_batch"]) else before["n_batch"]
        in_order = after["position"] - before["position"] in (1, n_batch)
        if after["phase"] == "decode" and in_order:
            interval = after["ticks_start"] + after["ticks"] - before["ticks_start"] - before["ticks"]
            steps += [abs(int(interval) - last)] if last is not None else []
            last = int(interval)
        else:
            last = None
    return sum(steps) / len(steps) if steps else None


PLAIN: dict[str, Callable[[Any, pd.DataFrame], float | None]] = {
    "prefill_ticks_per_token": _prefill,
    "decode_ticks_per_token": _decode,
    "ttft_ticks": _ttft,
    "itl_p50_ticks": _itl(0.50),
    "itl_p95_ticks": _itl(0.95),
    "itl_p99_ticks": _itl(0.99),
    "position_slope_ticks": _slope,
    "ttft_ms": _milliseconds(nominal=False),
    "decode_tok_s": _rate(_decode, nominal=False),
    "prefill_tok_s": _rate(_prefill, nominal=False),
    "ttft_nominal_ms": _milliseconds(nominal=True),
    "decode_nominal_tok_s": _rate(_decode, nominal=True),
    "prefill_nominal_tok_s": _rate(_prefill, nominal=True),
    "host_itl_p50_ms": _host_itl(0.50),
    "host_itl_p95_ms": _host_itl(0.95),
    "host_prints_s": _host_rate,
    "nll_mean": _nll,
    "perplexity": _perplexity,
    "bits_per_weight": _column("bits_per_weight"),
    "model_bytes": _column("model_bytes"),
    "ram_needed_bytes": _column("ram_needed_bytes"),
    "flash_needed_bytes": _column("flash_needed_bytes"),
    "itl_jitter_ticks": _jitter,
}
"""Metric to what it is of a run's row and its tokens in order; those of tables beyond tokens are not here."""


def plainly(runs: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Return what ``measure_runs`` does, for the metrics of :data:`PLAIN`."""
    empty = tokens.iloc[:0]
    by_run = {
        str(key): part.sort_values(["window", "position"], kind="stable")
        for key, part in tokens.groupby("run_id", sort=False)
    }
    rows = [
        {"run_id": run.run_id} | {n: of(run, by_run.get(str(run.run_id), empty)) for n, of in PLAIN.items()}
        for run in runs.itertuples(index=False)
    ]
    return pd.DataFrame(rows, columns=["run_id", *PLAIN]).astype(dict.fromkeys(PLAIN, "float64"))
