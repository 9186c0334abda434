"""House rules of the workflows that no public linter knows.

``python tests/ci/workflow_rules.py [--scripts DIR] FILE…`` prints findings, a line each, and ends with 1 if there is
one. ``--scripts`` writes what the files run to DIR, a script each, for shellcheck.

The rules: every step runs one nox session, or sets up what nox needs, in one line; actions are those of ``ACTIONS`` at
the commit that stands there, with the version beside it; nothing is permitted at the top, every job says what it may
and has a time limit; a checkout keeps no credentials; a workflow says what becomes of an older run of its own. What
follows another run asks whose it was, a machine of one's own runs no pull request, the gate looks at every job. Nothing
may fail unseen: no `continue-on-error`, no condition on a step that does work. Every line that a job of a GitLab
pipeline runs is judged the same way.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = {
    "actions/attest": ("1e69f48acb82d1966a394da916b4c1698aa569d6", "v4.2.2"),
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    "actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "actions/upload-artifact": ("043fb46d1a93c77aae656e7c1c64a875d1fc6a0a", "v7.0.1"),
    "aquasecurity/trivy-action": ("ed142fd0673e97e23eac54620cfb913e5ce36c25", "v0.36.0"),
    "astral-sh/setup-uv": ("20cfd1bf945f4377ade1205e4dbc17946fc9a30d", "v10.0.1"),
    "docker/build-push-action": ("53b7df96c91f9c12dcc8a07bcb9ccacbed38856a", "v7.3.0"),
    "docker/login-action": ("dbcb813823bdd20940b903addbd779551569679f", "v4.6.0"),
    "docker/metadata-action": ("dc802804100637a589fabce1cb79ff13a1411302", "v6.2.0"),
    "docker/setup-buildx-action": ("bb05f3f5519dd87d3ba754cc423b652a5edd6d2c", "v4.2.0"),
    "github/codeql-action/upload-sarif": ("5d4e8d1aca955e8d8589aabd499c5cae939e33c7", "v4.31.9"),
    "pypa/gh-action-pypi-publish": ("dc37677b2e1c63e2034f94d8a5b11f265b73ba33", "v1.14.2"),
    "zizmorcore/zizmor-action": ("3dc1ecc9bcb9e94e9b2c709687979e1298497054", "v0.6.2"),
}
"""The actions that may be used: commit and version. No other one is."""

PERMISSIONS = {
    "actions/attest": ("id-token", "attestations"),
    "docker/build-push-action": ("packages",),
    "github/codeql-action/upload-sarif": ("security-events",),
    "pypa/gh-action-pypi-publish": ("id-token",),
}
"""What a job must be permitted to write for an action; an image only where it is pushed."""

WHOSE = ("event == 'push'", "head_repository.full_name == github.repository", "conclusion == 'success'")
RELEASE_ONLY = "${{ github.event_name == 'release' }}"
"""What a job asks before it follows another workflow's run; one for releases only need not."""

GATE = "Quality Gate"
"""The one required check."""

ALWAYS = "${{ always() }}"
PROTECTED = {"main", "develop"}
UPLOADS = ("/upload-artifact", "/upload-sarif")
"""What may depend on a condition: where it uploaded nothing, evidence is missing."""

SET_UP = re.compile(
    r"\.ci/install|ci/install-containers|python3 -m venv \.venv|(\.venv/bin/)?python -m pip install nox uv"
    r"|sudo apt-get update|sudo apt-get install --yes( [a-z0-9.+-]+)+"
)
NOX = re.compile(r"(?:\.venv/bin/)?nox -(?P<kind>[st]) (?P<name>[\w.-]+|\S*\$\{\{ [^}]* \}\}\S*)(?: -- [\w./:=@ -]+)?")
USES = re.compile(r"^\s*(?:- )?uses:\s*(?P<action>[^@\s]+)@(?P<at>\S+?)(?:\s+#\s*(?P<version>\S+))?\s*$")
EXPRESSION = re.compile(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}")


def sessions() -> dict[str, set[str]]:
    """Return the names (``s``) and the tags (``t``) that noxfile.py has, of every Python of its matrix."""
    import nox.registry

    if not nox.registry.get():  # a session is registered once in a process
        spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    from ci.steps import MATRIX

    found: dict[str, set[str]] = {"s": set(), "t": set()}
    for name, session in nox.registry.get().items():
        # A Python that is not here is in the workflows all the same.
        many = isinstance(session.python, list | tuple)
        found["s"] |= {name, *(f"{name}-{python}" for python in MATRIX if many)}
        found["t"] |= set(session.tags)
    return found


