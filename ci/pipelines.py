"""Sessions that run GitLab's pipeline on this machine: the whole of it, or the way through its first job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nox

from ci.base import ANYBODYS
from ci.steps import MATRIX, PYTHONS, ROOT, evidence, not_run
from ci.tracked import tracked

TOOLS = ("node@24", "gitlab-ci-local@4.75.1")  # the runner does not start on older Node.js
CACHE = Path.home() / ".cache"
FLAGS = (
    "--force-shell-executor", "--shell-isolation", "--no-color", "--concurrency", "1",
    "--variable", f"UV_CACHE_DIR={CACHE / 'uv'}", "--variable", f"PIP_CACHE_DIR={CACHE / 'pip'}",
)  # fmt: skip


def runner(session: nox.Session) -> dict[str, str] | None:
    """Install gitlab-ci-local; return the environment that it runs in, or None where it cannot."""
    missing = [name for name in ("npm", "rsync", "git") if not shutil.which(name)]
    if missing:
        not_run(session, session.name, f"Install {', '.join(missing)}: apt-get install nodejs npm rsync git.")
        return None
    tools = Path(session.create_tmp()).resolve() / "npm"
    session.run("npm", "install", "--silent", "--no-save", f"--prefix={tools}", *TOOLS, external=True)
    # A job is a build of its own: nothing of the session that starts it is meant for it.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOX_", "VIRTUAL_ENV"))}
    return kept | {"PATH": f"{tools / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"}


def clone(session: nox.Session, name: str) -> Path:
    """Return a clone, or a repository of one commit where there is none, with a remote as GitLab's have."""
    folder = Path(session.create_tmp()).resolve() / name
    shutil.rmtree(folder, ignore_errors=True)
    git = ("git", "-C", str(folder))
    cloned = ["git", *ANYBODYS, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)]
    if subprocess.run(cloned, capture_output=True, check=False).returncode:  # no repository: sources only
        for file in tracked(ROOT):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
        session.run(*git, "init", "--quiet", "--initial-branch=main", external=True)
    session.run(*git, "config", "remote.origin.url", "https://example.invalid/group/edgeprof.git", external=True)
    for key, value in (("user.name", "nobody"), ("user.email", "nobody@example.invalid")):
        session.run(*git, "config", key, value, external=True)
    if subprocess.run([*git, "rev-parse", "--verify", "HEAD"], capture_output=True, check=False).returncode:
        commit(folder, "Begin")
        plant(folder, ".gitignore", "\n")  # a second commit, so that there is one before it to compare with
    return folder


def pipeline(folder: Path, env: dict[str, str], *jobs: str) -> tuple[bool, str]:
    """Run jobs of a clone's pipeline, or all of them; return whether they passed, and what they said."""
    command = ["gitlab-ci-local", *FLAGS, *jobs]
    ended = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return ended.returncode == 0, ended.stdout


def plant(folder: Path, file: str, text: str) -> None:
    """Commit a fault into a clone."""
    path = folder / file
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")
    commit(folder, "Plant a fault")


def of_these_pythons(session: nox.Session, folder: Path) -> None:
    """Take out of a clone's matrix the Pythons that this machine does not run: GitLab has an image of each."""
    path = folder / ".gitlab-ci.yml"
    whole = path.read_text(encoding="utf-8")
    listed = "TESTED_PYTHON: [" + ", ".join(f'"{python}"' for python in MATRIX if python != "3.14") + "]"
    if listed not in whole:
        session.error(f".gitlab-ci.yml has no {listed}.")
    kept = [python for python in PYTHONS if f'"{python}"' in listed]
    for python in MATRIX:
        if python not in kept and f'"{python}"' in listed:
            not_run(
                session, f"GitLab's jobs of Python {python}", "EDGEPROF_PYTHONS or this machine lacks it.", always=True
            )
    path.write_text(whole.replace(listed, f"TESTED_PYTHON: {json.dumps(kept)}"), encoding="utf-8")
    if path.read_text(encoding="utf-8") != whole:
        commit(folder, "Take the Pythons of this machine")


def commit(folder: Path, message: str) -> None:
    """Commit all that a clone holds."""
    subprocess.run(["git", "-C", str(folder), "add", "--all"], check=True)
    subprocess.run(["git", "-C", str(folder), "commit", "--quiet", "--no-verify", "-m", message], check=True)


def expect(session: nox.Session, folder: Path, env: dict[str, str], job: str, fault: str) -> None:
    """Expect a job to be red, for the fault that was planted and for nothing else."""
    passed, said = pipeline(folder, env, job)
    if passed or fault not in said:
        print(said)
        session.error(f"{job} should have failed with {fault!r}, and it {'passed' if passed else 'did not'}.")
    session.log(f"{job}: red, as it must be ({fault})")


@nox.session(name="gitlab-lint", tags=["ci"])
def gitlab_lint(session: nox.Session) -> None:
    """Run the first job of GitLab's pipeline on a clone: green as it is, red with a fault."""
    env = runner(session)
    if env is None:
        return
    folder = clone(session, "clone")
    passed, said = pipeline(folder, env, "lint")
    if not passed:
        print(said)
        session.error("lint failed on what is committed.")
    session.log("lint: green")
    plant(folder, "edgeprof/units.py", "import os\n")
    expect(session, folder, env, "lint", "F401")


@nox.session(tags=["nightly"])
def gitlab(session: nox.Session) -> None:
    """Run GitLab's whole pipeline on a clone (an hour); then a failing test and a missed threshold must turn it red."""
    if len(PYTHONS) < 2:  # coverage is noted on a newer one than the oldest
        hosted = "GITHUB_ACTIONS" in os.environ
        not_run(session, session.name, "It takes the oldest Python and a newer one: pyenv will do.", always=hosted)
        return
    env = runner(session)
    if env is None:
        return
    folder = clone(session, "clone")
    of_these_pythons(session, folder)
    passed, said = pipeline(folder, env)
    (evidence("gitlab") / "pipeline.log").write_text(said, encoding="utf-8")
    print(said[-5000:])
    if not passed:
        session.error(f"The pipeline failed: {evidence('gitlab') / 'pipeline.log'}")
    plant(folder, "tests/unit/test_planted.py", "def test_planted():\n    assert 1 == 2\n")
    expect(session, folder, env, "unit", "test_planted")
    rules = (folder / "ci" / "quality.toml").read_text(encoding="utf-8")
    (folder / "ci" / "quality.toml").write_text(
        rules.replace("coverage_threshold_percent = 80", "coverage_threshold_percent = 100"), encoding="utf-8"
    )
    plant(folder, "reports.txt", "\n")
    expect(session, folder, env, "quality-gate", "coverage")
