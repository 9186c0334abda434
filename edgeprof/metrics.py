"""What is measured: a registry of metrics, each a pure function of a run's rows.

Cost is in ticks of the board's clock. Ticks become time only where a tick is time (``tick_hz``); on an emulated board
a rate is *nominal*: one instruction a cycle at the board's clock, no wait states, and its name says so. Names that
begin with ``host_`` are of what the host saw being printed: the line, the host's own delays, and what came together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof import metric_inputs as inputs
from edgeprof import metric_values as values
from edgeprof.metric_values import EXACT_CLOCKS
from edgeprof.passes import TOKEN_COLUMNS, Passes, passes_by_run, passes_of
from edgeprof.records import STAGES
from edgeprof.stage_profile import UNATTRIBUTED, stage_shares

if TYPE_CHECKING:
    from edgeprof.decode_work import DecodeWork
    from edgeprof.store import Dataset

__all__ = [
    "ENERGY", "EXACT_CLOCKS", "METRICS", "TOKEN_COLUMNS", "Description", "Metric", "itl_ticks", "markdown", "measure",
    "measure_runs", "missing", "with_passes",
]  # fmt: skip

STAGE_COLUMNS = ["run_id", "position", "stage", "ticks"]


@dataclass(frozen=True, slots=True)
class Description:
    """What a metric is called, which way is better, what it needs, where it comes from.

    Attributes
    ----------
    name, unit : str
        Its column, and its unit; a share or a ratio has none.
    better : str
        ``lower``, ``higher``, or nothing where neither is better in itself.
    needs, formula, source : str
        What it takes, how it is computed, and who computes it so.
    """

    name: str
    unit: str
    better: Literal["lower", "higher", ""]
    needs: str
    formula: str
    source: str


@dataclass(frozen=True, slots=True)
class Metric(Description):
    """One metric of a run.

    Attributes
    ----------
    value : callable
        A run's row and its passes to a number, or None where inputs are missing.
    lacks : tuple of callable
        What it takes, one by one: the same two to what is missing, in words, or None.
    """

    value: values.Value
    lacks: tuple[inputs.Lack, ...]

    def compute(self, run: Any, tokens: pd.DataFrame) -> float | None:
        """Return the metric of a run from its row and its tokens in order of position; None where inputs are missing.

        Shares of stages and what follows from a model's shape take more than these: see :func:`measure_runs`.
        """
        return self.value(run, passes_of(tokens))

    def lack(self, run: Any, passes: Passes) -> str | None:
        """Return the first thing that is missing for it, in words; None if nothing is."""
        return next((said for lack in self.lacks if (said := lack(run, passes)) is not None), None)


def itl_ticks(tokens: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the inter-token latencies of one run, in ticks: n generated tokens give n - 1.

    ``tokens`` are its rows in order of position; what counts is said at :attr:`edgeprof.passes.Passes.itl_ticks`.
    """
    return passes_of(tokens).itl_ticks


_TICKS, _TOKENS, _EVAL = "tick/token", "tokens of a generation", "tokens of an evaluation text (capture --eval)"
_PRINTS, _TIME, _EXACT = "prints that the host saw", "a clock that is time", "an exact clock"
_STAGES, _SHAPE = "stages of decode passes", "the model's shape (its GGUF header)"
_WORDS = "docs/data-model.md, Words"
_MLPERF = "MLPerf Inference: time to first token, time per output token"
_QUANTILE = "Hyndman & Fan 1996, definition 7"
_LLAMA_CPP, _FIRMWARE = "llama.cpp, tools/perplexity", "edgeprof/firmware/llm/forward.c"
_NOMINAL = "docs/design.md, Clocks"
_METER, _ENERGY = "a meter's samples, with the voltage", "docs/energy.md"