def workflow(text: str, known: dict[str, set[str]]) -> list[str]:
    """Return what is wrong with a workflow, in words."""
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"is no YAML: {error}"]
    if isinstance(told, dict) and "runs" in told:  # an action, which others run
        return [*uses(text)]
    if isinstance(told, dict) and "stages" in told:
        return [*gitlab(told, known)]
    if not isinstance(told, dict) or not isinstance(told.get("jobs"), dict):
        return ["has no jobs"]
    found = [*uses(text)]
    if told.get("permissions") != {}:
        found.append("does not say `permissions: {}` at the top: what a job may do is said in the job")
    if "concurrency" not in told:
        found.append("has no `concurrency`: says not what becomes of an older run")
    for name, job in told["jobs"].items():
        found += [f"job {name}: {what}" for what in of_job(job, known)]
    triggers = told.get("on", told.get(True))  # YAML 1.1 takes a bare `on` for a truth
    found += of_triggers(triggers if isinstance(triggers, dict) else {}, told["jobs"])
    found += of_release(triggers if isinstance(triggers, dict) else {}, told["jobs"])
    found += of_gate(triggers if isinstance(triggers, dict) else {}, told["jobs"])
    return found


def gitlab(told: dict[str, Any], known: dict[str, set[str]]) -> Iterator[str]:
    """Yield what is wrong with what the jobs of a GitLab pipeline run."""
    for name, job in told.items():
        if not isinstance(job, dict) or name in ("default", "variables", "workflow", "include"):
            continue
        if "allow_failure" in job:
            yield f"job {name}: goes on after an error, and counts as good"
        parallel = job.get("parallel", {})
        axes = {key: values for group in parallel.get("matrix", ()) for key, values in group.items()}
        for line in (*job.get("before_script", ()), *job.get("script", ()), *job.get("after_script", ())):
            plain = line.replace('"', "").replace("$EDGEPROF_PROFILE", "offline")
            for axis in axes:
                plain = plain.replace(f"${axis}", f"${{{{ matrix.{axis} }}}}")
            yield from (f"job {name}: {what}" for what in of_run(plain, axes, known))


def of_triggers(triggers: dict[str, Any], jobs: dict[str, Any]) -> Iterator[str]:
    """Yield what a workflow does on behalf of those whose code must not do it."""
    for name, job in jobs.items():
        own = "self-hosted" in str(job.get("runs-on", ""))
        if own and {"pull_request", "pull_request_target"} & set(triggers):
            yield f"job {name}: anybody's pull request runs on a machine of one's own"
        condition = str(job.get("if", ""))
        if "workflow_run" in triggers and "needs" not in job and condition != RELEASE_ONLY:
            for what in WHOSE:
                if what not in condition:
                    yield f"job {name}: follows a run without asking whether {what}"


def of_release(triggers: dict[str, Any], jobs: dict[str, Any]) -> Iterator[str]:
    """Yield what is released or deployed without a job before it that asks for the gate's verdict."""
    if "release" not in triggers:
        return
    asks = {name for name, job in jobs.items() if "nox -s gate-passed" in str(job.get("steps"))}
    for name in jobs:
        before, left = {name}, [name]
        while left:
            needs = jobs.get(left.pop(), {}).get("needs", ())
            new = set([needs] if isinstance(needs, str) else needs) - before
            before |= new
            left += new
        if not before & asks:
            yield f"job {name}: does its work for a release that the gate has not seen"


def of_gate(triggers: dict[str, Any], jobs: dict[str, Any]) -> Iterator[str]:
    """Yield why a Quality Gate could be green, or not be there, although something else is not good."""
    for name, job in jobs.items():
        if job.get("name") != GATE:
            continue
        if unseen := set(jobs) - {name} - set(job.get("needs", ())):
            yield f"job {name}: does not need {', '.join(sorted(unseen))}"
        if job.get("if") != ALWAYS:
            yield f"job {name}: is skipped at times, and a check that was skipped counts as passed: if: {ALWAYS}"
        if not isinstance(triggers.get("pull_request"), dict) or not PROTECTED <= set(
            triggers["pull_request"].get("branches", ())
        ):
            yield f"job {name}: does not judge every pull request to {' and '.join(sorted(PROTECTED))}"
        if "nox -s quality-gate -- hosted" not in [step.get("run") for step in job["steps"]]:
            yield f"job {name}: does not judge by the profile `hosted`, which requires everything"
        if "${{ toJSON(needs) }}" not in [str(step.get("env", {}).get("NEEDS")) for step in job["steps"]]:
            yield f"job {name}: is not told the result of every job: NEEDS: ${{{{ toJSON(needs) }}}}"


