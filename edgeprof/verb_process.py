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
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT}); "
    "from edgeprof.cli import entry; entry()"
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
        The exit code; and, if that is not 0, why: what the verb said last, which is not written if it ended at once.

    Raises
    ------
    KeyboardInterrupt
        Whoever waits was interrupted; the verb has ended then, or was killed after a minute.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    with _child(words) as child:
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        try:
            last, written = _pass_on(lines, words[0], write)
            if (code := child.wait()) == 0 and not written:
                write(last)
            return code, last.partition(": ")[2].strip() if code else ""
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


def _pass_on(lines: queue.Queue[str | None], verb: str, write: Callable[[str], object]) -> tuple[str, bool]:
    """Write lines until their end; return the last one if it may be why the verb failed, and whether it was written.

    Such a line waits a moment for the end, so that it is not seen twice; a slow end does not lose it.
    """
    last, held = "", False
    while True:
        try:
            line = lines.get(timeout=_HELD_SECONDS if held else None)
        except queue.Empty:
            write(last)
            held = False
            continue
        if line is None:
            return last, not held
        if held:
            write(last)
        held = line.startswith(("edgeprof: ", f"edgeprof {verb}: "))
        last = line if held else ""
        if not held:
            write(line)
