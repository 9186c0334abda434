"""Write what ``nox -s nightly`` ran to docs/results, with the machine that it ran on: each test, and how long it took.

``EDGEPROF_RESULTS=docs/results nox -s nightly`` calls this after a run in which nothing failed.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from machine import record


def ran(report: Path) -> dict[str, Any]:
    """Return the tests of a JUnit report by name, with their seconds; those that did not run with the reason."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    passed, not_run = {}, {}
    for case in cases:
        name = f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"
        if any(case.iter("failure")) or any(case.iter("error")):
            raise SystemExit(f"{name} failed: there is nothing to record.")
        skips = list(case.iter("skipped"))
        if skips:
            not_run[name] = skips[0].get("message", "")
        else:
            passed[name] = round(float(case.get("time", "0")), 1)
    if not passed:
        raise SystemExit(f"{report} has no test that ran.")
    return {"passed": len(passed), "seconds": passed, "not_run": not_run}


def main() -> None:
    """Record a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record(args.out, ran(args.report), "numpy", "pandas", "pyarrow", "scipy")


if __name__ == "__main__":
    main()
