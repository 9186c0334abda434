"""Write what ``nox -s nightly`` ran to docs/results, with the machine that it ran on: each test, and how long it took.

``EDGEPROF_RESULTS=docs/results nox -s nightly`` calls this after a run in which nothing failed.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from machine import record


def ran(reports: list[Path]) -> dict[str, Any]:
    """Return the tests of JUnit reports by name, with their seconds; those that did not run with the reason."""
    cases = [case for report in reports for case in ET.parse(report).getroot().iter("testcase")]
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
        raise SystemExit(f"{reports[0]} has no test that ran.")
    return {"passed": len(passed), "seconds": passed, "not_run": not_run}


def main() -> None:
    """Record reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record(args.out, ran(args.reports), "numpy", "pandas", "pyarrow", "scipy")


if __name__ == "__main__":
    main()
