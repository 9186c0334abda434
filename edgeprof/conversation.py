"""One port's driver at work: fed from the journal, asking again what was lost, giving up what is silent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprof import journal, wire
from edgeprof.driver import Ask, Outcome
from edgeprof.errors import DeviceError, EdgeprofError

__all__ = ["Conversation", "Progress"]

# What a board sends while it works on a request: it did not get lost.
_WORK = (wire.Type.TOKENS, wire.Type.STAGES, wire.Type.MEMORY, wire.Type.LOGITS)
LOOK_SECONDS = 0.1
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
    lines: int = 0
    gaps: int = 0
    away: bool = False


class Conversation:
    """One port's driver, fed from the journal."""

    def __init__(self, folder: Path, port: int, talk: Generator[Ask, wire.Frame | None, Outcome] | None,
                 send: Callable[[int, bytes], None], progress: Progress, *,
                 lossless: bool = False) -> None:  # fmt: skip
        self.folder, self.port, self.send, self.progress = folder, port, send, progress
        self.lossless = lossless
        self.splitter = wire.Splitter()
        self.tail = journal.Tail(folder, port)
        self.looked = 0.0
        self.boot: int | None = None
        self.next_seq = 0
        self.talk = talk
        self.ask: Ask | None = None
        self.tries = 0
        self.deadline = 0.0
        self.outcome: Any = None
        self.error: str | None = None

    @property
    def over(self) -> bool:
        """True once there is nothing more to ask."""
        return self.talk is None

    def start(self) -> None:
        """Ask the first question: the port is open."""
        if self.talk is not None:
            self._go(None)

    @property
    def due(self) -> bool:
        """True if it is time to look into the journal: at once where an answer is waited for, else now and then."""
        return not self.over or time.monotonic() - self.looked >= LOOK_SECONDS

    def pump(self) -> None:
        """Take what is new in the journal."""
        self.looked = time.monotonic()
        while chunk := self.tail.read():
            self.progress.bytes = self.tail.offset
            self.hear(chunk)

    def hear(self, chunk: bytes) -> None:
        """Take bytes of the board's."""
        for piece in self.splitter.feed(chunk):
            if piece.frame is not None and not wire.from_host(piece.frame):
                self._take(piece.frame)
            elif piece.kind is wire.Kind.TEXT:
                self.progress.lines += piece.data.count(b"\n")

    def away(self) -> None:
        """The port vanished and is being looked for."""
        self.progress.away = True
        self.progress.gaps += 1

    def back(self) -> None:
        """The port is there again: what was asked may not have arrived."""
        self.progress.away = False
        if self.ask is not None:
            self._send()

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

    def gone(self, reason: str, *, broken: bool = False) -> None:
        """The port will not come back, or not soon enough; ``broken`` if that is a failure of one that only listens."""
        self.progress.away = True
        if not self.over:
            self.pump()
        if not self.over or broken:
            self.fail(f"{self.progress.name} went away: {reason}")

    def fail(self, reason: str) -> None:
        """End the conversation: its board is gone."""
        self.error, self.talk, self.ask = reason, None, None

    def note(self, kind: str, detail: str) -> None:
        """Journal what happened."""
        event = {"port": self.port, "kind": kind, "t_ns": time.monotonic_ns(), "detail": detail}
        with contextlib.suppress(OSError):  # a full disk is the reader's to report
            journal.append_event(self.folder, event)

    def _take(self, frame: wire.Frame) -> None:
        p = self.progress
        p.frames += 1
        if frame.boot != self.boot:
            restarted = self.boot is not None
            self.boot, self.next_seq = frame.boot, frame.seq
            if restarted and self.ask is not None and not self.ask.at_rest:
                self.fail(f"{p.name} restarted in the middle of its work; what came is kept")
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
            self.note("timeout" if isinstance(error, DeviceError) else "refused", str(error))
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
