"""``ci/deploy`` tried for real: podman-compose brings production up, and puts it back where another image fails."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ci.container_checks import Row, expect, row
from ci.engine import RUN, ask, podman_command
from ci.steps import ROOT

BIND = "127.0.0.1:18866"
ENVIRONMENT = "checked"


def by_digest(storage: Path, image: str) -> str:
    """Return an image's name with its digest in place of its tag."""
    digest = ask(storage, "image", "inspect", "--format", "{{.Digest}}", image)
    return f"{image.rsplit(':', 1)[0] if ':' in image.rsplit('/', 1)[-1] else image}@{digest}"


def podman_here(storage: Path, folder: Path) -> Path:
    """Write a podman for podman-compose that has this storage and limits that need no right."""
    known = shlex.join(podman_command(storage))
    path = folder / "podman"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in\nrun|create) verb=$1; shift; exec {known} "$verb" {shlex.join(RUN)} "$@" ;;\n'
        f'*) exec {known} "$@" ;;\nesac\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def host(storage: Path, compose: str, data: Path, token: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Give the environment in which ci/deploy runs; what it deployed is taken down afterwards."""
    command = f"{shlex.quote(compose)} --podman-path={shlex.quote(str(podman_here(storage, folder)))}"
    told = {
        "EDGEPROF_COMPOSE": command,
        "EDGEPROF_DATA": str(data),
        "EDGEPROF_TOKEN_PATH": str(token),
        "EDGEPROF_BIND": BIND,
    }
    try:
        yield os.environ | told
    finally:
        down = [*shlex.split(command), "-f", str(ROOT / "ci" / "compose.yml"), "-p", f"edgeprof-{ENVIRONMENT}", "down"]
        subprocess.run(down, env=os.environ | told | {"EDGEPROF_IMAGE": "-"}, capture_output=True, check=False)


def deploy(environment: dict[str, str], folder: Path, image: str, seconds: int) -> tuple[int, dict[str, object]]:
    """Call ci/deploy; return its exit code and its record."""
    evidence = folder / "evidence"
    known = set(evidence.glob("*.json"))
    options = (
        f"--url=http://{BIND}", f"--retry-seconds={seconds}", f"--state={folder / 'state'}", f"--evidence={evidence}",
    )  # fmt: skip
    command = [str(ROOT / "ci" / "deploy"), ENVIRONMENT, image, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    made = set(evidence.glob("*.json")) - known
    expect(len(made) == 1, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.returncode, json.loads(made.pop().read_text(encoding="utf-8"))


def comes_up(environment: dict[str, str], folder: Path, image: str) -> str:
    """Expect a deployment that answers."""
    code, seen = deploy(environment, folder, image, 60)
    expect(code == 0 and seen["result"] == "deployed", seen)
    attempts = seen["attempts"]
    return f"{image.split('@')[1][:19]}: 200 after {attempts[-1]['after_seconds']} s, {len(attempts)} attempts"


def goes_back(environment: dict[str, str], folder: Path, bad: str, good: str) -> str:
    """Expect that an image without a server gives way to the one before it."""
    code, seen = deploy(environment, folder, bad, 6)
    expect(code == 1 and seen["result"] == "rolled back" and seen["previous"] == good, seen)
    attempts = seen["rollback_attempts"]
    return f"{seen['seconds']} s in all; the image before: 200 after {attempts[-1]['after_seconds']} s"


def check_deploy(
    storage: Path, compose: str, image: str, bad: str, data: Path, token: Path, folder: Path, rows: list[Row]
) -> None:
    """Deploy production, then an image that serves nothing."""
    good, worse = by_digest(storage, image), by_digest(storage, bad)
    with host(storage, compose, data, token, folder) as environment:
        row(rows, "ci/deploy: podman-compose, production comes up", lambda: comes_up(environment, folder, good))
        row(
            rows,
            "ci/deploy: an image that does not come up is rolled back",
            lambda: goes_back(environment, folder, worse, good),
        )