def _share(stage: str) -> Metric:
    what = "what the pass took beyond its stages" if stage == UNATTRIBUTED else f"ticks of stage {stage}"
    return Metric(f"decode_{stage}_share", "", "", _STAGES, f"{what} / ticks of the pass, summed over decode passes",
                  "edgeprof.stage_shares", values.stage_share(stage), (inputs.stage(stage),))  # fmt: skip


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("prefill_ticks_per_token", _TICKS, "lower", _TOKENS, "sum of ticks / tokens over prefill", _WORDS,
               values.prefill, (inputs.prefill_passes,)),
        Metric("decode_ticks_per_token", _TICKS, "lower", _TOKENS, "mean ticks of a decode pass", _WORDS,
               values.decode, (inputs.decode_passes,)),
        Metric("ttft_ticks", "tick", "lower", _TOKENS, "run begin to the end of the last prefill pass", _MLPERF,
               values.ttft, (inputs.whole_prompt,)),
        Metric("itl_p50_ticks", "tick", "lower", _TOKENS, "median of differences of successive token ends", _QUANTILE,
               values.itl(0.50), (inputs.intervals,)),
        Metric("itl_p95_ticks", "tick", "lower", _TOKENS, "95th percentile of the same", _QUANTILE,
               values.itl(0.95), (inputs.intervals,)),
        Metric("itl_p99_ticks", "tick", "lower", _TOKENS, "99th percentile of the same", _QUANTILE,
               values.itl(0.99), (inputs.intervals,)),
        Metric("position_slope_ticks", "tick per 1000 positions", "lower", _TOKENS,
               "least-squares slope of a decode pass's ticks against its position, times 1000", "numpy.polyfit",
               values.slope, (inputs.slope_positions,)),
        Metric("ttft_ms", "ms", "lower", _TIME, "ttft_ticks / tick_hz", _MLPERF,
               values.milliseconds(nominal=False), (inputs.time_clock, inputs.whole_prompt)),
        Metric("decode_tok_s", "token/s", "higher", _TIME, "tick_hz / decode_ticks_per_token", _MLPERF,
               values.rate(values.decode, nominal=False),
               (inputs.time_clock, inputs.decode_passes, inputs.some_ticks(values.decode))),
        Metric("prefill_tok_s", "token/s", "higher", _TIME, "tick_hz / prefill_ticks_per_token",
               "llama.cpp, llama-bench", values.rate(values.prefill, nominal=False),
               (inputs.time_clock, inputs.prefill_passes, inputs.some_ticks(values.prefill))),
        Metric("ttft_nominal_ms", "ms", "lower", _EXACT, "ttft_ticks / board_clock_hz", _NOMINAL,
               values.milliseconds(nominal=True), (inputs.core_clock, inputs.whole_prompt)),
        Metric("decode_nominal_tok_s", "token/s", "higher", _EXACT, "board_clock_hz / decode_ticks_per_token", _NOMINAL,
               values.rate(values.decode, nominal=True),
               (inputs.core_clock, inputs.decode_passes, inputs.some_ticks(values.decode))),
        Metric("prefill_nominal_tok_s", "token/s", "higher", _EXACT, "board_clock_hz / prefill_ticks_per_token",
               _NOMINAL, values.rate(values.prefill, nominal=True),
               (inputs.core_clock, inputs.prefill_passes, inputs.some_ticks(values.prefill))),
        Metric("host_itl_p50_ms", "ms", "lower", _PRINTS, "median of the times between prints", _QUANTILE,
               values.host_itl(0.50), (inputs.prints,)),
        Metric("host_itl_p95_ms", "ms", "lower", _PRINTS, "95th percentile of the same", _QUANTILE,
               values.host_itl(0.95), (inputs.prints,)),
        Metric("host_prints_s", "print/s", "higher", _PRINTS, "prints behind the first / time from it to the last",
               "docs/adapters.md", values.host_rate, (inputs.prints, inputs.apart)),
        Metric("nll_mean", "nat/token", "lower", _EVAL, "mean nll over scored tokens", _LLAMA_CPP,
               values.nll, (inputs.scored,)),
        Metric("perplexity", "", "lower", _EVAL,
               "exp(mean nll over scored tokens); windows and scoring as llama.cpp's perplexity", _LLAMA_CPP,
               values.perplexity, (inputs.scored,)),
        Metric("bits_per_weight", "bit", "", "the model file", "bits of all tensors / parameters",
               "llama.cpp, BPW of llama-quantize", values.column("bits_per_weight"),
               (inputs.said_by_host("bits_per_weight"),)),
        Metric("model_bytes", "byte", "lower", "runs", "size of the model file", "docs/protocol.md",
               values.column("model_bytes"), (inputs.said_by_firmware("model_bytes"),)),
        Metric("ram_needed_bytes", "byte", "lower", "runs", "said by the firmware", "docs/protocol.md",
               values.column("ram_needed_bytes"), (inputs.said_by_firmware("ram_needed_bytes"),)),
        Metric("flash_needed_bytes", "byte", "lower", "runs", "said by the firmware", "docs/protocol.md",
               values.column("flash_needed_bytes"), (inputs.said_by_firmware("flash_needed_bytes"),)),
        Metric("itl_jitter_ticks", "tick", "lower", _TOKENS,
               "mean of |difference of an inter-token latency and the one right before it|",
               "cycle-to-cycle jitter, JEDEC JESD65B", values.jitter, (inputs.steps,)),
        *map(_share, (*STAGES, UNATTRIBUTED)),
        Metric("decode_weight_bytes_per_token", "byte/token", "lower", _SHAPE,
               "bytes of all tensors, of the embedding one row: each weight that a decode pass reads, once", _FIRMWARE,
               values.weight_bytes, (inputs.model_work,)),
        Metric("decode_cache_bytes_per_token", "byte/token", "lower", _SHAPE,
               "4 * layers * width of a key * (position + 1), mean over decode passes: keys and values in F16, once",
               _FIRMWARE, values.cache_bytes, (inputs.model_work, inputs.cache)),
        Metric("decode_macs_per_token", "MAC/token", "lower", _SHAPE,
               "rows * columns of each matrix + 2 * layers * heads * head width * (position + 1), mean over decode "
               "passes", _FIRMWARE, values.macs, (inputs.model_work, inputs.cache)),
        Metric("energy_uj", "uJ", "lower", _METER,
               "integral of current * voltage from the begin of the first pass to the end of the last", _ENERGY,
               values.energy("energy_uj"), (inputs.metered("energy_uj"),)),
        Metric("energy_per_token_uj", "uJ/token", "lower", _METER, "mean energy of a decode pass", _ENERGY,
               values.energy_per_token, (inputs.measured_passes("decode"),)),
        Metric("energy_net_per_token_uj", "uJ/token", "lower", _METER,
               "energy_per_token_uj - idle power of the capture * mean ticks of a decode pass / tick_hz", _ENERGY,
               values.energy_net, (inputs.measured_passes("decode"), inputs.idle_power, inputs.time_clock)),
        Metric("energy_prefill_uj", "uJ", "lower", _METER, "sum of the energies of prefill passes", _ENERGY,
               values.phase_energy("prefill"), (inputs.measured_passes("prefill"),)),
        Metric("energy_decode_uj", "uJ", "lower", _METER, "sum of the energies of decode passes", _ENERGY,
               values.phase_energy("decode"), (inputs.measured_passes("decode"),)),
        Metric("energy_per_correct_token_uj", "uJ/token", "lower", _METER,
               "energy of the passes of an evaluation / scored tokens whose most probable next token was right",
               _ENERGY, values.energy("correct_token_uj"),
               (inputs.outcome("correct_token_uj", "scored tokens of which the top-1 was right"),)),
        Metric("energy_per_gained_bit_uj", "uJ/bit", "lower", _METER,
               "the same energy / (sum over scored tokens of nll by a unigram model of the text - nll, / ln 2)",
               _ENERGY, values.energy("gained_bit_uj"),
               (inputs.outcome("gained_bit_uj", "scored tokens that surprised less than a unigram model"),)),
        Metric("power_mean_uw", "uW", "lower", _METER, "energy_uj / its time", _ENERGY,
               values.energy("mean_power_uw"), (inputs.metered("mean_power_uw"),)),
        Metric("power_peak_uw", "uW", "lower", _METER, "highest power of a sample in the same time", _ENERGY,
               values.energy("peak_power_uw"), (inputs.metered("peak_power_uw"),)),
        Metric("charge_uc", "uC", "lower", "a meter's samples", "integral of current over the time of energy_uj",
               _ENERGY, values.energy("charge_uc"), (inputs.metered("charge_uc"),)),
    )
}  # fmt: skip
"""All metrics, by name."""

