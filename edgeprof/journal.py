"""The journal: wire bytes verbatim, with the host time of each read, before anything is made of them.

A capture's folder holds ``journal/port-NN/<offset>.wire`` and ``.idx``: the stream in pieces, each named by
the stream offset of its first byte. An index entry is 16 bytes: the offset at which a read began and when
(nanoseconds of the monotonic clock). Bytes are written before their index entry, so a crash leaves at
most bytes without a time. No numpy here: the reader process starts with this.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from edgeprof.layout import sync

__all__ = [
    "IndexTail",
    "PortWriter",
    "Tail",
    "append_event",
    "events_path",
    "indexed_end",
    "pieces",
    "read_events",
    "read_from",
    "read_index",
    "stream_end",
]

_ENTRY = struct.Struct("<Qq")
CHUNK = 1 << 20


def port_dir(capture: Path, port: int) -> Path:
    """Return the folder of one port's journal."""
    return capture / "journal" / f"port-{port:02d}"


def pieces(capture: Path, port: int) -> list[tuple[int, Path]]:
    """Return (stream offset, path) of a port's pieces, in order."""
    found = port_dir(capture, port).glob("*.wire")
    return sorted((int(path.stem), path) for path in found)


def stream_end(capture: Path, port: int) -> int:
    """Return the stream offset behind the last byte in the journal."""
    found = pieces(capture, port)
    return found[-1][0] + found[-1][1].stat().st_size if found else 0


class PortWriter:
    """Append one port's bytes. A byte whose :meth:`append` has returned is acknowledged.

    Parameters
    ----------
    capture
        The capture's folder.
    port
        Index of the port.
    piece_bytes, piece_seconds
        A new piece is begun beyond either.
    """

    def __init__(self, capture: Path, port: int, *, piece_bytes: int = 64 << 20, piece_seconds: float = 600.0) -> None:
        self._dir = port_dir(capture, port)
        self._dir.mkdir(parents=True, exist_ok=True)
        # Not all ports at the same time: those of a capture began together.
        self._piece_bytes, self._piece_ns = piece_bytes, int(piece_seconds * 1e9 * (1 + port % 64 / 640))
        self.offset = stream_end(capture, port)
        self._wire, self._idx = -1, -1
        self._unsynced = False
        self._full: list[tuple[int, int]] = []
        self._open()

    def _open(self) -> None:
        name = self._dir / f"{self.offset:020d}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._wire = os.open(name.with_suffix(".wire"), flags, 0o644)
        self._idx = os.open(name.with_suffix(".idx"), flags, 0o644)
        self._piece_start, self._piece_began = self.offset, time.monotonic_ns()
        self._named = False

    def append(self, data: bytes, t_ns: int) -> None:
        """Append what one read returned; else as :meth:`extend`."""
        self.extend([(data, t_ns)])

    def extend(self, reads: Sequence[tuple[bytes, int]]) -> None:
        """Append what some reads returned, each with its time, in one go.

        Raises
        ------
        OSError
            The disk is full or the folder went away; what was written before stays whole.
        """
        entries, began = bytearray(), self.offset
        for data, t_ns in reads:
            entries += _ENTRY.pack(began, t_ns)
            began += len(data)
        view = memoryview(reads[0][0] if len(reads) == 1 else b"".join([data for data, _ in reads]))
        while view:
            written = os.write(self._wire, view)
            self.offset += written
            view = view[written:]
        while entries:
            del entries[: os.write(self._idx, entries)]
        self._unsynced = True
        last_ns = reads[-1][1]
        if self.offset - self._piece_start >= self._piece_bytes or last_ns - self._piece_began >= self._piece_ns:
            self._full.append((self._wire, self._idx))  # whoever syncs closes them: it may take a while
            self._open()

    def sync(self) -> None:
        """Ask the disk to keep what was written since the last time; safe to call from another thread."""
        if self._unsynced:
            self._unsynced = False
            for fd in (self._wire, self._idx):
                with contextlib.suppress(OSError):  # a piece that was closed meanwhile was synced when it was closed
                    os.fsync(fd)
        while self._full:
            with contextlib.suppress(IndexError):  # another thread took the last one
                self._finish(*self._full.pop(0))
        if not self._named:  # a new piece's name is kept as well
            self._named = True
            sync(self._dir)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._finish(self._wire, self._idx)

    @staticmethod
    def _finish(*fds: int) -> None:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.fsync(fd)
            os.close(fd)


def read_from(capture: Path, port: int, offset: int, end: int | None = None) -> Iterator[bytes]:
    """Yield a port's bytes from a stream offset on, up to ``end`` or to what there is now.

    Raises
    ------
    FileNotFoundError
        A piece was sealed and removed meanwhile: there are newer manifests to go by.
    """
    found = pieces(capture, port)
    if found and found[0][0] > offset:
        raise FileNotFoundError(errno.ENOENT, "no longer in the journal", str(port_dir(capture, port)))
    for start, path in found:
        if end is not None and start >= end:
            return
        size = path.stat().st_size
        if start + size <= offset:
            continue
        with path.open("rb") as file:
            file.seek(max(offset - start, 0))
            while True:
                limit = CHUNK if end is None else min(CHUNK, end - start - file.tell())
                chunk = file.read(limit) if limit > 0 else b""
                if not chunk:
                    break
                yield chunk


