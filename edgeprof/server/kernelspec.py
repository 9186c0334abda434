"""The kernel ``python3``, which is this interpreter, whatever other kernels of that name there are."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["put_first"]


def put_first(folder: Path) -> None:
    """Write a kernel spec ``python3`` of this interpreter below a folder, where this process looks first.

    A spec of that name in the user's home, which may lead to a Python without edgeprof or to none, is then not found.
    """
    from ipykernel.kernelspec import write_kernel_spec

    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    write_kernel_spec(folder / "kernels" / "python3")
    others = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(p for p in (str(folder), others) if p)
