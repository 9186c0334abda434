"""What comes and goes over MQTT, apart from any connection: each message handed on once, or kept until it is there."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from edgeprof import wire
from edgeprof.mqtt_order import Order

__all__ = ["Inbox", "Outbox", "holds_frame"]

REMEMBERED = 16384
"""So many messages back a second copy is known for one; more than an outbox repeats."""
REPEAT_MESSAGES, REPEAT_BYTES = 4096, 1 << 20


def holds_frame(payload: bytes) -> bool:
    """Tell whether a payload begins with a frame of a board's: no two of those have the same bytes."""
    parts = payload[: wire.MAX_ENCODED + 2].split(b"\0", 2)
    frame = wire.decode_frame(parts[1]) if len(parts) == 3 and not parts[0] else None
    return frame is not None and not wire.from_host(frame)


@dataclass(slots=True)
class _Message:
    payload: bytes
    digest: bytes
    t_ns: int
    to_acknowledge: list[tuple[int, bytes]]
    """Numbers of its copies, with the digest."""


class Inbox:
    """Messages between the broker and whoever takes them.

    A copy is known by its bytes if it is a board's frame, which is numbered. Of anything else (text, or a request that
    is repeated on purpose) it is known only if the broker marks it as sent again and gives it the same number.

    After an outage the broker may let messages overtake others. What came too early is held back for a moment, and not
    acknowledged before it was handed on and kept.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._session = 0
        self._came: list[tuple[bytes, int]] = []
        self._pending: list[tuple[int, bytes]] = []
        self._known: OrderedDict[bytes, bool] = OrderedDict()
        """Digest to whether it is kept."""
        self._order: Order[_Message] = Order()
        self._away = False

    def __len__(self) -> int:
        return len(self._came)

    def add(self, payload: bytes, number: int, *, dup: bool, qos: int) -> bool:
        """Add a message; return whether it is to be acknowledged at once, being a copy of one that is kept."""
        frame = holds_frame(payload)
        prefix = b"" if frame else f"{self._session} {number} ".encode()
        digest = hashlib.blake2b(prefix + payload, digest_size=16).digest()
        kept = self._known.get(digest) if frame or (dup and qos) else None
        if kept:
            return bool(qos)
        copy = [(number, digest)] if qos else []
        if kept is None:
            self._known[digest] = not qos
            self._known.move_to_end(digest)
            now = time.monotonic_ns()
            message = _Message(payload, digest, now, copy)
            self._hand_on(self._order.add(payload, message, now / 1e9, frame=frame))
        else:
            held = next((message for _, _, message in self._order.held if message.digest == digest), None)
            (self._pending if held is None else held.to_acknowledge).extend(copy)
        return False

    def _hand_on(self, messages: Iterable[_Message]) -> None:
        for message in messages:
            self._came.append((message.payload, message.t_ns))
            self.bytes += len(message.payload)
            self._pending += message.to_acknowledge

    def away(self) -> None:
        """The connection is lost: what is held back waits for what it overtook until there is another one."""
        self._away = True

    def back(self) -> None:
        """There is a connection again: mind the order of what comes from now on."""
        self._away = False
        self._order.watch(time.monotonic())

    def release(self) -> None:
        """Hand on what is held back: nothing is waited for any more."""
        self._hand_on(self._order.release())

    def take(self) -> list[tuple[bytes, int]]:
        """Return what came, with the monotonic time in nanoseconds."""
        if not self._away:
            self._hand_on(self._order.due(time.monotonic()))
        came, self._came, self.bytes = self._came, [], 0
        return came

    def kept(self) -> list[int]:
        """Note that all that came is kept; return the numbers that may be acknowledged now."""
        pending, self._pending = self._pending, []
        for _, digest in pending:
            self._known[digest] = True
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return [number for number, _ in pending]

    def connection_lost(self, *, session: bool) -> None:
        """Forget what was not kept, for it comes again; without a session the broker's numbers begin anew."""
        for _, digest in self._pending:
            self._known.pop(digest, None)
        self._pending.clear()
        for _, _, message in self._order.held:
            message.to_acknowledge.clear()  # it comes again, under a number of the next connection
        if not session:
            self._hand_on(self._order.release())  # nothing comes again
        self._session += not session


class Outbox:
    """Messages that wait to be published, or for the broker to acknowledge them. Any thread may call its methods.

    Parameters
    ----------
    max_bytes
        How much may wait.
    repeat_seconds
        A broker that dies forgets what it acknowledged last. Frames that it acknowledged so shortly before the
        connection was lost are published again, for their second copies are known as such.
    """

    def __init__(self, max_bytes: int, repeat_seconds: float = 0.0) -> None:
        self.max_bytes, self.repeat_seconds = max_bytes, repeat_seconds
        self.done = self.done_bytes = 0
        """What the broker has acknowledged, each message counted once."""
        self._lock = threading.RLock()
        self._spool: deque[bytes] = deque()
        self._sent: dict[int, tuple[bytes, bool]] = {}
        self._recent: deque[tuple[float, bytes]] = deque()
        self._bytes = self._recent_bytes = 0

    def add(self, payload: bytes) -> bool:
        """Add a message; False if there is no room for it."""
        with self._lock:
            if self._bytes + len(payload) > self.max_bytes:
                return False
            self._bytes += len(payload)
            self._spool.append(payload)
            return True

    def next(self, window: int) -> bytes | None:
        """Return the message to publish next, None if there is none, or if ``window`` are under way."""
        with self._lock:
            return self._spool.popleft() if self._spool and len(self._sent) < window else None

    def sent(self, number: int, payload: bytes, *, again: bool = False) -> None:
        """Note the number under which a message was published; ``again``: it had been acknowledged before."""
        with self._lock:
            self._sent[number] = (payload, again)

    def acknowledged(self, number: int) -> None:
        """Note that the broker has a message."""
        with self._lock:
            payload, again = self._sent.pop(number, (b"", True))
            if not again:
                self._bytes -= len(payload)
                self.done += 1
                self.done_bytes += len(payload)
            if payload and self.repeat_seconds and (again or holds_frame(payload)):
                self._recent.append((time.monotonic(), payload))
                self._recent_bytes += len(payload)
                while len(self._recent) > REPEAT_MESSAGES or self._recent_bytes > REPEAT_BYTES:
                    self._recent_bytes -= len(self._recent.popleft()[1])

    def repeats(self, lost: float) -> list[bytes]:
        """Return what is to be published again, in order; ``lost`` is the monotonic time in seconds when it was."""
        with self._lock:
            found = [payload for when, payload in self._recent if when > lost - self.repeat_seconds]
            self._recent.clear()
            self._recent_bytes = 0
            return found

    def waiting(self) -> tuple[int, int]:
        """Return how many messages, and bytes, the broker has not acknowledged."""
        with self._lock:
            return len(self._spool) + sum(not again for _, again in self._sent.values()), self._bytes
