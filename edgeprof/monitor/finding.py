"""``edgeprof.live(url)``: the monitor of a capture that goes on, or of one that is to begin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprof.errors import UsageError
from edgeprof.layout import CAPTURE_JSON
from edgeprof.monitor.asked import differences
from edgeprof.monitor.process import command_line
from edgeprof.monitor.session import Live, monitors
from edgeprof.plots.style import look
from edgeprof.running import find_all_running, find_running

__all__ = ["live"]


def live(
    url: str | Path | Sequence[str],
    *,
    out: str | Path = "data",
    prompt: str | Sequence[str] | None = None,
    model: str | Path | None = None,
    start: bool = False,
    **options: Any,
) -> Live:
    """Watch a board while it runs: tokens a second, ITL, memory, power, and its text as it comes.

    Begins nothing until its start button is pressed (or ``start=True``). Where a capture of the same ports goes on in
    ``out``, as after the kernel was restarted, that one is watched; if it was begun with other prompts or another
    model, ``differs`` says so. Of emulated boards, several of which may run, such a one is left alone.

    Parameters
    ----------
    url
        What ``edgeprof capture`` takes: a board's name, a serial port, any URL, or several of them. Or the folder of a
        capture that goes on, or of a data set in which one does.
    out
        The data set's folder.
    prompt
        What the board is to continue; one or several. Without it nothing is sent.
    model
        The GGUF that an emulated board runs.
    start
        Begin at once.
    options
        All other options of ``edgeprof capture``, with underscores: ``tokens=100``, ``baud=921600``, ``reset=True``.

    Raises
    ------
    UsageError
        There is no such option; or the folder holds no capture that goes on.
    StorageError
        ``out`` cannot be written (with ``start=True``).

    Examples
    --------
    >>> edgeprof.live("/dev/ttyUSB0", baud=921600, out="data")        # doctest: +SKIP
    """
    from edgeprof import boards

    out = Path(out).absolute()  # where it is now, wherever the notebook goes
    urls = [str(url)] if isinstance(url, (str, Path)) else list(url)
    folder = Path(urls[0]).absolute()
    if len(urls) == 1 and urls[0] not in boards.names() and folder.is_dir():
        capture = folder if (folder / CAPTURE_JSON).exists() else find_running(folder)
        if capture is None:
            raise UsageError(
                f"No capture goes on in {folder}. Name the port to begin one: edgeprof.live('/dev/ttyUSB0', "
                f"out={str(folder)!r}); `edgeprof.open({str(folder)!r})` opens what is there."
            )
        return _monitor(capture.parent, None, capture)
    asked = {"prompt": prompt, "model": model} | options
    words = command_line(urls, asked)
    for monitor in list(monitors.values()):
        if (monitor.out, monitor._words, monitor.state) == (out, words, "starting"):
            return monitor
    emulated = all(url in boards.names() for url in urls)
    differs = ""
    for capture in find_all_running(out, urls):
        differs = differences(capture, asked)
        if not (differs and emulated):
            break
    else:
        capture, differs = None, ""
    session = _monitor(out, words, capture)
    session.differs = differs
    if start and session.state == "ready":
        session.start()
    return session


def _monitor(out: Path, words: Sequence[str] | None, capture: Path | None) -> Live:
    """Return the monitor of a capture that is watched already, else a new one."""
    found = monitors.get(capture) if capture is not None else None
    if found is None or found.state in ("finished", "failed"):
        return Live(out, words, capture)
    found.look_as(look())
    found._words = found._words or words
    return found
