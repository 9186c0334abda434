"""The exceptions that edgeprof raises.

::

    EdgeprofError
    ├── UsageError        wrong parameter, unknown name          (exit code 3)
    ├── ModelError        a GGUF that cannot be used             (exit code 3)
    ├── DeviceError       no port, no answer, a board that died  (exit code 4)
    ├── StorageError      unwritable folder, damaged data set    (exit code 5)
    │   └── NewerFormatError   written by a newer edgeprof
    ├── LockedError       somebody else is writing this capture  (exit code 5)
    ├── NotComparableError     unlike or missing data            (exit code 2)
    ├── VerdictError      judged, and found bad                  (exit code 1)
    └── ReportError       a notebook that did not run            (exit code 3)
        └── CellError     a cell that failed                     (that of the error in it if edgeprof's, else 3)

A message is one paragraph: what was wanted, what was found, the closest match, the next step.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "CellError",
    "DeviceError",
    "EdgeprofError",
    "LockedError",
    "ModelError",
    "NewerFormatError",
    "NotComparableError",
    "ReportError",
    "StorageError",
    "UsageError",
    "VerdictError",
    "unknown_name",
]


class EdgeprofError(Exception):
    """Base of all. ``exit_code`` is what the command line ends with."""

    exit_code = 3


class UsageError(EdgeprofError, ValueError):
    """A parameter, name or file that the caller can correct."""


class ModelError(EdgeprofError, ValueError):
    """A model file that is truncated, foreign, or of a shape that is not supported."""


class DeviceError(EdgeprofError, OSError):
    """A port that cannot be opened, a board that does not answer or went away."""

    exit_code = 4


class StorageError(EdgeprofError, OSError):
    """A data set that cannot be read or written."""

    exit_code = 5


class NewerFormatError(StorageError):
    """A file written by a newer edgeprof than this one."""


class LockedError(StorageError):
    """A capture that another process is writing."""


class NotComparableError(EdgeprofError, ValueError):
    """Data that are missing, or not alike enough to be compared."""

    exit_code = 2


class VerdictError(EdgeprofError, RuntimeError):
    """What was judged, as by a gate, and found bad."""

    exit_code = 1


class ReportError(EdgeprofError, RuntimeError):
    """A notebook that could not be run or exported."""


class CellError(ReportError):
    """A cell of a notebook that failed.

    Attributes
    ----------
    notebook
        The notebook.
    executed
        Its copy with the outputs so far, which shows the whole error.
    cell
        The cell's number as Jupyter shows it; None where it is not known.
    source
        The cell's source.
    parameters
        What the notebook was given.
    ename
        The error's class.
    evalue
        Its text.
    exit_code
        That of an edgeprof error that was raised in the cell, else :class:`ReportError`'s.
    """

    def __init__(
        self, notebook: Path, cell: int | None, source: str, parameters: Mapping[str, Any], ename: str, evalue: str,
        executed: Path, exit_code: int,
    ) -> None:  # fmt: skip
        self.notebook, self.cell, self.source, self.parameters = notebook, cell, source, dict(parameters)
        self.ename, self.evalue, self.executed, self.exit_code = ename, evalue, executed, exit_code
        super().__init__(
            f"{notebook.name} failed in cell [{cell or '?'}] with {ename}: {' '.join(evalue.split())} "
            f"(parameters: {json.dumps(self.parameters, default=str)}; `-p NAME=VALUE` sets one, and "
            f"`edgeprof report --list` says what each is). The executed notebook shows the whole error: {executed}."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it cross from one process to another."""
        made_of = ("notebook", "cell", "source", "parameters", "ename", "evalue", "executed", "exit_code")
        return type(self), tuple(getattr(self, name) for name in made_of)


def unknown_name(kind: str, found: str, known: Iterable[str], hint: str = "") -> UsageError:
    """Return the error for a name that is not known, with the closest one that is.

    Parameters
    ----------
    kind
        What was named, for instance ``"board"``.
    found
        The name that was given.
    known
        All names that would do.
    hint
        One more sentence: the next step.
    """
    names = sorted(known)
    close = difflib.get_close_matches(found, names, n=1, cutoff=0.4)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    text = f"There is no {kind} {found!r}.{guess} Known: {', '.join(names) or 'none'}."
    return UsageError(f"{text} {hint}".strip())
