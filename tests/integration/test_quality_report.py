"""The quality report: the notebook run by papermill through `edgeprof report`, on good evidence and on bad."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import quality_evidence as q

from edgeprof.errors import CellError, StorageError
from edgeprof.report import find_notebook, make_report

pytestmark = pytest.mark.slow


def report(reports: Path | None, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    given = [] if reports is None else [str(reports)]
    command = [sys.executable, "-m", "edgeprof", "report", "quality_report", *given, "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_all_good_under_hosted(tmp_path):
    done = report(q.good(tmp_path / "reports"), tmp_path / "out", "-p", "profile=hosted")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert content["parameters"]["reports"] == str(tmp_path / "reports")
    assert content["inputs"] == {"data": "", "sha256": None}, "no data set was read"
    results = content["results"]
    assert results["verdict"]["verdict"] == "pass" and results["verdict"]["exit_code"] == 0
    assert results["verdict"]["thresholds"]["coverage_threshold_percent"] == 80
    assert {row["outcome"] for row in results["evidence"]} == {"pass"}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 3 and "pass, by the profile hosted" in page


def test_bad_evidence_makes_a_report_that_says_so(tmp_path):
    """The report is made, and its exit code is that of making it: the verdict is in results.json."""
    reports = q.good(tmp_path / "reports")
    q.change_json(reports, "coverage", lambda data: data["totals"].update(percent_covered=79.9))
    (reports / q.path_of("trivy")).unlink()
    for folder in ("junit", "windows", "macos"):
        shutil.rmtree(reports / folder)
    q.change_json(reports, "benchmarks against base", lambda data: data.update(results=[]))
    done = report(reports, tmp_path / "out", "-p", "profile=hosted")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["results"]
    assert (results["verdict"]["verdict"], results["verdict"]["exit_code"]) == ("fail", 1)
    assert results["headline"]["tests_failed"] is None
    reasons = {row["evidence"]: row["reason"] for row in results["reasons"]}
    assert "79.90 % is covered" in reasons["coverage"]
    assert "No file matches" in reasons["tests on Python 3.11"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "79.90 % is covered; wanted at least 80 %." in page


def test_without_reports_it_shows_the_sample(tmp_path):
    done = report(None, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["results"]
    assert (results["verdict"]["verdict"], results["verdict"]["exit_code"]) == ("incomplete here", 0)
    assert results["headline"]["known_faults"] is None


def test_wrong_use_says_what_to_do(tmp_path):
    notebook = find_notebook("quality_report")
    with pytest.raises(StorageError, match="There is no evidence at none: the folder does not exist. nox's sessions"):
        make_report(notebook, tmp_path / "out", {"reports": "none"})
    with pytest.raises(CellError, match=r"no profile 'hostd'. Did you mean 'hosted'\?") as raised:
        make_report(notebook, tmp_path / "out", {"profile": "hostd"})
    assert raised.value.exit_code == 3
