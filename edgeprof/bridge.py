"""A serial board on an MQTT broker: what it sends is published, and requests to it are written to its port.

Nothing is decoded and no byte is changed: the payloads, one after the other, are the bytes that came, and where the
port was away a few that are neither frame nor text.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from serial.tools import list_ports

from edgeprof.errors import UsageError
from edgeprof.mqtt import MqttPort
from edgeprof.mqtt_address import parse
from edgeprof.reconnect import identify, may_return, reopen
from edgeprof.transports import PortSettings, is_device, open_port, redact
from edgeprof.wire import MAX_ENCODED

__all__ = ["Cutter", "Traffic", "bridge"]

MAX_PAYLOAD_BYTES = 1 << 16
TEXT_SECONDS, FRAME_SECONDS = 0.05, 1.0
"""So long an unfinished line, or frame, waits for its rest."""
SPOOL_BYTES = 64 << 20
REPEAT_SECONDS = 5.0
FLUSH_SECONDS = 10.0
PROGRESS_SECONDS = 0.1
# A frame with the zeros at both its ends; a line; text that a zero ends, which is the next frame's first.
_WHOLE = re.compile(rb"\0+[^\0]+\0|[^\0\n]*\n|[^\0\n]+(?=\0)")


class Cutter:
    """Cut a stream into payloads where frames and lines end. Joined again, they are the stream."""

    def __init__(self) -> None:
        self._rest = b""
        self._since = 0.0

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """Return the payloads that are whole at a monotonic time in seconds; ``data`` may be empty.

        Several frames, or lines, that came at once share a payload, but never a frame and a line: who gets a payload
        twice knows it by the frame that it begins with.
        """
        if data:
            data = self._rest + data
            self._since = now
        else:
            data = self._rest
        at, found = 0, list[bytes]()
        while match := _WHOLE.match(data, at):
            found.append(match[0])
            at = match.end()
        self._rest = data[at:]
        wait = FRAME_SECONDS if self._rest[:1] == b"\0" else TEXT_SECONDS
        if self._rest and (len(self._rest) > MAX_ENCODED + 2 or now - self._since >= wait):
            found.append(self._rest)
            self._rest = b""
        return list(_joined(found))

    def finish(self) -> list[bytes]:
        """Return what waited: nothing will follow."""
        rest, self._rest = self._rest, b""
        return list(_joined([rest] if rest else []))


def _joined(pieces: list[bytes]) -> Iterator[bytes]:
    """Yield pieces of one kind together, and none that is too long."""
    held = b""
    for piece in pieces:
        if held and ((held[:1] == b"\0") != (piece[:1] == b"\0") or len(held) + len(piece) > MAX_PAYLOAD_BYTES):
            yield held
            held = b""
        held += piece
        while len(held) > MAX_PAYLOAD_BYTES:
            yield held[:MAX_PAYLOAD_BYTES]
            held = held[MAX_PAYLOAD_BYTES:]
    if held:
        yield held


@dataclass(slots=True)
class Traffic:
    """What a bridge has carried so far.

    Attributes
    ----------
    read_bytes
        That the board sent.
    published, published_bytes
        Messages and bytes that the broker has acknowledged.
    waiting, waiting_bytes
        Those that it has not.
    lost, lost_bytes
        Those for which there was no room while the broker was away, or no time at the end.
    requests
        That were written to the board.
    broker_lost, port_lost
        How often each went away.
    broker_here, port_here
        Whether each is connected now.
    """

    read_bytes: int = 0
    published: int = 0
    published_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    lost: int = 0
    lost_bytes: int = 0
    requests: int = 0
    broker_lost: int = 0
    port_lost: int = 0
    broker_here: bool = True
    port_here: bool = True


class _Board:
    """The serial port, opened again whenever it went away; read by one thread, written by another."""

    def __init__(self, url: str, settings: PortSettings, traffic: Traffic, stop: threading.Event) -> None:
        self.url, self.settings, self.traffic, self.stop = url, settings, traffic, stop
        self.port = open_port(url, settings)
        self.identity = identify(url, list_ports.comports()) if is_device(url) else None

    def read(self) -> bytes:
        """Return what came, waiting a moment if that is nothing."""
        try:
            return bytes(self.port.read(self.port.in_waiting or 1))
        except Exception:  # pyserial's URL handlers raise anything; the port is gone
            self._reopen()
            return b""

    def write(self, data: bytes) -> bool:
        """Write a request; what cannot be written is lost, and whoever asked asks again."""
        with contextlib.suppress(Exception):
            self.port.write(data)
            return True
        return False

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.port.close()

    def _reopen(self) -> None:
        self.close()
        self.traffic.port_here = False
        self.traffic.port_lost += 1
        if may_return(self.url):
            reopen(self.url, self.settings, self.identity, self.stop, self._opened)
        else:
            self.stop.wait()

    def _opened(self, port: Any) -> None:
        self.port = port
        self.traffic.port_here = True


def bridge(
    port: str, broker: str, settings: PortSettings | None = None, *, stop: threading.Event,
    spool_bytes: int = SPOOL_BYTES, on_progress: Callable[[Traffic], None] | None = None,
) -> Traffic:  # fmt: skip
    """Publish what a board sends until ``stop`` is set; then wait for the broker to acknowledge all of it.

    Parameters
    ----------
    port
        A serial port or pyserial URL. If it goes away it is looked for until it is back.
    broker
        The URL of a topic; the board's requests are on ``<topic>/ask``.
    settings
        Of the port.
    stop
        Ends the bridge, from any thread or signal handler.
    spool_bytes
        How much is kept in memory while the broker is away. What comes beyond that is lost, and counted.
    on_progress
        Called about ten times a second.

    Raises
    ------
    UsageError
        The topic's URL is wrong.
    DeviceError
        The port or the broker is not there at the beginning.
    """
    address = parse(broker)
    if port.startswith(("mqtt://", "mqtts://", "replay:")):
        raise UsageError(f"A bridge publishes a serial port, and {redact(port)!r} is none.")
    traffic = Traffic()
    board = _Board(port, settings or PortSettings(), traffic, stop)
    try:
        link = MqttPort(
            address, listen=address.ask, speak=address.topic, spool_bytes=spool_bytes, repeat_seconds=REPEAT_SECONDS
        )
    except BaseException:
        board.close()
        raise
    reading = threading.Thread(target=_publish, args=(board, link, traffic, stop), daemon=True)
    reading.start()
    try:
        _follow(board, link, traffic, lambda: not stop.is_set(), on_progress)
        reading.join()
        end = time.monotonic() + FLUSH_SECONDS
        _follow(board, link, traffic, lambda: link.outbox.waiting()[0] > 0 and time.monotonic() < end, on_progress)
        traffic.lost, traffic.lost_bytes = traffic.lost + traffic.waiting, traffic.lost_bytes + traffic.waiting_bytes
    finally:
        stop.set()
        link.close()
        board.close()
    return traffic


def _gap() -> bytes:
    """Return a byte that is neither frame nor text, so that nothing goes on from before a gap to behind it.

    It is told apart from others, for a frame that comes twice is taken for a repetition.
    """
    return b"\0\1" + secrets.token_hex(4).encode() + b"\0"


def _publish(board: _Board, link: MqttPort, traffic: Traffic, stop: threading.Event) -> None:
    """Read the board and hand payloads to the broker's side, until told to stop."""
    cutter = Cutter()

    def hand_over(payloads: list[bytes]) -> None:
        for payload in payloads:
            if not link.write(payload):
                traffic.lost += 1
                traffic.lost_bytes += len(payload)

    lost = 0
    while not stop.is_set():
        data = board.read()
        if traffic.port_lost > lost:
            lost = traffic.port_lost
            hand_over([*cutter.finish(), _gap()])
        traffic.read_bytes += len(data)
        hand_over(cutter.feed(data, time.monotonic()))
    hand_over(cutter.finish())


def _follow(
    board: _Board, link: MqttPort, traffic: Traffic, going_on: Callable[[], bool],
    on_progress: Callable[[Traffic], None] | None,
) -> None:  # fmt: skip
    """Keep the broker's side going and carry requests to the board."""
    shown = 0.0
    while True:
        again = going_on()
        for request, _ in link.take(0.05 if again else 0.0):
            traffic.requests += board.write(request)
        link.acknowledge()
        traffic.broker_lost += sum(kind == "reconnect" for kind, *_ in link.happened())
        traffic.broker_here = link.connected
        traffic.published, traffic.published_bytes = link.outbox.done, link.outbox.done_bytes
        traffic.waiting, traffic.waiting_bytes = link.outbox.waiting()
        if on_progress and (time.monotonic() - shown > PROGRESS_SECONDS or not again):
            shown = time.monotonic()
            on_progress(traffic)
        if not again:
            return
