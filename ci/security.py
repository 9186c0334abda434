"""The session ``security``: dangerous code, secrets, unsafe workflows, known faults in what is depended on."""

from __future__ import annotations

import json
from pathlib import Path

import nox
from nox.command import CommandFailed

from ci import audits, sarif, tools
from ci.steps import HOSTED, ROOT, evidence, install, not_run

RULES = ".semgrep"
OURS = ("edgeprof", "ci", "noxfile.py")
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-testing.lock")
"""What is shipped, what builds it, and what it is tested with, in the versions that are used."""


@nox.session(tags=["security", "ci"])
def security(session: nox.Session) -> None:
    """Look for dangerous code (bandit, semgrep), secrets, unsafe workflows (zizmor), known faults (pip-audit)."""
    install(session, "security")
    folder = evidence("security")
    for old in folder.glob("*"):
        old.unlink()  # what is not made today is not there
    bandit = ["bandit", "--quiet", "--recursive", "--configfile=pyproject.toml", "--format=sarif", "--exit-zero"]
    semgrep = [tools.semgrep(session), "scan", "--metrics=off", "--disable-version-check", "--quiet"]
    zizmor = [
        "zizmor",
        "--offline",
        "--no-progress",
        "--format=sarif",
        ".github",
    ]  # so it ends with 0 for findings, too
    to = {name: folder / f"{name}.sarif" for name in ("bandit", "semgrep", "zizmor")}
    session.run(*bandit, f"--output={to['bandit']}", "edgeprof")
    semgrep += [f"--config={RULES}", "--sarif", f"--sarif-output={to['semgrep']}"]
    session.run(*semgrep, *OURS, external=True, silent=True)  # it says on the screen what it writes
    to["zizmor"].write_text(str(session.run(*zizmor, silent=True, log=False, stderr=None)), encoding="utf-8")
    failed = [name for name, path in to.items() if found(session, name, path)]
    if not succeeds(session, "python", "-m", "ci.secrets", f"--report={folder / 'secrets.json'}"):
        failed.append("detect-secrets")
    if not audit(session, folder / "pip-audit.json"):
        failed.append("pip-audit")
    if failed:
        session.error(f"Found something: {', '.join(failed)}")


def found(session: nox.Session, name: str, path: Path) -> list[str]:
    """Return what a tool left as SARIF, after it was shown."""
    lines = sarif.findings(json.loads(path.read_text(encoding="utf-8")))
    session.log(f"{name}: {len(lines)} findings")
    for line in lines:
        session.warn(line)
    return lines


def succeeds(session: nox.Session, *command: str) -> bool:
    """Run a command; return whether it ended well."""
    try:
        session.run(*command)
    except CommandFailed:
        return False
    return True


def audit(session: nox.Session, report: Path) -> bool:
    """Ask for known faults of what the images are locked to; return whether none is known. Not run is no clean."""
    # Without --strict, which writes no report when it gives up; what it would give up for is judged here.
    args = ["--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json", f"--output={report}"]
    args += [f"--requirement={ROOT / 'ci' / name}" for name in LOCKS]
    if not succeeds_or_finds(session, "pip-audit", *args) or not report.exists():
        report.write_text(json.dumps({"dependencies": [], "fixes": []}) + "\n", encoding="utf-8")
    judged = audits.judge(json.loads(report.read_text(encoding="utf-8")))
    session.log(f"pip-audit: {judged}")
    if judged.verdict in ("not run", "incomplete"):
        what = f"pip-audit of {len(judged.unknown) or 'all'} packages"
        reason = "The advisory service did not know them or could not be asked. Run it where it can be reached."
        not_run(session, what, reason, always=not HOSTED)
    return judged.verdict != "faulty"


def succeeds_or_finds(session: nox.Session, *command: str) -> bool:
    """Run a command that ends with 1 where it finds something; return whether it did its work."""
    try:
        session.run(*command, success_codes=[0, 1], silent=True)
    except CommandFailed:
        return False
    return True