def of_job(job: dict[str, Any], known: dict[str, set[str]]) -> Iterator[str]:
    """Yield what is wrong with a job."""
    if "uses" not in job and "timeout-minutes" not in job:
        yield "has no `timeout-minutes`"
    if "permissions" not in job:
        yield "does not say its `permissions`"
    if "always()" in str(job.get("if", "")) and job.get("name") != GATE:
        yield "runs `always()`, even when it was cancelled: say !cancelled()"
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in (job, *job.get("steps", ())):
        if "continue-on-error" in step:
            yield "goes on after an error, and counts as good"
    for step in job.get("steps", ()):
        if "if" in step and not str(step.get("uses", "")).partition("@")[0].endswith(UPLOADS):
            yield f"has a condition on a step that does work, which may never be met: {step['if']}"
        if str(step.get("uses", "")).startswith("actions/checkout@") and (
            step.get("with", {}).get("persist-credentials") is not False
        ):
            yield "its checkout leaves credentials behind: persist-credentials: false"
        action = str(step.get("uses", "")).partition("@")[0]
        for permission in PERMISSIONS.get(action, ()):
            pushes = action != "docker/build-push-action" or step.get("with", {}).get("push")
            if pushes and (job.get("permissions") or {}).get(permission) != "write":
                yield f"{action} needs `{permission}: write`"
        if "run" in step:
            yield from of_run(str(step["run"]), matrix if isinstance(matrix, dict) else {}, known)


def of_run(command: str, matrix: dict[str, Any], known: dict[str, set[str]]) -> Iterator[str]:
    """Yield what is wrong with what a step runs."""
    if SET_UP.fullmatch(command):
        return
    called = NOX.fullmatch(command)
    if called is None:
        yield f"runs something else than one nox session in one line: {command.splitlines()[0]!r}"
        return
    for name in expanded(called["name"], matrix):
        if "${{" in name:
            yield f"{command!r} takes its session from something else than a list in the job's matrix"
        elif name not in known[called["kind"]]:
            yield f"noxfile.py has no {name!r}"


def expanded(name: str, matrix: dict[str, Any]) -> list[str]:
    """Return a name with every value of the matrix in the place of its expressions."""
    axes = [axis for axis in dict.fromkeys(EXPRESSION.findall(name)) if isinstance(matrix.get(axis), list)]
    made = []
    for values in itertools.product(*(matrix[axis] for axis in axes)):
        told = dict(zip(axes, map(str, values), strict=True))
        made.append(EXPRESSION.sub(lambda one, told=told: told.get(one[1], one[0]), name))  # type: ignore[misc]
    return made


def uses(text: str) -> Iterator[str]:
    """Yield what is wrong with the actions that a file uses, by its lines, for the version is a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        if not re.match(r"\s*(- )?uses:", line) or re.match(r"\s*(- )?uses:\s*\./", line):
            continue
        at = USES.match(line)
        if at is None or at["action"] not in ACTIONS:
            yield f"line {number}: {line.strip()!r} is no action of those that may be used"
        elif (at["at"], at["version"]) != ACTIONS[at["action"]]:
            commit, version = ACTIONS[at["action"]]
            yield f"line {number}: {at['action']} is not at {commit} # {version}"


def scripts(told: Any) -> Iterator[str]:
    """Yield every script below a part of a workflow, of an action or of a GitLab template."""
    if isinstance(told, dict):
        for key, value in told.items():
            if key in ("run", "script", "before_script", "after_script") and isinstance(value, str | list):
                yield value if isinstance(value, str) else "\n".join(map(str, value))
            elif key not in ("run", "script"):
                yield from scripts(value)
    elif isinstance(told, list):
        for value in told:
            yield from scripts(value)


def write_scripts(files: list[Path], folder: Path) -> int:
    """Write what the files run to a folder, expressions replaced by a word; return how many scripts that are."""
    count = 0
    for file in files:
        for script in scripts(yaml.safe_load(file.read_text(encoding="utf-8"))):
            count += 1
            plain = re.sub(r"\$\{\{.*?\}\}|\$\[\[.*?\]\]", "word", script)
            (folder / f"{file.stem}-{count}.sh").write_text(f"#!/usr/bin/env bash\n{plain}\n", encoding="utf-8")
    return count


def main() -> int:
    """Judge the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--scripts", type=Path, metavar="DIR")
    args = parser.parse_args()
    if args.scripts:
        print(f"{write_scripts(args.files, args.scripts)} scripts in {args.scripts}")
        return 0
    known = sessions()
    found = [f"{file}: {what}" for file in args.files for what in workflow(file.read_text(encoding="utf-8"), known)]
    print("\n".join(found) or f"{len(args.files)} files follow the house's rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
