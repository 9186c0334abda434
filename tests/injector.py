"""Faults between a board and its capture: what a line, a broker and a reset do to a stream of frames.

:func:`traffic` is what a board sends, frame by frame; :class:`Injector` harms it and keeps count. What can still arrive
whole is found in the harmed bytes themselves, with nothing of edgeprof's: the bytes between two zeros are, to the last
one, those of a frame that was sent (:meth:`Injector.arrivals`).
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fakeboard import FakeBoard

from edgeprof import wire

__all__ = ["IN_TRAFFIC", "KINDS", "Arrival", "Fault", "Injector", "Item", "plan", "traffic"]

CLOCK_PERIODS = 3 << 32
"""Ticks of a silence: a 32-bit counter comes round three times; at 240 MHz that takes 54 s."""
FAR = 8
"""A frame is held up by so many others at most."""

IN_TRAFFIC = ("reboot", "silence")
KINDS = (
    "drop bytes", "drop frame", "flip", "duplicate", "repeat stretch", "delay", "split", "break", "burst", "log line",
    *IN_TRAFFIC,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: ``where`` from 0 to 1 along the stream, ``size`` and ``salt`` as its kind takes them."""

    kind: str
    where: float
    size: int = 1
    salt: int = 0


@dataclass(slots=True)
class Item:
    """What the board sent in one go: a frame, or text (``frame`` is None)."""

    data: bytes
    frame: wire.Frame | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that stands whole in the harmed stream, and the stream offset behind its closing zero."""

    frame: wire.Frame
    start: int
    end: int


def plan(rng: random.Random, n: int, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Return ``n`` faults at random places; a board resets and is silent more rarely than a line does harm."""
    weights = [0.2 if kind in IN_TRAFFIC else 1.0 for kind in kinds]
    drawn = rng.choices(kinds, weights, k=n)
    return [Fault(kind, rng.random(), rng.randint(1, 1000), rng.getrandbits(32)) for kind in drawn]


class _Recorder(FakeBoard):
    """A board of which every frame is kept as it was meant."""

    def __init__(self, **options: Any) -> None:
        self.items: list[Item] = []
        super().__init__(lambda data: self.items.append(Item(data)), **options)

    def frame(self, type_: int, body: bytes = b"", n: int = 0, *, in_run: bool = True, t0: int | None = None,
              dt: int = 0) -> bytes:  # fmt: skip
        run, seq, now = self.run if in_run else 0, self.seq, self.now if t0 is None else t0
        data = super().frame(type_, body, n, in_run=in_run, t0=t0, dt=dt)
        self.items[-1].frame = wire.Frame(type_, self.boot, run, n, seq, now, dt, body)
        return data

    def power(self, rng: random.Random, *, in_run: bool) -> None:
        n = rng.randint(1, 40)
        head = wire.POWER.pack(rng.randint(1, 2000), rng.choice([3300, 0xFFFF]), rng.randint(0, 2))
        samples = struct.pack(f"<{n}H", *(rng.randint(0, 65535) for _ in range(n)))
        self.frame(wire.Type.POWER, head + samples, n, in_run=in_run, dt=rng.randint(1, 99))
        self.now += 99 * n

    def text(self, line: str) -> None:
        self.items.append(Item(line.encode()))


def traffic(
    rng: random.Random, n_runs: int, faults: Iterable[Fault] = (), done: Counter[str] | None = None
) -> list[Item]:
    """Return what a board sends in ``n_runs`` runs; faults of the kinds ``reboot`` and ``silence`` happen to it.

    ``done`` counts those that did.
    """
    due = sorted((f for f in faults if f.kind in IN_TRAFFIC), key=lambda f: f.where)
    done = Counter() if done is None else done
    board = _Recorder(boot=rng.randint(1, 60000))
    boots = {board.boot}
    board.hello()
    for number in range(n_runs):
        score = rng.random() < 0.2
        board.begin(kind="score" if score else "generate", prompt_id=f"r{number}", seed=number)
        position, wide = 0, {"window": 0} if score else {}
        for step in range(rng.randint(1, 8)):
            fault = due.pop(0) if due and due[0].where * n_runs * 8 <= 8 * number + step else None
            done.update([fault.kind] if fault else [])
            if fault is not None and fault.kind == "silence":
                board.now += CLOCK_PERIODS
            if fault is not None and fault.kind == "reboot":
                board.frame(wire.Type.HEARTBEAT)
                torn = board.items[-1]  # the board got no further than this with its last frame
                board.items[-1] = Item(torn.data[: 1 + fault.salt % (len(torn.data) - 2)])
                board.reset()
                while board.boot in boots:
                    board.boot = rng.randint(1, 60000)
                boots.add(board.boot)
                if rng.random() < 0.7:
                    board.hello()
                break
            count = rng.randint(1, 30)
            board.tokens(position, count, 2 if score else int(step > 0), scored=score and step > 1, **wide)
            position += count
            _between(board, rng, position)
        else:
            board.end(0, 30, max(position - 29, 0))
            if rng.random() < 0.3:
                board.power(rng, in_run=False)
    return board.items


