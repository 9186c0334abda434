"""Whether head is slower than base: the same benchmarks on both, in pairs; and the same sweep on an emulated board.

    python tests/benchmarks/regression.py --base DIR --head DIR --commits BASE HEAD --out reports

A side is a folder that holds the package ``edgeprof`` (``pip install --no-deps --target``). Both run under this Python
with its dependencies, so what differs is the project's own code and firmware. Two kinds of evidence:

- exact: a sweep on ``wasm``, whose clock counts, judged by ``edgeprof gate``;
- statistical: tests/benchmarks, each half of a pair a process of its own, a coin saying which comes first. Of a
  process counts the CPU time of each benchmark's fastest round, which is what others on the machine disturb least;
  pairs are judged as the project judges any noisy clock (docs/statistics.md), with 10 % as the smallest effect that
  matters. What merely waits, for a disk or another process, takes no CPU time and is not seen.

Exit codes: 0 nothing is worse · 1 something is worse by more than 10 % · 2 something could not be judged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeprof.intervals import gate_interval, log_ratios
from edgeprof.verdicts import judge, judge_exact

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SMALLEST = 0.10
PAIRS = 10
SETTLED = ("same", "better", "worse")
PROCESS_SECONDS = 300
PLAN = """\
boards = ["wasm"]
n_generate = 16

[[model]]
file = "{model}"
quants = ["Q8_0", "Q4_0"]

[[prompt]]
id = "once"
text = "Once upon a time"
"""

Times = Mapping[str, float]
"""CPU seconds of each benchmark's fastest round, by name."""


