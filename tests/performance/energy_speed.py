"""How fast energy per token is, beside a bare running total of the same samples and beside pandas.

``python tests/performance/energy_speed.py --out docs/results/energy.json`` records absolute figures with their machine;
the test beside it asserts ratios only. Samples are synthetic, in memory, one partition after the other; making them is
not timed. Times are of the processor, the best of several tries taken in turn; memory is the peak of a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
import pandas as pd
from cpu_turns import in_turns
from machine import record

from edgeprof.energy.certainty import stated_energy
from edgeprof.energy.kernels import interval_energy, peak_power
from edgeprof.energy.samples import Samples

PERIOD_NS, VOLTAGE_MV, SAMPLES_A_TOKEN = 1e4, 3300.0, 10
PARTITION_SAMPLES = 6_250_000
PANDAS_SAMPLES = 10_000_000
"""Whole in pandas, 100 million samples take more memory than this machine may give."""


def partition(number: int, count: int) -> Samples:
    """Return a partition of what a 100 kS/s meter said: a slow swing, and noise."""
    noise = np.random.default_rng(number).normal(0.0, 20.0, count)
    current = 5000 + 2000 * np.sin(np.arange(count) / 5000) + noise
    return Samples("synthetic", current, VOLTAGE_MV, number * PARTITION_SAMPLES * PERIOD_NS, PERIOD_NS)


def partitions(count: int) -> Iterator[Samples]:
    """Return so many samples, partition by partition."""
    for number in range(-(-count // PARTITION_SAMPLES)):
        yield partition(number, min(PARTITION_SAMPLES, count - number * PARTITION_SAMPLES))


def tokens(count: int, first_ns: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return begins and ends of the tokens in so many samples: of unlike length, a twentieth of it between two."""
    n = count // SAMPLES_A_TOKEN
    edges = np.linspace(first_ns, first_ns + (count - 1) * PERIOD_NS, n + 1)
    edges[1:-1] += np.random.default_rng(1).uniform(-3, 3, n - 1) * PERIOD_NS
    return edges[:-1].copy(), edges[1:] - 0.05 * np.diff(edges)


def speed(count: int, tries: int) -> dict[str, float]:
    """Return seconds for so many samples, and what energy takes beside a running total."""
    whole = dict.fromkeys(("cumsum", "energy", "peaks", "stated"), 0.0)
    for samples in partitions(count):
        begins, ends = tokens(len(samples), samples.start_ns)
        works: dict[str, Callable[[], Any]] = {
            "cumsum": lambda x=samples.current_ua: np.cumsum(x),
            "energy": lambda s=samples, b=begins, e=ends: interval_energy(s, b, e),
            "peaks": lambda s=samples, b=begins, e=ends: peak_power(s, b, e),
            "stated": lambda s=samples, b=begins, e=ends: stated_energy(s, b, e, error_ns=PERIOD_NS, rate_ppm=50),
        }
        least = in_turns(works, tries, 0.1)
        whole = {name: whole[name] + seconds for name, seconds in least.items()}
    ratios = {f"{name}_over_cumsum": round(whole[name] / whole["cumsum"], 2) for name in ("energy", "peaks", "stated")}
    return {f"{name}_s": round(seconds, 4) for name, seconds in whole.items()} | ratios


def by_pandas(samples: pd.DataFrame, begins: pd.DataFrame, ends: pd.DataFrame) -> pd.Series:
    """Return energy per token as pandas is used for it: a running total, and the last of it before each edge."""
    step_uj = samples["current_ua"] * (VOLTAGE_MV * PERIOD_NS * 1e-12)
    total = samples[["t_ns", "capture_id"]].assign(
        total_uj=step_uj.groupby(samples["capture_id"], observed=True).cumsum()
    )
    total = total.sort_values("t_ns", kind="stable")  # merge_asof wants all captures in one order of time
    begun, ended = (
        pd.merge_asof(edges.sort_values("t_ns", kind="stable"), total, on="t_ns", by="capture_id").set_index("token")
        for edges in (begins, ends)
    )
    return (ended["total_uj"] - begun["total_uj"]).sort_index()


