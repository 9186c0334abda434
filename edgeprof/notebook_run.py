"""Running a notebook by papermill, and saying where it failed.

The kernel is a process of its own, so an error in a cell comes back as its name and its text; what edgeprof's own
errors mean for the exit code is known by their names.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeprof import errors
from edgeprof.errors import CellError, EdgeprofError, ReportError, StorageError

__all__ = ["CELL_SECONDS", "execute", "exit_code_of", "failed_cell"]

CELL_SECONDS = 600
_STARTS = 2  # a kernel whose port another process took does not start; the next one does


def exit_code_of(ename: str) -> int:
    """Return the exit code that an exception of this name stands for: its own if it is edgeprof's."""
    found = getattr(errors, ename, None)
    if isinstance(found, type) and issubclass(found, EdgeprofError):
        return found.exit_code
    return ReportError.exit_code


def failed_cell(executed: Path) -> tuple[int | None, str, str, str]:
    """Return where an executed notebook stopped: cell number, its source, the error's name and text.

    The number is the one that Jupyter shows, ``[4]``; None where no cell began.
    """
    try:
        cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
        for number, cell in enumerate((c for c in cells if c["cell_type"] == "code"), 1):
            source = "".join(cell["source"])
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    return cell["execution_count"] or number, source, output["ename"], output["evalue"]
            # The kernel never answered: it was stopped, or died, perhaps before it could say that it had begun.
            begun = cell["metadata"].get("execution")
            if begun is not None and "shell.execute_reply" not in begun:
                return number, source, "", ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # it was not written as far as that
    return None, "", "", ""


@contextlib.contextmanager
def _kernel_environment() -> Iterator[None]:
    """Prefer this environment's kernel to one of the same name in the user's home."""
    before = os.environ.get("JUPYTER_PREFER_ENV_PATH")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["JUPYTER_PREFER_ENV_PATH"]
        else:
            os.environ["JUPYTER_PREFER_ENV_PATH"] = before


def execute(notebook: Path, executed: Path, values: Mapping[str, Any]) -> None:
    """Run a notebook with these parameters; its copy with outputs is written cell by cell.

    Raises
    ------
    CellError
        A cell failed, took more than :data:`CELL_SECONDS`, or ended its kernel.
    ReportError
        The notebook did not come as far as a cell.
    StorageError
        What runs cannot be written.
    """
    import warnings

    import papermill
    from papermill.exceptions import PapermillExecutionError

    def failed(ename: str, evalue: str) -> CellError:
        number, source, *_ = failed_cell(executed)
        return CellError(notebook, number, source, values, ename, evalue, executed, exit_code_of(ename))

    for start in range(1, _STARTS + 1):
        try:
            with _kernel_environment(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                papermill.execute_notebook(
                    str(notebook), str(executed), dict(values), kernel_name="python3", progress_bar=False,
                    execution_timeout=CELL_SECONDS, cwd=str(notebook.parent), extra_arguments=["--log-level=40"],
                )  # fmt: skip
            return
        except PapermillExecutionError as error:
            raise failed(error.ename, error.evalue) from error
        except TimeoutError as error:
            raise failed("TimeoutError", f"the cell took more than {CELL_SECONDS} s and was stopped") from error
        except OSError as error:
            raise StorageError(
                f"{notebook.name} could not be run: {executed.parent}, or Jupyter's folder for what runs, cannot be "
                f"written ({error.strerror or error}). Make room, or choose another folder with --out."
            ) from error
        except RuntimeError as error:
            if failed_cell(executed)[0] is not None:  # the kernel died within a cell: out of memory, or killed
                raise failed(type(error).__name__, str(error)) from error
            if start == _STARTS or "ernel" not in str(error):
                raise ReportError(f"{notebook.name} could not be run: {error}.") from error
