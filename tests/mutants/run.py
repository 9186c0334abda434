"""Put each mutant into a copy of the package and run the tests that must notice it.

``python tests/mutants/run.py [--only PART_OF_A_NAME] [--jobs 2] [--out docs/results/mutants.json]``

A mutant is killed when a test fails, on what it found or on the error that the wrong code ran into; not when the code
could not be imported. Before, all these tests are run without a mutant, for where they fail anyway nothing is shown.
Ends with 1 if one survives, or does not apply any more.
"""

from __future__ import annotations

import argparse
import compileall
import multiprocessing
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from isolated import PRELOADED, run_tests
from listed import NOTEBOOK, ROOT, Mutant, load, mutated

TIMEOUT_S = 240.0
COPIED, LINKED = ("edgeprof", "tests", "notebooks", "pyproject.toml"), ("data", "docs", "README.md")
NO_CODE = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError")
"""Failures that show that a mutant is no program, and nothing of the tests."""


def copy(source: Path, to: Path) -> None:
    """Copy what tests need; what is large and never changed is linked."""
    to.mkdir()
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(
                source / name, to / name, ignore=shutil.ignore_patterns(".hypothesis", ".ipynb_checkpoints")
            )
        else:
            shutil.copy2(source / name, to / name)
    for name in LINKED:
        (to / name).symlink_to((source / name).resolve())


def outcome(folder: Path, tests: list[str], timeout_s: float = TIMEOUT_S) -> str:
    """Run tests in a copy; return ``passed``, ``failed: …`` with the first failure, or what was in the way."""
    report = folder / "report.xml"
    # Forked from a process that has imported pandas and the like: half of what a short test takes.
    process = multiprocessing.get_context("forkserver").Process(target=run_tests, args=(folder, tests, report))
    process.start()
    process.join(timeout_s)
    if process.is_alive():
        process.kill()
        return f"no answer in {timeout_s:g} s"
    if process.exitcode == 0:
        return "passed"
    if process.exitcode != 1 or not report.exists():
        said = (folder / "said.txt").read_text(encoding="utf-8")[-2000:]
        return f"pytest ended with {process.exitcode}: {said}"
    for case in ET.parse(report).getroot().iter("testcase"):
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                said = " ".join(found.get("message", "").split())
                return f"not a program: {said}" if said.startswith(NO_CODE) else f"failed: {case.get('name')}: {said}"
    return "pytest failed, and no test did"


def judge(mutant: Mutant, template: Path, timeout_s: float = TIMEOUT_S) -> tuple[Mutant, str, float]:
    """Run a mutant's tests; return it with the outcome and the seconds that took."""
    began = time.perf_counter()
    try:
        changed = mutated(mutant, template)
    except ValueError as error:
        return mutant, str(error), 0.0
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text).resolve() / "copy"
        copy(template, folder)
        (folder / mutant.file).write_text(changed, encoding="utf-8")
        found = outcome(folder, list(mutant.kill_with), timeout_s)
    return mutant, found, time.perf_counter() - began


def unmutated(
    mutants: list[Mutant],
    template: Path,
    each: Callable[..., Iterable[str]] = map,
    timeout_s: float = TIMEOUT_S,
) -> list[str]:
    """Return how the tests of these mutants end without one, if not well; ``each`` maps."""
    tests = sorted({t for m in mutants for t in m.kill_with})
    notebooks = [t for t in tests if t.startswith(NOTEBOOK)]
    kinds = [kind for kind in ([t for t in tests if t not in notebooks], notebooks) if kind]
    with tempfile.TemporaryDirectory() as text:
        folders = [Path(text).resolve() / str(number) for number in range(len(kinds))]
        for folder in folders:
            copy(template, folder)
        return [end for end in each(outcome, folders, kinds, [timeout_s] * len(kinds)) if end != "passed"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--timeout-s", type=float, default=TIMEOUT_S, help="for the tests of one; more on a busy machine"
    )
    parser.add_argument("--out", type=Path, help="where to record the result")
    args = parser.parse_args()
    mutants = [m for m in load() if args.only in m.name]
    if not mutants:
        print(f"No mutant's name holds {args.only!r}.")
        return 1
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as text, ThreadPoolExecutor(args.jobs) as pool:
        template = Path(text).resolve() / "template"
        copy(ROOT, template)
        compileall.compile_dir(str(template / "edgeprof"), quiet=1)
        if wrong := unmutated(mutants, template, pool.map, args.timeout_s):
            print("Without any mutant the tests should pass:", *wrong, sep="\n")
            return 1
        results = []
        for mutant, found, seconds in pool.map(lambda m: judge(m, template, args.timeout_s), mutants):
            killed = found.startswith("failed: ")
            print(
                f"{'killed  ' if killed else 'SURVIVED'} {seconds:5.1f} s  {mutant.name}  ({found[:150]})", flush=True
            )
            results.append((mutant, found, round(seconds, 1), killed))
    total = time.perf_counter() - began
    alive = [mutant.name for mutant, _, _, killed in results if not killed]
    print(f"{len(results) - len(alive)} of {len(results)} killed in {total:.0f} s")
    if args.out:
        rows = [{"mutant": m.name, "file": m.file, "harm": m.harm, "killed": killed, "seconds": seconds,
                 "by": found.removeprefix("failed: ").partition(": ")[0] if killed else None}
                for m, found, seconds, killed in results]  # fmt: skip
        summary = {"mutants": len(rows), "killed": len(rows) - len(alive), "total_s": round(total), "jobs": args.jobs}
        sys.path.insert(0, str(ROOT / "tests"))
        from machine import record  # not before: it imports the package, which copies must do themselves

        record(args.out, summary | {"results": rows}, "pytest", "hypothesis", "nbval")
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
