"""The wire, version 1: bytes to frames and back (``docs/protocol.md``).

Pure functions on bytes: no port, no file, no numpy, so that the capturing processes start quickly.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cobs import cobs

from edgeprof.errors import UsageError

__all__ = [
    "MAX_PAYLOAD",
    "Frame",
    "Kind",
    "Piece",
    "Splitter",
    "Type",
    "decode_frame",
    "decode_pairs",
    "decode_power",
    "decode_reply",
    "decode_run_end",
    "encode_frame",
    "encode_pairs",
    "from_host",
    "hello_request",
    "is_text",
    "judge",
    "run_request",
    "score_request",
    "stop_request",
]

VERSION = 1
MAX_PAYLOAD = 4096
MAX_ENCODED = MAX_PAYLOAD + MAX_PAYLOAD // 254 + 1
HEADER = struct.Struct("<BBHHHIQI")
RUN_END = struct.Struct("<B3xIIIIIIIQ")
REPLY = struct.Struct("<HBB")
_RUN = struct.Struct("<HBBIf")
_SCORE = struct.Struct("<HHHHBBBx")
_CRC = struct.Struct("<I")
# Tab, LF, CR and ESC may stand in text; every other control character says that the bytes are damage.
_ALLOWED = bytes(c for c in range(256) if c >= 0x20 and c != 0x7F) + b"\t\n\r\x1b"


class Type(IntEnum):
    """What a frame is."""

    HELLO = 0x01
    RUN_BEGIN = 0x02
    RUN_END = 0x03
    TOKENS = 0x10
    STAGES = 0x11
    MEMORY = 0x12
    POWER = 0x13
    EVENT = 0x14
    LOGITS = 0x15
    HEARTBEAT = 0x20
    REPLY = 0x21
    ASK_HELLO = 0x81
    ASK_RUN = 0x82
    ASK_SCORE = 0x83
    ASK_STOP = 0x84


POWER = struct.Struct("<IHBx")
POWER_SAMPLES = 250
"""The most that a POWER frame holds."""
LOGITS = struct.Struct("<HHI")
WITH_LOGITS = 1
"""In the flags of a SCORE request: send the logits of scored positions, too."""
RECORD_BYTES: dict[int, int] = {Type.RUN_END: 40, Type.TOKENS: 30, Type.STAGES: 8, Type.MEMORY: 20, Type.EVENT: 8}
STATUS = ("ok", "aborted", "does_not_fit", "error")


class Kind(IntEnum):
    """What stood between two zero bytes."""

    FRAME = 0
    TEXT = 1
    DAMAGE = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose CRC was right. ``body`` holds the records; times are in ticks."""

    type: int
    boot: int
    run: int
    n: int
    seq: int
    t0: int
    dt: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """What stood between two zero bytes, from stream offset ``start``; ``end`` is behind the closing zero."""

    kind: Kind
    data: bytes
    start: int
    end: int
    frame: Frame | None = None


def encode_frame(
    type_: int, body: bytes = b"", *, n: int = 0, boot: int = 0, run: int = 0, seq: int = 0, t0: int = 0, dt: int = 0
) -> bytes:
    """Return the bytes of one frame, zeros at both ends."""
    payload = HEADER.pack(type_, VERSION, boot, run, n, seq, t0, dt) + body
    payload += _CRC.pack(zlib.crc32(payload))
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame holds at most {MAX_PAYLOAD} bytes, this one has {len(payload)}")
    encoded: bytes = cobs.encode(payload)
    return b"\0" + encoded + b"\0"


def decode_frame(piece: bytes) -> Frame | None:
    """Return the frame that the bytes between two zeros hold, or None if they hold none."""
    if not HEADER.size + _CRC.size < len(piece) <= MAX_ENCODED:
        return None
    try:
        payload = cobs.decode(piece)
    except cobs.DecodeError:
        return None
    if len(payload) < HEADER.size + _CRC.size or len(payload) > MAX_PAYLOAD:
        return None
    body_end = len(payload) - _CRC.size
    if zlib.crc32(payload[:body_end]) != _CRC.unpack_from(payload, body_end)[0]:
        return None
    type_, version, boot, run, n, seq, t0, dt = HEADER.unpack_from(payload)
    body = payload[HEADER.size : body_end]
    if version != VERSION or not _fits(type_, n, len(body)):
        return None
    return Frame(type_, boot, run, n, seq, t0, dt, body)


