"""Sessions that measure edgeprof itself: its figures here, and whether a change made it slower."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox

from ci.base import ANYBODYS, base_of, commit, git
from ci.steps import ROOT, evidence, install, not_run, pytest


@nox.session(tags=["ci"])
def benchmarks(session: nox.Session) -> None:
    """Measure what a user waits for."""
    install(session, "benchmark")
    own = ("--confcutdir=tests/benchmarks", "tests/benchmarks")
    report = evidence("performance") / "benchmark.json"
    pytest(session, "-m", "benchmarks and not alone", f"--benchmark-json={report}", *own)


@nox.session(name="planted-slowdown", tags=["nightly"])
def planted_slowdown(session: nox.Session) -> None:
    """Show that a slowdown of a fifth would be found; only a machine that does nothing else can settle it."""
    install(session, "benchmark")
    pytest(session, "-m", "benchmarks and alone", "--confcutdir=tests/benchmarks", "tests/benchmarks")


@nox.session(tags=["nightly"])
def regression(session: nox.Session) -> None:
    """Compare this commit's speed with the base's; ``-- COMMIT`` names another base."""
    base = base_of(ROOT, session.posargs, os.environ)
    if not base:
        asked = f"There is no commit {session.posargs[0]}" if session.posargs else "There is no commit before this one"
        not_run(session, "regression", f"{asked} in this clone: git fetch --unshallow.")
        return
    install(session, "benchmark")
    with checked_out(session, base) as folder:
        for side, source in (("base", folder / "source"), ("head", ROOT)):
            # Without dependencies: both sides run on head's, so that only the project's own code and firmware differ.
            session.install("--no-deps", f"--target={folder / side}", str(source))
        words = (f"--base={folder / 'base'}", f"--head={folder / 'head'}", f"--out={evidence('performance').parent}")
        session.run("python", "tests/benchmarks/regression.py", *words, "--commits", base, commit(ROOT, "HEAD"))


@contextmanager
def checked_out(session: nox.Session, base: str) -> Iterator[Path]:
    """Check a commit out into the folder ``source`` of a temporary one."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        git(ROOT, "worktree", "prune")  # what a session that was killed has left
        session.run(
            "git", *ANYBODYS, "worktree", "add", "--detach", "--quiet", str(folder / "source"), base, external=True
        )
        try:
            yield folder
        finally:
            git(ROOT, "worktree", "remove", "--force", str(folder / "source"))
