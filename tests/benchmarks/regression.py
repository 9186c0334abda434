"""Whether head is slower than base: the same benchmarks on both, in pairs; and the same sweep on an emulated board.

    python tests/benchmarks/regression.py --base DIR --head DIR --commits BASE HEAD --out reports

A side is a folder that holds the package ``edgeprof`` (``pip install --no-deps --target``). Both run under this Python
with its dependencies, so what differs is the project's own code and firmware. Two kinds of evidence:

- exact: a sweep on ``wasm``, whose clock counts, judged by ``edgeprof gate``;
- statistical: tests/benchmarks, in two processes that take turns round by round (turns.py), a coin saying which comes
  first. What counts is the CPU time of the fastest of some rounds, which others on the machine disturb least; a pair is
  such a time of each side, and pairs are judged as the project judges any noisy clock (docs/statistics.md), with 10 %
  as the smallest effect that matters. What merely waits, for a disk or another process, takes no CPU time and is not
  seen.

Exit codes: 0 nothing is worse · 1 something is worse by more than 10 % · 2 something could not be judged.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))

from benchmarks import turns  # noqa: E402
from benchmarks.turns import Times  # noqa: E402

from edgeprof.intervals import gate_interval, log_ratios  # noqa: E402
from edgeprof.verdicts import judge, judge_exact  # noqa: E402

LAUNCHES = 2
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


@dataclass(frozen=True)
class Side:
    """A package to be measured: ``base`` or ``head``, and the folder that it is in."""

    name: str
    folder: Path

    def start(self, *words: str, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a module of Python's with this package, from a folder in which there is no other."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "EDGEPROF_SIDE": self.name} | env
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-m", *words], env=environment, cwd=cwd, stdout=quiet, stderr=quiet, text=True
        )

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


def measure_pairs(base: Side, head: Side, n: int, *more: str, seed: int = 1) -> list[tuple[Times, Times]]:
    """Measure base and head in turns, ``LAUNCHES`` times in new processes; what a side cannot run has no times.

    Raises
    ------
    RuntimeError
        Another edgeprof than a side's was measured, or a side did not come to its end.
    """
    pairs: list[tuple[Times, Times]] = []
    for launch in range(LAUNCHES):
        blocks = n // LAUNCHES + (launch < n % LAUNCHES)
        pairs += launched(base, head, blocks, more, seed=seed + launch)
        print(f"{len(pairs)} of {n} pairs measured", file=sys.stderr, flush=True)
    return pairs


def launched(
    base: Side, head: Side, blocks: int, more: Sequence[str], *, seed: int
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Run the benchmarks of both sides in two processes, one of which runs at a time."""
    key = os.urandom(16)
    with Listener(("127.0.0.1", 0), authkey=key) as listener, tempfile.TemporaryDirectory() as text:
        host, port = listener.address
        told = {turns.ADDRESS: f"{host}:{port}", turns.KEY: key.hex(), "PYTHONHASHSEED": "0"}
        words = (
            "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", f"--confcutdir={HERE}",
            "-p", "no:cacheprovider", "-p", "no:benchmark", "-m", "benchmarks and not alone",
            str(HERE / "test_hot_paths.py"), *more,
        )  # fmt: skip
        running = {side.name: side.start(*words, cwd=Path(text), env=told) for side in (base, head)}
        threading.Thread(target=end_what_hangs, args=(list(running.values()),), daemon=True).start()
        try:
            ends = accepted(listener, running)
            for side in (base, head):
                if side.name in ends and not (measured := Path(ends[side.name][1])).is_relative_to(
                    side.folder.resolve()
                ):
                    raise RuntimeError(f"{measured} would be measured, not {side.name}'s edgeprof in {side.folder}.")
            nobody = (NoSide(), "")
            return turns.hand_out(
                ends.get("base", nobody)[0], ends.get("head", nobody)[0], benchmark_names(), blocks, seed=seed
            )
        finally:
            for process in running.values():
                process.kill()
                process.wait()


def accepted(listener: Listener, running: Mapping[str, subprocess.Popen[str]]) -> dict[str, Any]:
    """Return each side's connection, and the file of its edgeprof; a side that cannot run any benchmark has none."""
    ends: dict[str, Any] = {}
    taking = threading.Thread(target=lambda: [take(listener, ends) for _ in running], daemon=True)
    taking.start()
    while len(ends) < len(running):
        taking.join(0.2)
        if all(name in ends or process.poll() is not None for name, process in running.items()):
            break
    return ends


def take(listener: Listener, ends: dict[str, Any]) -> None:
    """Take the connection of a side, which says its name and what it measures."""
    connection = listener.accept()
    side, measured = connection.recv()
    ends[side] = (connection, measured)


def end_what_hangs(running: Sequence[subprocess.Popen[str]]) -> None:
    """End processes that take much longer than they should; who waits for their answer is told so."""
    end = time.monotonic() + PROCESS_SECONDS
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
        process.kill()


class NoSide:
    """The connection of a side that cannot run any benchmark."""

    def recv(self) -> tuple[str, str]:
        raise EOFError


def benchmark_names() -> list[str]:
    """Return the benchmarks in the order in which they run."""
    tree = ast.parse((HERE / "test_hot_paths.py").read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name.removeprefix("test_") for name in names if name.startswith("test_")]


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
    results, new = judge_pairs(measure_pairs(base, head, args.pairs))
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
