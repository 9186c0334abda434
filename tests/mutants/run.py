"""Put each mutant into a copy of the package and run the tests that must notice it.

``python tests/mutants/run.py [--only PART_OF_A_NAME] [--jobs 2] [--out docs/results/mutants.json]``

A mutant is killed when a test fails, on what it found or on the error that the wrong code ran into; not when the code
could not be imported. Before, all these tests are run without a mutant, for where they fail anyway nothing is shown.
Ends with 1 if one survives, or does not apply any more.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from listed import NOTEBOOK, ROOT, Mutant, load, mutated
from machine import record

TIMEOUT_S = 240
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


def command(folder: Path, tests: Iterable[str], report: Path) -> list[str]:
    """Return how tests are run in a copy: those of pytest, or notebooks as `nox -s notebooks` compares them."""
    usual = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    chosen = list(tests)
    if not chosen[0].startswith(NOTEBOOK):
        return [*usual, "--hypothesis-seed=0", *chosen]
    sanitize = folder / "tests" / "notebooks" / "sanitize.cfg"
    also = [f"--nbval-sanitize-with={sanitize}"] if sanitize.exists() else []
    found = [p for n in chosen for p in sorted((folder / "notebooks").glob(f"{n.removeprefix(NOTEBOOK)}_*.ipynb"))]
    return [*usual, "--nbval", "--nbval-current-env", *also, *map(str, found)]


def outcome(folder: Path, tests: Iterable[str]) -> str:
    """Run tests in a copy; return ``passed``, ``failed: …`` with the first failure, or what was in the way."""
    report = folder / "report.xml"
    path = os.pathsep.join([str(folder), str(folder / "tests")])
    # Threads of libraries would only fight with the other jobs; and no bytecode, or one run could see another's.
    env = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command(folder, tests, report), cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer in {TIMEOUT_S} s"
    if done.returncode == 0:
        return "passed"
    if done.returncode != 1:
        return f"pytest ended with {done.returncode}: {done.stdout[-1500:]}{done.stderr[-500:]}"
    for case in ET.parse(report).getroot().iter("testcase"):
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                said = " ".join(found.get("message", "").split())
                return f"not a program: {said}" if said.startswith(NO_CODE) else f"failed: {case.get('name')}: {said}"
    return "pytest failed, and no test did"


def judge(mutant: Mutant, template: Path) -> tuple[Mutant, str, float]:
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
        found = outcome(folder, mutant.kill_with)
    return mutant, found, time.perf_counter() - began


def unmutated(mutants: list[Mutant], template: Path) -> list[str]:
    """Return how the tests of these mutants end without one, if not well."""
    tests = sorted({t for m in mutants for t in m.kill_with})
    kinds = [[t for t in tests if t.startswith(NOTEBOOK)], [t for t in tests if not t.startswith(NOTEBOOK)]]
    ends = [outcome(template, kind) for kind in kinds if kind]
    return [end for end in ends if end != "passed"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where to record the result")
    args = parser.parse_args()
    mutants = [m for m in load() if args.only in m.name]
    if not mutants:
        print(f"No mutant's name holds {args.only!r}.")
        return 1
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as text, ThreadPoolExecutor(args.jobs) as pool:
        template = Path(text).resolve() / "template"
        copy(ROOT, template)
        compileall.compile_dir(str(template / "edgeprof"), quiet=1)
        if wrong := unmutated(mutants, template):
            print("Without any mutant the tests should pass:", *wrong, sep="\n")
            return 1
        results = []
        for mutant, found, seconds in pool.map(lambda m: judge(m, template), mutants):
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
        record(args.out, summary | {"results": rows}, "pytest", "hypothesis", "nbval")
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
