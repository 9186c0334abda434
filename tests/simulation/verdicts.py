"""How often a gate is wrong, and what it finds: whole gate runs of 8 metrics at 6 quantizations, on simulated noise.

``python tests/simulation/verdicts.py --out docs/results/verdicts.json`` records it; the tests call :func:`run`. The
same runs are given to edgeprof's rule and to rules that are used elsewhere.
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
from simulation import rules, shapes  # noqa: E402
from simulation.rules import BETTER, SAME, UNKNOWN, WORSE  # noqa: E402

from edgeprof.intervals import Interval, gate_limits, walsh_limits  # noqa: E402
from edgeprof.verdicts import judge  # noqa: E402

METRICS, QUANTS, ALIKE = 8, 6, 0.7
SMALLEST = 0.02
TOKENS, TOKEN_DEVIATION = 64, 0.1
CHANGES = (0.01, 0.02, 0.05, 0.1)


def noise(rng, gates, runs, deviation):
    """Return noise of shape (gates, quantizations, metrics, runs): of one run the metrics are correlated by 0.7."""
    shared = rng.standard_normal((gates, QUANTS, 1, runs))
    own = rng.standard_normal((gates, QUANTS, METRICS, runs))
    return deviation * (np.sqrt(ALIKE) * shared + np.sqrt(1 - ALIKE) * own)


def gate_pairs(rng, gates, n, pair_deviation, session):
    """Return base and candidate of whole gate runs, measured in random pairs while the session changes the board.

    The deviation of the pairs' differences is as wanted, the session's part included, as long as that is not more than
    three quarters of its square.
    """
    slots = shapes.SESSIONS[session](rng, gates * QUANTS, 2 * n)
    base, candidate = (s.reshape(gates, QUANTS, 1, n) for s in shapes.split(rng, slots, "pairs"))
    rest = max(pair_deviation**2 - float(np.mean((candidate - base) ** 2)), pair_deviation**2 / 4)
    run_deviation = np.sqrt(rest / 2)
    return base + noise(rng, gates, n, run_deviation), candidate + noise(rng, gates, n, run_deviation)


def share(words, *wanted):
    """Return how many percent of the words are any of those."""
    return round(100 * float(np.mean(np.isin(words, wanted))), 2)


def any_alarm(words):
    """Return in how many percent of gate runs at least one of the 48 cells is worse or better."""
    return round(100 * float(np.mean(np.isin(words, (WORSE, BETTER)).any(axis=(1, 2)))), 2)


def limits_of_gates(rng, count, n, deviation, session, method=gate_limits, at_once=200):
    """Return the limits of all comparisons of so many gate runs with no change, in 32 bits."""
    parts = []
    for begin in range(0, count, at_once):
        base, candidate = gate_pairs(rng, min(at_once, count - begin), n, deviation, session)
        parts.append([v.astype(np.float32) for v in method(candidate - base)])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def gates(rng, count):
    """Return false alarms and power of whole gate runs by pair deviation, pairs and what the session does."""
    rows = []
    for deviation in (0.007, 0.014, 0.026, 0.044):
        for n in (6, 10, 12, 30):
            for session in shapes.SESSIONS:
                # Adding to the log of a candidate moves its interval and nothing else: the same noise for all changes.
                limits = limits_of_gates(rng, count, n, deviation, session)
                words = {c: rules.decide([v + np.log1p(c) for v in limits], SMALLEST) for c in (0.0, *CHANGES)}
                rows.append(
                    {"pair_deviation_pct": round(100 * deviation, 1), "pairs": n, "session": session,
                     "any_false_alarm_of_48_pct": any_alarm(words[0.0]), "same_pct": share(words[0.0], SAME)}
                    | {f"found_{100 * c:g}_pct": share(words[c], WORSE) for c in CHANGES}
                    | {"same_at_2_pct": share(words[0.02], SAME), "better_when_worse_pct": share(words[0.05], BETTER)}
                )  # fmt: skip
    return rows


def ranks_alone(rng, count, n=10):
    """Return what verdicts by the interval of ranks alone would be, which edgeprof does not give for few pairs."""
    rows = []
    for deviation in (0.026, 0.044):
        limits = limits_of_gates(rng, count, n, deviation, "steady", walsh_limits)
        still, moved = (rules.decide([v + np.log1p(c) for v in limits], SMALLEST) for c in (0.0, 0.05))
        rows.append(
            {"pair_deviation_pct": round(100 * deviation, 1), "pairs": n,
             "any_false_alarm_of_48_pct": any_alarm(still), "found_5_pct": share(moved, WORSE)}
        )  # fmt: skip
    return rows


def token_gates(rng, count, n, run_deviation):
    """Return logs of token costs of whole gate runs in 32 bits, shape (gates, quantizations, metrics, runs, tokens)."""
    level = noise(rng, count, n, run_deviation)[..., None].astype(np.float32)
    tokens = rng.standard_normal((*level.shape[:-1], TOKENS), dtype=np.float32)
    return level + np.float32(TOKEN_DEVIATION) * tokens


def elsewhere(rng, count, n, run_deviation=0.027, at_once=20):
    """Return one table of rules on the same gate runs: false alarms, of one comparison and any of 48, and power."""

    def flat(tokens):
        return tokens.reshape(*tokens.shape[:-2], -1)

    judged = {
        "edgeprof, pairs": lambda b, c: rules.paired(np.median(b, -1), np.median(c, -1), SMALLEST),
        "edgeprof, unpaired": lambda b, c: rules.unpaired(np.median(b, -1), np.median(c, -1), SMALLEST),
        "threshold 10 % on means": lambda b, c: rules.threshold(flat(b), flat(c), 0.10),
        "threshold 2 % on means": lambda b, c: rules.threshold(flat(b), flat(c), 0.02),
        "pyperf's t-test, tokens": lambda b, c: rules.pyperf(flat(b), flat(c)),
        "pyperf's t-test, run means": lambda b, c: rules.pyperf(np.log(np.exp(b).mean(-1)), np.log(np.exp(c).mean(-1))),
        "Mann-Whitney alone, run medians": lambda b, c: rules.mann_whitney(np.median(b, -1), np.median(c, -1)),
    }
    words = {name: {change: [] for change in (0.0, *CHANGES)} for name in judged}
    for begin in range(0, count, at_once):
        size = min(at_once, count - begin)
        base, candidate = (token_gates(rng, size, n, run_deviation) for _ in range(2))
        for name, rule in judged.items():
            words[name][0.0].append(rule(base, candidate))
            for change in CHANGES:  # one metric of each quantization is enough for the power
                moved = candidate[:, :, :1] + np.float32(np.log1p(change))
                words[name][change].append(rule(base[:, :, :1], moved))
    rows = []
    for name, by_change in words.items():
        found = {change: np.concatenate(parts) for change, parts in by_change.items()}
        rows.append(
            {"rule": name, "runs": n, "false_alarm_pct": share(found[0.0], WORSE, BETTER),
             "any_false_alarm_of_48_pct": any_alarm(found[0.0])}
            | {f"found_{100 * c:g}_pct": share(found[c], WORSE) for c in CHANGES}
        )  # fmt: skip
    return rows


def looks(rng, sets):
    """Return what one and three looks at growing data do to wrong verdicts, with and without the level for them."""
    limit, rows = np.log1p(SMALLEST), []
    for truth in (0.0, limit, np.log1p(0.05)):
        pairs = truth + 0.044 * rng.standard_normal((sets, 30))
        zeros = np.zeros_like(pairs)
        for name, planned, at in (("one look", 1, (30,)), ("three looks at 5 %", 1, (10, 20, 30)),
                                  ("three looks at 2.21 %", 3, (10, 20, 30))):  # fmt: skip
            words = np.full(sets, UNKNOWN)
            for n in at:
                now = rules.paired(zeros[:, :n], pairs[:, :n], SMALLEST, planned)
                words = np.where(words == UNKNOWN, now, words)
            rows.append({"truth_pct": round(100 * float(np.expm1(truth)), 2), "plan": name,
                         "worse_pct": share(words, WORSE), "better_pct": share(words, BETTER),
                         "same_pct": share(words, SAME)})  # fmt: skip
    return rows


def advice(rng, sets, n=10, most=200):
    """Return what comes of ``more_runs``, by the verdict's word at the first ten pairs: decided after so many more?"""
    rows, limit = [], np.log1p(SMALLEST)
    for truth in (0.0, 0.5, 1.0, 2.0):
        for word in ("not enough data", "close to the smallest effect"):
            asked, decided = [], []
            for deviation in (0.014, 0.026, 0.044):
                pairs = truth * limit + deviation * rng.standard_normal((sets, most))
                for index, found in enumerate(zip(*gate_limits(pairs[:, :n]), strict=True)):
                    verdict = judge(Interval.of(found, n, 0.05), SMALLEST)
                    if verdict.word != word:
                        continue
                    # Where no number would do, the formula's, or twice as many, are tried all the same.
                    total = min(n + (verdict.more_runs or n), most)
                    asked.append(total - n)
                    again = rules.paired(np.zeros((1, total)), pairs[index : index + 1, :total], SMALLEST)
                    decided.append(again[0] != UNKNOWN)
            rows.append({"truth_over_smallest": truth, "word": word, "cases": len(asked),
                         "median_more": float(np.median(asked)) if asked else None,
                         "decided_pct": round(100 * float(np.mean(decided)), 1) if asked else None})  # fmt: skip
    return rows


def run(count=10_000, sets=2000, seed=1):
    """Return all tables: whole gate runs, rules that are used elsewhere, looks, and what comes of advice."""
    begin, rng = time.process_time(), np.random.default_rng(seed)
    return {
        "gate_runs": count, "seed": seed, "smallest_effect_pct": 100 * SMALLEST, "gates": gates(rng, count),
        "rules": [row for n in (10, 30) for row in elsewhere(rng, count // 5, n)],
        "looks": looks(rng, 2 * sets), "advice": advice(rng, sets // 4),
        "ranks_alone": ranks_alone(rng, 4 * count),
        "cpu_s": round(time.process_time() - begin, 1),
    }  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gates", type=int, default=10_000)
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
