"""What is measured: a registry of metrics, each a pure function of a run's rows.

Cost is in ticks of the board's clock. Ticks become time only where a tick is time (``tick_hz``); on an emulated board
a rate is *nominal*: one instruction a cycle at the board's clock, no wait states, and its name says so. Names that
begin with ``host_`` are of what the host saw being printed: the line, the host's own delays, and what came together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["EXACT_CLOCKS", "METRICS", "Metric", "itl_ticks", "measure", "measure_runs"]

EXACT_CLOCKS = ("fuel", "instructions", "cycles")
"""Clocks that count the same on every execution."""

TOKEN_COLUMNS = [
    "run_id", "window", "position", "phase", "next_id", "scored", "nll", "n_batch", "ticks_start", "ticks", "source",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it is called, which way is better, what it needs, where it comes from.

    ``compute`` takes a run's row and its tokens in order of position, and returns a number, or None where its inputs
    are missing.
    """

    name: str
    unit: str
    better: Literal["lower", "higher", ""]
    needs: str
    formula: str
    compute: Callable[[Any, pd.DataFrame], float | None]


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
    return float(len(seconds) / seconds.sum()) if len(seconds) else None


_TICKS, _TOKENS, _EVAL = "tick/token", "tokens of a generation", "tokens of an evaluation text (capture --eval)"
_PRINTS = "prints that the host saw"

METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("prefill_ticks_per_token", _TICKS, "lower", _TOKENS, "sum of ticks / tokens over prefill", _prefill),
        Metric("decode_ticks_per_token", _TICKS, "lower", _TOKENS, "mean ticks of a decode pass", _decode),
        Metric("ttft_ticks", "tick", "lower", _TOKENS, "run begin to the end of the last prefill pass", _ttft),
        Metric("itl_p50_ticks", "tick", "lower", _TOKENS, "median of differences of successive token ends", _itl(0.50)),
        Metric("itl_p95_ticks", "tick", "lower", _TOKENS, "95th percentile of the same", _itl(0.95)),
        Metric("itl_p99_ticks", "tick", "lower", _TOKENS, "99th percentile of the same", _itl(0.99)),
        Metric("position_slope_ticks", "tick per 1000 positions", "lower", _TOKENS,
               "least-squares slope of a decode pass's ticks against its position, times 1000", _slope),
        Metric("ttft_ms", "ms", "lower", "a clock that is time", "ttft_ticks / tick_hz", _milliseconds(nominal=False)),
        Metric("decode_tok_s", "token/s", "higher", "a clock that is time", "tick_hz / decode_ticks_per_token",
               _rate(_decode, nominal=False)),
        Metric("prefill_tok_s", "token/s", "higher", "a clock that is time", "tick_hz / prefill_ticks_per_token",
               _rate(_prefill, nominal=False)),
        Metric("ttft_nominal_ms", "ms", "lower", "an exact clock", "ttft_ticks / board_clock_hz",
               _milliseconds(nominal=True)),
        Metric("decode_nominal_tok_s", "token/s", "higher", "an exact clock",
               "board_clock_hz / decode_ticks_per_token", _rate(_decode, nominal=True)),
        Metric("prefill_nominal_tok_s", "token/s", "higher", "an exact clock",
               "board_clock_hz / prefill_ticks_per_token", _rate(_prefill, nominal=True)),
        Metric("host_itl_p50_ms", "ms", "lower", _PRINTS, "median of the times between prints", _host_itl(0.50)),
        Metric("host_itl_p95_ms", "ms", "lower", _PRINTS, "95th percentile of the same", _host_itl(0.95)),
        Metric("host_prints_s", "print/s", "higher", _PRINTS, "prints behind the first / time from it to the last",
               _host_rate),
        Metric("nll_mean", "nat/token", "lower", _EVAL, "mean nll over scored tokens", _nll),
        Metric("perplexity", "", "lower", _EVAL,
               "exp(mean nll over scored tokens); windows and scoring as llama.cpp's perplexity", _perplexity),
        Metric("bits_per_weight", "bit", "", "the model file", "bits of all tensors / parameters",
               _column("bits_per_weight")),
        Metric("model_bytes", "byte", "lower", "runs", "size of the model file", _column("model_bytes")),
        Metric("ram_needed_bytes", "byte", "lower", "runs", "said by the firmware", _column("ram_needed_bytes")),
        Metric("flash_needed_bytes", "byte", "lower", "runs", "said by the firmware", _column("flash_needed_bytes")),
    )
}  # fmt: skip
"""All metrics, by name."""


def measure_runs(runs: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each run: its ``run_id`` and every metric, null where its inputs are missing.

    Parameters
    ----------
    runs
        Rows of table ``runs``.
    tokens
        Rows of table ``tokens`` with at least :data:`TOKEN_COLUMNS`.
    """
    order = ["window", "position"]
    empty = tokens.iloc[:0]
    by_run = {str(key): part.sort_values(order, kind="stable") for key, part in tokens.groupby("run_id", sort=False)}
    rows = [
        {"run_id": run.run_id} | {n: m.compute(run, by_run.get(str(run.run_id), empty)) for n, m in METRICS.items()}
        for run in runs.itertuples(index=False)
    ]
    frame = pd.DataFrame(rows, columns=["run_id", *METRICS])
    return frame.astype(dict.fromkeys(METRICS, "float64"))


def measure(dataset: Dataset) -> pd.DataFrame:
    """Return what :func:`measure_runs` says of a data set, beside each run's row."""
    measured = measure_runs(dataset.runs, dataset.table("tokens", TOKEN_COLUMNS))
    own = [c for c in measured.columns if c not in dataset.runs.columns]
    return dataset.runs.merge(measured[["run_id", *own]], on="run_id", how="left", validate="one_to_one")