def beside_pandas(count: int, tries: int, captures: int = 16) -> dict[str, float]:
    """Return seconds of both over a whole set of so many samples; they must agree but for the edges."""
    each = count // captures
    sets = [partition(number, each) for number in range(captures)]
    sets = [Samples("synthetic", some.current_ua, VOLTAGE_MV, 0.0, PERIOD_NS) for some in sets]
    begins, ends = tokens(each)

    def ours() -> np.ndarray:
        return np.concatenate([interval_energy(some, begins, ends).energy_uj for some in sets])

    names = pd.Categorical.from_codes(np.repeat(np.arange(captures), each), [f"c{i}" for i in range(captures)])
    t_ns = np.tile(np.arange(each) * PERIOD_NS, captures)
    current = np.concatenate([some.current_ua for some in sets])
    table = pd.DataFrame({"t_ns": t_ns, "capture_id": names, "current_ua": current})
    owners = pd.Categorical.from_codes(np.repeat(np.arange(captures), len(begins)), names.categories)
    edges = [
        pd.DataFrame({"t_ns": np.tile(times, captures), "capture_id": owners, "token": np.arange(len(owners))})
        for times in (begins, ends)
    ]
    # Names as the tables have them, and as whoever knows pandas well makes them first.
    plain, *plain_edges = (frame.astype({"capture_id": "str"}) for frame in (table, *edges))
    # Without interpolation each edge of theirs is up to a sample off, early or late: the mean is the same.
    means = float(np.mean(by_pandas(table, *edges))), float(np.mean(ours()))
    if abs(means[0] / means[1] - 1) > 1e-3:
        raise ValueError(f"pandas says {means[0]} uJ a token, and edgeprof {means[1]}")
    works: dict[str, Callable[[], Any]] = {
        "edgeprof": ours,
        "pandas": lambda: by_pandas(plain, *plain_edges),
        "pandas_category": lambda: by_pandas(table, *edges),
    }
    least = in_turns(works, tries, 0.1)
    ratios = {
        f"{name}_over_edgeprof": round(least[name] / least["edgeprof"], 1) for name in works if name != "edgeprof"
    }
    return {f"{name}_s": round(s, 4) for name, s in least.items()} | {"samples": count} | ratios


def peak_gb(count: int) -> float:
    """Return a process's peak beyond what Python with its imports and one partition of samples take.

    Begins, ends and the energy of all tokens are counted.
    """
    code = f"import energy_speed; print(energy_speed.peak_of_this_process({count}))"
    path = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def peak_of_this_process(count: int) -> float:
    """Integrate so many samples, and return the peak in GB as :func:`peak_gb` counts it."""
    partition(0, PARTITION_SAMPLES)  # what making one takes is no part of it
    before = peak_bytes()
    begins, ends = tokens(count)
    found = interval_energy(lambda: partitions(count), begins, ends)
    if not np.isfinite(found.energy_uj).all():
        raise ValueError("some energy is unknown")
    return round((peak_bytes() - before) / 1e9, 3)


def peak_bytes() -> int:
    """Return the most memory that this process had; what getrusage says may be its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=100_000_000)
    args = parser.parse_args()
    what = {
        "speed": f"{args.samples} synthetic samples in partitions of {PARTITION_SAMPLES}, {SAMPLES_A_TOKEN} a token; "
        "energy and charge; peaks and the stated interval are passes of their own",
        "pandas": "16 captures in memory: a running total, one order of time, merge_asof by capture at both edges; the "
        "captures' names as strings, as tables have them, and as a category",
        "peak_gb": "beyond Python, its imports and one partition; with all begins, ends, energies and charges",
    }
    result = {"what": what, "speed": speed(args.samples, 3), "pandas": beside_pandas(PANDAS_SAMPLES, 2)}
    record(args.out, result | {"peak_gb": peak_gb(args.samples)}, "numpy", "pandas")
    sys.stdout.write(json.dumps(json.loads(args.out.read_text(encoding="utf-8")), indent=1) + "\n")
