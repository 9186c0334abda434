"""How often 95 % intervals hold the truth, on simulated data sets whose truth is known.

``python tests/simulation/coverage.py --out docs/results/coverage.json`` records it; the tests call :func:`run`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.signal import lfilter

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from machine import record  # noqa: E402
from simulation import shapes  # noqa: E402

import edgeprof  # noqa: E402
from edgeprof.bootstrap import BLOCK_TOKENS, block_limits, block_sums  # noqa: E402
from edgeprof.intervals import gate_limits, walsh_limits, welch_limits  # noqa: E402

EFFECT = np.log1p(0.05)
LOW, HIGH = 93.0, 98.0


def cell(method, shape, n, limits, truth):
    """Return one row of the table: coverage of both intervals in percent, and the wide one's median width."""
    _, low, high, narrow_low, narrow_high = limits
    covered = 100 * float(np.mean((low <= truth) & (truth <= high)))
    return {
        "method": method, "data": shape, "n": n, "covered_pct": round(covered, 2),
        "covered_90_pct": round(100 * float(np.mean((narrow_low <= truth) & (truth <= narrow_high))), 2),
        "width_pct": round(100 * float(np.median(high - low)), 3), "within": LOW <= covered <= HIGH,
    }  # fmt: skip


def usual(rng, sets, sizes):
    """Return the cells of independent runs: every shape, paired and unpaired."""
    rows = []
    for name, draw in shapes.SHAPES.items():
        for n in sizes:
            base, candidate = draw(rng, (sets, n)), draw(rng, (sets, n)) + EFFECT
            rows.append(cell("pairs, Walsh", name, n, walsh_limits(candidate - base), EFFECT))
            if n < 12:
                rows.append(cell("pairs, for verdicts", name, n, gate_limits(candidate - base), EFFECT))
            rows.append(cell("unpaired, Yuen-Welch", name, n, welch_limits(base, candidate), EFFECT))
    return rows


def hard(rng, sets, sizes):
    """Return cells that are known to be hard, with the truth that each method estimates."""
    rows = []
    middle, trimmed = shapes.centre("spikes")
    big = np.random.default_rng(987)
    apart = shapes.spikes(big, 2_000_000) - shapes.normal(big, 2_000_000, 0.01)
    centre = float(np.median((apart[::2] + apart[1::2]) / 2))
    for n in sizes:
        one = shapes.normal(rng, (sets, n), 0.01)
        spiked = shapes.spikes(rng, (sets, n))
        rows.append(
            cell(
                "pairs, Walsh",
                "spikes in the candidate only; truth: medians",
                n,
                walsh_limits(spiked - one),
                middle,
            )
        )
        rows.append(
            cell(
                "pairs, Walsh",
                "spikes in the candidate only; truth: centre of the differences",
                n,
                walsh_limits(spiked - one),
                centre,
            )
        )
        rows.append(
            cell(
                "unpaired, Yuen-Welch",
                "spikes in the candidate only; truth: trimmed means",
                n,
                welch_limits(one, spiked),
                trimmed,
            )
        )
        few, many = shapes.normal(rng, (sets, n), 0.05), shapes.normal(rng, (sets, 3 * n), 0.01)
        rows.append(
            cell(
                "unpaired, Yuen-Welch",
                "deviation 1 % and 5 %, three times the runs",
                n,
                welch_limits(many, few),
                0.0,
            )
        )
        rows.append(ticks(rng, sets, n))
    return rows


def ticks(rng, sets, n, tick=0.001, deviation=0.0002):
    """Return the cell of a clock whose tick is five times the noise, widened as ``widened`` does."""
    level = 1 + rng.uniform(0, tick, (sets, 1))  # where between two ticks the truth lies
    base, candidate = (np.round(level * f * (1 + deviation * rng.standard_normal((sets, n))) / tick) * tick
                       for f in (1.0, 1.05))  # fmt: skip
    found, *ends = walsh_limits(np.log(candidate / base))
    by = (-tick, tick, -tick, tick)
    return cell("pairs, Walsh", "a tick of 0.1 %, deviation 0.02 %; widened", n,
                (found, *(e + b for e, b in zip(ends, by, strict=True))), EFFECT)  # fmt: skip


