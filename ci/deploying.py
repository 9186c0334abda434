"""Deploy edgeprof by compose: one image by digest, /health until it answers, the image before where it does not.

  export EDGEPROF_DATA=/srv/edgeprof/data EDGEPROF_TOKEN_PATH=/srv/edgeprof/token
  ci/deploy staging registry.example/edgeprof@sha256:…
  ci/deploy staging --rollback

Works with docker compose and podman-compose (EDGEPROF_COMPOSE names another command), on this machine or on another
(DOCKER_HOST=ssh://…). Nothing but Python's own library is needed.

Exit codes: 0 it runs, 1 it did not come up and the image before is back, 2 nothing runs, 3 wrong use.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ci.box_http import wait_for_health

HERE = Path(__file__).parent
COMPOSE_FILE = HERE / "compose.yml"
STATE = HERE / "deployed"
BY_DIGEST = re.compile(r"[\w.:/-]+@sha256:[0-9a-f]{64}")
NEEDED = ("EDGEPROF_DATA", "EDGEPROF_TOKEN_PATH")
RUNS, ROLLED_BACK, NOTHING_RUNS, WRONG_USE = range(4)


class WrongUseError(Exception):
    """Something the caller can correct, found before anything was changed."""


@dataclass
class Evidence:
    """What one deployment did; a report is made of these."""

    environment: str
    image: str
    version: str
    commit: str
    compose: str
    begun: str
    previous: str = ""
    attempts: list[dict[str, object]] = field(default_factory=list)
    rollback_attempts: list[dict[str, object]] = field(default_factory=list)
    result: str = "failed"
    why: str = ""
    seconds: float = 0.0


def compose_command() -> list[str]:
    """Return the compose command of this machine."""
    if given := os.environ.get("EDGEPROF_COMPOSE"):
        return shlex.split(given)
    if shutil.which("docker"):
        return ["docker", "compose"]
    if shutil.which("podman-compose"):
        return ["podman-compose"]
    raise WrongUseError("No compose command: install docker with its compose plugin, or podman-compose.")


def check(environment: str, image: str) -> None:
    """Refuse what must not be deployed."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", environment):
        raise WrongUseError(f"An environment is a small letter, then letters, digits and '-', not {environment!r}.")
    if not BY_DIGEST.fullmatch(image):
        raise WrongUseError(
            f"{image!r} has no digest. A tag may be another image tomorrow: name it as NAME@sha256:<64 digits>, "
            "which docker buildx imagetools inspect and podman image inspect show."
        )
    if lacking := [name for name in NEEDED if not os.environ.get(name)]:
        raise WrongUseError(f"{' and '.join(lacking)} must be set: the data set's folder, the file with the token.")


def read_state(path: Path) -> dict[str, str]:
    """Return what runs ('current') and what ran before ('previous'), as far as it is known."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise WrongUseError(f"{path} is damaged ({error}). Look at what runs, mend it or remove it.") from error


def write(path: Path, content: object) -> None:
    """Write JSON so that a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def bring_up(compose: list[str], environment: str, image: str) -> str:
    """Start an image; return why that failed, or nothing."""
    command = [*compose, "-f", str(COMPOSE_FILE), "-p", f"edgeprof-{environment}", "up", "-d", "--force-recreate"]
    print(f"deploy: {shlex.join(command)} with {image}", flush=True)
    try:
        done = subprocess.run(command, env=os.environ | {"EDGEPROF_IMAGE": image}, check=False)
    except OSError as error:
        return f"{compose[0]} could not be started: {error}"
    return f"{shlex.join(compose)} up ended with {done.returncode}" if done.returncode else ""


def take_down(compose: list[str], environment: str, image: str) -> None:
    """Stop what does not work and has nothing before it."""
    command = [*compose, "-f", str(COMPOSE_FILE), "-p", f"edgeprof-{environment}", "down"]
    subprocess.run(command, env=os.environ | {"EDGEPROF_IMAGE": image}, check=False)