def read_index(capture: Path, port: int, offset: int = 0) -> list[tuple[int, int]]:
    """Return (stream offset, monotonic nanoseconds) of the reads that reach beyond ``offset``."""
    entries: list[tuple[int, int]] = []
    for _, path in pieces(capture, port):
        raw = path.with_suffix(".idx").read_bytes() if path.with_suffix(".idx").exists() else b""
        entries += _ENTRY.iter_unpack(raw[: len(raw) // _ENTRY.size * _ENTRY.size])
    keep = 0
    for i, (start, _) in enumerate(entries):
        if start <= offset:
            keep = i
    return entries[keep:]


class Tail:
    """Follow the end of a port's journal while it grows.

    The piece that is read stays open, so a follower costs one read a call, and what was sealed and removed meanwhile
    is still there for it.
    """

    def __init__(self, capture: Path, port: int) -> None:
        self._capture, self._port = capture, port
        self._file: BinaryIO | None = None
        self.offset = 0

    def read(self) -> bytes:
        """Return what came since the last call, at most a megabyte."""
        if self._file is None and not self._next():
            return b""
        assert self._file is not None
        data = self._file.read(CHUNK)
        if not data and self._next():
            data = self._file.read(CHUNK)
        self.offset += len(data)
        return data

    def _next(self) -> bool:
        """Open the piece that begins where the last one ended; tell whether there is one."""
        found: list[tuple[int, Path]] = []
        with contextlib.suppress(OSError):
            found = pieces(self._capture, self._port)
        starts = dict(found)
        if found and found[0][0] > self.offset:  # sealed and removed before it was seen here
            self.offset = found[0][0]
        path = starts.get(self.offset)
        if path is None or (self._file is not None and Path(self._file.name) == path):
            return False
        with contextlib.suppress(OSError):
            file = path.open("rb", buffering=0)
            self.close()
            self._file = file
            return True
        return False

    def close(self) -> None:
        """Let go of the piece."""
        if self._file is not None:
            self._file.close()
            self._file = None


class IndexTail:
    """Follow the times of a port's reads while its journal grows; what was read once is not read again."""

    def __init__(self, capture: Path, port: int) -> None:
        self._capture, self._port = capture, port
        self._file: BinaryIO | None = None
        self._piece = -1

    def read(self) -> list[tuple[int, int]]:
        """Return (stream offset, monotonic nanoseconds) of the reads since the last call."""
        entries: list[tuple[int, int]] = []
        while True:
            if self._file is not None:
                raw = self._file.read(CHUNK)
                whole = len(raw) // _ENTRY.size * _ENTRY.size
                self._file.seek(whole - len(raw), os.SEEK_CUR)  # an entry that is being written is the next call's
                entries += _ENTRY.iter_unpack(raw[:whole])
                if whole:
                    continue
            if not self._next():
                return entries

    def _next(self) -> bool:
        """Open the first piece behind the one that is open; tell whether there is one."""
        with contextlib.suppress(OSError):
            for start, path in pieces(self._capture, self._port):
                if start > self._piece:
                    file = path.with_suffix(".idx").open("rb", buffering=0)
                    self.close()
                    self._file, self._piece = file, start
                    return True
        return False

    def close(self) -> None:
        """Let go of the piece."""
        if self._file is not None:
            self._file.close()
            self._file = None


def indexed_end(capture: Path, port: int) -> int:
    """Return the stream offset up to which every byte surely has its time."""
    for _, path in reversed(pieces(capture, port)):
        with contextlib.suppress(FileNotFoundError), path.with_suffix(".idx").open("rb") as file:
            entries = file.seek(0, os.SEEK_END) // _ENTRY.size
            if entries:
                file.seek((entries - 1) * _ENTRY.size)
                return int(_ENTRY.unpack(file.read(_ENTRY.size))[0])
    return 0


def events_path(capture: Path) -> Path:
    """Return the capture's own log of what the host noticed."""
    return capture / "journal" / "events.jsonl"


def append_event(capture: Path, event: dict[str, Any], *, durable: bool = True) -> None:
    """Append one line to the log of what the host noticed; ``durable`` waits until the disk has it.

    Several processes may: it is one write at the end of a local file, which POSIX does not mix with another one.
    """
    with events_path(capture).open("ab", buffering=0) as file:
        file.write((json.dumps(event, sort_keys=True) + "\n").encode())
        if durable:
            os.fsync(file.fileno())


def read_events(capture: Path) -> list[dict[str, Any]]:
    """Return the lines of :func:`append_event`; a torn last line is left out."""
    path = events_path(capture)
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            events.append(json.loads(line))
    return events
