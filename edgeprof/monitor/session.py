"""A monitor: start, watch, mark and stop a capture from a notebook, and open it when it is done.

The capture is a process of its own, and its state is on disk; here is only what looks at it, in a thread, four times a
second. So a kernel that is busy, interrupted or killed loses nothing, and the same call finds the capture again.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeprof.errors import StorageError, UsageError
from edgeprof.layout import CAPTURE_JSON
from edgeprof.monitor.process import CaptureProcess, log_of, words_of
from edgeprof.monitor.watch import Watch
from edgeprof.own_process import lives
from edgeprof.plots.style import look
from edgeprof.running import is_running, mark, stop

if TYPE_CHECKING:
    from edgeprof.monitor.view import View
    from edgeprof.plots.style import Look
    from edgeprof.store import Dataset

__all__ = ["Live", "monitors"]

State = Literal["ready", "starting", "running", "ending", "finished", "failed"]
LOOK_SECONDS, LOOK_SHARE, LOOK_LATEST = 0.25, 0.2, 5.0
"""A look each so often, and less often where looking takes more than this share of the time; but so late at most: the
first figure of a machine takes seconds of their own, for which what comes is not left unseen."""
CLOSE_SECONDS = 60.0
"""So long reader and sealer have for closing a capture whose process died."""
monitors: weakref.WeakValueDictionary[Path, Live] = weakref.WeakValueDictionary()
"""The monitor of each capture that is watched: the same call shows it once more, and does not look twice."""


class Live:
    """A capture that is watched; made by :func:`edgeprof.live`. Shows itself in a notebook.

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
    differs
        In what the capture that was found is another one than was asked for; empty if in nothing.
    """

    def __init__(self, out: Path, words: Sequence[str] | None, capture: Path | None) -> None:
        self.out, self.capture = out, capture
        self.state: State = "ready"
        self.error: Exception | None = None
        self.watch: Watch | None = None
        self.said = self.differs = ""
        self._words = words
        self._process: CaptureProcess | None = None
        self._look, self._lock, self._over = look(), threading.RLock(), threading.Event()
        self._dead_since: float | None = None
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
            self.capture, self.differs = self._process.capture, ""
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
        assert self.capture is not None
        self.state, self.error, self.watch, self.said, self._dead_since = "starting", None, None, "", None
        self._over = threading.Event()  # its loop's own: one that is about to end sees no new one's
        monitors[self.capture] = self
        threading.Thread(target=_loop, args=(weakref.ref(self), self._over), name="edgeprof.live", daemon=True).start()

    def _look_once(self, over: threading.Event) -> float:
        """Look, show what there is, and return after how many seconds to look again."""
        began = time.thread_time()
        changed = False
        try:
            with self._lock:
                changed = self._step()
        except Exception as error:
            # A fault here ends the looking; the capture goes on, and data are never in danger.
            self.error, self.state = error, "failed"
            over.set()
        if "view" in vars(self):
            try:
                self.view.render(changed=changed)
            except Exception as error:  # what cannot be drawn is said, and the looking goes on
                self.view.say(error)
        return pause_after(time.thread_time() - began)

    def _step(self) -> bool:
        capture = self.capture
        assert capture is not None
        over = self._look_at_process(capture)
        if self.watch is None and (capture / CAPTURE_JSON).exists():
            with contextlib.suppress(StorageError, OSError):  # a capture of nothing is removed again
                self.watch = Watch(capture)
                weakref.finalize(self, self.watch.close).atexit = False
        changed = self.watch.look() if self.watch is not None else False
        if over:
            while self.watch is not None and self.watch.look():
                pass
            if self.watch is not None:
                self.watch.finish()
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

    def look_as(self, look: Look) -> None:
        """Draw in these colours from now on."""
        self._look = look
        if "view" in vars(self):
            self.view.look_as(look)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.view.box._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        name = f" {self.capture.name}" if self.capture is not None else ""
        return f"<edgeprof live monitor:{name} {self.state}>"


def pause_after(cost_seconds: float) -> float:
    """Return how long to wait after a look that took so much of a processor's time."""
    return min(max(LOOK_SECONDS, cost_seconds / LOOK_SHARE), LOOK_LATEST)


def _loop(session: weakref.ref[Live], over: threading.Event) -> None:
    """Look until the capture is over, or nobody has the monitor any more."""
    while not over.is_set():
        if (live := session()) is None:
            return
        pause = live._look_once(over)
        del live
        over.wait(pause)