def running(compose: list[str], environment: str) -> str:
    """Return the image that runs by its digest, asked of docker or podman; nothing where that cannot be said."""
    engine = {"docker": "docker", "docker-compose": "docker", "podman-compose": "podman"}.get(Path(compose[0]).name)
    if engine is None:
        return ""
    of_project = f"label=com.docker.compose.project=edgeprof-{environment}"
    command = [engine, "ps", "--no-trunc", "--filter", of_project, "--format", "{{.Image}}"]  # else: no digest
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    return next((image for image in said.split() if BY_DIGEST.fullmatch(image)), "")


def comes_up(
    compose: list[str], environment: str, image: str, url: str, retry_seconds: float
) -> tuple[str, list[dict[str, object]]]:
    """Start an image and wait for its health; return why that failed (or nothing), and every attempt."""
    why = bring_up(compose, environment, image)
    if why:
        return why, []
    attempts = wait_for_health(url, retry_seconds)
    answer = attempts[-1]["answer"]
    return ("" if answer == 200 else f"{url}/health: {answer} after {attempts[-1]['after_seconds']} s"), attempts


def deploy(seen: Evidence, state: Path, url: str, retry_seconds: float, compose: list[str]) -> int:
    """Deploy, and go back to what ran before where the new image does not come up; return the exit code."""
    known = read_state(state)
    # A pipeline's machine remembers nothing: then the host is asked.
    seen.previous = known.get("current") or running(compose, seen.environment)
    seen.why, seen.attempts = comes_up(compose, seen.environment, seen.image, url, retry_seconds)
    if not seen.why:
        seen.result = "deployed"
        if seen.previous != seen.image:  # the same image again has the same one before it
            known["previous"] = seen.previous
        write(state, {"current": seen.image, "previous": known.get("previous", "")})
        return RUNS
    if not seen.previous:
        take_down(compose, seen.environment, seen.image)
        seen.why += "; there is no image before"
        return NOTHING_RUNS
    again, seen.rollback_attempts = comes_up(compose, seen.environment, seen.previous, url, retry_seconds)
    if again:
        seen.why += f"; the image before does not come up either: {again}"
        return NOTHING_RUNS
    seen.result = "rolled back"
    return ROLLED_BACK


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="ci/deploy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("environment", help="its name, as staging; the compose project is edgeprof-NAME")
    made.add_argument("image", nargs="?", help="NAME@sha256:DIGEST")
    made.add_argument("--rollback", action="store_true", help="deploy what ran before, as the state file says")
    made.add_argument("--url", default="http://127.0.0.1:8866", help="where /health is asked (default %(default)s)")
    made.add_argument("--retry-seconds", type=float, default=60, help="how long it may take to come up (default 60)")
    made.add_argument("--state", type=Path, default=STATE, help="folder of what runs where (default ci/deployed)")
    made.add_argument("--evidence", type=Path, default=Path("reports/deploy"), help="folder of the record")
    made.add_argument("--version", default="", help="edgeprof's version, for the record")
    made.add_argument("--commit", default="", help="the commit that the image was built from, for the record")
    return made


def run(args: argparse.Namespace) -> int:
    """Carry out the command line."""
    state = args.state / f"{args.environment}.json"
    if args.rollback == bool(args.image):
        raise WrongUseError("Name an image, or --rollback.")
    image = read_state(state).get("previous", "") if args.rollback else args.image
    if args.rollback and not image:
        raise WrongUseError(f"{state} knows no image before the one that runs.")
    check(args.environment, image)
    compose = compose_command()
    begun = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun))
    seen = Evidence(args.environment, image, args.version, args.commit, shlex.join(compose), at)
    code = deploy(seen, state, args.url.rstrip("/"), args.retry_seconds, compose)
    seen.seconds = round(time.time() - begun, 1)
    path = args.evidence / f"{args.environment}-{at.replace(':', '').replace('-', '')}.json"
    number = 1
    while path.exists():  # two within a second
        number += 1
        path = path.with_name(f"{path.stem.split('_')[0]}_{number}.json")
    write(path, asdict(seen))
    print(f"deploy: {seen.result}{': ' + seen.why if seen.why else ''}; the record is {path}", flush=True)
    return code


def main() -> int:
    """Deploy."""
    try:
        return run(parser().parse_args())
    except WrongUseError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return WRONG_USE
    except SystemExit as asked:  # argparse's own: help, or a wrong use
        return WRONG_USE if asked.code else 0


if __name__ == "__main__":
    sys.exit(main())
