"""What drift, wander and steps do to each design, what the findings on stability notice, and how often they are wrong.

``python tests/simulation/noise.py --out docs/results/noise.json`` records it; the tests call :func:`run`.
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
from simulation.rules import BETTER, UNKNOWN, WORSE  # noqa: E402

from edgeprof.intervals import Interval, gate_limits, welch_limits  # noqa: E402
from edgeprof.stability import advise, unpaired  # noqa: E402
from edgeprof.verdicts import judge  # noqa: E402

SMALLEST = 0.02
WHITE = 0.01
FINDINGS = ("drift", "dependence", "two states", "outliers", "warm-up")


def designs(rng, sets, sizes):
    """Return coverage and false alarms with no change, by what the session does, order and number of runs."""
    rows = []
    for session, draw in shapes.SESSIONS.items():
        for n in sizes:
            for design in ("pairs", "base always first", "shuffled", "blocked"):
                slots = draw(rng, sets, 2 * n) + WHITE * rng.standard_normal((sets, 2 * n))
                base, candidate = shapes.split(rng, slots, design)
                in_pairs = design in ("pairs", "base always first")
                limits = gate_limits(candidate - base) if in_pairs else welch_limits(base, candidate)
                words = rules.decide(limits, SMALLEST)
                row = {
                    "session": session,
                    "design": design,
                    "n": n,
                    "covered_pct": percent((limits[1] <= 0) & (0 <= limits[2])),
                    "false_alarm_pct": percent(np.isin(words, (WORSE, BETTER))),
                    "decided_pct": percent(words != UNKNOWN),
                }
                if not in_pairs:
                    row["false_alarm_after_findings_pct"] = weighed(base, candidate, limits, words)
                rows.append(row)
    return rows


def weighed(base, candidate, limits, words):
    """Return the false alarms that the findings on the two groups leave, in percent of all data sets."""
    left = 0
    for i in np.flatnonzero(np.isin(words, (WORSE, BETTER))):
        verdict = judge(Interval.of((v[i] for v in limits), base.shape[-1], 0.05), SMALLEST)
        findings = advise(np.exp(base[i]), SMALLEST) + advise(np.exp(candidate[i]), SMALLEST)
        left += unpaired(verdict, findings, apart=False).word in ("worse", "better")
    return round(100 * left / len(words), 2)


def series(rng, n):
    """Return logs of one series of runs of each kind, and the finding that it should give ("" for none)."""
    white, kinds = WHITE * rng.standard_normal(n), {}
    kinds["normal 2.7 %"] = ("", 0.027 * rng.standard_normal(n))
    kinds["skewed, log-normal s=0.5"] = ("", 0.5 * rng.standard_normal(n))
    kinds["a tick of 0.1 %, deviation 0.3 %"] = ("", np.log(np.round(1 + 0.003 * rng.standard_normal(n), 3)))
    kinds["always the same"] = ("", np.zeros(n))
    kinds["drift 3 % + 1 %"] = ("drift", 0.03 * np.linspace(0, 1, n) + white)
    kinds["AR(.8) 2.7 %"] = ("dependence", shapes.wander(rng, 1, n, memory=0.8)[0])
    kinds["two states 60/40, 10 % apart"] = ("two states", shapes.bimodal(rng, n))
    kinds["5 % of runs slower by 20 %"] = ("outliers", white + np.log(1.2) * (rng.random(n) < 0.05))
    kinds["first run slower by 10 %"] = ("warm-up", white + np.log(1.1) * (np.arange(n) == 0))
    return kinds


def findings(rng, sets, sizes):
    """Return in how many percent of series each finding is made."""
    rows = []
    for n in sizes:
        counts, wanted = {}, {}
        for _ in range(sets):
            for kind, (should, logs) in series(rng, n).items():
                wanted[kind] = should
                seen = counts.setdefault(kind, dict.fromkeys(FINDINGS, 0))
                for found in advise(np.exp(logs), SMALLEST, tick=0.001 if "tick" in kind or "same" in kind else 0.0):
                    seen[found.kind] += 1
        rows += [
            {"series": kind, "n": n, "wanted": wanted[kind]}
            | {f"{f}_pct": round(100 * c / sets, 1) for f, c in seen.items()}
            for kind, seen in counts.items()
        ]
    return rows


def percent(flags):
    return round(100 * float(np.mean(flags)), 2)


def run(sets=2000, series_sets=400, seed=1):
    """Return both tables."""
    begin, rng = time.process_time(), np.random.default_rng(seed)
    return {
        "sets": sets, "seed": seed, "white_noise_pct": 100 * WHITE, "designs": designs(rng, sets, (10, 30)),
        "series": series_sets, "findings": findings(rng, series_sets, (10, 30, 64)),
        "cpu_s": round(time.process_time() - begin, 1),
    }  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.sets, args.series, args.seed)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "scipy")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
