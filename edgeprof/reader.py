"""The reader process: from ports to journal, and nothing else.

``python -m edgeprof.reader CAPTURE`` takes one line of JSON on standard input (``{"ports": [{"url": …,
"settings": {…}, "reconnect": false}], …}``), then requests to write: ``<port u16><length u16>`` and the bytes. It says
on standard output, a line each: ``opened PORT``, ``read PORT OFFSET`` (bytes up to OFFSET are in the journal),
``lost PORT REASON`` (it is being looked for), ``back PORT``, ``closed PORT REASON`` (it ended), ``failed PORT REASON``
(it cannot be read on). It ends when its standard input
ends, on SIGTERM or SIGINT, or when the last port is gone for good.

It imports no numpy, decodes nothing and syncs in a thread, so that nothing stands between a byte and the disk.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import queue
import selectors
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from edgeprof.errors import DeviceError, EdgeprofError, LockedError, StorageError
from edgeprof.journal import PortWriter, append_event, events_path
from edgeprof.layout import sync
from edgeprof.line_errors import line_errors, what_grew
from edgeprof.open_files import raise_limit
from edgeprof.reader_words import ACK_SECONDS, Words
from edgeprof.reconnect import Identity, identify, may_return, reopen
from edgeprof.transports import WRITE_SECONDS, PortSettings, is_device, open_port, selectable, write_all

__all__ = ["REQUEST", "main"]

REQUEST = struct.Struct("<HH")
READ_BYTES = 1 << 16
MORE_BYTES = 2048
"""A read that brings so much is followed by another one at once: a pty or a driver hands out its buffer in parts."""
NICENESS = -10
HELD_BYTES, BATCH = 64 << 20, 1024
SYNC_SECONDS = 1.0
OVERRUN_SECONDS = 60
"""What the driver lost is noted as often: a line that is noisy for a week is not a million rows."""
END_SECONDS, CLOSE_SECONDS = 1.0, 20.0
END = "end of stream"
IDLE_SECONDS = 0.05
# Many slow ports would wake the loop for a few bytes each time. Beyond so many small reads a second it rests between
# rounds, longer where that is not enough, which makes the host's times coarser by as much.
BUSY_READS, BUSY_WINDOW_SECONDS, SMALL_BYTES = 3000, 0.1, 1024
REST_SECONDS, LONG_REST_SECONDS, ROUNDS_A_WRITE = 0.006, 0.012, 3


def rest_after(rest: float, reads_per_s: float, bytes_per_read: float) -> float:
    """Return how long to rest between rounds, by what came of resting so long (seconds; 0 is not at all)."""
    if bytes_per_read >= SMALL_BYTES * max(1.0, rest / REST_SECONDS):
        return 0.0
    if reads_per_s > 2 * BUSY_READS and rest:
        return LONG_REST_SECONDS
    return (rest or REST_SECONDS) if reads_per_s > BUSY_READS / (2 if rest else 1) else 0.0


@dataclass(slots=True)
class Line:
    """An open port, or one that is being looked for (``port`` is None)."""

    number: int
    url: str
    settings: PortSettings
    reconnect: bool
    port: Any
    writer: PortWriter
    identity: Identity | None = None
    fd: int | None = None
    lost_ns: int = 0
    errors: dict[str, int] | None = None


class Reader:
    """The open ports, their journals and the one loop over them."""

    def __init__(self, capture: Path, config: dict[str, Any]) -> None:
        self.capture = capture
        self.stop = threading.Event()
        self.failed: Exception | None = None
        self.lines: dict[int, Line] = {}
        self.returned: queue.SimpleQueue[tuple[Line, Any]] = queue.SimpleQueue()
        self.waiting: queue.SimpleQueue[tuple[Line, Sequence[tuple[bytes, int]], str] | None] = queue.SimpleQueue()
        self.read_total = self.written_total = 0
        self.words = Words(self.stop, self.offset_of)
        self.reads = 0
        self.read_bytes = 0
        self.rest = 0.0
        self.noted = False
        self.leaving: list[threading.Thread] = []
        limits = {k: config[k] for k in ("piece_bytes", "piece_seconds") if k in config}
        listed = self._listed(config)
        for number, told in enumerate(config["ports"]):
            url, settings = told["url"], PortSettings(**told.get("settings", {}))
            line = Line(
                number, url, settings, bool(told.get("reconnect")) and may_return(url), open_port(url, settings),
                PortWriter(capture, number, **limits), identify(url, listed),
            )  # fmt: skip
            self.lines[number] = line

    @staticmethod
    def _listed(config: dict[str, Any]) -> list[Any]:
        if not any(told.get("reconnect") and is_device(told["url"]) for told in config["ports"]):
            return []
        from serial.tools import list_ports

        return list(list_ports.comports())

    def offset_of(self, number: int) -> int | None:
        """Return how far a port's journal goes, None of one that is read no more."""
        line = self.lines.get(number)
        return None if line is None else line.writer.offset

    def note(self, line: Line, kind: str, t_ns: int, detail: str, end_ns: int | None = None) -> None:
        """Journal what happened to a port. A full disk is found by the next byte that comes."""
        event = {"port": line.number, "kind": kind, "t_ns": t_ns, "detail": detail, "offset": line.writer.offset}
        with contextlib.suppress(OSError):
            append_event(self.capture, event | ({} if end_ns is None else {"end_ns": end_ns}), durable=False)
        self.noted = True

    # -- reading -----------------------------------------------------------------------------------------
    def run(self) -> None:
        """Read until told to stop or until no port is left."""
        threading.Thread(target=self._each_second, daemon=True).start()
        writing = threading.Thread(target=self._write, daemon=True)
        writing.start()
        threads = []
        with selectors.DefaultSelector() as selector:
            for line in list(self.lines.values()):  # one that is read by a thread may be over already
                self.words.tell(f"opened {line.number}")
                threads += self._begin(line, selector)
            self.words.say_all()
            window = time.monotonic()
            while self.lines and not self.stop.is_set():
                wait = ACK_SECONDS if self.words.unsaid or self.read_total > self.written_total else IDLE_SECONDS
                for key, _ in selector.select(wait) if selector.get_map() else self._nap(wait):
                    self._ready(key.data, selector)
                self.words.say_all()
                now = time.monotonic()
                self.words.acknowledge_at_times(now)
                if now - window >= BUSY_WINDOW_SECONDS:
                    self.rest = rest_after(self.rest, self.reads / (now - window), self.read_bytes / max(self.reads, 1))
                    self.reads = self.read_bytes = 0
                    window = now
                while not self.returned.empty():
                    threads += self._back(*self.returned.get(), selector)
                if self.rest:
                    time.sleep(self.rest)
            self._last(selector)
        self.waiting.put(None)
        _together([writing], CLOSE_SECONDS)
        _together(threads, END_SECONDS)
        self.words.say_all()
        self.words.acknowledge()
        lines = list(self.lines.values())
        closing = [threading.Thread(target=self._close, args=(line,), daemon=True) for line in lines]
        for thread in closing:
            thread.start()
        _together([*closing, *self.leaving], CLOSE_SECONDS)

    def _close(self, line: Line) -> None:
        """Close a port that takes its leave, and its journal."""
        self._overruns(line)
        if line.port is not None and hasattr(line.port, "take"):
            with contextlib.suppress(Exception):
                line.port.close()
            self.heard(line, line.port)  # an outage that did not end is said at the end
        line.writer.close()

    def _last(self, selector: selectors.BaseSelector) -> None:
        """Take what has come already when the end is asked for."""
        if self.failed is None:
            for key, _ in selector.select(0) if selector.get_map() else ():
                self._ready(key.data, selector)

    def _nap(self, seconds: float) -> list[Any]:
        time.sleep(seconds)
        return []

    def _begin(self, line: Line, selector: selectors.BaseSelector) -> list[threading.Thread]:
        """Have a port read: by the loop where it has a descriptor, else by a thread, which is returned."""
        line.errors = None
        line.fd = selectable(line.port)
        if line.fd is not None:
            os.set_blocking(line.fd, False)
            selector.register(line.fd, selectors.EVENT_READ, line)
            line.errors = line_errors(line.fd)
            return []
        read = self._read_messages if hasattr(line.port, "take") else self._read_port
        thread = threading.Thread(target=read, args=(line, line.port), daemon=True)
        thread.start()
        return [thread]

    def _ready(self, line: Line, selector: selectors.BaseSelector) -> None:
        """Take what a port has; a whole round goes into the journal with one write."""
        assert line.fd is not None
        reads: list[tuple[bytes, int]] = []
        total, reason = 0, ""
        while total < READ_BYTES:
            try:
                data = os.read(line.fd, READ_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # Linux says so of a pty whose other end was closed.
                reason = END if error.errno == errno.EIO else str(error)
                break
            if not data:
                # pyserial opens with VMIN 0, so a tty that has no more says the same as one that hung up: but not to
                # the first read of what the selector says is readable.
                reason = "" if reads else END
                break
            reads.append((data, time.monotonic_ns()))
            total += len(data)
            if len(data) < MORE_BYTES:
                break
        if reads:
            self.reads += len(reads)
            self.read_bytes += total
            self.read_total += total
            self.waiting.put((line, reads, ""))
        if reason:
            selector.unregister(line.fd)
            self.waiting.put((line, (), reason))
        while self.read_total - self.written_total > HELD_BYTES and not self.stop.is_set():
            time.sleep(0.001)  # a disk that is slower than the lines, for long

    def _write(self) -> None:
        """Journal what the loop reads: a disk may take a moment for a write, and a line waits for nobody."""
        going_on = True
        while going_on:
            found = [self.waiting.get()]
            if self.rest:  # some rounds with one write a line
                self.stop.wait(ROUNDS_A_WRITE * self.rest)
            while not self.waiting.empty() and len(found) < BATCH:
                found.append(self.waiting.get())
            going_on = None not in found
            gathered: dict[int, tuple[Line, list[tuple[bytes, int]]]] = {}
            for line, reads, reason in filter(None, found):
                gathered.setdefault(line.number, (line, []))[1].extend(reads)
                if reason:
                    self._journal(*gathered.pop(line.number))
                    self.gone(line, reason)
            for line, reads in gathered.values():
                self._journal(line, reads)
            self.words.acknowledge_at_times(time.monotonic())

    def _journal(self, line: Line, reads: Sequence[tuple[bytes, int]]) -> None:
        if reads and self.failed is None:
            self.keep(line, reads)
        self.written_total += sum(len(data) for data, _ in reads)

    def _read_port(self, line: Line, port: Any) -> None:
        """Read a port that has no descriptor to wait for."""
        try:
            while not self.stop.is_set():
                data = port.read(port.in_waiting or 1)
                if data:
                    self.keep(line, [(data, time.monotonic_ns())])
        except Exception as error:  # whatever a URL handler raises, the port is gone and the others go on
            self.gone(line, str(error) or repr(error))

    def _read_messages(self, line: Line, port: Any) -> None:
        try:
            while not self.stop.is_set():
                reads = port.take(IDLE_SECONDS)
                self.heard(line, port)
                if reads and self.keep(line, reads):
                    port.acknowledge()
            if self.failed is None and (reads := port.rest()) and self.keep(line, reads):
                port.acknowledge()
        except EOFError:
            self.gone(line, END, kind="ended")
        except Exception as error:
            self.gone(line, str(error) or repr(error))

    def heard(self, line: Line, port: Any) -> None:
        """Journal what a port of messages says beside its bytes."""
        for kind, start_ns, end_ns, detail in port.happened():
            self.note(line, kind, start_ns, detail, end_ns)

    def keep(self, line: Line, reads: Sequence[tuple[bytes, int]]) -> bool:
        """Journal what reads returned; from here on it is acknowledged."""
        try:
            line.writer.extend(reads)
        except OSError as error:
            self.failed = StorageError(
                f"The journal in {self.capture} cannot be written ({error.strerror}). Everything read before is "
                f"whole: `edgeprof recover {self.capture.parent}` makes it a data set once there is room."
            )
            self.stop.set()
            return False
        self.words.unsaid.add(line.number)
        return True

    # -- ports that go and come ----------------------------------------------------------------------------
    def gone(self, line: Line, reason: str, kind: str = "disconnected") -> None:
        """Note that a port ended; look for it if it may come back."""
        if self.stop.is_set():
            return
        line.lost_ns = time.monotonic_ns()
        port, line.port, line.fd, line.errors = line.port, None, None, None
        reason = " ".join(reason.split())
        self.note(line, kind, line.lost_ns, reason)
        if line.reconnect:
            word = "lost"
        else:
            del self.lines[line.number]
            word = "closed" if reason == END else "failed"
        self.words.tell(f"read {line.number} {line.writer.offset}\n{word} {line.number} {reason}")
        self.leaving.append(threading.Thread(target=self._look_for, args=(line, port), daemon=True))
        self.leaving[-1].start()

    def _look_for(self, line: Line, port: Any) -> None:
        """Close a port that is gone, which may take its time, and look for it if it may come back."""
        with contextlib.suppress(Exception):
            port.close()
        if not line.reconnect:
            line.writer.close()
            return
        reopen(line.url, line.settings, line.identity, self.stop, lambda new: self.returned.put((line, new)))

    def _back(self, line: Line, port: Any, selector: selectors.BaseSelector) -> list[threading.Thread]:
        now = time.monotonic_ns()
        line.port = port
        seconds = (now - line.lost_ns) / 1e9
        self.note(line, "reconnect", line.lost_ns, f"away for {seconds:.1f} s", now)
        threads = self._begin(line, selector)
        self.words.tell(f"back {line.number}")
        return threads

    def write(self, number: int, data: bytes) -> None:
        """Send bytes to a board; a board that takes none is the driver's to time out."""
        line = self.lines.get(number)
        if line is None:
            return
        port, fd = line.port, line.fd
        with contextlib.suppress(Exception):
            if fd is None:
                port.write(data)
            else:
                write_all(fd, data, WRITE_SECONDS)

    def _overruns(self, line: Line) -> None:
        """Note what the driver counted as lost or damaged since the last time."""
        # Read once: the loop changes them when the port goes and comes.
        before, fd = line.errors, line.fd
        now = line_errors(fd) if before is not None and fd is not None else None
        if before is not None and now is not None and line.errors is before and (text := what_grew(before, now)):
            self.note(line, "overrun", time.monotonic_ns(), text)
            line.errors = now

    def _each_second(self) -> None:
        for second in itertools.count(1):
            if self.stop.wait(SYNC_SECONDS):
                return
            for line in list(self.lines.values()):
                line.writer.sync()
                if second % OVERRUN_SECONDS == 1:
                    self._overruns(line)
            if self.noted:
                self.noted = False
                sync(events_path(self.capture))


def _together(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Wait for threads, for so long in all."""
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(timeout=max(end - time.monotonic(), 0.0))


def listen(stream: BinaryIO, write: Callable[[int, bytes], None], stop: threading.Event) -> None:
    """Carry out write requests until the stream ends, then ask for the end."""
    while True:
        head = stream.read(REQUEST.size)
        if len(head) < REQUEST.size:
            break
        number, length = REQUEST.unpack(head)
        data = stream.read(length)
        if len(data) < length:
            break
        write(number, data)
    stop.set()


def main() -> int:
    """Run the process; the exit code is the error's."""
    capture = Path(sys.argv[1])
    lock = FileLock(capture / "reader.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise LockedError(f"Another process is reading into {capture}.") from error
        if not (capture / "journal").is_dir():
            raise StorageError(f"{capture} is closed: nothing can be added to it.")
        raise_limit()
        with contextlib.suppress(OSError, AttributeError):
            os.nice(NICENESS)  # where it may: a line waits for nobody
        reader = Reader(capture, json.loads(sys.stdin.buffer.readline()))
    except EdgeprofError as error:
        print(f"error {error}", flush=True)
        return error.exit_code
    except OSError as error:
        many = " Raise the limit of open files (ulimit -n)." if error.errno == errno.EMFILE else ""
        print(f"error {capture} cannot be written, or its ports cannot be opened: {error}.{many}", flush=True)
        return DeviceError.exit_code if many else StorageError.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reader.stop.set())
    with contextlib.suppress(OSError, AttributeError):
        os.set_blocking(1, False)
    threading.Thread(target=listen, args=(sys.stdin.buffer, reader.write, reader.stop), daemon=True).start()
    reader.run()
    if reader.failed is not None:
        reader.words.say(f"error {reader.failed}")
        return getattr(reader.failed, "exit_code", DeviceError.exit_code)
    return 0


if __name__ == "__main__":
    code = main()
    # A thread may sit in a read of standard input; nothing is left to do for it.
    sys.stdout.flush()
    os._exit(code)
