"""What Jupyter has to find first: the kernel ``python3``, which is this interpreter, and no announcements."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["put_first", "without_news", "write_kernel"]


def put_first(folder: Path) -> None:
    """Let this process and its children find what is below a folder before the user's own, which is kept else."""
    write_kernel(folder)
    without_news(folder)
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        os.environ[name] = os.pathsep.join(p for p in (str(folder), os.environ.get(name, "")) if p)


def write_kernel(folder: Path) -> None:
    """Write a kernel spec ``python3`` of this interpreter below a folder of Jupyter's data.

    Found first, it hides one of that name in the user's home, which may lead to a Python without edgeprof or to none.
    """
    from ipykernel.kernelspec import write_kernel_spec

    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    write_kernel_spec(folder / "kernels" / "python3")


def without_news(folder: Path) -> None:
    """Write, below a folder of Jupyter's configuration, that JupyterLab does not ask whether to fetch news."""
    (folder / "labconfig").mkdir(parents=True, exist_ok=True)
    off = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "labconfig" / "page_config.json").write_text(json.dumps(off), encoding="utf-8")
