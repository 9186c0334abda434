"""Random synthetic cases with analytic truth: how energy, and what is stated of it, keeps to the truth.

``python tests/energy_cases.py --out docs/results/energy_cases.json`` records 2,000 cases of each rate; the tests assert
that the truth is inside.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from machine import record

from edgeprof.energy.certainty import stated_energy
from edgeprof.energy.synthetic import Ramp, Sine, Steps, Waveform, bursts, sampled, truth_uj

KINDS = ("steps", "ramp", "sine", "bursts of 200 us")


@dataclass(frozen=True, slots=True)
class Case:
    """One token of a case: its relative error, half of the stated interval over the truth, whether it is inside."""

    kind: str
    sample_hz: float
    error: float
    half_width: float
    inside: bool


def waves(kind: str, rng: np.random.Generator, base_ua: float, edges: np.ndarray, end_ns: float, period_ns: float):
    """Return what the board takes: more while it runs, and a waveform that does not mind where tokens begin."""
    length = float(np.mean(np.diff(edges)))
    runs = Steps(np.array([0.0, edges[0], edges[-1]]), base_ua * np.array([1.0, rng.uniform(1, 5), 1.0]))
    found: list[Waveform] = [runs]
    if kind == "steps":  # some of them where a token begins
        at = np.unique(np.concatenate((rng.uniform(0, end_ns, int(rng.integers(2, 6)) * len(edges)), edges)))
        found.append(Steps(np.append(0.0, at), base_ua * rng.uniform(0, 4, len(at) + 1)))
    elif kind == "ramp":
        found.append(Ramp(0.0, base_ua * rng.uniform(0.5, 5), length * rng.uniform(0.1, 2)))
    elif kind == "sine":
        turn = max(length * rng.uniform(0.05, 2), 8 * period_ns)
        found.append(Sine(2 * base_ua, base_ua * rng.uniform(0.2, 2), turn, rng.uniform(0, 6)))
    else:
        mean_gap = rng.uniform(1e6, 5e6)
        at = np.cumsum(2e5 + rng.exponential(mean_gap, int(end_ns / mean_gap) + 10))
        found.append(bursts(at[at < end_ns], 2e5, base_ua * rng.uniform(1, 8)))
    return found


def case(seed: int, sample_hz: float | None = None) -> Case:
    """Make a case of a seed and return one of its tokens.

    Samples come 1,000 to 100,000 times a second (or ``sample_hz``) from a clock that is up to 50 ppm off and
    jitters, as moments or means, with noise; in half of the cases 1 % of them are missing. Tokens last 20 samples
    and 5 ms at least. The samples' clock is known from the run's two ends, each as the meter's next sample shows it.
    """
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    period = 1e9 / (sample_hz or 10 ** rng.uniform(3, 5))
    tokens = int(rng.integers(5, 40))
    lengths = max(20 * period, 5e6) * 10 ** rng.uniform(0, 0.7) * rng.uniform(0.8, 1.2, tokens)
    lead = rng.uniform(0.1, 1) * lengths[0]
    edges = lead + np.append(0.0, np.cumsum(lengths))
    base = 10 ** rng.uniform(2, 4)
    currents = waves(kind, rng, base, edges, edges[-1] + lead, period)
    samples, true = sampled(
        currents, begin_ns=rng.uniform(0, period), end_ns=edges[-1] + lead, period_ns=period, seed=seed,
        drift_ppm=rng.uniform(-50, 50), jitter_ns=rng.uniform(0, 0.02) * period, noise_ua=0.01 * base * rng.random(),
        missing=0.01 * (rng.random() < 0.5), averages=rng.random() < 0.3,
    )  # fmt: skip
    first, last = np.searchsorted(true, edges[[0, -1]]) - 0.5
    period_ns = float((edges[-1] - edges[0]) / (last - first))
    samples = replace(samples, period_ns=period_ns, start_ns=float(edges[0] - first * period_ns))
    found = stated_energy(samples, edges[:-1], edges[1:], error_ns=period / 2, rate_ppm=50)
    truth = truth_uj(currents, 3300.0, edges[:-1], edges[1:])
    at = int(rng.integers(tokens))
    inside = found.energy_low_uj[at] <= truth[at] <= found.energy_high_uj[at]
    return Case(
        kind,
        1e9 / period,
        float(found.energy_uj[at] / truth[at] - 1),
        float(found.error_uj[at] / truth[at]),
        bool(inside),
    )


def figures(cases: list[Case]) -> dict[str, float]:
    """Return, in percent, how often the truth is inside, how wide the interval is, and by how much energy is off."""
    return {
        "cases": len(cases),
        "inside_pct": round(100 * float(np.mean([c.inside for c in cases])), 2),
        "median_width_pct": round(200 * float(np.nanmedian([c.half_width for c in cases])), 3),
        "largest_error_pct": round(100 * float(np.nanmax([abs(c.error) for c in cases])), 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rates = {"1 to 100 kS/s": None, "1 kS/s": 1e3, "100 kS/s": 1e5}
    record(args.out, {name: figures([case(seed, hz) for seed in range(2000)]) for name, hz in rates.items()}, "numpy")
    print(args.out.read_text(encoding="utf-8"))
