"""A driver of somebody else's protocol at work on one port: commands out, lines of text back."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

from edgeprof.conversation import Conversation, Progress
from edgeprof.errors import DeviceError, EdgeprofError
from edgeprof.mlperf import Command
from edgeprof.mlperf_lines import Answer

__all__ = ["LineConversation", "LineDriver", "LineTalk"]

LONGEST_ANSWER = 10.0
"""So many times a line's time an answer may take in all."""

LineTalk = Generator[Command, list[str] | None, Any]


class LineDriver(Protocol):
    """A protocol in which the host asks in text and the device answers in lines."""

    def __call__(self, *, name: str, advance: Callable[[int], None]) -> LineTalk:
        """Return the generator of commands for a device; it is sent the lines of each answer, None if none came."""
        ...


class LineConversation(Conversation):
    """One port's driver, fed from the journal.

    A command is sent once: asked twice, a device would infer twice. So a port that went away ends it.
    """

    def __init__(
        self, folder: Path, port: int, lines: LineTalk, send: Callable[[int, bytes], None], progress: Progress
    ) -> None:
        super().__init__(folder, port, None, send, progress)
        self.lines: LineTalk | None = lines
        self.command: Command | None = None
        self.answer = Answer()
        self.came = 0
        self.latest = 0.0

    @property
    def over(self) -> bool:
        """True once there is nothing more to ask."""
        return self.lines is None

    def start(self) -> None:
        """Send the first command: the port is open."""
        self._answered(None)

    def back(self) -> None:
        """The port is there again: what was answered meanwhile is lost."""
        super().back()
        if not self.over:
            self.fail(f"{self.progress.name} was away in the middle of a command; what came is kept")

    def tick(self) -> None:
        """Give up what takes too long."""
        if self.command is not None and time.monotonic() >= min(self.deadline, self.latest):
            self._answered(None)

    def fail(self, reason: str) -> None:
        """End the conversation."""
        super().fail(reason)
        self.lines, self.command = None, None

    def hear(self, chunk: bytes) -> None:
        """Take bytes of the device's."""
        super().hear(chunk)
        while self.command is not None:
            lines = self.answer.feed(chunk, self.command.ends)
            if self.answer.came > self.came:
                self.came = self.answer.came
                self.deadline = time.monotonic() + self.command.seconds
            if lines is None:
                return
            chunk = b""
            self._answered(lines)

    def _answered(self, lines: list[str] | None) -> None:
        assert self.lines is not None
        try:
            self.command = self.lines.send(lines)
        except StopIteration as stop:
            self.outcome, self.lines, self.command = stop.value, None, None
        except EdgeprofError as error:
            self.note("timeout" if isinstance(error, DeviceError) else "refused", str(error))
            self.fail(str(error))
        else:
            self.deadline = time.monotonic() + self.command.seconds
            # A device that prints other lines for ever does not answer either.
            self.latest = time.monotonic() + LONGEST_ANSWER * self.command.seconds
            if self.command.data:
                self.send(self.port, self.command.data)