@dataclass(frozen=True)
class Side:
    """A package to be measured: ``base`` or ``head``, and the folder that it is in."""

    name: str
    folder: Path

    def run(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a module of Python's with this package, from a folder in which there is no other."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": ""}
        return subprocess.run(
            [sys.executable, "-m", *words],
            env=environment, cwd=cwd, capture_output=True, text=True, timeout=PROCESS_SECONDS, check=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A judged benchmark; ``ratio`` is head over base, with the ends of its interval."""

    name: str
    clock: str
    exact: bool
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    reason: str


# ---- statistical: the benchmarks ----


def benchmark(side: Side, *more: str) -> dict[str, float]:
    """Run the benchmarks once, in a process; what a side cannot run is not among them.

    Raises
    ------
    RuntimeError
        Another edgeprof than this side's was measured, or nothing was.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "benchmark.json")
        done = side.run(
            "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", f"--confcutdir={HERE}",
            "-p", "no:cacheprovider", "-m", "benchmarks and not alone", str(HERE / "test_hot_paths.py"),
            f"--benchmark-json={report}", "--benchmark-timer=time.process_time", "--benchmark-disable-gc",
            "--benchmark-max-time=0.3", "--benchmark-min-rounds=3", *more,
            cwd=Path(folder),
        )  # fmt: skip
        if not report.exists() or not report.stat().st_size:
            if done.returncode in (1, 2):  # every benchmark, or their collection, failed
                return {}
            raise RuntimeError(f"The benchmarks of {side.name} did not run:\n{done.stdout}{done.stderr}")
        found = json.loads(report.read_text(encoding="utf-8"))
    measured = Path(found["edgeprof"]["file"])
    if not measured.is_relative_to(side.folder.resolve()):
        raise RuntimeError(f"{measured} was measured, which is not {side.name}'s edgeprof in {side.folder}.")
    return times(found)


def times(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the fastest round of each benchmark, in seconds of CPU time."""
    return {entry["name"].removeprefix("test_"): float(entry["stats"]["min"]) for entry in report["benchmarks"]}


def measure_pairs(
    base: Side, head: Side, n: int, measure: Callable[[Side], Times], *, seed: int = 1
) -> list[tuple[Times, Times]]:
    """Measure base and head next to each other, again and again; which comes first in a pair is random."""
    coin = random.Random(seed)
    pairs = []
    for number in range(n):
        first, second = (base, head) if coin.random() < 0.5 else (head, base)
        of = {side.name: times for side, times in ((side, measure(side)) for side in (first, second))}
        pairs.append((of[base.name], of[head.name]))
        print(f"pair {number + 1} of {n} measured", file=sys.stderr, flush=True)
    return pairs


def judge_pairs(pairs: Sequence[tuple[Times, Times]], smallest: float = SMALLEST) -> tuple[list[Result], list[str]]:
    """Return a verdict for each benchmark that both sides ran, and the names of those that only head can run.

    Raises
    ------
    RuntimeError
        Head did not run all of its own benchmarks.
    """
    names = {name for _, head in pairs for name in head}
    if not names or any(head.keys() != names for _, head in pairs):
        raise RuntimeError("Head cannot run all of its own benchmarks: nox -s benchmarks shows why.")
    results, new = [], []
    for name in sorted(names):
        both = [(base[name], head[name]) for base, head in pairs if name in base]
        if not both:
            new.append(name)
            continue
        base, head = zip(*both, strict=True)
        verdict = judge(gate_interval(log_ratios(base, head)), smallest, n=len(both), counted="pairs")
        known = verdict.change == verdict.change
        ratio, low, high = (
            1 + value if known else None for value in (verdict.change, verdict.low, verdict.high)
        )  # fmt: skip
        word = verdict.word if verdict.word in SETTLED else "not enough data"
        results.append(Result(name, "cpu", False, ratio, low, high, word, verdict.reason))
    return results, new


# ---- exact: a sweep on an emulated board ----


def sweep(side: Side, folder: Path) -> str:
    """Capture the plan with a side's package and firmware; return why that was not possible, or an empty text."""
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(model=(ROOT / "data" / "models" / "fable-0.5m-F16.gguf").as_posix()), encoding="utf-8")
    done = side.run("edgeprof", "sweep", str(plan), "--out", str(folder / side.name), cwd=folder)
    return (done.stderr or f"exit code {done.returncode}").strip() if done.returncode else ""


def gate(base: Side, head: Side, out: Path) -> tuple[int, str]:
    """Judge head's firmware by base's; return the gate's exit code, or 2 with a reason where there was no sweep.

    Raises
    ------
    RuntimeError
        Head cannot carry out the sweep.
    """
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if why := sweep(head, folder):
            raise RuntimeError(f"Head cannot carry out the sweep: {why}")
        if why := sweep(base, folder):
            return 2, f"Base cannot carry out the sweep: {why}"
        done = head.run(
            "edgeprof", "gate", "--baseline", str(folder / base.name), "--candidate", str(folder / head.name),
            "--out", str(out), cwd=folder,
        )  # fmt: skip
        print(done.stdout, done.stderr, sep="", flush=True)
        return done.returncode, ""


def exact_results(gated: Mapping[str, Any], smallest: float = SMALLEST) -> list[Result]:
    """Return the costs that a gate's results hold, judged by 10 %."""
    results = []
    for check in gated["checks"]:
        if check.get("certain") and "ticks" in check["metric"] and check.get("base_value"):
            base, head = float(check["base_value"]), float(check["candidate_value"])
            verdict = judge_exact(base, head, smallest, better=check["better"])
            name = " ".join(check[key] for key in ("board", "model", "quant", "metric"))
            ratio = head / base
            results.append(Result(name, "fuel", True, ratio, ratio, ratio, verdict.word, verdict.reason))
    return results


# ---- both ----


def exit_code(results: Sequence[Result], gated: int) -> int:
    """Return 1 if anything is worse, 2 if the gate could not judge or nothing was judged."""
    if gated == 1 or any(result.verdict == "worse" for result in results):
        return 1
    return 2 if gated or not any(not result.exact for result in results) else 0


def text_of(results: Sequence[Result], new: Sequence[str]) -> str:
    """Return a line for each benchmark."""
    lines = [f"{result.verdict:<16}{result.name}: {result.reason}" for result in results]
    return "\n".join([*lines, *(f"{'new':<16}{name}: base cannot run it, so it is not judged." for name in new)])


def main() -> int:
    """Measure, judge, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("base", "head"):
        parser.add_argument(f"--{side}", type=Path, required=True, metavar="DIR", help="the folder of its package")
    parser.add_argument("--commits", nargs=2, required=True, metavar=("BASE", "HEAD"))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the reports")
    args = parser.parse_args()
    base, head = Side("base", args.base.resolve()), Side("head", args.head.resolve())
    gate_out = args.out.resolve() / "gate"
    gate_results = gate_out / "results.json"
    gate_results.unlink(missing_ok=True)  # an older verdict must not stand for this one
    gated, why = gate(base, head, gate_out)
    exact = exact_results(json.loads(gate_results.read_text(encoding="utf-8"))) if gate_results.exists() else []
    results, new = judge_pairs(measure_pairs(base, head, args.pairs, benchmark))
    results = [*exact, *results]
    new += ["sweep on wasm"] if why else []
    written = args.out / "performance" / "regression.json"
    written.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "base": args.commits[0], "head": args.commits[1], "pairs": args.pairs, "smallest_pct": 100 * SMALLEST,
        "results": [asdict(result) for result in results], "new": new,
    }  # fmt: skip
    written.write_text(json.dumps(said, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(text_of(results, new), why, sep="\n" if why else "", flush=True)
    return exit_code(results, gated)


if __name__ == "__main__":
    sys.exit(main())
