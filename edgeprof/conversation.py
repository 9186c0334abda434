"""One port's driver at work: fed from the journal, asking again what was lost, giving up what is silent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from edgeprof import journal, wire
from edgeprof.driver import Ask, Outcome
from edgeprof.errors import DeviceError, EdgeprofError

__all__ = ["Conversation", "Progress"]

# What a board sends while it works on a request: it did not get lost.
_WORK = (wire.Type.TOKENS, wire.Type.STAGES, wire.Type.MEMORY)
PATIENCE = 3  # an emulator on a busy machine takes its time to start


@dataclass(slots=True)
class Progress:
    """What a live line shows of one port."""

    name: str
    bytes: int = 0
    frames: int = 0
    passes: int = 0
    lost: int = 0
    jobs_done: int = 0


class Conversation:
    """One port's driver, fed from the journal."""

    def __init__(self, folder: Path, port: int, talk: Generator[Ask, wire.Frame | None, Outcome] | None,
                 send: Callable[[int, bytes], None], progress: Progress, *,
                 lossless: bool = False) -> None:  # fmt: skip
        self.folder, self.port, self.send, self.progress = folder, port, send, progress
        self.lossless = lossless
        self.splitter = wire.Splitter()
        self.read = 0
        self.boot: int | None = None
        self.next_seq = 0
        self.talk = talk
        self.ask: Ask | None = None
        self.tries = 0
        self.deadline = 0.0
        self.outcome: Outcome | None = None
        self.error: str | None = None

    @property
    def over(self) -> bool:
        """True once there is nothing more to ask."""
        return self.talk is None

    def start(self) -> None:
        """Ask the first question: the port is open."""
        if self.talk is not None:
            self._go(None)

    def pump(self) -> None:
        """Take what is new in the journal."""
        for chunk in journal.read_from(self.folder, self.port, self.read):
            self.read += len(chunk)
            self.progress.bytes = self.read
            for piece in self.splitter.feed(chunk):
                if piece.frame is not None and not wire.from_host(piece.frame):
                    self._take(piece.frame)

    def tick(self) -> None:
        """Ask again, or give up, if the time is over. What is not lost is waited for as long, and longer."""
        if self.ask is None or time.monotonic() < self.deadline:
            return
        if self.lossless and self.tries < PATIENCE * self.ask.tries:
            self.tries += 1
            self.deadline = time.monotonic() + self.ask.seconds
        elif not self.lossless and self.tries < self.ask.tries:
            self._send()
        else:
            self._go(None)

    def fail(self, reason: str) -> None:
        """End the conversation: its board is gone."""
        self.error, self.talk, self.ask = reason, None, None

    def _take(self, frame: wire.Frame) -> None:
        p = self.progress
        p.frames += 1
        if frame.boot != self.boot:
            self.boot, self.next_seq = frame.boot, frame.seq
        p.lost += max(frame.seq - self.next_seq, 0)
        self.next_seq = max(frame.seq + 1, self.next_seq)
        if frame.type == wire.Type.TOKENS:
            p.passes += frame.n
        if self.ask is not None:
            # A heartbeat says that the board lives, not that it got the request.
            if not self.ask.frame or frame.type in _WORK:
                self.deadline = time.monotonic() + self.ask.seconds
            if self.ask.done(frame):
                self._go(frame)

    def _go(self, answer: wire.Frame | None) -> None:
        assert self.talk is not None
        try:
            self.ask = self.talk.send(answer)
        except StopIteration as stop:
            self.outcome, self.talk, self.ask = stop.value, None, None
        except EdgeprofError as error:
            kind = "timeout" if isinstance(error, DeviceError) else "refused"
            event = {"port": self.port, "kind": kind, "t_ns": time.monotonic_ns(), "detail": str(error)}
            with contextlib.suppress(OSError):  # a full disk is the reader's to report
                journal.append_event(self.folder, event)
            self.fail(str(error))
        else:
            self.tries = 0
            self._send()

    def _send(self) -> None:
        assert self.ask is not None
        self.tries += 1
        self.deadline = time.monotonic() + self.ask.seconds
        if self.ask.frame:
            self.send(self.port, self.ask.frame)
