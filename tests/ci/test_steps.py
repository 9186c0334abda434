"""What a session that runs tests says of those that failed, by a real nox."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NOXFILE = f"""
import sys
from pathlib import Path
import nox
sys.path.insert(0, {str(ROOT)!r})
from ci import steps
steps.ROOT = Path(__file__).parent

@nox.session(python=False)
def tried(session):
    steps.pytest_on_all_cores(session, "not nothing", "test_it.py")
"""
TESTS = """
import pytest

def test_good():
    pass

def test_bad():
    assert 1 == 2, "one is not two"

@pytest.mark.alone
def test_bad_alone():
    raise OSError("no room")
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Return the folder of a session that ran where nothing was to be compiled for good, and how it ended."""
    folder = tmp_path_factory.mktemp("tried")
    (folder / "noxfile.py").write_text(NOXFILE, encoding="utf-8")
    (folder / "test_it.py").write_text(TESTS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone\n    nothing\n", encoding="utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [sys.executable, "-m", "nox", "-s", "tried"], cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return folder, done


@pytest.mark.slow
def test_all_that_failed_is_listed_at_the_end(tried):
    _, done = tried
    assert done.returncode == 1
    listed = done.stdout.split("\nFailed:\n")[1].splitlines()
    assert listed == [
        "  tried: test_it::test_bad: AssertionError: one is not two",
        "  tried: test_it::test_bad_alone: OSError: no room",
    ]


@pytest.mark.slow
def test_what_a_session_s_processes_compile_is_kept(tried):
    folder, _ = tried
    assert list(folder.glob("__pycache__/test_it.*.pyc"))
