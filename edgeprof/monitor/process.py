"""The capturing process of a monitor: started so that nothing which happens to the notebook reaches it.

It has a session of its own, so that neither the kernel's interrupt nor its end is its. What it says goes into a hidden
file of the data set, ``.live-<capture id>.log``, not into a pipe that would break with the kernel.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeprof.capture import new_capture_id
from edgeprof.errors import DeviceError, EdgeprofError, StorageError, UsageError, unknown_name

__all__ = ["CaptureProcess", "command_line"]

_GOOD = (0, 130)
"""Exit codes of a capture that was done, or was asked to end."""
_not_waited_for: list[subprocess.Popen[bytes]] = []


def command_line(urls: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return the words of ``edgeprof capture`` for ports and options, named as of the command line.

    Parameters
    ----------
    urls
        The ports.
    options
        ``seal_every=60`` is ``--seal-every 60``; True is an option without a value, False and None are left out, a list
        or tuple is the option several times.

    Raises
    ------
    UsageError
        There is no such option, with the closest one that there is.
    """
    from edgeprof.cli import parser_of

    known = sorted(set(vars(parser_of("capture").parse_args(["port", "--out", "x"]))) - {"url", "out", "capture_id"})
    words = list(urls)
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise unknown_name("option of edgeprof capture", name, close or known)
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is True:
                words.append(option)
            elif one is not None and one is not False:
                words.append(f"{option}={one}")
    return words


class CaptureProcess:
    """``edgeprof capture`` as a process that outlives the one which started it.

    Parameters
    ----------
    out
        The data set's folder; made if it does not exist.
    words
        From :func:`command_line`.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """

    def __init__(self, out: Path, words: Sequence[str]) -> None:
        name = new_capture_id()
        self.capture = out / f"capture={name}"
        program = [sys.executable, "-m", "edgeprof", "capture", *words, f"--out={out}", f"--capture-id={name}"]
        _not_waited_for[:] = [process for process in _not_waited_for if process.poll() is None]
        try:
            out.mkdir(parents=True, exist_ok=True)
            with log_of(self.capture).open("wb") as log:
                self.process = subprocess.Popen(
                    program, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    env=os.environ | {"PYTHONUNBUFFERED": "1"},
                )  # fmt: skip
        except OSError as error:
            raise StorageError(
                f"{out} cannot be written ({error.strerror}). Choose another folder with out=…, or make it writable."
            ) from error
        _not_waited_for.append(self.process)

    @property
    def over(self) -> bool:
        """True once it ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Ask it to end in good order."""
        self.process.terminate()

    def error(self) -> EdgeprofError | None:
        """Return what went wrong, in its own words, once it ended; None if nothing did."""
        code = self.process.poll()
        if code is None or code in _GOOD:
            return None
        if code < 0:
            return EdgeprofError(f"The capturing process was killed (signal {-code}); what it had read is kept.")
        said = words_of(self.capture)
        kinds = {kind.exit_code: kind for kind in (UsageError, DeviceError, StorageError)}
        return kinds.get(code, EdgeprofError)(said or f"The capturing process ended with code {code} and said nothing.")


def log_of(capture: Path) -> Path:
    """Return the file that holds what the process of a capture said."""
    return capture.parent / f".live-{capture.name.partition('=')[2]}.log"


def words_of(capture: Path) -> str:
    """Return the last thing that the process of a capture said, without the program's name."""
    with contextlib.suppress(OSError):
        lines = log_of(capture).read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.removeprefix("edgeprof: ") for line in lines if line.strip()]
        return next((line for line in reversed(said) if not line.startswith("interrupted; ")), "")
    return ""
