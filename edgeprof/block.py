"""Frames as columns: the headers of many frames at once, and the stretches of them that nothing interrupts.

Most of what a board sends are TOKENS, POWER and LOGITS frames of one run, each numbered one higher than the last. For
those an object a frame would take longer than all the rest.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cobs import cobs

from edgeprof.wire import LOGITS, MAX_PAYLOAD, POWER, POWER_SAMPLES, RECORD_BYTES, VERSION, Frame, Type

__all__ = ["Block", "Headers", "read_headers", "spread"]

HEADER = np.dtype(
    [("type", "u1"), ("version", "u1"), ("boot", "<u2"), ("run", "<u2"), ("n", "<u2"), ("seq", "<u4"), ("t0", "<u8"),
     ("dt", "<u4")]
)  # fmt: skip
_AROUND = HEADER.itemsize + 4
# What the CRC-32 of anything with its own CRC-32 behind it is.
_RESIDUE = 0x2144DF1C


@dataclass(frozen=True, slots=True)
class Block:
    """Frames of one type and run, in order.

    ``n``, ``t0`` (ticks), ``dt`` (ticks) are their headers', ``ends`` the stream offsets behind them, ``bodies`` their
    records; all of one length.
    """

    n: npt.NDArray[np.int64]
    t0: npt.NDArray[np.uint64]
    dt: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    bodies: list[bytes]

    @classmethod
    def of(cls, parts: Sequence[Block | tuple[Frame, int]]) -> Block:
        """Return one block of blocks and of single frames with the offsets of their ends."""
        blocks: list[Block] = []
        single: list[tuple[Frame, int]] = []
        for part in parts:
            if isinstance(part, Block):
                blocks += [cls._of_frames(single)] if single else []
                single = []
                blocks.append(part)
            else:
                single.append(part)
        blocks += [cls._of_frames(single)] if single else []
        if len(blocks) == 1:
            return blocks[0]
        return cls(
            np.concatenate([b.n for b in blocks]),
            np.concatenate([b.t0 for b in blocks]),
            np.concatenate([b.dt for b in blocks]),
            np.concatenate([b.ends for b in blocks]),
            [body for b in blocks for body in b.bodies],
        )

    @classmethod
    def _of_frames(cls, frames: Sequence[tuple[Frame, int]]) -> Block:
        return cls(
            np.array([f.n for f, _ in frames], np.int64),
            np.array([f.t0 for f, _ in frames], np.uint64),
            np.array([f.dt for f, _ in frames], np.int64),
            np.array([end for _, end in frames], np.int64),
            [f.body for f, _ in frames],
        )


def spread(values: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return each frame's value for each of its records, as ``numpy.repeat``: quicker where all have as many."""
    if len(counts) and (counts == counts[0]).all():
        return np.broadcast_to(values[:, None], (len(values), int(counts[0]))).reshape(-1)
    return np.repeat(values, counts)


@dataclass(frozen=True, slots=True)
class Headers:
    """What stood between zero bytes, read all at once; row i is of piece i.

    ``fields`` are headers (zeros where there is no sound one), ``ordinary`` tells what is a sound TOKENS, POWER or
    LOGITS frame with records, ``goes_on`` that it continues the piece before: the same boot and run, the next number.
    """

    payloads: list[bytes]
    fields: npt.NDArray[Any]
    ordinary: npt.NDArray[np.bool_]
    goes_on: npt.NDArray[np.bool_]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Yield (first, behind the last) of every stretch of ordinary frames, and of everything in between."""
        inside = self.ordinary.copy()
        edge = np.ones(len(inside), bool)
        edge[1:] = (inside[1:] != inside[:-1]) | (inside[1:] & ~self.goes_on[1:])
        edges = [*np.flatnonzero(edge).tolist(), len(inside)]
        yield from itertools.pairwise(edges)

    def block(self, type_: int, first: int, behind: int, ends: npt.NDArray[np.int64]) -> Block | None:
        """Return the frames of one type in a stretch, None if there are none."""
        fields = self.fields[first:behind]
        mine = fields["type"] == type_
        payloads, ends = self.payloads[first:behind], ends[first:behind]
        if not mine.all():
            which = np.flatnonzero(mine)
            if not len(which):
                return None
            fields, ends, payloads = fields[which], ends[which], [payloads[i] for i in which.tolist()]
        bodies = [p[HEADER.itemsize : -4] for p in payloads]
        return Block(fields["n"].astype(np.int64), fields["t0"].copy(), fields["dt"].astype(np.int64), ends, bodies)


def _payload(piece: bytes) -> bytes:
    try:
        payload: bytes = cobs.decode(piece)
    except cobs.DecodeError:
        return b""
    return payload


def read_headers(pieces: Sequence[bytes]) -> Headers:
    """Decode pieces, none of them longer than a frame can be, and judge them as :func:`edgeprof.wire.decode_frame`."""
    try:
        payloads = list(map(cobs.decode, pieces))
    except cobs.DecodeError:
        payloads = list(map(_payload, pieces))
    count = len(payloads)
    sizes = np.fromiter(map(len, payloads), np.int64, count)
    sound = np.fromiter(map(zlib.crc32, payloads), np.uint32, count) == _RESIDUE
    sound &= (sizes >= _AROUND) & (sizes <= MAX_PAYLOAD)
    if sound.all():
        fields = np.frombuffer(b"".join([p[: HEADER.itemsize] for p in payloads]), HEADER)
    else:
        fields = np.zeros(count, HEADER)
        heads = b"".join([payloads[i][: HEADER.itemsize] for i in np.flatnonzero(sound).tolist()])
        fields[sound] = np.frombuffer(heads, HEADER)
    n = fields["n"].astype(np.int64)
    power = (fields["type"] == Type.POWER) & (n <= POWER_SAMPLES) & (sizes == _AROUND + POWER.size + 2 * n)
    tokens = (fields["type"] == Type.TOKENS) & (sizes == _AROUND + RECORD_BYTES[Type.TOKENS] * n)
    logits = (fields["type"] == Type.LOGITS) & (sizes == _AROUND + LOGITS.size + 4 * n)
    goes_on = np.zeros(count, bool)
    seq = fields["seq"].astype(np.int64)
    goes_on[1:] = (seq[1:] == seq[:-1] + 1) & (fields["boot"][1:] == fields["boot"][:-1])
    goes_on[1:] &= fields["run"][1:] == fields["run"][:-1]
    ordinary = sound & (fields["version"] == VERSION) & (n > 0)
    ordinary &= power | ((tokens | logits) & (fields["run"] > 0))
    return Headers(payloads, fields, ordinary, goes_on)