def _between(board: _Recorder, rng: random.Random, position: int) -> None:
    """Send something of another kind, or nothing."""
    match rng.randint(0, 9):
        case 0:
            board.stages(position - 1, [rng.getrandbits(20) for _ in range(6)])
        case 1:
            board.memory(rng.getrandbits(20), rng.getrandbits(20), 0xFFFFFFFF, rng.getrandbits(16), 5)
        case 2:
            board.event(rng.getrandbits(20), rng.choice([1, 2, 77]), rng.randint(0, 255))
        case 3:
            board.power(rng, in_run=True)
        case 4 | 5:
            sent = next(i.frame for i in reversed(board.items) if i.frame and i.frame.type == wire.Type.RUN_BEGIN)
            board.frame(sent.type, sent.body, sent.n, t0=sent.t0)
        case 6:
            board.frame(wire.Type.HEARTBEAT, in_run=False)
        case 7:
            board.hello()
        case 8:
            board.text(f"I (42) main: {position} passes done\r\n")
        case _:
            for first in (0, 50):
                board.logits(position - 1, first, [rng.uniform(-20, 20) for _ in range(rng.randint(1, 50))])


@dataclass
class Injector:
    """A stream to be harmed.

    Attributes
    ----------
    items
        What the board sent, and then what arrives of it.
    sent
        The frames that the board sent whole, in order.
    done
        How many faults of each kind did change something.
    cuts
        Stream offsets at which a read ends because of a ``split``.
    """

    items: list[Item]
    sent: list[wire.Frame] = field(init=False)
    done: Counter[str] = field(default_factory=Counter)
    cuts: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sent = [item.frame for item in self.items if item.frame is not None]
        self._bodies = {item.data[1:-1]: item.frame for item in self.items if item.frame is not None}
        self._split: list[tuple[Item, int]] = []

    def inject(self, faults: Iterable[Fault]) -> None:
        """Harm the stream."""
        for fault in faults:
            at = min(int(fault.where * len(self.items)), len(self.items) - 1)
            if self.items and fault.kind not in IN_TRAFFIC and self._one(fault, at):
                self.done[fault.kind] += 1

    def _one(self, fault: Fault, at: int) -> bool:
        """Harm the stream at an item; return whether anything changed."""
        item = self.items[at]
        inside = fault.salt % max(len(item.data), 1)
        match fault.kind:
            case "drop bytes":
                return self._harm(at, inside, 1 + fault.size % 20, lambda _: b"")
            case "drop frame":
                self.items.pop(at)
            case "flip":
                return self._harm(at, inside, 1, lambda b: bytes([b[0] ^ 1 << fault.size % 8]))
            case "burst":
                noise = random.Random(fault.salt)
                return self._harm(at, inside, 16 + fault.size % 48, lambda b: noise.randbytes(len(b)))
            case "break":
                self._insert(at, inside, b"\0")
            case "log line":
                self._insert(at, inside, b"W (7) wifi: beacon timeout\r\n")
            case "split":
                self._split.append((item, inside))
            case "repeat stretch":
                rest = item.data[inside:] + b"".join(i.data for i in self.items[at + 1 : at + 20])
                stretch = rest[: 1 + 2 * fault.size]
                end, place = inside + len(stretch), at
                while end > len(self.items[place].data):
                    end -= len(self.items[place].data)
                    place += 1
                self._insert(place, end, stretch)
            case "duplicate" | "delay":
                later = min(at + 2 + fault.size % FAR, len(self.items))
                self.items.insert(later, Item(item.data, item.frame))
                if fault.kind == "delay":
                    self.items.pop(at)
                    return later > at + 1
        return True

    def _insert(self, at: int, inside: int, what: bytes) -> None:
        data = self.items[at].data
        self.items[at].data = data[:inside] + what + data[inside:]

    def _harm(self, at: int, inside: int, length: int, change: Any) -> bool:
        """Change so many bytes from one on, into the following items if need be; return whether there were any."""
        harmed = False
        while length > 0 and at < len(self.items):
            data = self.items[at].data
            part = data[inside : inside + length]
            if part:
                harmed = True
                self.items[at].data = data[:inside] + change(part) + data[inside + len(part) :]
            length -= len(part)
            at, inside = at + 1, 0
        return harmed

    def stream(self) -> bytes:
        """Return the harmed bytes, and find where reads end."""
        places, at = {}, 0
        for item in self.items:
            places[id(item)] = at
            at += len(item.data)
        self.cuts = {places[id(item)] + inside for item, inside in self._split if id(item) in places}
        return b"".join(item.data for item in self.items)

    def arrivals(self, stream: bytes) -> list[Arrival]:
        """Return the frames that stand whole in a stream, copies too, in the order in which they come."""
        found, at = [], 0
        for piece in stream.split(b"\0"):
            frame = self._bodies.get(piece) if piece else None
            end = min(at + len(piece) + 1, len(stream))
            if frame is not None:
                found.append(Arrival(frame, at, end))
            at += len(piece) + 1
        return found
