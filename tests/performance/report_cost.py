"""What a report costs beside a bare papermill run of the same notebook, each in a fresh interpreter.

python tests/performance/report_cost.py --out docs/results/report.json
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from machine import record  # noqa: E402

from edgeprof import reference  # noqa: E402
from edgeprof.parameters import list_notebooks  # noqa: E402

NOTEBOOKS = ("02_inspect_run", "03_compare_quantizations")
BARE = """\
import sys, papermill
notebook, out, data = sys.argv[1:]
papermill.execute_notebook(notebook, out, {"data": data}, kernel_name="python3", progress_bar=False)
"""


def seconds(command: list[str]) -> tuple[float, float]:
    """Return how long a command takes, and how much processor time of its own and its kernel's."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def measured(name: str, rounds: int = 3) -> dict[str, Any]:
    """Return the seconds of both for a notebook, taken in turns so that a busy machine hits both.

    The ratio is the median of each round's: what a round shares cancels out.
    """
    notebook = str(list_notebooks()[name])
    taken: dict[str, list[tuple[float, float]]] = {"bare": [], "report": []}
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "bare": [sys.executable, "-c", BARE, notebook, f"{folder}/bare.ipynb", reference()],
            "report": [sys.executable, "-m", "edgeprof", "report", notebook, reference(), "--out", f"{folder}/report"],
        }
        seconds(commands["bare"])  # fills the disk's cache
        for number in range(rounds):
            for kind in ("bare", "report") if number % 2 else ("report", "bare"):
                taken[kind].append(seconds(commands[kind]))
        size = Path(folder, "report", "report.html").stat().st_size
    figures: dict[str, Any] = {"page_bytes": size}
    for at, what in enumerate(("wall", "cpu")):
        bare, report = ([one[at] for one in taken[kind]] for kind in ("bare", "report"))
        figures |= {
            f"papermill_{what}_s": round(statistics.median(bare), 2),
            f"report_{what}_s": round(statistics.median(report), 2),
            f"{what}_ratio": round(statistics.median(r / b for r, b in zip(report, bare, strict=True)), 3),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--notebook", nargs="+", default=NOTEBOOKS)
    args = parser.parse_args()
    result = {name: measured(name, args.rounds) for name in args.notebook}
    record(args.out, {"rounds": args.rounds, "notebooks": result}, "papermill", "nbconvert")
    print(result)


if __name__ == "__main__":
    main()