def _fits(type_: int, n: int, length: int) -> bool:
    """Tell whether a body of this length holds n records of a type."""
    if type_ == Type.RUN_END and n != 1:
        return False
    if type_ == Type.POWER:
        return n <= POWER_SAMPLES and length == POWER.size + 2 * n
    if type_ == Type.LOGITS:
        return length == LOGITS.size + 4 * n
    size = RECORD_BYTES.get(type_)
    return size is None or length == n * size


def from_host(frame: Frame) -> bool:
    """Tell whether a frame is a request of a host's: on the way from a board, the echo of a console."""
    return frame.type >= 0x80


def is_text(piece: bytes) -> bool:
    """Tell whether bytes are text: no control characters but tab, LF, CR, ESC, and valid UTF-8."""
    if piece.translate(None, _ALLOWED):
        return False
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


class Splitter:
    """Split a stream, given in chunks of any size, at its zero bytes. Memory is bounded.

    Parameters
    ----------
    offset
        Stream offset of the first byte that will be fed.
    in_text
        True to go on within a stretch that was already too long to be a frame.
    """

    def __init__(self, offset: int = 0, *, in_text: bool = False) -> None:
        self.consumed = offset
        self.in_text = in_text
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Yield every piece that ends in what came so far; how it was cut into chunks makes no difference."""
        if chunk and not self._rest and not chunk.strip(b"\0"):
            # A line that is held low sends nothing else.
            self.consumed += len(chunk)
            self.in_text = False
            return
        parts = (self._rest + chunk).split(b"\0")
        last = len(parts) - 1
        for i, whole in enumerate(parts):
            part = whole
            # Longer than a frame can be: whatever it is, it is not a frame. It is let go piece by piece, at line
            # ends where there are any, so that a board that only prints, or only makes noise, needs no memory.
            while len(part) > MAX_ENCODED:
                cut = part.rfind(b"\n", 0, MAX_ENCODED) + 1 or _between_characters(part, MAX_ENCODED)
                self.in_text = True
                yield self._piece(part[:cut], cut)
                part = part[cut:]
            if i == last:
                self._rest = part
                return
            if part:
                yield self._piece(part, len(part) + 1)
            else:
                self.consumed += 1
            self.in_text = False

    def whole(self, chunk: bytes) -> tuple[list[bytes], int] | None:
        """Return all that ends in what came so far, and where in the stream it begins; None if :meth:`feed` must.

        Each of the parts, some of them empty, ended with a zero and may be a frame: :func:`judge` says whether it is.
        Nothing was taken where None is returned: there is a stretch that is too long, or no end at all.
        """
        if self.in_text or not chunk.strip(b"\0"):
            return None
        parts = (self._rest + chunk).split(b"\0")
        if len(parts) == 1 or max(map(len, parts)) > MAX_ENCODED:
            return None
        start = self.consumed
        self.consumed += len(self._rest) + len(chunk) - len(parts[-1])
        self._rest = parts.pop()
        return parts, start

    def finish(self) -> Iterator[Piece]:
        """Yield what is left at the stream's end: text, or the torn beginning of a frame."""
        if self._rest:
            rest, self._rest = self._rest, b""
            yield self._piece(rest, len(rest))

    def _piece(self, part: bytes, length: int) -> Piece:
        """Say what bytes are that take ``length`` bytes of the stream."""
        start = self.consumed
        self.consumed += length
        return judge(part, start, self.consumed, framed=not self.in_text)


def _between_characters(part: bytes, at: int) -> int:
    """Return the last place up to ``at`` that is not inside a character of UTF-8."""
    back = next((n for n in range(4) if part[at - n] & 0xC0 != 0x80), 0)
    return at - back


def judge(part: bytes, start: int, end: int, *, framed: bool = True) -> Piece:
    """Say what bytes are that stood from one stream offset to another; ``framed`` if they may be a frame."""
    frame = decode_frame(part) if framed else None
    kind = Kind.FRAME if frame is not None else Kind.TEXT if is_text(part) else Kind.DAMAGE
    return Piece(kind, part, start, end, frame)


