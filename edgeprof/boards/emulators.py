"""Which emulators there are on this machine, and of which version."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OLDEST_QEMU", "OLDEST_RP2040JS", "Found", "compiler", "python_package", "qemu", "rp2040js"]

OLDEST_QEMU = (7, 2)
OLDEST_RP2040JS = (1, 4)
_DEBIAN = {"arm": "qemu-system-arm", "riscv32": "qemu-system-misc", "xtensa": "qemu-system-misc"}


@dataclass(frozen=True)
class Found:
    """What was found: where it is, its version, and why it cannot be used (empty: it can)."""

    path: str = ""
    version: str = ""
    problem: str = ""


def python_package(name: str) -> Found:
    """Return the version of an installed package."""
    return Found(name, importlib.metadata.version(name))


def _too_old(what: str, version: str, oldest: tuple[int, ...], cure: str) -> str:
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[: len(oldest)])
    if numbers >= oldest:
        return ""
    wanted = ".".join(map(str, oldest))
    return f"{what} {version or 'of unknown version'} is too old: {wanted} or newer is needed. {cure}"


@functools.cache
def _qemu_version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = re.search(r"version (\d+\.\d+(?:\.\d+)?)", done.stdout)
    return said[1] if said else ""


def qemu(target: str) -> Found:
    """Return the QEMU that plays a target: ``arm``, ``riscv32`` or ``xtensa``."""
    name = f"qemu-system-{target}"
    program = shutil.which(name)
    cure = f"Debian: apt-get install {_DEBIAN[target]}; macOS: brew install qemu."
    if program is None:
        return Found(problem=f"{name} is not on PATH. {cure}")
    version = _qemu_version(program)
    return Found(program, version, _too_old("QEMU", version, OLDEST_QEMU, cure))


def _node_modules(node: str) -> list[Path]:
    """Return the folders where npm puts packages: those that the user names, its own, the user's, the current one's."""
    listed = [Path(p) for p in os.environ.get("NODE_PATH", "").split(os.pathsep) if p]
    # Homebrew links node from where its packages are not: both ends of the link count.
    own = [p.parents[1] / "lib" / "node_modules" for p in (Path(node), Path(node).resolve())]
    windows = [Path(os.environ["APPDATA"]) / "npm" / "node_modules"] if "APPDATA" in os.environ else []
    return [
        *listed, *own, *windows, Path("/usr/local/lib/node_modules"), Path(node).parent / "node_modules",
        Path.home() / "node_modules", Path.cwd() / "node_modules",
    ]  # fmt: skip


def rp2040js() -> Found:
    """Return the npm package rp2040js; ``path`` is its folder."""
    cure = "npm install --global rp2040js@1.4.1 (or set NODE_PATH to the node_modules that has it)."
    node = shutil.which("node")
    if node is None:
        return Found(problem=f"node is not on PATH. Debian: apt-get install nodejs npm; then {cure}")
    for folder in _node_modules(node):
        try:
            version = str(json.loads((folder / "rp2040js" / "package.json").read_text(encoding="utf-8"))["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return Found(str(folder / "rp2040js"), version, _too_old("rp2040js", version, OLDEST_RP2040JS, cure))
    return Found(problem=f"rp2040js was not found. {cure}")


def compiler() -> Found:
    """Return the compiler for this machine."""
    program = shutil.which("cc")
    if os.name != "posix":
        return Found(problem="It needs a POSIX system.")
    if program is None:
        return Found(problem="cc is not on PATH. Debian: apt-get install gcc; macOS: xcode-select --install.")
    return Found(program)
