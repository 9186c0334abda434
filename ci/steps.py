"""What nox's sessions share: what the machine offers, what could not be run, evidence, installing, pytest."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nox
from nox.command import CommandFailed

MATRIX = ("3.11", "3.12", "3.13", "3.14")
REQUIRED = ("3.11",)
"""Pythons without which CI fails. The first one is also where notebooks are compared strictly."""

ROOT = Path(__file__).parents[1]
PROJECT = nox.project.load_toml(str(ROOT / "pyproject.toml"))
CONSTRAINTS = "notebooks/constraints.txt"
NO_TESTS = 5
"""What pytest ends with when it selected no test."""

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
PROFILE = os.environ.get("EDGEPROF_PROFILE", "hosted" if "GITHUB_ACTIONS" in os.environ else "offline")
HOSTED = PROFILE == "hosted"
"""Whether everything is required (docs/quality.md), or what one machine can show."""


# Many container images set it, and uv compiles nothing when it installs: every process that a test starts would
# compile pandas and Jupyter anew, which more than doubles what a report costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# ---- what the machine offers ----


def expose_pyenv() -> None:
    """Let pyenv's interpreters be found: its shims answer only for versions that PYENV_VERSION names."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if "PYENV_VERSION" in os.environ or not versions.is_dir() or not shutil.which("pyenv"):
        return
    newest = {}
    for version in sorted(
        (p.name for p in versions.iterdir()), key=lambda v: [int(n) for n in v.split(".") if n.isdigit()]
    ):
        newest[".".join(version.split(".")[:2])] = version
    wanted = [newest[python] for python in MATRIX if python in newest]
    if wanted:
        os.environ["PYENV_VERSION"] = ":".join([*wanted, "system"])