def encode_pairs(pairs: Mapping[str, str]) -> bytes:
    """Return key-value records; a value longer than 255 bytes is cut."""
    out = bytearray()
    for key, value in pairs.items():
        k, v = key.encode()[:255], value.encode()[:255]
        out += bytes((len(k), len(v))) + k + v
    return bytes(out)


def decode_pairs(body: bytes, n: int) -> dict[str, str]:
    """Return the key-value records of a HELLO or RUN_BEGIN; what is cut short is left out."""
    pairs: dict[str, str] = {}
    at = 0
    for _ in range(n):
        if at + 2 > len(body):
            break
        klen, vlen = body[at], body[at + 1]
        key, value = body[at + 2 : at + 2 + klen], body[at + 2 + klen : at + 2 + klen + vlen]
        at += 2 + klen + vlen
        if at > len(body):
            break
        pairs[key.decode(errors="replace")] = value.decode(errors="replace")
    return pairs


def decode_run_end(body: bytes) -> dict[str, int]:
    """Return the totals that a RUN_END carries."""
    names = ("status", "n_prompt", "n_generated", "frames", "passes", "samples", "stages", "dropped", "t_begin")
    return dict(zip(names, RUN_END.unpack(body), strict=True))


def decode_power(body: bytes) -> tuple[int, int | None, int]:
    """Return (nanoamperes a count, millivolts or None, meter) of a POWER frame, whose samples follow these."""
    unit_na, voltage_mv, meter = POWER.unpack_from(body)
    return unit_na, None if voltage_mv == 0xFFFF else voltage_mv, meter


def decode_reply(body: bytes) -> tuple[int, int, str]:
    """Return (request id, code, text) of a REPLY."""
    if len(body) < REPLY.size:
        return 0, 5, "a reply that is too short"
    request, code, length = REPLY.unpack_from(body)
    return request, code, body[REPLY.size : REPLY.size + length].decode(errors="replace")


def _request(type_: int, request: int, body: bytes = b"") -> bytes:
    room = MAX_PAYLOAD - HEADER.size - _CRC.size
    if len(body) > room:
        raise UsageError(
            f"A request to a board holds at most {room} bytes, this one has {len(body)}: take a shorter prompt, or a "
            "model with a shorter context for scoring."
        )
    return encode_frame(type_, body, run=request, seq=request)


def _pack(form: struct.Struct, what: str, *values: float) -> bytes:
    try:
        return form.pack(*values)
    except struct.error as error:
        raise UsageError(f"{what} cannot be sent to a board: {values} ({error}).") from error


def hello_request(request: int) -> bytes:
    """Return the frame that asks a board who it is."""
    return _request(Type.ASK_HELLO, request)


def stop_request(request: int) -> bytes:
    """Return the frame that ends the run in progress."""
    return _request(Type.ASK_STOP, request)


def run_request(
    request: int, prompt: str, n_generate: int, *, label: str, temperature: float = 0.0, seed: int = 0
) -> bytes:
    """Return the frame that starts a generation; a temperature of 0 is greedy."""
    name = label.encode()[:255]
    what = "The number of tokens, the seed or the temperature"
    head = _pack(_RUN, what, n_generate, int(temperature > 0), len(name), seed, temperature)
    return _request(Type.ASK_RUN, request, head + name + prompt.encode())


def score_request(
    request: int, window: int, n_windows: int, tokens: Sequence[int], first_scored: int, *, label: str,
    logits: bool = False,
) -> bytes:  # fmt: skip
    """Return the frame that has one window of an evaluation text scored, and its scored positions' logits sent."""
    name = label.encode()[:255]
    wide = max(tokens, default=0) > 0xFFFF
    flags = WITH_LOGITS if logits else 0
    head = _pack(
        _SCORE, "The windows", window, n_windows, len(tokens), first_scored, len(name), 4 if wide else 2, flags
    )
    ids = _pack(struct.Struct(f"<{len(tokens)}{'I' if wide else 'H'}"), "Token ids", *tokens)
    return _request(Type.ASK_SCORE, request, head + name + ids)