ENERGY = tuple(name for name, metric in METRICS.items() if metric.source == _ENERGY)
"""Metrics of what a meter measured: never the same twice, whatever the board's clock counts."""


def with_passes(
    runs: pd.DataFrame, tokens: pd.DataFrame, stages: pd.DataFrame | None, work: Mapping[str, DecodeWork] | None
) -> Iterator[tuple[Any, Passes]]:
    """Yield every run with its passes."""
    by_run, none = passes_by_run(tokens), passes_of(tokens.iloc[:0])
    shares: dict[str, dict[str, float]] = {}
    if stages is not None:
        found = stage_shares(tokens, stages)
        found = found[found["phase"] == "decode"]
        for run_id, stage, share in zip(found["run_id"], found["stage"], found["share"], strict=True):
            shares.setdefault(str(run_id), {})[stage] = share
    for run in runs.itertuples(index=False):
        name = str(run.run_id)
        passes = by_run.get(name, none)
        energy = getattr(run, "energy", None)
        yield run, replace(passes, stage_shares=shares.get(name, {}), work=(work or {}).get(name), energy=energy)


def measure_runs(
    runs: pd.DataFrame, tokens: pd.DataFrame, stages: pd.DataFrame | None = None,
    work: Mapping[str, DecodeWork] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return a row for each run: its ``run_id`` and every metric, null where its inputs are missing.

    Parameters
    ----------
    runs
        Rows of table ``runs``.
    tokens
        Rows of table ``tokens`` with at least :data:`TOKEN_COLUMNS`. What a meter measured is null unless these and
        ``runs`` are from :func:`edgeprof.energy.columns.with_energy`.
    stages
        Rows of table ``stages``; without them shares of stages are null.
    work
        From :func:`edgeprof.decode_work.work_by_run`; without it what follows from a model's shape is null.
    """
    rows = [
        (run.run_id, *(m.value(run, passes) for m in METRICS.values()))
        for run, passes in with_passes(runs, tokens, stages, work)
    ]
    frame = pd.DataFrame(rows, columns=["run_id", *METRICS])
    return frame.astype(dict.fromkeys(METRICS, "float64"))


def measure(dataset: Dataset, models: Iterable[str | Path] = ()) -> pd.DataFrame:
    """Return every metric of every run, beside the run's row.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    models
        GGUF files, or folders of such, of models that ran; those in the data set and those that come with edgeprof are
        found without.

    Returns
    -------
    DataFrame
        A row a run: the columns of ``runs``, and those of :data:`METRICS` (docs/metrics.md) that are none of these.
        Null where the inputs are missing; :func:`missing` says which. Where the data set has samples of a meter,
        ``meter`` is which one measured the run.

    Raises
    ------
    UsageError
        There is no such model.
    """
    runs, tokens, stages, work = _inputs(dataset, models)
    measured = measure_runs(runs, tokens, stages, work)
    own = [c for c in measured.columns if c not in dataset.runs.columns]
    runs = runs.drop(columns="energy", errors="ignore")
    return runs.merge(measured[["run_id", *own]], on="run_id", how="left", validate="one_to_one")


def missing(dataset: Dataset, models: Iterable[str | Path] = ()) -> pd.DataFrame:
    """Return why runs lack metrics: what is missing, and where it comes from.

    Parameters
    ----------
    dataset, models
        As of :func:`measure`.

    Returns
    -------
    DataFrame
        A row for each metric that is null in a run: ``run_id``, ``metric``, ``reason`` (in words).

    Raises
    ------
    UsageError
        There is no such model.
    """
    rows = [
        (run.run_id, metric.name, reason)
        for run, passes in with_passes(*_inputs(dataset, models))
        for metric in METRICS.values()
        if (reason := metric.lack(run, passes)) is not None
    ]
    return pd.DataFrame(rows, columns=["run_id", "metric", "reason"], dtype="str")


def _inputs(
    dataset: Dataset, models: Iterable[str | Path]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Mapping[str, DecodeWork]]:
    from edgeprof.decode_work import work_by_run
    from edgeprof.energy.columns import with_energy

    runs, tokens = with_energy(dataset, dataset.runs, dataset.table("tokens", TOKEN_COLUMNS))
    return runs, tokens, dataset.table("stages", STAGE_COLUMNS), work_by_run(dataset, models)


def markdown(metrics: Iterable[Description]) -> str:
    """Return metrics as a Markdown table, as ``docs/metrics.md`` holds it."""
    columns = ("unit", "better", "needs", "formula", "source")
    head = ["| metric | unit | better | needs | formula | source |", "|---|---|---|---|---|---|"]
    rows = [
        f"| `{m.name}` | " + " | ".join(str(getattr(m, c)).replace("|", r"\|") or "–" for c in columns) + " |"
        for m in metrics
    ]
    return "\n".join([*head, *rows]) + "\n"
