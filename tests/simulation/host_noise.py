"""Gates on real noise: what verdicts and other rules say of pairs that this machine's clock measured.

``host_noise.csv`` holds pairs of the board ``host`` with no change, and of a firmware that really is slower
(:mod:`simulation.host_capture`). A gate run is a stretch of time: neighbouring pairs of every quantization. Which half
of a pair is called the candidate is drawn again, for where nothing changed a coin had decided it.

``python tests/simulation/host_noise.py --out docs/results/host_noise.json`` records it; the tests call :func:`run`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from machine import record  # noqa: E402
from simulation import rules  # noqa: E402
from simulation.host_capture import METRICS, QUANTS, SLOWER, UNCHANGED, load, measured_on  # noqa: E402
from simulation.rules import BETTER, UNKNOWN, WORSE  # noqa: E402
from simulation.verdicts import any_alarm, share  # noqa: E402

from edgeprof.intervals import LEAST_RUNS, gate_limits  # noqa: E402
from edgeprof.noise_floor import LEAST_FLOOR  # noqa: E402

SMALLEST = 0.02
CHANGES = (0.05, 0.1)
SIZES = (10, 30)


def gate_runs(rng, pairs, count, n):
    """Return logs of base and candidate of so many gate runs, shape (count, quantizations, metrics, n), and the starts.

    ``pairs`` has shape (quantizations, pairs, 2, metrics), in order of time.
    """
    quants, known, _, metrics = pairs.shape
    starts = rng.integers(0, known - n + 1, count)
    of_time = starts[:, None] + np.arange(n)
    chosen = pairs[:, of_time].transpose(1, 0, 4, 2, 3)  # (count, quantizations, metrics, n, 2)
    coin = rng.integers(0, 2, (count, quants, 1, n, 1))  # a pair's metrics stay together
    base = np.take_along_axis(chosen, np.broadcast_to(coin, (count, quants, metrics, n, 1)), -1)[..., 0]
    other = np.take_along_axis(chosen, np.broadcast_to(1 - coin, (count, quants, metrics, n, 1)), -1)[..., 0]
    return base, other, starts


def floors(pairs, starts, n, share_of_deviation=LEAST_FLOOR):
    """Return each gate run's noise floor by metric, from the pairs outside of its stretch of time, all quantizations.

    As ``noise_floors`` has it: the farther end of the interval of pairs with no change, or a share of their deviation.
    """
    differences = pairs[:, :, 1] - pairs[:, :, 0]  # (quantizations, pairs, metrics)
    found = {}
    for start in np.unique(starts):
        rest = np.delete(differences, np.arange(start, start + n), axis=1)
        apart = rest.reshape(-1, rest.shape[-1]).T
        if apart.shape[-1] < LEAST_RUNS:
            found[start] = np.zeros(len(apart))
            continue
        _, low, high, *_ = gate_limits(apart)
        least = share_of_deviation * np.std(apart, axis=-1, ddof=1)
        found[start] = np.expm1(np.maximum(np.maximum(-low, high), least))
    return np.array([found[start] for start in starts])


def scaled(pairs, deviation):
    """Return the same pairs, the differences of each metric scaled to a standard deviation."""
    middle = pairs.mean(axis=2, keepdims=True)
    size = np.std(pairs[:, :, 1] - pairs[:, :, 0], axis=(0, 1))
    return middle + (pairs - middle) * (deviation / size)


def others():
    """Return the rules that are used elsewhere, by name."""
    return {
        "threshold 10 % on means": lambda b, c: rules.threshold(b, c, 0.10),
        "threshold 2 % on means": lambda b, c: rules.threshold(b, c, 0.02),
        "pyperf's t-test, runs": rules.pyperf,
        "Mann-Whitney alone, runs": rules.mann_whitney,
    }


def table(rng, pairs, count, n, columns=slice(None), at_once=100):
    """Return a row a rule: gate runs with any false alarm, and what is found of a change that is scaled in."""
    pairs = pairs[..., columns]
    ours = ("edgeprof, pairs", "edgeprof, pairs, floor of the interval alone", "edgeprof, pairs, noise floor")
    words = {name: {change: [] for change in (0.0, *CHANGES)} for name in (*ours, *others())}
    for begin in range(0, count, at_once):
        base, candidate, starts = gate_runs(rng, pairs, min(at_once, count - begin), n)
        limits = gate_limits(candidate - base)
        found = (floors(pairs, starts, n, least) for least in (0.0, LEAST_FLOOR))
        smallest = (SMALLEST, *(np.maximum(SMALLEST, floor)[:, None, :] for floor in found))
        for change in (0.0, *CHANGES):
            # Adding to the log of a candidate moves its interval and nothing else.
            moved = [v + np.log1p(change) for v in limits]
            for name, least in zip(ours, smallest, strict=True):
                words[name][change].append(rules.decide(moved, least))
            for name, rule in others().items():
                words[name][change].append(rule(base, candidate + np.log1p(change)))
    rows = []
    for name, by_change in words.items():
        found = {change: np.concatenate(parts) for change, parts in by_change.items()}
        rows.append(
            {"rule": name, "pairs": n, "false_alarm_pct": share(found[0.0], WORSE, BETTER),
             "any_false_alarm_pct": any_alarm(found[0.0]), "undecided_pct": share(found[0.0], UNKNOWN)}
            | {f"found_{100 * c:g}_pct": share(found[c], WORSE) for c in CHANGES}
        )  # fmt: skip
    return rows


def noise(pairs):
    """Return how noisy each metric is: the deviation of pairs, and by quartiles, which a few spikes do not move."""
    rows = []
    for index, metric in enumerate(METRICS):
        differences = (pairs[:, :, 1, index] - pairs[:, :, 0, index]).ravel()
        low, high = np.quantile(differences, (0.25, 0.75))
        rows.append(
            {"metric": metric, "pairs": differences.size,
             "pair_deviation_pct": round(100 * float(np.std(differences, ddof=1)), 2),
             "deviation_by_quartiles_pct": round(100 * float(high - low) / 1.349, 2)}
        )  # fmt: skip
    return rows


def measured(pairs, n):
    """Return what is said of the firmware that really is slower, by metric, of every stretch of n pairs as measured."""
    quants, known, _, _ = pairs.shape
    differences = pairs[:, :, 1] - pairs[:, :, 0]
    stretches = np.stack([differences[:, start : start + n] for start in range(known - n + 1)])
    words = rules.decide(gate_limits(np.moveaxis(stretches, 2, -1)), SMALLEST)
    estimate, low, high, *_ = gate_limits(differences.reshape(quants * known, -1).T)
    change, low, high = (np.round(100 * np.expm1(v), 2) for v in (estimate, low, high))
    return [
        {"metric": metric, "pairs": n, "change_pct": float(change[index]), "low_pct": float(low[index]),
         "high_pct": float(high[index]), "worse_pct": share(words[..., index], WORSE),
         "better_pct": share(words[..., index], BETTER)}
        for index, metric in enumerate(METRICS)
    ]  # fmt: skip


def calm(pairs, most=0.044):
    """Return the indices of the metrics whose pairs differ by no more."""
    size = np.std(pairs[:, :, 1] - pairs[:, :, 0], axis=(0, 1), ddof=1)
    return np.flatnonzero(size <= most)


def run(count=2000, seed=1, sizes=SIZES):
    """Return all tables."""
    begin, rng = time.process_time(), np.random.default_rng(seed)
    data = load()
    pairs = data[UNCHANGED]
    calm_ones = calm(pairs)
    result = {
        "gate_runs": count, "seed": seed, "smallest_effect_pct": 100 * SMALLEST, "measured_on": measured_on(),
        "quantizations": list(QUANTS), "pairs_of_each": pairs.shape[1], "noise": noise(pairs),
        "as_measured": [row for n in sizes for row in table(rng, pairs, count, n)],
        "calm_metrics": [METRICS[index] for index in calm_ones],
        "calm": [row for n in sizes for row in table(rng, pairs, count, n, calm_ones)] if calm_ones.size else [],
        "scaled": [
            {"pair_deviation_pct": round(100 * deviation, 1)} | row
            for deviation in (0.026, 0.044)
            for n in sizes
            for row in table(rng, scaled(pairs, deviation), count, n)
            if row["rule"].startswith("edgeprof")  # what changes from pair to pair is as it was, and moves the others
        ],
        "slower_firmware": measured(data[SLOWER], 10),
    }  # fmt: skip
    return result | {"cpu_s": round(time.process_time() - begin, 1)}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.gates, seed=args.seed)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "scipy")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
