"""Executes a page's blocks in a folder: shell commands in bash, Python in one kernel."""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_blocks import ROOT, Block

__all__ = ["Workspace", "workspace"]

DEADLINE_SECONDS = 600
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SGR = re.compile(r"\x1b\[[\d;]*m")
"""Colours in a traceback."""


class Workspace:
    """A page's folder, with what its blocks printed last."""

    def __init__(self, folder: Path, kernel: Any, cells: Any) -> None:
        self.folder, self._kernel, self._cells, self.printed = folder, kernel, cells, ""

    def write(self, block: Block) -> None:
        """Write a block that is a file."""
        if name := block.settings.get("file"):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")

    def run(self, block: Block) -> None:
        """Execute a block, or compare it with what was printed; an AssertionError names its page and line."""
        if (needed := block.settings.get("needs")) and not shutil.which(needed):
            pytest.skip(f"needs {needed}, for {block}: .ci/install installs it")
        if "output" in block.marks:
            same = doctest.OutputChecker().check_output(block.text, self.printed, LIKE)
            assert same, f"{block}: this was printed instead:\n{self.printed}"
        elif block.executed:
            self.printed = self._sh(block) if block.language == "sh" else self._python(block)

    def _sh(self, block: Block) -> str:
        here = str(Path(sys.executable).parent)
        environment = os.environ | {
            "PATH": os.pathsep.join([here, os.environ["PATH"]]),
            "COLUMNS": "120", "EDGEPROF_CLONE": str(ROOT), "MPLBACKEND": "agg",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text], cwd=self.folder, env=environment, check=False,
            capture_output=True, text=True, timeout=DEADLINE_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        wanted = int(block.settings.get("exit", 0))
        assert done.returncode == wanted, f"{block}: ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _python(self, block: Block) -> str:
        import nbformat
        from nbclient.exceptions import CellExecutionError

        if not self._kernel:
            self._kernel.append(self._cells.enter_context(_started(self.folder)))
        client = self._kernel[0]
        cell = nbformat.v4.new_code_cell(block.text)
        client.nb.cells.append(cell)
        try:
            client.execute_cell(cell, len(client.nb.cells) - 1)
        except CellExecutionError as error:
            raise AssertionError(f"{block}: {SGR.sub('', error.traceback)}") from None
        shown = [
            o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs if o.get("name") != "stderr"
        ]
        return "\n".join(shown)


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Workspace]:
    """Give a folder to a page's blocks; the kernel, started when first used, ends with it."""
    with contextlib.ExitStack() as cells:
        yield Workspace(folder, [], cells)


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[Any]:
    import nbformat
    from nbclient import NotebookClient

    def client() -> Any:
        return NotebookClient(
            nbformat.v4.new_notebook(),
            timeout=DEADLINE_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        )

    with contextlib.ExitStack() as running:
        started = client()
        try:
            running.enter_context(started.setup_kernel())
        except RuntimeError:  # another process took its port between the choice of it and the kernel's use of it
            started = client()
            running.enter_context(started.setup_kernel())
        yield started
