"""A cable that can be pulled: a pty behind a name that comes and goes, as a USB serial port's does."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import tty
from collections.abc import Callable
from pathlib import Path

from fakeboard import FakeBoard, serve
from firmware_host import until

from edgeprof import wire


class Cable:
    """A serial port at ``path``. What the board sends while it is pulled is lost, as on a real one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ends: tuple[int, int] | None = None
        self.heard: Callable[[bytes], None] = lambda data: None
        self.sent = 0
        self.plug()

    def plug(self) -> None:
        board, host = os.openpty()
        tty.setraw(host)
        self.ends = board, host
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(host))
        self.listener = threading.Thread(target=self._listen, args=(board,), daemon=True)
        self.listener.start()

    def pull(self) -> None:
        assert self.ends is not None
        ends, self.ends = self.ends, None
        self.path.unlink()
        self.listener.join()  # a pty that somebody is reading is not closed
        for fd in ends:
            os.close(fd)

    def send(self, data: bytes) -> None:
        if self.ends is not None:
            os.write(self.ends[0], data)
            self.sent += len(data)

    def _listen(self, fd: int) -> None:
        while self.ends is not None and self.ends[0] == fd:
            if select.select([fd], [], [], 0.05)[0]:
                self.heard(os.read(fd, 4096))


def answering(cable: Cable, board: FakeBoard, mode: str = "normal") -> None:
    """Have a board answer requests that come over a cable."""
    splitter = wire.Splitter()

    def heard(data: bytes) -> None:
        frames = [piece.frame for piece in splitter.feed(data) if piece.frame is not None]
        threading.Thread(target=serve, args=(board, frames, mode), daemon=True).start()

    cable.heard = heard


class SocatCable:
    """A serial line between two ptys, ``host`` and ``board``, that socat holds together until it is cut."""

    def __init__(self, host: Path, board: Path) -> None:
        self.host, self.board = host, board
        ends = [f"pty,raw,echo=0,link={end}" for end in (board, host)]
        self.socat = subprocess.Popen(["socat", "-d", "-d", *ends], stderr=subprocess.DEVNULL)
        until(lambda: self.board.exists() and self.host.exists(), "socat's ptys")

    def cut(self) -> None:
        self.socat.kill()
        self.socat.wait()
        for end in (self.host, self.board):
            end.unlink(missing_ok=True)  # a killed socat leaves its links
