"""What a recorded result depends on: the machine and the versions, and nobody's name."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import edgeprof


def machine(*packages: str) -> dict[str, Any]:
    """Return the processor, its cores, the kernel, Python and the versions of some packages."""
    cpu = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {release(platform.release())}",
        "python": platform.python_version(),
        "edgeprof": edgeprof.__version__,
        "packages": {name: version(name) for name in packages},
    }


def release(kernel: str) -> str:
    """Return a kernel's release without what names its build.

    >>> release("6.18.44-x-v1")
    '6.18'
    """
    found = re.match(r"\d+(\.\d+)?", kernel)
    return found.group() if found else ""


def record(path: Path, result: dict[str, Any], *packages: str) -> None:
    """Write a result with its machine and date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"machine": machine(*packages), "date": time.strftime("%Y-%m-%d"), **result}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
