"""What was deployed, and whether it came up and passed its tests: tables of the evidence that ``ci/deploy`` leaves.

Evidence is a folder with ``deploy/*.json`` (one file per deployment) and ``junit/*.xml`` (of ``nox -s staging``), at
any depth: several machines' artifacts may lie beside each other.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edgeprof.errors import StorageError, unknown_name
from edgeprof.layout import file_sha256

__all__ = [
    "Evidence",
    "attempts_table",
    "current_table",
    "files_table",
    "history_table",
    "read_evidence",
    "tests_table",
]

SUITE = "environment"
"""The property of a JUnit suite by which it is known as tests of a deployment."""

_NEEDED = {"environment", "image", "begun", "result", "attempts", "rollback_attempts", "previous", "seconds"}
_NONE = "not known"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Deployments, the oldest first, and the results of tests of what was deployed."""

    deployments: tuple[dict[str, Any], ...]
    tests: pd.DataFrame
    files: tuple[Path, ...]
    folder: Path


def read_evidence(folder: str | Path = "", environment: str = "") -> Evidence:
    """Read a folder of evidence.

    Parameters
    ----------
    folder
        Empty: the sample that comes with edgeprof.
    environment
        Only the deployments of this one.

    Raises
    ------
    StorageError
        There is no deployment in it, or a file is damaged.
    UsageError
        Nothing was deployed to this environment; the message names the closest.
    """
    from edgeprof import resources

    at = Path(folder) if folder else resources.path("data/deployment")
    files = sorted(at.rglob("deploy/*.json"))
    if not files:
        raise StorageError(f"There is no deployment in {at}: ci/deploy writes deploy/*.json (--evidence). Was it run?")
    found = sorted((_deployment(path) for path in files), key=lambda d: str(d["begun"]))
    known = {str(d["environment"]) for d in found}
    if environment and environment not in known:
        raise unknown_name("environment in this evidence", environment, known)
    kept = tuple(d for d in found if environment in ("", d["environment"]))
    suites = sorted(at.rglob("junit/*.xml"))
    rows = [row for path in suites for row in _tests(path) if environment in ("", row["environment"])]
    tests = pd.DataFrame(rows, columns=["environment", "at", "test", "outcome", "seconds"])
    return Evidence(kept, tests, (*files, *suites), at)


