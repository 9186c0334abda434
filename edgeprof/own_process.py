"""Which process a capture is, so that a signal reaches that one and no other of the same number.

A process's number means something only on one machine, since one boot, in one namespace of numbers (each container has
its own), and only until the process ends and the number is given anew. So all of these are written down with it. The
machine's name is only a part of a digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["lives", "this_process", "why_not"]

PROC = Path("/proc")


def this_process(*, ends_by_signal: bool = False) -> dict[str, Any]:
    """Return what tells this process from any other, as ``process`` of ``capture.json``.

    Parameters
    ----------
    ends_by_signal
        It is a capture and nothing else, which SIGTERM ends in good order; not a notebook's kernel or a sweep.
    """
    return _place() | {"pid": os.getpid(), "start": _start("self"), "ends_by_signal": ends_by_signal}


def why_not(process: object) -> str | None:
    """Return why no signal may be sent to a capture's process, as the end of a sentence; None if one may be."""
    if not isinstance(process, Mapping) or not isinstance(process.get("pid"), int):
        return "does not say which process it is"
    place = _place()
    if any(process.get(key) != value for key, value in place.items()):
        return "runs on another machine or in another container"
    if process.get("start") != _start(process["pid"]):
        return "was begun by a process that is gone, or that cannot be told from others here"
    if process.get("ends_by_signal") is not True:
        return "is a part of another program (a sweep, a notebook's kernel), which would end as a whole"
    return None


def lives(process: object) -> bool:
    """Tell whether a capture's process surely lives, here."""
    if not isinstance(process, Mapping) or not isinstance(process.get("pid"), int):
        return False
    start = _start(process["pid"])
    return start is not None and all(process.get(k) == v for k, v in (_place() | {"start": start}).items())


def _place() -> dict[str, Any]:
    """Return where a process's number means something; None for what a system does not say."""
    boot, namespace = "", None
    with contextlib.suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with contextlib.suppress(OSError):
        namespace = str((PROC / "self/ns/pid").readlink())
    host = hashlib.sha256(f"{platform.node()}\n{boot}".encode()).hexdigest()[:16]
    return {"host": host, "pid_namespace": namespace}


def _start(pid: int | str) -> int | None:
    """Return when a process began, in clock ticks since the boot (Linux); None if there is none, or no such figure."""
    try:
        said = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return int(said.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