def tell_uv() -> None:
    """Give uv the index and the certificates that pip was given: it does not read pip's configuration."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    told = dict(line.split("=", 1) for line in listed.stdout.splitlines() if "=" in line)
    for key, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("cert", "SSL_CERT_FILE"),
    ):
        for section in (":env:", "install", "global"):
            value = told.get(f"{section}.{key}", "").strip("'")
            usable = value and "://" in value if key != "cert" else Path(value).is_file()
            if usable and not value.startswith("file:"):
                os.environ.setdefault(variable, " ".join(value.split("\\n")).strip())


def answers(python: str) -> bool:
    """Return whether this version of Python can be started."""
    command = [f"python{python}", "-c", "import ssl"]
    return python == "{}.{}".format(*sys.version_info) or bool(
        shutil.which(command[0]) and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


expose_pyenv()
tell_uv()
PRESENT = [python for python in MATRIX if answers(python)]
ASKED = os.environ.get("EDGEPROF_PYTHONS", "").split() or MATRIX
"""Those of the matrix that are wanted here, where one machine runs all of it one after the other."""
PYTHONS = [python for python in MATRIX if python in ASKED and (python in PRESENT or (IN_CI and python in REQUIRED))]
PYTHONS = PYTHONS or ["{}.{}".format(*sys.version_info)]  # a newer one only: better than nothing
"""What a matrix session runs on. A required Python that is missing stays in, so that its session fails."""


# ---- what was not run ----

_not_run: dict[str, str] = {}
_failed: list[str] = []


def not_run(session: nox.Session, what: str, cure: str, *, always: bool = False) -> None:
    """Note that a check could not run; in CI that is a failure, unless it is ``always`` only noted."""
    _not_run[what] = cure
    if IN_CI and not always:
        session.error(f"{what}: not run, and this is CI. {cure}")
    session.warn(f"{what}: not run. {cure}")


def failed(session: nox.Session, *lines: str) -> None:
    """Note what failed, for the list at the end: a run of an hour is read from there."""
    _failed.extend(f"{session.name}: {line}" for line in lines)


def matrix(session: nox.Session) -> None:
    """Note the Pythons that a matrix session could not run on."""
    name = session.name.rsplit("-", 1)[0]
    for python in MATRIX:
        if python not in ASKED:
            _not_run[f"{name}-{python}"] = f"EDGEPROF_PYTHONS leaves it out: without it, nox -s {name}-{python}."
        elif python not in PRESENT:
            _not_run[f"{name}-{python}"] = (
                f"Install Python {python} so that `python{python}` starts it (pyenv will do)."
            )


@atexit.register
def _list_not_run() -> None:
    if _not_run:
        print("\nNot run:", *(f"  {what}: {cure}" for what, cure in sorted(_not_run.items())), sep="\n", flush=True)
    if _failed:
        print("\nFailed:", *(f"  {line}" for line in _failed), sep="\n", flush=True)


def own_version() -> str:
    """Return edgeprof's version, without edgeprof: nox's Python does not have it."""
    text = (ROOT / "edgeprof" / "_version.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


# ---- evidence ----


def evidence(kind: str) -> Path:
    """Return the folder below reports/ in which sessions leave what the quality gate judges."""
    folder = ROOT / "reports" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# ---- shared steps ----


def install(session: nox.Session, *groups: str, constraints: bool = False) -> None:
    """Install edgeprof from the clone, editable, with dependency groups of pyproject.toml."""
    pins = ["-c", CONSTRAINTS] if constraints else []
    session.install(*pins, "-e", ".", *(nox.project.dependency_groups(PROJECT, *groups) if groups else ()))


def pytest(session: nox.Session, *args: str, part: str = "") -> None:
    """Run pytest, then count what it skipped as not run. A test that is for one platform says ``only on …``."""
    if not run_pytest(session, *args, part=part):
        not_run(session, session.name, "No test was selected.")


def run_pytest(session: nox.Session, *args: str, part: str = "", covered: bool = False) -> bool:
    """Run pytest, note what it skipped; return whether there was a test. A second run of a session is a ``part``.

    Where it is ``covered``, the lines that it executes are noted, in the processes that it starts, too.
    """
    report = evidence("junit") / f"{session.name}{part}.xml"
    report.unlink(missing_ok=True)
    run, env = ["python", "-m", "pytest"], {}
    if covered:
        run[1:] = ["-m", "coverage", "run", "-m", "pytest"]
        env = {"COVERAGE_CORE": "sysmon", "COVERAGE_FILE": str(evidence("coverage") / f".coverage.{session.name}")}
        session.run("coverage", "erase", env=env)
    try:
        session.run(
            *run,
            f"--junitxml={report}",
            "--durations=15",
            "--durations-min=5",
            *args,
            *session.posargs,
            success_codes=[0, NO_TESTS],
            env=env,
        )
    except CommandFailed:
        failed(session, *failures(report))
        raise
    if covered:
        session.run("coverage", "combine", "--quiet", env=env)
    if not report.exists():
        return True  # nox --install-only runs nothing
    suites = ET.parse(report).getroot()
    reasons = [skip.get("message", "") for skip in suites.iter("skipped") if skip.get("type") == "pytest.skip"]
    for reason in sorted(set(reasons)):
        not_run(
            session,
            f"{session.name}, {reasons.count(reason)} test(s)",
            reason,
            always=reason.startswith("only on "),
        )
    return any(int(suite.get("tests", 0)) for suite in suites.iter("testsuite"))


def failures(report: Path) -> list[str]:
    """Return a line for each test that failed, of a JUnit report: which, and the first line of why."""
    if not report.exists():
        return ["pytest ended before it could say which tests failed"]
    found = []
    for case in ET.parse(report).getroot().iter("testcase"):
        for bad in (*case.iter("failure"), *case.iter("error")):
            why = (bad.get("message") or "").strip().partition("\n")[0]
            found.append(f"{case.get('classname')}::{case.get('name')}: {why[:300]}")
    return found or ["no test failed: pytest itself did"]


def pytest_on_all_cores(session: nox.Session, marks: str, *places: str, covered: bool = False) -> None:
    """Run pytest on all cores, then once more for what minds the clock and must not have others beside it.

    ``places`` are files and folders of tests.
    """
    # In the order of the folders, so that what takes longest does not begin last.
    xdist = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder", "-m", f"({marks}) and not alone")
    broken, together = None, True
    try:
        together = run_pytest(session, *xdist, *places, covered=covered)
    except CommandFailed as error:
        broken = error  # one run tells of all that fails
    # Of those files alone that have such a test: to look into all of them takes a quarter of a minute.
    files = [file for place in places for file in alone(ROOT / place)]
    apart = bool(files) and run_pytest(session, "-m", f"({marks}) and alone", *files, part="-alone")
    if not apart and not together:
        not_run(session, session.name, "No test was selected.")
    if broken:
        raise broken


def alone(place: Path) -> list[str]:
    """Return the files of a folder, or the file itself, in which a test is marked ``alone``."""
    files = sorted(place.rglob("test_*.py")) if place.is_dir() else [place]
    return [str(file) for file in files if "mark.alone" in file.read_text(encoding="utf-8")]


def folders(*names: str) -> list[str]:
    """Return those of the folders below tests/ that hold tests."""
    return [f"tests/{name}" for name in names if any((ROOT / "tests" / name).rglob("test_*.py"))]
