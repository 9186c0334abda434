"""The sessions that build the container and try it, and that test a deployed one at its address."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import nox

from ci import container_checks as checks
from ci.base import commit
from ci.deploy_checks import check_deploy
from ci.engine import ask, missing
from ci.images import TARGETS, build, default_base, find_base
from ci.steps import HOSTED, ROOT, evidence, install, not_run, own_version, pytest

RECORD = "container.json"
LAYERS = "unchanged ones of an earlier build are reused, so seconds are of what had to be built"


def facts_of_build() -> dict[str, str]:
    """Return what the images' labels say: version, commit, time, and the address of the source where CI knows it."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    return {
        "VERSION": own_version(),
        "REVISION": commit(ROOT, "HEAD") or os.environ.get("GITHUB_SHA", ""),  # where the sources are no clone
        "CREATED": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "SOURCE": f"{server}/{repository}" if server and repository else "",
    }


@nox.session(tags=["nightly"])
def container(session: nox.Session) -> None:
    """Build both images, run them as an unprivileged user, and record what was seen."""
    if why := missing():
        not_run(session, "container", f"{why}. As root on Debian: ci/install-containers")
        return
    install(session, "test", "container")
    storage = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeprof" / "containers"
    storage.mkdir(parents=True, exist_ok=True)
    base, said_base = find_base(storage, os.environ.get("PYTHON_IMAGE") or default_base(ROOT / "Dockerfile"))
    session.log(f"The base is {said_base}")
    facts = facts_of_build()
    rows: list[checks.Row] = []
    built: dict[str, Any] = {}

    def build_target(target: str) -> str:
        built[target] = build(storage, ROOT, base, target, facts)
        return f"{built[target]['seconds']} s, {built[target]['bytes'] / 1e6:,.0f} MB"

    for target in TARGETS:
        checks.row(rows, f"{target}: built", lambda target=target: build_target(target))
    if "production" in built:
        try_production(session, storage, built["production"]["image"], base, facts, rows)
        if HOSTED:  # another job scans it; Trivy reads no packed OCI archive
            target = evidence("container") / "production.tar"
            target.unlink(missing_ok=True)
            ask(storage, "save", "--format=docker-archive", f"--output={target}", built["production"]["image"])
    if "testing" in built:
        try_testing(storage, built["testing"]["image"], base, rows)
    tool = f"{subprocess.check_output(['buildah', '--version'], text=True).strip()}, {ask(storage, '--version')}"
    record = {
        "tool": tool,
        "base": said_base,
        "revision": facts["REVISION"],
        "layers": LAYERS,
        "built": built,
        "checks": rows,
    }
    path = evidence("container") / RECORD
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    session.log(f"The record: {path}")
    if failed := [r["name"] for r in rows if not r["passed"]]:
        session.error(f"{len(failed)} of {len(rows)} checks failed: {'; '.join(failed)}")
    if session.posargs:  # -- --out docs/results/container.json
        session.run("python", "tests/record_container.py", str(path), *session.posargs, env={"PYTHONPATH": "tests"})


def try_testing(storage: Path, image: str, base: str, rows: list[checks.Row]) -> None:
    """Check the image that tests run in."""
    checks.row(rows, "testing: user", lambda: checks.user(storage, image))
    checks.row(rows, "testing: compilers and emulators", lambda: checks.has_tools(storage, image))
    checks.row(
        rows,
        "testing: nothing of the build machine",
        lambda: checks.holds_nothing_of_the_builder(storage, image, base),
    )
    checks.row(rows, "testing: tests pass", lambda: checks.tests_pass(storage, image, evidence("junit")))


def try_production(
    session: nox.Session, storage: Path, image: str, base: str, facts: dict[str, str], rows: list[checks.Row]
) -> None:
    """Check the image that is shipped, and the server in it."""
    lock = ROOT / "ci" / "requirements.lock"
    checks.row(rows, "production: user", lambda: checks.user(storage, image))
    checks.row(rows, "production: no compiler, no emulator", lambda: checks.has_no_tools(storage, image))
    checks.row(rows, "production: as locked", lambda: checks.is_locked(storage, image, lock))
    checks.row(rows, "production: labels", lambda: checks.labels(storage, image, facts))
    checks.row(
        rows,
        "production: nothing of the build machine",
        lambda: checks.holds_nothing_of_the_builder(storage, image, base),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume = folder / "volume"
        volume.mkdir(mode=0o755)
        checks.row(rows, "production: demo report", lambda: checks.demo(storage, image, volume))
        data = volume / "demo" / "data"
        if not data.is_dir():
            return
        try:
            with checks.serving(storage, image, data, folder) as (url, token):
                try_server(session, storage, url, token, facts, rows)
                compose = str(Path(session.bin).resolve() / "podman-compose")
                check_deploy(storage, compose, image, base, data, token, folder, rows)
        except (RuntimeError, OSError) as error:
            rows.append({"name": "production: server started", "passed": False, "detail": str(error), "seconds": 0.0})


def try_server(
    session: nox.Session, storage: Path, url: str, token: Path, facts: dict[str, str], rows: list[checks.Row]
) -> None:
    """Check a production container that serves; it has ended afterwards."""
    checks.row(rows, "server: health from outside", lambda: checks.healthy_outside(storage, url))
    checks.row(rows, "server: health from inside", lambda: checks.healthy_inside(storage))
    checks.row(rows, "server: user and capabilities", lambda: checks.server_user(storage))
    checks.row(rows, "server: read-only root", lambda: checks.unwritable(storage))
    checks.row(rows, "server: everything else needs the token", lambda: checks.refuses(url))
    told = {
        "EDGEPROF_STAGING_URL": url,
        "EDGEPROF_STAGING_TOKEN_FILE": str(token),
        "EDGEPROF_STAGING_VERSION": facts["VERSION"],
        "EDGEPROF_STAGING_REVISION": facts["REVISION"],
    }

    def staging_tests() -> str:
        report = evidence("junit") / "container-staging.xml"
        session.run("python", "-m", "pytest", "-q", "-m", "staging", f"--junitxml={report}", "tests/staging", env=told)
        return "tests/staging pass, the explorer's page included"

    checks.row(rows, "server: tests/staging", staging_tests)
    checks.row(rows, "server: SIGTERM", lambda: checks.stops(storage))


@nox.session
def staging(session: nox.Session) -> None:
    """Test a deployed edgeprof at EDGEPROF_STAGING_URL, with the token in EDGEPROF_STAGING_TOKEN_FILE."""
    if secret := os.environ.get("EDGEPROF_STAGING_TOKEN"):  # as pipelines hand on what they keep
        file = Path(session.create_tmp()).resolve() / "token"
        file.touch(mode=0o600)
        file.write_text(secret, encoding="utf-8")
        session.env["EDGEPROF_STAGING_TOKEN_FILE"] = os.environ["EDGEPROF_STAGING_TOKEN_FILE"] = str(file)
    if lacking := [n for n in ("EDGEPROF_STAGING_URL", "EDGEPROF_STAGING_TOKEN_FILE") if not os.environ.get(n)]:
        session.error(f"{' and '.join(lacking)} must be set: what is tested, and the file with its token.")
    install(session, "test")
    pytest(session, "-m", "staging", "tests/staging")
