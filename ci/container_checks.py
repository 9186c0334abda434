"""What must be true of the two images: each check is a row of the record, and none ends the others."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ci.box_http import get, wait_for_health
from ci.engine import RUN, ask, podman, run_once
from ci.images import CERTIFICATES, layers

USER = 10001
PORT = 8866
STOP_SECONDS = 5
NAME = "edgeprof-checked"
READ_ONLY = ("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp")
GUARDED = ("/", "/metrics", "/api/contents", "/api/kernels", "/api/terminals", "/lab", "/files/90_explore.ipynb")
COMPILERS = ("gcc", "cc", "g++", "c++", "clang", "tcc", "ld", "as", "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc")
EMULATORS = ("qemu-system-arm", "qemu-system-riscv32", "qemu-system-xtensa", "node", "nodejs")
SYSTEM = ("etc", "home", "root", "run")
SETTINGS = {".cfg", ".conf", ".json", ".toml", ".txt"}
TESTS = ("nox", "-R", "-s", "unit")

Row = dict[str, Any]


def row(rows: list[Row], name: str, test: Callable[[], str]) -> None:
    """Carry out a check, which returns what it saw; whatever it raises is its failure."""
    begun = time.monotonic()
    try:
        passed, detail = True, test()
    except Exception as error:
        passed, detail = False, f"{type(error).__name__}: {error}"
    rows.append({"name": name, "passed": passed, "detail": detail, "seconds": round(time.monotonic() - begun, 1)})
    print(f"{'passed' if passed else 'FAILED'}  {name}: {detail}", flush=True)


def expect(true: object, otherwise: object) -> None:
    """Fail a check (an ``assert`` would be gone under ``python -O``)."""
    if not true:
        raise AssertionError(str(otherwise)[-1500:])


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of what must have succeeded."""
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


# ---- of an image ----


def user(storage: Path, image: str) -> str:
    """Expect that commands run as nobody in particular."""
    found = said(run_once(storage, image, ["id", "-u"], "--network=none"))
    expect(found == str(USER), f"uid {found}")
    return f"uid {found}"


def programs(storage: Path, image: str, names: tuple[str, ...]) -> list[str]:
    """Return which of these programs an image has anywhere on its PATH or in sbin."""
    line = f"PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin; for p in {' '.join(names)}; do command -v $p; done; true"
    return said(run_once(storage, image, ["sh", "-c", line], "--network=none")).split()


