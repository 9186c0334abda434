"""JUnit XML: what a test run passed, failed and skipped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, UnreadableError, counted, listed

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["ELSEWHERE", "Run", "judge", "read", "session_of"]

ELSEWHERE = "only on "
"""A reason to skip that begins so is of a test for another platform: nothing that was to be run here was left out."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of tests: how many there are, which failed, and the reasons of those that were skipped."""

    tests: int
    failed: tuple[str, ...]
    skipped: tuple[str, ...]


def read(content: str) -> Run:
    """Return what a JUnit file says.

    Raises
    ------
    UnreadableError
        It is no XML, or not JUnit's.
    """
    if not content.strip():
        raise UnreadableError("it is empty")
    if "<!DOCTYPE" in content or "<!ENTITY" in content:  # JUnit has neither, and entities can grow without end
        raise UnreadableError("it declares a document type, which JUnit has none of")
    try:
        root = ET.fromstring(content)  # noqa: S314  # nosec B314 - it has no entities
    except (ET.ParseError, ValueError) as error:
        raise UnreadableError(f"it is no XML ({error})") from error
    if root.tag not in ("testsuites", "testsuite"):
        raise UnreadableError(f"its outermost element is {root.tag}, not testsuites")
    cases = list(root.iter("testcase"))
    failed = [_failure(case, bad) for case in cases for bad in case if bad.tag in ("failure", "error")]
    claimed = sum(_attribute(suite, key) for suite in root.iter("testsuite") for key in ("failures", "errors"))
    failed += ["a test that is counted, but not listed"] * max(claimed - len(failed), 0)
    skips = [skip for case in cases for skip in case if skip.tag == "skipped" and skip.get("type") != "pytest.xfail"]
    return Run(len(cases), tuple(failed), tuple(_reason(skip) for skip in skips))


def _attribute(suite: ET.Element, key: str) -> int:
    try:
        return int(suite.get(key, "0"))
    except ValueError:
        raise UnreadableError(f"{key} of a test suite is {suite.get(key)!r}, not a count") from None


def _failure(case: ET.Element, bad: ET.Element) -> str:
    name = "::".join(filter(None, (case.get("classname"), case.get("name")))) or "a test without a name"
    said = " ".join((bad.get("message") or "").split())
    return f"{name} ({said[:120]})" if said else name


def _reason(skip: ET.Element) -> str:
    """Return why a test was skipped; of a whole module pytest says it in the text."""
    said = skip.get("message") or ""
    whole = re.search(r"Skipped: (.*?)['\"]\)\s*$", skip.text or "", re.DOTALL)
    return whole[1] if said in ("", "collection skipped") and whole else said or "no reason given"


def judge(found: Sequence[tuple[str, Run]], limits: Limits) -> Reading:
    """Judge the runs of one session: no test failed, there was one, and none was left out."""
    del limits
    runs = [run for _, run in found]
    tests, failed = sum(run.tests for run in runs), [name for run in runs for name in run.failed]
    skipped = Counter(reason for run in runs for reason in run.skipped)
    left = {reason: n for reason, n in skipped.items() if not reason.startswith(ELSEWHERE)}
    elsewhere, ran = skipped.total() - sum(left.values()), tests - skipped.total()
    bad, unsettled = [], []
    if failed:
        bad.append(f"{len(failed)} of {counted(tests, 'test')} failed; wanted none: {listed(failed)}. Mend them.")
    if not tests:
        bad.append("There is no test in it; wanted at least one. Look at what selected none.")
    elif ran <= 0 and not left:
        bad.append(f"All {tests:,} tests are for other platforms; wanted at least one that ran.")
    unsettled += [f"{counted(n, 'test')} not run: {reason.rstrip('. ')}." for reason, n in sorted(left.items())]
    parts = [f"{counted(ran, 'test')} run", f"{len(failed):,} failed"]
    parts += [f"{sum(left.values()):,} not run"] if left else []
    parts += [f"{elsewhere:,} for other platforms"] if elsewhere else []
    return Reading(", ".join(parts), tuple(bad), tuple(unsettled), rows=tuple(_row(*each) for each in found))


def _row(name: str, run: Run) -> dict[str, str | int]:
    elsewhere = sum(reason.startswith(ELSEWHERE) for reason in run.skipped)
    passed = max(run.tests - len(run.skipped) - len(run.failed), 0)
    return {
        "session": session_of(name), "passed": passed, "failed": len(run.failed),
        "not_run": len(run.skipped) - elsewhere, "elsewhere": elsewhere,
    }  # fmt: skip


def session_of(name: str) -> str:
    """Return what to call the session that left a file.

    Examples
    --------
    >>> session_of("junit/tests-3.11.xml"), session_of("windows-3.12/junit/unit.xml")
    ('tests-3.11', 'windows-3.12/unit')
    """
    path = PurePosixPath(name)
    return "/".join([*(part for part in path.parts[:-1] if part != "junit"), path.stem])
