"""The session that judges what all others left in reports/."""

from __future__ import annotations

import json
import os

import nox

from ci.base import git
from ci.steps import IN_CI, PROFILE, ROOT, evidence, failed, install

PROFILES = ("offline", "hosted")


def older_than_the_commit() -> list[str]:
    """Return the evidence that cannot be of the commit that is checked out, for it was there before."""
    made = git(ROOT, "log", "-1", "--format=%ct")
    files = [path for path in (ROOT / "reports").rglob("*") if path.suffix in (".xml", ".json", ".sarif")]
    return [str(path.relative_to(ROOT)) for path in sorted(files) if made and path.stat().st_mtime < int(made)]


# On a laptop not every Python and tool is there: what is missing is in the list at the end, not a reason to be red.
@nox.session(name="quality-gate", tags=["ci"] if IN_CI else [])
def quality_gate(session: nox.Session) -> None:
    """Judge the evidence in reports/ by ci/quality.toml: ``-- hosted`` (the default on GitHub) or ``-- offline``."""
    profile = session.posargs[0] if session.posargs else PROFILE
    if profile not in PROFILES or len(session.posargs) > 1:
        session.error(f"The gate takes one profile, {' or '.join(PROFILES)}; not: {' '.join(session.posargs)}.")
    install(session)
    if needs := os.environ.get("NEEDS"):  # GitHub's, of every job
        (ROOT / "reports" / "needs.json").write_text(json.dumps(json.loads(needs)), encoding="utf-8")
    if stale := older_than_the_commit():
        listed = ", ".join(stale[:5]) + (f" and {len(stale) - 5} more" if len(stale) > 5 else "")
        # Only a warning: clocks differ between whoever commits and what runs.
        session.warn(f"Older than the commit that is judged: {listed}. Make them anew, or remove reports/.")
    out = evidence("quality")
    results = out / "results.json"
    results.unlink(missing_ok=True)  # a gate that does not come to an end has no verdict
    given = (f"profile={profile}", f"rules={ROOT / 'ci' / 'quality.toml'}")
    session.run(
        "python", "-m", "edgeprof", "report", "quality_report", str(ROOT / "reports"), f"--out={out}",
        *(part for pair in given for part in ("-p", pair)), silent=True,
    )  # fmt: skip
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    for row in found["reasons"]:
        session.log(f"{row['outcome']}: {row['evidence']}: {row['reason']}")
    session.log(f"Quality gate: {found['verdict']['text']}. The report: {out / 'report.html'}")
    if found["verdict"]["exit_code"]:
        failed(
            session, *(f"{row['evidence']}: {row['reason']}" for row in found["reasons"] if row["outcome"] == "fail")
        )
        session.error(f"The quality gate's verdict is {found['verdict']['verdict']}, for the reasons above.")
