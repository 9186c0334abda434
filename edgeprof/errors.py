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
    └── ReportError       a notebook that did not run            (exit code 3)

A message is one paragraph: what was wanted, what was found, the closest match, the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DeviceError",
    "EdgeprofError",
    "LockedError",
    "ModelError",
    "NewerFormatError",
    "NotComparableError",
    "ReportError",
    "StorageError",
    "UsageError",
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


class ReportError(EdgeprofError, RuntimeError):
    """A notebook that could not be run or exported."""


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