def has_tools(storage: Path, image: str) -> str:
    """Expect the compilers and emulators that the tests need."""
    wanted = ("gcc", "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "qemu-system-arm", "qemu-system-riscv32", "node")
    found = programs(storage, image, wanted)
    expect(len(found) == len(wanted), f"of {wanted} only {found}")
    return ", ".join(found)


def has_no_tools(storage: Path, image: str) -> str:
    """Expect neither compiler nor emulator."""
    found = programs(storage, image, COMPILERS + EMULATORS)
    expect(not found, found)
    code = "import importlib.util as u; print([n for n in ('ziglang', 'pytest', 'nox', 'pip') if u.find_spec(n)])"
    packages = said(run_once(storage, image, ["python3", "-c", code], "--network=none"))
    expect(packages == "[]", packages)
    return f"none of {len(COMPILERS + EMULATORS)} programs, nor ziglang, pytest, nox, pip"


def is_locked(storage: Path, image: str, lock: Path) -> str:
    """Expect that the environment is edgeprof and what the lock file lists, in its versions; cobs is compiled."""
    code = (
        "import importlib.metadata as m, json, cobs.cobs._cobs_ext;"
        "print(json.dumps([(d.metadata['Name'], d.version) for d in m.distributions()]))"
    )
    told = json.loads(said(run_once(storage, image, ["python3", "-I", "-c", code], "--network=none")))
    here = {plain(name): version for name, version in told}
    listed = re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    expect(here.pop("edgeprof", None), "edgeprof is not installed")
    others = set(here.items()) - {(plain(name), version) for name, version in listed}
    expect(not others, sorted(others))
    return f"{len(here)} packages, all in the versions of {lock.name}"


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def forbidden(config: str) -> list[bytes]:
    """Return the hosts and folders that pip's configuration and uv's variables name on this machine."""
    values = [line.split("=", 1)[1].strip("'\"") for line in config.splitlines() if "=" in line]
    values += [os.environ.get(name, "") for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL")]
    words = [word for value in values for word in re.split(r"\s+|\\n", value)]
    hosts = {urlsplit(word).hostname for word in words if "://" in word and not word.startswith("file:")}
    folders = {word.removeprefix("file://") for word in words if word.startswith(("/", "file:"))}
    return sorted(name.encode() for name in hosts | folders if name and name not in {"pypi.org", str(CERTIFICATES)})


def holds_nothing_of_the_builder(storage: Path, image: str, base: str) -> str:
    """Look through every layer for pip's configuration, this machine's indexes and its certificates."""
    config = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    words = forbidden(config.stdout)
    below = layers(storage, base)
    own = [folder for folder in layers(storage, image) if folder not in below]
    expect(own and below, "no layer was found")
    files = 0
    for layer in own:
        for place in (*SYSTEM, "opt", "src"):
            for path in (layer / place).rglob("*"):
                if path.is_symlink() or not path.is_file():
                    continue
                within = path.relative_to(layer)
                expect(path.name not in {"pip.conf", "uv.toml", ".npmrc", ".netrc"}, f"/{within} is in a layer")
                expect(within != CERTIFICATES.relative_to("/"), f"/{within} is in a layer")
                if place in SYSTEM or path.suffix in SETTINGS:
                    files += 1
                    content = path.read_bytes()
                    # Which word it was is nobody's business.
                    named = any(word in content for word in words)
                    expect(not named, f"/{within} names an index or a folder of the build machine")
    return f"{len(own)} layers above the base, {files} files read for {len(words)} words"


def labels(storage: Path, image: str, facts: dict[str, str]) -> str:
    """Expect OCI's labels, with what the build was told."""
    prefix = "org.opencontainers.image."
    found = json.loads(ask(storage, "image", "inspect", "--format", "{{json .Labels}}", image))
    for name in ("version", "revision", "created"):
        expect(found.get(prefix + name) == facts[name.upper()], f"{name}: {found.get(prefix + name)!r}")
    expect(found.get(prefix + "title") == "edgeprof" and found.get(prefix + "description"), found)
    return f"version {facts['VERSION']}, revision {facts['REVISION'][:12]}"


def tests_pass(storage: Path, image: str, junit: Path) -> str:
    """Run the unit tests in the testing image, without a network; keep their JUnit files."""
    junit.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, USER, USER)
        options = ("--network=none", f"--volume={folder}:/src/reports")
        done = run_once(storage, image, TESTS, *options, seconds=1800)
        counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
        for path in sorted(Path(folder, "junit").glob("*.xml")):
            (junit / f"container-{path.name}").write_bytes(path.read_bytes())
            for suite in ET.parse(path).getroot().iter("testsuite"):
                counts = {key: counts[key] + int(suite.get(key, 0)) for key in counts}
    expect(done.returncode == 0, f"{counts}; {done.stdout[-1000:]}{done.stderr[-500:]}")
    expect(counts["tests"] > counts["skipped"], counts)
    return f"{' '.join(TESTS)}, offline: {', '.join(f'{number} {key}' for key, number in counts.items())}"


def demo(storage: Path, image: str, folder: Path) -> str:
    """Make a demo report inside, on a read-only root, without a network."""
    os.chown(folder, USER, USER)
    command = ["edgeprof", "demo", "--out", "/data/demo"]
    said(run_once(storage, image, command, *READ_ONLY, "--network=none", f"--volume={folder}:/data"))
    page = folder / "demo" / "report.html"
    expect("</html>" in page.read_text(encoding="utf-8"), "the page is cut off")
    json.loads((folder / "demo" / "results.json").read_text(encoding="utf-8"))
    owner = page.stat().st_uid
    expect(owner == USER, f"the report belongs to {owner}")
    return f"report.html of {page.stat().st_size:,} bytes, of uid {owner}"


# ---- of the server ----


def port_is_free() -> bool:
    """Return whether the server's port can be taken here: containers share this machine's network."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) != 0


@contextlib.contextmanager
def serving(storage: Path, image: str, data: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Run production as it is meant to be run; give its address and the token's file."""
    if not port_is_free():
        raise RuntimeError(f"Something else listens at port {PORT}, which the container needs here.")
    token = folder / "token"
    token.write_text(secrets.token_hex(32) + "\n", encoding="utf-8")
    token.chmod(0o400)
    os.chown(token, USER, USER)
    podman(storage, "rm", "--force", NAME)
    ask(
        storage, "run", "--detach", f"--name={NAME}", "--health-interval=disable", "--network=host", *RUN, *READ_ONLY,
        "--cap-drop=all", "--security-opt=no-new-privileges", f"--volume={data}:/data:ro",
        f"--volume={token}:/run/secrets/token:ro", "--env=EDGEPROF_TOKEN_FILE=/run/secrets/token", image,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{PORT}", token
    finally:
        podman(storage, "rm", "--force", "--time=0", NAME)


def healthy_outside(storage: Path, url: str) -> str:
    """Expect 200 from /health within 30 s, asked from this machine."""
    attempts = wait_for_health(url, 30)
    expect(attempts[-1]["answer"] == 200, f"{attempts[-1]}; {podman(storage, 'logs', NAME).stdout[-800:]}")
    return f"200 after {attempts[-1]['after_seconds']} s, {len(attempts)} attempts"


def healthy_inside(storage: Path) -> str:
    """Expect that the image's own health check, run inside, says so."""
    expect(
        json.loads(ask(storage, "inspect", "--format", "{{json .Config.Healthcheck}}", NAME))["Test"], "no health check"
    )
    done = podman(storage, "healthcheck", "run", NAME)
    expect(done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}")
    return "podman healthcheck run: 0"


def unwritable(storage: Path) -> str:
    """Expect that nothing but /tmp can be written in the server's container."""
    expect(ask(storage, "inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", NAME) == "true", "not read-only")
    for place in ("/", "/opt/edgeprof", "/data", "/etc", "/var/tmp"):
        done = podman(storage, "exec", NAME, "sh", "-c", f"echo x > {place}/x")
        expect(done.returncode != 0, f"{place} was written")
    said(podman(storage, "exec", NAME, "sh", "-c", "echo x > /tmp/x"))
    return "root, environment, data refused; /tmp taken"


def server_user(storage: Path) -> str:
    """Expect the server's own process to be the unprivileged user's, without capabilities."""
    status = ask(storage, "exec", NAME, "cat", "/proc/1/status")
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    expect(found["Uid"].split() == [str(USER)] * 4, found["Uid"])
    expect(int(found["CapEff"], 16) == 0, found["CapEff"])
    return f"uid {USER}, no capabilities"


def refuses(url: str) -> str:
    """Expect a refusal of everything but /health where there is no token, or a wrong one."""
    wrong = {"Authorization": f"Bearer {'0' * 64}"}
    found = {(path, bool(headers)): get(url + path, headers)[0] for path in GUARDED for headers in ({}, wrong)}
    opened = {key: status for key, status in found.items() if status not in (401, 403)}
    expect(not opened, opened)
    return f"{len(GUARDED)} paths, without a token and with a wrong one: {sorted(set(found.values()))}"


def stops(storage: Path) -> str:
    """Expect SIGTERM to end the server in time, with exit code 0."""
    begun = time.monotonic()
    ask(storage, "kill", "--signal=TERM", NAME)
    code = ask(storage, "wait", NAME)
    seconds = time.monotonic() - begun
    expect(code == "0" and seconds <= STOP_SECONDS, f"exit code {code} after {seconds:.1f} s")
    return f"exit code 0 after {seconds:.1f} s"
