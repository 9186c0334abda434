"""A verb of the command line as a child process, its output line by line: what a notebook runs.

A capture has to go on however busy the kernel is, so it is not in it. The child stays in the kernel's process group: it
ends with a kernel that is killed. An interrupt is passed on once, as the signal that every verb ends cleanly on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

__all__ = ["run_verb"]

END_SECONDS = 60.0
_HELD_SECONDS = 0.5
# Jupyter sends SIGINT to the whole group. It is blocked while the child is made, so that it meets none of its moments.
_START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT}); "
    "from edgeprof.cli import main; sys.exit(main())"
)


def run_verb(words: Sequence[str], write: Callable[[str], object]) -> tuple[int, str]:
    """Run a command line of edgeprof; pass on what it says, line by line.

    Parameters
    ----------
    words
        The verb and its arguments.
    write
        Takes each line of standard output and error, with its end.

    Returns
    -------
    tuple of int and str
        The exit code; and, if that is not 0, what the verb said last of why, which is then not written.

    Raises
    ------
    KeyboardInterrupt
        Whoever waits was interrupted; the verb has ended then, or was killed after a minute.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    with _child(words) as child:
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        try:
            why = _pass_on(lines, words[0], write)
            return (code := child.wait()), _said(code, why, write)
        except KeyboardInterrupt:
            child.terminate()
            with contextlib.suppress(queue.Empty, subprocess.TimeoutExpired):
                while (line := lines.get(timeout=END_SECONDS)) is not None:
                    write(line)
                child.wait(END_SECONDS)
            raise


@contextlib.contextmanager
def _child(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def _read(child: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            lines.put(line)
    lines.put(None)


def _pass_on(lines: queue.Queue[str | None], verb: str, write: Callable[[str], object]) -> str:
    """Write lines until their end; return the last one if it may be why the verb failed."""
    held = ""
    while True:
        try:
            line = lines.get(timeout=_HELD_SECONDS if held else None)
        except queue.Empty:  # it was not the last thing that it said
            line = ""
        if line is None:
            return held
        write(held)
        held = line if line.startswith(("edgeprof: ", f"edgeprof {verb}: ")) else ""
        write("" if held else line)


def _said(code: int, why: str, write: Callable[[str], object]) -> str:
    if code == 0:
        write(why)
        return ""
    return why.partition(": ")[2].strip()
