"""``edgeprof.live(url)``: start, watch, mark and stop a capture from a notebook, and open it when it is done.

The capture is a process of its own, and its state is on disk; here is only what looks at it, in a thread, four times a
second. So a kernel that is busy, interrupted or killed loses nothing, and the same call finds the capture again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeprof.errors import StorageError, UsageError
from edgeprof.layout import CAPTURE_JSON
from edgeprof.monitor.process import CaptureProcess, command_line, log_of, words_of
from edgeprof.monitor.watch import Watch
from edgeprof.own_process import lives
from edgeprof.plots.style import look
from edgeprof.running import find_running, is_running, mark, stop

if TYPE_CHECKING:
    from edgeprof.monitor.view import View
    from edgeprof.store import Dataset

__all__ = ["Live", "live"]

State = Literal["ready", "starting", "running", "ending", "finished", "failed"]
LOOK_SECONDS, LOOK_SHARE = 0.25, 0.2
"""A look each so often, and less often where looking takes more than this share of the time."""
CLOSE_SECONDS = 60.0
"""So long reader and sealer have for closing a capture whose process died."""


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
    ``out``, as after the kernel was restarted, that one is watched.

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

    urls = [str(url)] if isinstance(url, (str, Path)) else list(url)
    folder = Path(urls[0])
    if len(urls) == 1 and urls[0] not in boards.names() and folder.is_dir():
        capture = folder if (folder / CAPTURE_JSON).exists() else find_running(folder)
        if capture is None:
            raise UsageError(
                f"No capture goes on in {folder}. Name the port to begin one: edgeprof.live('/dev/ttyUSB0', "
                f"out={str(folder)!r}); `edgeprof.open({str(folder)!r})` opens what is there."
            )
        return Live(capture.parent, None, capture)
    words = command_line(urls, {"prompt": prompt, "model": model} | options)
    session = Live(Path(out), words, find_running(Path(out), urls))
    if start and session.state == "ready":
        session.start()
    return session


class Live:
    """A capture that is watched; made by :func:`live`. Shows itself in a notebook.

    Attributes
    ----------
    state
        ``ready``, ``starting``, ``running``, ``ending``, ``finished`` or ``failed``.
    capture
        Its folder, once there is one.
    error
        Why it failed.
    watch
        What came so far, port by port.
    said
        What the capture's process said at its end, if it was begun by a monitor.
    """

    def __init__(self, out: Path, words: Sequence[str] | None, capture: Path | None) -> None:
        self.out, self.capture = out, capture
        self.state: State = "ready"
        self.error: Exception | None = None
        self.watch: Watch | None = None
        self.said = ""
        self._words = words
        self._process: CaptureProcess | None = None
        self._look, self._lock, self._over = look(), threading.RLock(), threading.Event()
        self._dead_since: float | None = None
        self._thread: threading.Thread | None = None
        if capture is not None:
            self._follow()

    # -- what the buttons do -------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin a capture.

        Raises
        ------
        UsageError
            It goes on already, or it is one that was only looked at.
        StorageError
            The data set's folder cannot be written.
        """
        with self._lock:
            if self._words is None:
                raise UsageError("This monitor looks at a capture by its folder: edgeprof.live(PORT) begins one.")
            if self.state in ("starting", "running", "ending"):
                raise UsageError(f"The capture is {self.state}; stop() ends it, and then another one can begin.")
            self._process = CaptureProcess(self.out, self._words)
            self.capture = self._process.capture
            self._follow()

    def stop(self) -> None:
        """Ask the capture to end, as Ctrl-C does where it runs; it is closed in good order.

        Raises
        ------
        UsageError
            It is not a process of its own that can be reached from here.
        """
        with self._lock:
            if self._process is not None and not self._process.over:
                self._process.stop()
            elif self.capture is not None:
                stop(self.capture)

    def mark(self, text: str = "") -> None:
        """Note a moment: a row ``mark`` of the table ``events``.

        Raises
        ------
        StorageError
            No capture goes on.
        """
        if self.capture is None:
            raise StorageError("No capture goes on, so there is nothing to mark: start() begins one.")
        mark(self.capture, text)

    @property
    def dataset(self) -> Dataset:
        """The data set, as ``edgeprof.open`` has it; at any time."""
        from edgeprof.store import open_dataset

        return open_dataset(self.out)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the capture is closed, so long at most; tell whether it is.

        Raises
        ------
        EdgeprofError
            It failed.
        """
        if self.state == "ready" or not self._over.wait(seconds):
            return False
        if self.error is not None:
            raise self.error
        return True

    # -- looking ------------------------------------------------------------------------------------------
    def _follow(self) -> None:
        self.state, self.error, self.watch, self.said, self._dead_since = "starting", None, None, "", None
        self._over.clear()
        self._thread = threading.Thread(target=self._loop, name="edgeprof.live", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._over.is_set():
            began = time.thread_time()
            changed = False
            try:
                with self._lock:
                    changed = self._step()
            except Exception as error:
                # A fault here ends the looking; the capture goes on, and data are never in danger.
                self.error, self.state = error, "failed"
                self._over.set()
            if "view" in vars(self):
                self.view.render(changed=changed)
            self._over.wait(max(LOOK_SECONDS, (time.thread_time() - began) / LOOK_SHARE))

    def _step(self) -> bool:
        capture = self.capture
        assert capture is not None
        over = self._look_at_process(capture)
        if self.watch is None and (capture / CAPTURE_JSON).exists():
            with contextlib.suppress(StorageError, OSError):  # a capture of nothing is removed again
                self.watch = Watch(capture)
        changed = self.watch.look() if self.watch is not None else False
        if over:
            while self.watch is not None and self.watch.look():
                pass
            self._finish(capture)
        return changed

    def _look_at_process(self, capture: Path) -> bool:
        """Learn how the capture stands; tell whether it is over."""
        process = self._process
        if is_running(capture):
            self.state = "running"
            return False
        if process is not None and not process.over:
            self.state = "ending" if self.state in ("running", "ending") else "starting"
            return False
        if process is not None:
            self.error = process.error()
        if not (capture / "journal").is_dir():
            return True
        self.state = "ending"
        if process is None and self.watch is not None and lives(self.watch.process):
            return False
        now = time.monotonic()
        self._dead_since = self._dead_since or now
        if now - self._dead_since < CLOSE_SECONDS:
            return False
        self.error = self.error or StorageError(
            f"The processes that wrote {capture.name} are gone and did not close it. What came is whole: "
            f"`edgeprof recover {self.out}` closes it."
        )
        return True

    def _finish(self, capture: Path) -> None:
        self.state = "finished" if self.error is None else "failed"
        self.said = words_of(capture)
        log_of(capture).unlink(missing_ok=True)
        if self.watch is not None:
            self.watch.close()
        self._over.set()

    # -- showing ------------------------------------------------------------------------------------------
    @property
    def can_start(self) -> bool:
        """Tell whether :meth:`start` would begin a capture now."""
        return self._words is not None and self.state in ("ready", "finished", "failed")

    @cached_property
    def view(self) -> View:
        """The widgets; made when first asked for."""
        from edgeprof.monitor.view import View

        return View(self, self._look)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.view.box._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        name = f" {self.capture.name}" if self.capture is not None else ""
        return f"<edgeprof live monitor:{name} {self.state}>"
