"""Sessions for what only a host of repositories has: labels, releases, a Conda environment on its machines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

from ci.steps import ROOT, not_run

GATE = "Quality Gate"
MAY_MERGE = ("admin", "maintain", "write")


def needed(session: nox.Session, *names: str) -> list[str]:
    """Return the values of environment variables, all of which have to be there."""
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        session.error(f"{session.name} needs the environment variables {', '.join(missing)}; the workflow sets them.")
    return [os.environ[name] for name in names]


def asked(session: nox.Session, *command: str) -> str:
    """Return what GitHub's command line tool says; its refusal ends the session."""
    if not shutil.which("gh"):
        session.error("GitHub's command line tool `gh` is not here: https://cli.github.com")
    ended = subprocess.run(["gh", *command], capture_output=True, text=True, check=False)
    if ended.returncode:
        session.error(f"gh {' '.join(command)}: {ended.stderr.strip() or ended.stdout.strip()}")
    return ended.stdout.strip()


@nox.session(name="auto-merge", venv_backend="none")
def auto_merge(session: nox.Session) -> None:
    """Have GitHub merge a pull request of this repository once all it requires is there (needs gh and its token)."""
    pull_request, who, repository = needed(session, "PULL_REQUEST", "LABELLED_BY", "GITHUB_REPOSITORY")
    permission = asked(session, "api", f"repos/{repository}/collaborators/{who}/permission", "--jq", ".role_name")
    if permission not in MAY_MERGE:
        session.error(f"{who} may not ask for a merge: the role is {permission or 'none'}, not {', '.join(MAY_MERGE)}.")
    seen = json.loads(asked(session, "pr", "view", pull_request, "--json", "isCrossRepository,isDraft,state"))
    if seen["isCrossRepository"]:
        session.error("The pull request comes from a fork: somebody has to merge it by hand.")
    if seen["isDraft"] or seen["state"] != "OPEN":
        session.error(f"The pull request is {'a draft' if seen['isDraft'] else seen['state'].lower()}.")
    asked(session, "pr", "merge", "--auto", "--squash", pull_request)
    session.log("GitHub merges it once every required check and review is there.")


@nox.session(name="gate-passed", venv_backend="none")
def gate_passed(session: nox.Session) -> None:
    """Require that the Quality Gate has passed a commit (needs gh and its token)."""
    commit, repository = needed(session, "COMMIT", "GITHUB_REPOSITORY")
    query = f"repos/{repository}/commits/{commit}/check-runs?check_name={GATE.replace(' ', '%20')}&filter=latest"
    found = asked(session, "api", query, "--jq", ".check_runs[].conclusion").split()
    if not found or set(found) != {"success"}:
        session.error(f"{GATE} of {commit}: {', '.join(found) or 'it never ran'}. Only what it has passed is released.")
    session.log(f"{GATE} has passed {commit}.")


def release_notes(changelog: str, version: str) -> str:
    """Return a version's part of the changelog; empty where it has none."""
    parts = re.split(r"^## \[([^\]]+)\].*$", changelog, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()


@nox.session(name="release-draft", venv_backend="none")
def release_draft(session: nox.Session) -> None:
    """Draft the release of a tag, its notes from CHANGELOG.md (needs gh and its token)."""
    (tag,) = needed(session, "GITHUB_REF_NAME")
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tag.removeprefix("v"))
    if not notes:
        session.error(f"CHANGELOG.md has no part ## [{tag.removeprefix('v')}]: write it before the tag.")
    file = Path(session.create_tmp()).resolve() / "notes.md"
    file.write_text(notes + "\n", encoding="utf-8")
    asked(session, "release", "create", tag, "--draft", "--verify-tag", f"--title={tag}", f"--notes-file={file}")


@nox.session
def dist(session: nox.Session) -> None:
    """Build the packages that are published into dist/, and check what the index will say about them."""
    session.install("build", "twine")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist", ".")
    session.run("twine", "check", "--strict", *map(str, sorted((ROOT / "dist").iterdir())))
    version = os.environ.get("GITHUB_REF_NAME", "").removeprefix("v")
    if os.environ.get("GITHUB_REF_TYPE") == "tag" and not list((ROOT / "dist").glob(f"edgeprof-{version}-*.whl")):
        session.error(f"The tag says {version}, edgeprof/_version.py something else.")


@nox.session(venv_backend="none")
def conda(session: nox.Session) -> None:
    """Create environment.yml's environment, run the demo in it, then `make demo` (needs micromamba, mamba or conda)."""
    at = Path(os.environ.get("CONDA", "/nonexistent")) / "bin"
    tool = next(filter(None, map(shutil.which, ("micromamba", "mamba", "conda", str(at / "conda")))), None)
    if tool is None:
        not_run(session, "conda", "Install micromamba: https://mamba.readthedocs.io")
        return
    folder = Path(session.create_tmp()).resolve() / "env"
    shutil.rmtree(folder, ignore_errors=True)
    create = ["env", "create"] if Path(tool).name == "conda" else ["create"]
    session.run(tool, *create, "--yes", "--file", "environment.yml", "--prefix", str(folder), external=True)
    # What is in it, and then the README's command, which makes an environment of its own with this Python.
    own = Path(session.create_tmp()).resolve() / "demo"
    shutil.rmtree(own, ignore_errors=True)
    session.run(tool, "run", "--prefix", str(folder), "edgeprof", "demo", "--out", str(own), external=True)
    session.run(
        tool, "run", "--prefix", str(folder), "make", "demo", f"PYTHON={folder / 'bin' / 'python'}", external=True
    )
    for report in (own / "report.html", ROOT / "demo-out" / "report.html"):
        if "</html>" not in report.read_text(encoding="utf-8"):
            session.error(f"{report} is not a whole page.")
