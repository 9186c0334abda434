"""The sessions that run the list of checks: lint, ci-lint."""

from __future__ import annotations

import os
from pathlib import Path

import nox

from ci import tools
from ci.steps import install, pytest


@nox.session(tags=["test", "ci"])
def lint(session: nox.Session) -> None:
    """Check style, format, types, spelling, secrets, notebooks, workflows, container file and shell scripts."""
    install(session, "lint", "ci-lint")
    run_checks(session, *session.posargs)


@nox.session(name="ci-lint", tags=["ci"])
def ci_lint(session: nox.Session) -> None:
    """Check workflows, container file and shell scripts, and that these checks find what people break."""
    install(session, "lint", "ci-lint", "security", "sbom", "test")
    run_checks(session, "--ci")
    if groovy := tools.groovy(session):
        path = f"{Path(groovy).parent}{os.pathsep}{os.environ['PATH']}"  # its Node.js
        session.run(groovy, "--noserver", "--failon", "error", "Jenkinsfile", external=True, env={"PATH": path})
        session.env["NPM_GROOVY_LINT"] = groovy
    session.env["SEMGREP"] = tools.semgrep(session)
    pytest(session, "-n", "auto", "-m", "tools or not tools", "tests/ci")  # no other session runs that folder


def run_checks(session: nox.Session, *args: str) -> None:
    """Run checks of the list; without actionlint, which is noted then, all others."""
    session.env["ACTIONLINT"] = tools.actionlint(session)
    without = () if session.env["ACTIONLINT"] or args[:1] == ("actionlint",) else ("--without=actionlint",)
    session.run("python", "-m", "ci.checks", *without, *args)
