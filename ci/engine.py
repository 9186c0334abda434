"""buildah and podman with a storage of their own, told so that they work without systemd and whole cgroups."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TOOLS = ("buildah", "podman", "runc")
_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
RUN = (f"--ulimit=nofile={_FILES}:{_FILES}", "--ulimit=nproc=4096:4096")
"""A container gets what this machine allows: raising a limit needs a right that a build machine may not have."""


def missing() -> str:
    """Return what keeps containers from being built here, or nothing."""
    absent = [name for name in TOOLS if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)} not found"
    return "" if os.geteuid() == 0 else "the storage is mounted as root, and this is another user"


def _storage(storage: Path) -> list[str]:
    return [f"--root={storage / 'root'}", f"--runroot={storage / 'run'}", "--storage-driver=overlay"]


def buildah(storage: Path, *args: str) -> None:
    """Run buildah; what it says goes to the terminal."""
    subprocess.run(["buildah", *_storage(storage), *args], check=True)


def podman_command(storage: Path, *args: str) -> list[str]:
    """Return the whole command line of a call of podman."""
    return ["podman", *_storage(storage), "--cgroup-manager=cgroupfs", "--runtime=runc", *args]


def podman(storage: Path, *args: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """Run podman; return what it said, whatever its exit code."""
    command = podman_command(storage, *args)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)


def ask(storage: Path, *args: str) -> str:
    """Run podman where it must succeed; return its output."""
    done = podman(storage, *args)
    if done.returncode:
        raise RuntimeError(f"podman {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def run_once(
    storage: Path, image: str, command: Sequence[str], *options: str, seconds: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run one command in a container that is gone afterwards; return what it said."""
    flags = ("run", "--rm", "--no-healthcheck", *RUN, *options)
    return podman(storage, *flags, image, *command, seconds=seconds)