def sessions(rng, sets, n=30):
    """Return the cells of a stored baseline: another session, with and without the term for sessions."""
    rows = []
    for deviation in (0.005, 0.01, 0.02):
        for count in (5, 10):
            known = deviation * rng.standard_normal((sets, count))
            base, candidate = (
                deviation * rng.standard_normal((sets, 1)) + shapes.normal(rng, (sets, n), 0.01) for _ in range(2)
            )
            name = f"sessions differ by {100 * deviation:g} %, {count} known"
            rows.append(cell("unpaired, Yuen-Welch", name + ", not used", n, welch_limits(base, candidate), 0))
            spread = np.std(known, axis=1, ddof=1)
            found = welch_limits(base, candidate, deviation=spread, sessions=count)
            rows.append(cell("unpaired, Yuen-Welch, session term", name, n, found, 0))
    return rows


def reference_differences():
    """Return the positions of the reference text's scored tokens, and the NLL differences of quantizations to F16."""
    data = edgeprof.open(edgeprof.reference())
    runs = data.runs[(data.runs["board"] == "wasm") & (data.runs["model"] == "fable-1.2m")]
    tokens = data.table("tokens", ["run_id", "window", "position", "scored", "nll"], {"board": "wasm"})
    tokens = tokens[tokens["scored"].fillna(False).astype(bool)].merge(runs[["run_id", "quant", "n_ctx"]], on="run_id")
    at = tokens["window"].astype(int) * tokens["n_ctx"].astype(int) + tokens["position"].astype(int)
    nll = tokens.assign(at=at).pivot_table(index="at", columns="quant", values="nll")
    return nll.index.to_numpy(), {q: (nll[q] - nll["F16"]).to_numpy(float) for q in ("Q2_K", "Q4_0", "Q5_0", "TQ2_0")}


def percentiles(sums, counts, draws, rng):
    """Return the limits of the plain bootstrap of blocks, by percentiles, which edgeprof does not use."""
    blocks = len(counts)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws).T.astype(float)
    means = (sums @ weights) / (counts @ weights)
    return (sums.sum(-1) / counts.sum(), *np.quantile(means, (0.025, 0.975, 0.05, 0.95), axis=-1))


def described(found):
    """Return what the reference data's differences are like: tails, and how neighbours depend on each other."""
    rows = []
    for quant, values in found.items():
        centred = values - values.mean()
        correlation = float(centred[1:] @ centred[:-1] / (centred @ centred))
        kurtosis = round(float(stats.kurtosis(values)), 1)
        rows.append({"quant": quant, "excess_kurtosis": kurtosis, "correlation_of_neighbours": round(correlation, 3)})
    return rows


def texts(rng, sets, draws):
    """Return the cells of NLL: the reference data's own differences, made dependent on their neighbours."""
    at, found = reference_differences()
    begins = np.flatnonzero(np.diff(at, prepend=-2) > 1)
    lengths = set(np.diff(begins, append=len(at)))
    rows = []
    for quant, values in found.items():
        ordered = np.sort(values)
        for memory in (0.0, 0.3, 0.8, 0.95):
            noise = rng.standard_normal((sets * len(begins), max(lengths)))
            noise[:, 1:] *= np.sqrt(1 - memory**2)
            chained = lfilter([1.0], [1.0, -memory], noise, axis=1).reshape(sets, -1)[:, : len(at)]
            places = (stats.norm.cdf(chained) * len(ordered)).astype(int)
            sums, counts = block_sums(ordered[np.minimum(places, len(ordered) - 1)], at, BLOCK_TOKENS)
            limits = block_limits(sums, counts, draws, np.random.default_rng(0))
            name, truth = f"NLL of {quant} minus F16, dependence of neighbours {memory:g}", values.mean()
            rows.append(cell("blocks of the text, bootstrap", name, len(counts), limits, truth))
            limits = percentiles(sums, counts, draws, np.random.default_rng(0))
            rows.append(cell("blocks of the text, percentiles", name + " (for comparison)", len(counts), limits, truth))
    return rows


def run(sets=2000, seed=1, sizes=(6, 10, 30, 50), draws=1999):
    """Return all cells; ``outside`` names those that are not covered in 93 to 98 % of the data sets."""
    begin, rng = time.process_time(), np.random.default_rng(seed)
    rows = usual(rng, sets, sizes) + hard(rng, sets, sizes) + sessions(rng, sets) + texts(rng, min(sets, 1000), draws)
    outside = [f"{r['method']}; {r['data']}; n={r['n']}: {r['covered_pct']} %" for r in rows if not r["within"]]
    return {
        "sets": sets, "seed": seed, "cpu_s": round(time.process_time() - begin, 1), "outside": outside,
        "reference_nll_differences": described(reference_differences()[1]), "cells": rows,
    }  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.sets, args.seed)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "scipy")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
