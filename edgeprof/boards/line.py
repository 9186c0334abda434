"""The wire of an emulated board: a pty, or a TCP port on this machine.

Bytes from the host are handed to the firmware in stretches that depend on the bytes alone and not on when they came:
up to and with the next zero (the end of a frame), or as many as were asked for.
"""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import BinaryIO, Protocol

from edgeprof.errors import DeviceError

__all__ = ["Inbox", "Line", "Pty", "Socket", "open_line"]

LONGEST = 64


class Line(Protocol):
    """What carries the bytes."""

    url: str

    def wait(self) -> None:
        """Return when there is somebody: opening a serial port discards what came before."""
        ...

    def go(self) -> None:
        """End the waiting: whoever started the board says that somebody is there."""
        ...

    def send(self, data: bytes) -> None:
        """Send all of it, waiting for a reader if need be."""
        ...

    def receive(self, wait: bool) -> bytes:
        """Return what has come; empty only if it should not wait."""
        ...


class Pty:
    """A pseudo-terminal in raw mode. Its slave stays open, so that clients may come and go."""

    def __init__(self) -> None:
        import tty

        try:
            self._master, self._slave = os.openpty()
        except OSError as error:
            raise DeviceError(f"No pty could be opened ({error}): try the transport 'socket'.") from error
        tty.setraw(self._slave)
        self.url = os.ttyname(self._slave)
        self._told, self._tell = os.pipe()

    def wait(self) -> None:
        """Return when there is somebody."""
        select.select([self._master, self._told], [], [])  # the first request is there: it is read later

    @property
    def descriptor(self) -> int:
        """The board's end."""
        return self._master

    def go(self) -> None:
        """End the waiting."""
        os.write(self._tell, b"g")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._master, view) :]

    def receive(self, wait: bool) -> bytes:
        """Return what has come."""
        ready, _, _ = select.select([self._master], [], [], None if wait else 0)
        return os.read(self._master, 4096) if ready else b""


class Socket:
    """A server on 127.0.0.1 for one client at a time. What is sent waits for one; another may follow the last."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._client: socket.socket | None = None
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def wait(self) -> None:
        """Return when there is somebody."""
        self._peer()

    def go(self) -> None:
        """Do nothing: a client that connected is there, and one that did not is waited for."""

    def _peer(self) -> socket.socket:
        if self._client is None:
            self._client, _ = self._server.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._client

    def _lost(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def send(self, data: bytes) -> None:
        """Send all of it."""
        while True:
            try:
                return self._peer().sendall(data)
            except OSError:
                self._lost()

    def receive(self, wait: bool) -> bytes:
        """Return what has come."""
        while True:
            if not wait and (self._client is None or not select.select([self._client], [], [], 0)[0]):
                return b""
            try:
                data = self._peer().recv(4096)
            except OSError:
                data = b""
            if data:
                return data
            self._lost()


def open_line(transport: str) -> Line:
    """Return a new line: ``pty``, ``socket``, or ``auto`` (a pty where there are any)."""
    if transport == "socket" or (transport == "auto" and not hasattr(os, "openpty")):
        return Socket()
    if not hasattr(os, "openpty"):
        raise DeviceError("This system has no ptys: use the transport 'socket'.")
    return Pty()


class Inbox:
    """Received bytes, handed out in stretches that do not depend on timing; and a copy of what is sent."""

    def __init__(self, line: Line, tap: Path | None = None) -> None:
        self._line = line
        self._bytes = bytearray()
        # Unbuffered, and open as long as the process lives: what was sent must be there after a crash.
        self._tap: BinaryIO | None = tap.open("ab", buffering=0) if tap else None

    def send(self, data: bytes) -> None:
        """Send, after noting it in the tap."""
        if self._tap:
            self._tap.write(data)
        self._line.send(data)

    def _stretch(self, most: int) -> int:
        end = self._bytes.find(0, 0, most) + 1
        return end or (most if len(self._bytes) >= most else 0)

    def available(self) -> int:
        """Return how many bytes `read` would return at once."""
        n = self._stretch(LONGEST)
        if not n:
            self._bytes += self._line.receive(wait=False)
            n = self._stretch(LONGEST)
        return n

    def read(self, most: int) -> bytes:
        """Return the next stretch, waiting for its end."""
        while not self._stretch(most):
            self._bytes += self._line.receive(wait=True)
        n = self._stretch(most)
        out = bytes(self._bytes[:n])
        del self._bytes[:n]
        return out
