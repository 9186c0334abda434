"""The strict comparison of notebooks (nbval) is worth something: one wrong digit is noticed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprof import report

CHEAPEST = "02_inspect_run"
pytestmark = pytest.mark.slow


def compared(path: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook and compare its outputs, as CI does."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    return subprocess.run(
        [*command, "-c", str(path.parent / "pytest.ini"), f"--rootdir={path.parent}", str(path)],
        capture_output=True, text=True, timeout=300, check=False, cwd=path.parent,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    target = tmp_path / f"{CHEAPEST}.ipynb"
    target.write_bytes(report.list_notebooks()[CHEAPEST].read_bytes())
    return target


def change_a_digit(path: Path, mime: str) -> str:
    """Change the last digit of the first figure in the last output of a kind; return the line."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    outputs = [o["data"][mime] for c in notebook["cells"] for o in c.get("outputs", ()) if mime in o.get("data", {})]
    lines = outputs[-1]
    number = max(i for i, line in enumerate(lines) if re.search(r"\d\.\d", line))
    before = lines[number]
    lines[number] = re.sub(r"(\d\.)(\d)", lambda m: m[1] + str((int(m[2]) + 1) % 10), before, count=1)
    assert lines[number] != before
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return lines[number]


@pytest.mark.nightly
def test_the_stored_outputs_are_what_the_code_says(copy):
    done = compared(copy)
    assert done.returncode == 0, done.stdout[-3000:]


def test_one_wrong_digit_is_noticed(copy):
    wrong = change_a_digit(copy, "text/plain")
    done = compared(copy)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "1 failed" in done.stdout
    assert re.search(r"\d\.\d", wrong)[0] in done.stdout


@pytest.mark.nightly
def test_one_wrong_digit_in_html_is_noticed(copy):
    change_a_digit(copy, "text/html")
    assert compared(copy).returncode == 1
