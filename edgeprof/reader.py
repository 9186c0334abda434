"""The reader process: from ports to journal, and nothing else.

``python -m edgeprof.reader CAPTURE`` takes one line of JSON on standard input (``{"ports": [{"url": …,
"settings": {…}}], …}``), then requests to write: ``<port u8><length u16>`` and the bytes. It says on standard
output, a line each: ``opened PORT``, ``read PORT OFFSET`` (bytes up to OFFSET are in the journal),
``closed PORT REASON``. It ends when its standard input ends, on SIGTERM or SIGINT, or when the last port is gone.

It imports no numpy, decodes nothing and syncs in a thread, so that nothing stands between a byte and the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from edgeprof.errors import DeviceError, EdgeprofError, LockedError, StorageError
from edgeprof.journal import PortWriter, append_event
from edgeprof.transports import PortSettings, open_port, selectable

__all__ = ["REQUEST", "main"]

REQUEST = struct.Struct("<BH")
READ_BYTES = 1 << 16
SYNC_SECONDS = 1.0


class Reader:
    """The open ports, their journals and the one loop over them."""

    def __init__(self, capture: Path, config: dict[str, Any]) -> None:
        self.capture = capture
        self.stop = threading.Event()
        self.failed: Exception | None = None
        self.ports: dict[int, Any] = {}
        self.writers: dict[int, PortWriter] = {}
        self._note_lock = threading.Lock()
        self._pending: set[int] = set()
        limits = {k: config[k] for k in ("piece_bytes", "piece_seconds") if k in config}
        for number, port in enumerate(config["ports"]):
            self.ports[number] = open_port(port["url"], PortSettings(**port.get("settings", {})))
            self.writers[number] = PortWriter(capture, number, **limits)

    # -- saying ------------------------------------------------------------------------------------------
    def say(self, line: str) -> bool:
        """Write a line to standard output; False if nobody reads it now. It must never hold up the loop."""
        try:
            os.write(1, line.encode() + b"\n")
        except BlockingIOError:
            return False
        except OSError:
            self.stop.set()
        return True

    def acknowledge(self, port: int) -> None:
        if self.say(f"read {port} {self.writers[port].offset}"):
            self._pending.discard(port)
        else:
            self._pending.add(port)

    # -- reading -----------------------------------------------------------------------------------------
    def run(self) -> None:
        """Read until told to stop or until no port is left."""
        threading.Thread(target=self._sync, daemon=True).start()
        numbers = {n: selectable(p) for n, p in self.ports.items()}
        threads = [
            threading.Thread(target=self._read_port, args=(n,), daemon=True) for n, fd in numbers.items() if fd is None
        ]
        for thread in threads:
            thread.start()
        for number in numbers:
            self.say(f"opened {number}")
        with selectors.DefaultSelector() as selector:
            for number, fd in numbers.items():
                if fd is not None:
                    os.set_blocking(fd, False)
                    selector.register(fd, selectors.EVENT_READ, number)
            while self.ports and not self.stop.is_set():
                for key, _ in selector.select(timeout=0.05) if selector.get_map() else self._nap():
                    self._ready(key, selector)
                for number in list(self._pending):
                    self.acknowledge(number)
        for thread in threads:
            thread.join(timeout=1.0)
        for writer in self.writers.values():
            writer.close()

    def _nap(self) -> list[Any]:
        time.sleep(0.05)
        return []

    def _ready(self, key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
        try:
            data = os.read(key.fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            data, reason = b"", str(error)
        else:
            reason = "end of stream"
        if data:
            self.keep(key.data, data)
        else:
            selector.unregister(key.fd)
            self.gone(key.data, reason)

    def _read_port(self, number: int) -> None:
        """Read a port that has no descriptor to wait for."""
        port = self.ports[number]
        if hasattr(port, "take"):
            self._read_messages(number, port)
            return
        try:
            while not self.stop.is_set():
                data = port.read(port.in_waiting or 1)
                if data:
                    self.keep(number, data)
        except Exception as error:  # whatever a URL handler raises, the port is gone and the others go on
            self.gone(number, str(error))

    def _read_messages(self, number: int, port: Any) -> None:
        try:
            while not self.stop.is_set():
                came = port.take(0.05)
                for kind, start_ns, end_ns, detail in port.happened():
                    event = {"port": number, "kind": kind, "t_ns": start_ns, "detail": detail, "end_ns": end_ns}
                    append_event(self.capture, event)
                for data, t_ns in came:
                    self.keep(number, data, t_ns)
                if came and self.failed is None:
                    port.acknowledge()
        except EOFError:
            self.gone(number, "end of stream")
        except Exception as error:
            self.gone(number, str(error))
        finally:
            port.close()

    def keep(self, number: int, data: bytes, t_ns: int = 0) -> None:
        """Journal what a read returned; from here on it is acknowledged."""
        try:
            self.writers[number].append(data, t_ns or time.monotonic_ns())
        except OSError as error:
            self.failed = StorageError(
                f"The journal in {self.capture} cannot be written ({error.strerror}). Everything read before is "
                f"whole: `edgeprof recover {self.capture.parent}` makes it a data set once there is room."
            )
            self.stop.set()
            return
        self.acknowledge(number)

    def gone(self, number: int, reason: str) -> None:
        """Note that a port ended."""
        self.ports.pop(number, None)
        event = {"port": number, "kind": "disconnected", "t_ns": time.monotonic_ns(), "detail": reason}
        with contextlib.suppress(OSError):  # a full disk is found by the next byte that comes
            append_event(self.capture, event)
        self.say(f"closed {number} {reason}")

    def write(self, number: int, data: bytes) -> None:
        """Send bytes to a board; a board that takes none is the driver's to time out."""
        port = self.ports.get(number)
        if port is not None:
            with contextlib.suppress(Exception):
                port.write(data)

    def _sync(self) -> None:
        while not self.stop.wait(SYNC_SECONDS):
            for writer in self.writers.values():
                writer.sync()


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
        reader = Reader(capture, json.loads(sys.stdin.buffer.readline()))
    except EdgeprofError as error:
        print(f"error {error}", flush=True)
        return error.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reader.stop.set())
    with contextlib.suppress(OSError, AttributeError):
        os.set_blocking(1, False)
    threading.Thread(target=listen, args=(sys.stdin.buffer, reader.write, reader.stop), daemon=True).start()
    reader.run()
    if reader.failed is not None:
        reader.say(f"error {reader.failed}")
        return getattr(reader.failed, "exit_code", DeviceError.exit_code)
    return 0


if __name__ == "__main__":
    code = main()
    # A thread may sit in a read of standard input; nothing is left to do for it.
    sys.stdout.flush()
    os._exit(code)
