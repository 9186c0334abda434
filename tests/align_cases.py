"""Random cases of a board's edges in a meter's, with their truth: how well a run's place is found.

``python tests/align_cases.py --out docs/results/align_cases.json`` records 2,000 cases of each spread; the tests assert
that no case is wrong by a token, and that the stated error covers the true one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import record

from edgeprof.energy.align_edges import match_edges
from edgeprof.energy.align_lines import EdgeFit
from edgeprof.errors import NotComparableError

PERIOD_NS = 1e4


def seen(true_ns: np.ndarray, period_ns: float = PERIOD_NS, phase: float = 0.3) -> np.ndarray:
    """Return the times of the first samples that show edges, as a meter writes them."""
    return np.unique((np.ceil(true_ns / period_ns - phase) + phase) * period_ns)


def off_ns(fit: EdgeFit, board: np.ndarray, begin: float, rate: float) -> float:
    """Return by how much a fit is off at most, over the run."""
    ends = board[[0, -1]]
    return float(np.abs(fit.begin_ns + fit.rate * ends - (begin + rate * ends)).max())


@dataclass(frozen=True, slots=True)
class Case:
    """A run as its board and a meter tell it, and the truth."""

    board: np.ndarray
    said: np.ndarray
    meter: np.ndarray
    period_ns: float
    begin: float
    rate: float
    token_ns: float


def case(seed: int, spread: float) -> Case:
    """Make a case of a seed; pass lengths vary by ``spread`` to either side, and grow.

    Runs have 30 to 300 passes of 1 to 200 ms, and up to two others in the file. Clocks are up to 200 ppm apart. The
    meter samples 5,000 to 200,000 times a second, misses up to a quarter of the edges, sees others and bounces, and
    began late or ended early. The board's pin is late by a few microseconds, and its tick is one.
    """
    rng = np.random.default_rng(seed)
    count, token = int(10 ** rng.uniform(1.5, 2.5)), 10 ** rng.uniform(6, 8.3)
    period = min(10 ** rng.uniform(3.7, 5.3), token / 10)
    rate = 1 + rng.uniform(-2e-4, 2e-4)
    growth = np.linspace(1, 1 + 5 * spread * rng.random(), count)
    runs = [
        np.append(0.0, np.cumsum(token * growth * rng.uniform(1 - spread, 1 + spread, count)))
        for _ in range(int(rng.integers(1, 4)))
    ]
    mine, at, begin, edges = int(rng.integers(len(runs))), rng.uniform(0.1, 3) * 1e9, 0.0, []
    for k, run in enumerate(runs):
        begin = at if k == mine else begin
        edges.append(at + rate * run)
        at = edges[-1][-1] + rng.uniform(0.01, 2) * 1e9
    board = runs[mine]
    true = np.concatenate(edges)
    true += np.abs(rng.normal(0, rng.uniform(0, 3000), len(true)))
    true = true[rng.random(len(true)) > rng.uniform(0, 0.25)]
    low, high = rng.uniform(0, 0.3), rng.uniform(0.7, 1)
    if rng.random() < 0.3:
        true = true[(true > begin + low * board[-1]) & (true < begin + high * board[-1])]
    spurious = rng.uniform(true[0], true[-1], int(len(true) * rng.uniform(0, 0.2)))
    bounced = true[rng.random(len(true)) < 0.1]
    every = np.concatenate([true, spurious, bounced + 3e4, bounced + rng.uniform(4e4, 2e5, len(bounced))])
    return Case(board, np.round(board / 1e3) * 1e3, seen(every, period, rng.random()), period, begin, rate, token)


def found(count: int, spread: float) -> tuple[list[tuple[Case, EdgeFit]], int]:
    """Return the cases in which a place was found, and how many were refused."""
    fits, refused = [], 0
    for seed in range(count):
        one = case(seed, spread)
        try:
            fits.append((one, match_edges(one.said, one.meter, one.period_ns)))
        except NotComparableError:
            refused += 1
    return fits, refused


def figures(count: int, spread: float) -> dict[str, float]:
    """Return how many cases were refused, and of the others how wrong they are and how wrong they may be."""
    fits, refused = found(count, spread)
    off = np.array([off_ns(fit, one.board, one.begin, one.rate) for one, fit in fits])
    stated = np.array([fit.error_ns for _, fit in fits])
    tokens, periods = (np.array([getattr(one, name) for one, _ in fits]) for name in ("token_ns", "period_ns"))
    return {"cases": count, "refused": refused, "wrong_by_a_quarter_token": int((off > tokens / 4).sum())} | (
        {
            "inside_pct": round(100 * float(np.mean(off <= stated)), 2),
            "largest_error_tokens": round(float(np.max(off / tokens)), 4),
            "median_stated_samples": round(float(np.median(stated / periods)), 3),
        }
        if fits
        else {}
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    of = {"passes differ by 20 %": (2000, 0.2), "by 1 %": (48, 1e-2), "by 0.1 %": (48, 1e-3), "by none": (48, 0.0)}
    record(args.out, {name: figures(*asked) for name, asked in of.items()}, "numpy")
    print(args.out.read_text(encoding="utf-8"))