def _deployment(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lacking = _NEEDED - set(content)
        _when(content["begun"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path} is not a record of ci/deploy: {error!r}.") from error
    if lacking:
        raise StorageError(f"{path} is not a record of ci/deploy: {', '.join(sorted(lacking))} missing.")
    return dict(content)


def _when(text: str) -> datetime:
    """Return a time; one that says no zone is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _tests(path: Path) -> list[dict[str, Any]]:
    """Return the tests of a JUnit file that say which environment they are of; other suites have no part in this."""
    try:
        # The file is pytest's own, and Python's parser reads no external entities.
        root = ET.parse(path).getroot()  # noqa: S314  # nosec B314
    except (OSError, ET.ParseError) as error:
        raise StorageError(f"{path} is not a JUnit file that can be read: {error}.") from error
    rows = []
    for suite in root.iter("testsuite"):
        told = {p.get("name"): p.get("value", "") for p in suite.findall("properties/property")}
        if SUITE in told:
            at = _when(suite.get("timestamp", "")).astimezone(UTC)
            rows += [
                {
                    "environment": told[SUITE],
                    "at": at,
                    "test": case.get("name", ""),
                    "outcome": _outcome(case),
                    "seconds": float(case.get("time", "nan")),
                }
                for case in suite.iter("testcase")
            ]
    return rows


def _outcome(case: ET.Element) -> str:
    return next((kind for kind in ("error", "failure", "skipped") if case.find(kind) is not None), "passed")


def _last(evidence: Evidence) -> dict[str, dict[str, Any]]:
    return {str(d["environment"]): d for d in evidence.deployments}


def _tests_since(evidence: Evidence, deployment: Mapping[str, Any]) -> pd.DataFrame:
    """Return the tests that were run on a deployment: older ones tested what was there before."""
    tests = evidence.tests[evidence.tests["environment"] == deployment["environment"]]
    since = np.array([at >= _when(deployment["begun"]) for at in tests["at"]], dtype=bool)
    found: pd.DataFrame = tests.loc[since]
    return found


def _verdict(deployment: Mapping[str, Any], tests: pd.DataFrame) -> str:
    if deployment["result"] != "deployed":
        return str(deployment["result"])
    if not (tests["outcome"] != "skipped").any():
        return "deployed, not tested"
    bad = int(tests["outcome"].isin(["error", "failure"]).sum())
    return f"deployed, {bad} test(s) failed" if bad else "deployed and tested"


def _health(attempts: list[dict[str, Any]]) -> str:
    if not attempts:
        return "never asked"
    last = attempts[-1]
    tries = f"{len(attempts)} attempt{'s' if len(attempts) > 1 else ''}"
    return f"{last['answer']} after {last['after_seconds']:.1f} s, {tries}"


def _image(name: str) -> tuple[str, str]:
    image, _, digest = name.partition("@")
    return image or _NONE, digest or _NONE


def _digest(name: str) -> str:
    """Return the beginning of an image's digest, as people compare them."""
    return _image(name)[1][: len("sha256:") + 12]


def current_table(evidence: Evidence) -> pd.DataFrame:
    """Return the last deployment of each environment: facts as rows, environments as columns, all text."""
    columns = {}
    for environment, deployment in _last(evidence).items():
        tests = _tests_since(evidence, deployment)
        image, digest = _image(str(deployment["image"]))
        columns[environment] = {
            "verdict": _verdict(deployment, tests),
            "image": image,
            "digest": digest,
            "version": deployment.get("version") or _NONE,
            "commit": deployment.get("commit") or _NONE,
            "when": f"{_when(deployment['begun']).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "took": f"{deployment['seconds']:.1f} s",
            "/health": _health(deployment["attempts"]),
            "tests": ", ".join(f"{n} {k}" for k, n in sorted(tests["outcome"].value_counts().items())) or "none",
            "why": deployment.get("why") or "–",
            "before it": _image(str(deployment["previous"]))[1],
        }
    return pd.DataFrame(columns).rename_axis("fact").reset_index()


def attempts_table(evidence: Evidence) -> pd.DataFrame:
    """Return every time that the last deployments' ``/health`` was asked, and of what was put back, all text."""
    rows = [
        {
            "environment": environment,
            "image": _digest(str(deployment[image])),
            "after": f"{attempt['after_seconds']:.2f} s",
            "answer": str(attempt["answer"]),
        }
        for environment, deployment in _last(evidence).items()
        for image, attempts in (("image", "attempts"), ("previous", "rollback_attempts"))
        for attempt in deployment[attempts]
    ]
    return pd.DataFrame(rows, columns=["environment", "image", "after", "answer"])


def tests_table(evidence: Evidence) -> pd.DataFrame:
    """Return the tests of the last deployments, what did not pass first, all text."""
    found = [_tests_since(evidence, deployment) for deployment in _last(evidence).values()]
    tests = pd.concat(found, ignore_index=True)
    tests = tests.assign(good=tests["outcome"] == "passed").sort_values("good", kind="stable")
    tests["seconds"] = [f"{seconds:.2f}" for seconds in tests["seconds"]]
    return tests[["environment", "test", "outcome", "seconds"]].reset_index(drop=True)


def history_table(evidence: Evidence) -> pd.DataFrame:
    """Return every deployment, the newest first, all text."""
    rows = [
        {
            "when": f"{_when(d['begun']).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "environment": str(d["environment"]),
            "version": d.get("version") or _NONE,
            "image": _digest(str(d["image"])),
            "result": str(d["result"]),
            "/health": _health(d["attempts"]),
        }
        for d in reversed(evidence.deployments)
    ]
    return pd.DataFrame(rows, columns=["when", "environment", "version", "image", "result", "/health"])


def files_table(evidence: Evidence) -> pd.DataFrame:
    """Return the files that were read, with their digests."""
    rows = [{"file": p.relative_to(evidence.folder).as_posix(), "sha256": file_sha256(p)} for p in evidence.files]
    return pd.DataFrame(rows, columns=["file", "sha256"])
