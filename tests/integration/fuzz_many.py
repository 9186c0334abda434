"""Feed the decoder what no board should send, for so many seconds, and look whether anything gives way.

``python tests/integration/fuzz_many.py 600 --out docs/results/fuzz.json`` is the nightly tier; the ci tier calls
:func:`run` for a minute. Random bytes do not get past the CRC, so most of what is fed are valid frames of random
content, lines that adapters nearly understand, and real streams with changed records and a new CRC. What must hold:

* no exception and no warning, in a conversation with the board none but edgeprof's own;
* it makes no difference for the rows where segments end, and all rows become Arrow tables;
* the state that goes into a manifest, and what the splitter keeps, stay small, however much comes;
* every so often, through a capture's journal and Parquet: the runs are measured, listed, compared and shown.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from fakeboard import make_capture  # noqa: E402
from injector import plan, traffic  # noqa: E402
from integration.fault_many import Harmed  # noqa: E402
from machine import record  # noqa: E402

import edgeprof  # noqa: E402
from edgeprof import wire  # noqa: E402
from edgeprof.adapters import ADAPTERS  # noqa: E402
from edgeprof.adapters.keyed import checksum  # noqa: E402
from edgeprof.decode import decode_port  # noqa: E402
from edgeprof.decode_state import PortState, Rows  # noqa: E402
from edgeprof.display import text_table  # noqa: E402
from edgeprof.driver import Evaluation, Generation, converse  # noqa: E402
from edgeprof.errors import EdgeprofError  # noqa: E402
from edgeprof.runs import formatted  # noqa: E402
from edgeprof.schema import TABLES  # noqa: E402
from edgeprof.seal import seal  # noqa: E402
from edgeprof.tables import build  # noqa: E402

__all__ = ["ABSURD", "STATE_BYTES", "run", "stream"]

STATE_BYTES = 1 << 20
"""The state of a port, as JSON in a manifest, is smaller."""
ABSURD = (
    "", "0", "-1", "nan", "-nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "0x10", "1_000", " 7 ", "٣", "²", "1.5",
    *(str(2**k + d) for k in (31, 32, 53, 63, 64, 70) for d in (-1, 0)), str(-(2**63)), "9" * 250, "true", "[]", "{}",
    "\0", "\n", "a\r\nb", "\u202e", "\x9b31m", "\x1b]52;c;AAAA\x07", "../../etc/passwd", "CON", r"$\frac{", "💥" * 60,
)  # fmt: skip
"""Values of key-value pairs."""
LINES = [line for adapter in ADAPTERS.values() for line in adapter.example.split("\n")]
KEYS = [c.name for c in TABLES["runs"]] + ["fits", "request", "rx_bytes", "model_problem", "tags", "facts", "", "x"]
WIDE = (0, 1, 2, 255, 256, 2**15, 2**16 - 1)


def _wide(rng: random.Random, bits: int) -> int:
    """Return a number that is small, at a limit, or any."""
    limit = 2**bits - 1
    return rng.choice([0, 1, rng.randint(0, 9), limit, limit - 1, 2 ** (bits - 1), rng.getrandbits(bits)])


def _pairs(rng: random.Random) -> tuple[bytes, int]:
    """Return key-value pairs, keys twice and bytes that are no UTF-8 among them, and a number of pairs."""
    body, n = b"", rng.choice([0, 1, 3, 12, 40])
    for _ in range(n):
        key = rng.choice(KEYS).encode() if rng.random() < 0.9 else rng.randbytes(rng.randint(0, 9))
        value = rng.choice(ABSURD).encode() if rng.random() < 0.8 else rng.randbytes(rng.randint(0, 40))
        body += bytes((len(key), min(len(value), 255))) + key + value[:255]
    if rng.random() < 0.1:
        body = body[: rng.randint(0, len(body))]
    return body[:4000], n if rng.random() < 0.9 else _wide(rng, 16)


def _frame(rng: random.Random, boot: int, seq: int) -> bytes:
    """Return a valid frame of random content."""
    type_ = rng.choice([*wire.Type, wire.Type.TOKENS, wire.Type.RUN_BEGIN, wire.Type.RUN_END, rng.randint(0, 255)])
    size = wire.RECORD_BYTES.get(type_, 0)
    n = 1 if type_ == wire.Type.RUN_END else rng.choice([0, 1, 2, rng.randint(0, 60)])
    body = rng.randbytes(n * size) if size else rng.randbytes(rng.randint(0, 80))
    if type_ in (wire.Type.HELLO, wire.Type.RUN_BEGIN):
        body, n = _pairs(rng)
    elif type_ == wire.Type.RUN_END and rng.random() < 0.5:
        counts = (_wide(rng, 32) for _ in range(7))
        body = wire.RUN_END.pack(rng.randint(0, 255), *counts, _wide(rng, 64))
    elif type_ == wire.Type.TOKENS and rng.random() < 0.5:
        nll = [0.0, -1.0, float("nan"), float("inf"), float("-inf"), 3.4e38, 1e-45]
        body = b"".join(
            struct.pack(
                "<IIIIIfHHBB", *(_wide(rng, 32) for _ in range(5)), rng.choice(nll), rng.choice([k, *WIDE]),
                rng.choice([0xFFFF, *WIDE]), rng.choice([0, 1, 255]), rng.randint(0, 255),
            )
            for k in range(n)
        )  # fmt: skip
    elif type_ == wire.Type.POWER:
        body = wire.POWER.pack(_wide(rng, 32), _wide(rng, 16), _wide(rng, 8)) + rng.randbytes(2 * n)
    elif type_ == wire.Type.LOGITS:
        body = wire.LOGITS.pack(rng.choice(WIDE), rng.choice([0xFFFF, *WIDE]), _wide(rng, 32)) + rng.randbytes(4 * n)
    if rng.random() < 0.03:  # not what its type takes: damage
        body, n = rng.randbytes(rng.randint(0, 100)), _wide(rng, 16)
    if rng.random() < 0.1:
        boot, seq = _wide(rng, 16), _wide(rng, 32)
    run = rng.choice([0, 1, 1, 1, 2, 2, 3, 65535])
    return wire.encode_frame(type_, body, n=n, boot=boot, run=run, seq=seq, t0=_wide(rng, 64), dt=_wide(rng, 32))


def _frames(rng: random.Random) -> bytes:
    boot, seq, out = rng.randint(0, 3), _wide(rng, 32) % 2**31, b""
    for _ in range(rng.randint(1, 40)):
        out += _frame(rng, boot, seq)
        seq += rng.choice([1, 1, 1, 0, 2, -1, 3000]) if seq > 1 else 1
        if rng.random() < 0.2:
            out += _text(rng)
    return out


def _text(rng: random.Random) -> bytes:
    """Return lines that an adapter nearly understands, and others."""
    out = []
    for _ in range(rng.randint(1, 12)):
        line = rng.choice(LINES)
        match rng.randint(0, 7):
            case 0:
                cut = rng.randint(0, len(line))
                line = line[:cut] + rng.choice([*ABSURD, "\t", "\ufeff", ",", "|", "{", "9" * 400]) + line[cut:]
            case 1:
                line = line.replace(rng.choice("0123456789"), rng.choice(ABSURD))
            case 2:
                text = f"T,{rng.choice(['a_ms', 'tokens', 'x'])}={rng.choice(ABSURD)}"
                line = f"${text}*{checksum(text)}"
            case 3:
                line = json.dumps({rng.choice(["a_ms", "n_prompt", "avg_ts"]): rng.choice([1e308, 10**400, None, []])})
            case 4:
                line = rng.choice("[{(|,$\x1b ") * rng.choice([1, 100, 5000, 20000])
            case _:
                pass
        out.append(line)
    return rng.choice(["\n", "\r\n", "\r", ""]).join(out).encode(errors="surrogatepass") + rng.choice([b"", b"\n"])


def _mutated(rng: random.Random) -> bytes:
    """Return a real stream of which some frames have changed bytes and a right CRC."""
    out = b""
    for item in traffic(rng, 3):
        f = item.frame
        if f is None or rng.random() < 0.6:
            out += item.data
            continue
        body = bytearray(f.body)
        for _ in range(rng.randint(0, 3)):
            if body:
                body[rng.randrange(len(body))] = rng.getrandbits(8)
        n = f.n if rng.random() < 0.9 else rng.randint(0, 40)
        run = f.run if rng.random() < 0.9 else rng.randint(0, 4)
        t0 = f.t0 if rng.random() < 0.8 else _wide(rng, 64)
        seq, dt = f.seq + rng.choice([0, 0, 0, 1, 70000]), rng.choice([f.dt, 0, 2**32 - 1])
        out += wire.encode_frame(f.type, bytes(body), n=n, boot=f.boot, run=run, seq=seq, t0=t0, dt=dt)
    return out


def _harmed(rng: random.Random) -> bytes:
    return Harmed(rng, plan(rng, rng.randint(1, 60)), 3).stream


def _noise(rng: random.Random) -> bytes:
    piece = rng.choice(
        [rng.randbytes(rng.randint(1, 9000)), b"\0" * rng.randint(1, 9000), b"\xff" * 5000, b"a" * 20000]
    )
    return piece + rng.choice([b"", b"\0", b"\n"])


MAKERS: tuple[Callable[[random.Random], bytes], ...] = (_frames, _frames, _text, _mutated, _harmed, _noise)


def stream(rng: random.Random) -> bytes:
    """Return a stream of several of these."""
    return b"".join(rng.choice(MAKERS)(rng) for _ in range(rng.randint(1, 3)))


def _decode(data: bytes, rng: random.Random, n_cuts: int, *, final: bool = True) -> Rows:
    offsets = np.arange(0, max(len(data), 1), 101, dtype=np.int64)
    reads = (offsets, np.arange(1, len(offsets) + 1, dtype=np.int64) * 1000)
    state, rows = PortState(), Rows()
    for end in [*sorted(rng.randrange(len(data) + 1) for _ in range(n_cuts)), None]:
        rest = data[state.offset : end]
        step = rng.choice([1 << 16, 1000, 7 if len(rest) < 4000 else 70])
        chunks = (rest[i : i + step] for i in range(0, len(rest), step))
        part, state = decode_port(
            chunks, state, capture_id="c", port=0, facts={}, reads=reads, final=final and end is None,
            end_status="aborted",
        )  # fmt: skip
        text = json.dumps(state.to_json())
        assert len(text) < STATE_BYTES, f"the state takes {len(text)} bytes"
        state = PortState.from_json(json.loads(text))
        rows.extend(part)
    return rows


def _tables(rows: Rows) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for (name, _), table in build(rows, "c").items():
        table.validate(full=True)
        found.setdefault(name, Counter()).update(json.dumps(r, sort_keys=True) for r in table.to_pylist())
    return found


def _talk(data: bytes) -> None:
    """Let a conversation take each frame for an answer."""
    jobs = [Generation("p", "text", 8), Evaluation("e", "text", list(range(40)), 1)]
    talk = converse(jobs, name="board")
    try:
        ask = next(talk)
        for piece in wire.Splitter().feed(data):
            if piece.frame is not None and ask.done(piece.frame):
                ask = talk.send(piece.frame)
    except (StopIteration, EdgeprofError):
        pass


def _whole_way(data: bytes, counts: Counter[str]) -> None:
    """Through a capture to what people see."""
    with tempfile.TemporaryDirectory() as folder:
        seal(make_capture(Path(folder), "c", [data]), final=True)
        ds = edgeprof.open(folder)
        repr(ds), ds._repr_html_()
        for name in TABLES:
            ds.table(name)
        text_table(formatted(edgeprof.measure(ds)))
        try:
            comparison = edgeprof.compare(ds)
            repr(comparison), comparison._repr_html_()
            counts["compared"] += 1
        except EdgeprofError:
            counts["could not be compared"] += 1
        counts["through Parquet"] += 1


def one(number: int, counts: Counter[str]) -> None:
    """Feed one stream; raise what gave way."""
    rng = random.Random(number)
    data = stream(rng)
    rows = _tables(_decode(data, rng, 0))
    cut = _tables(_decode(data, rng, rng.randint(1, 4)))
    for tables in (rows, cut):  # which arrivals matter to a fit depends on where segments end
        tables.pop("clock", None)
    assert cut == rows, "where segments end makes a difference"
    build(_decode(data, rng, 1, final=False), "c")
    _talk(data)
    if number % 5 == 0:
        _whole_way(data, counts)
    counts.update({"streams": 1, "bytes": len(data)})
    counts.update({f"rows of {name}": sum(found.values()) for name, found in rows.items()})


def run(seconds: float, seed: int, *, go_on: bool = False) -> dict[str, Any]:
    """Feed streams for so long and return the counts; ``go_on`` counts failures where it would raise."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    end = time.monotonic() + seconds
    memory_kib = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while time.monotonic() < end:
            number = rng.getrandbits(64)
            try:
                one(number, counts)
            except Exception as error:
                if not go_on:
                    raise AssertionError(f"stream {number}: {error!r}") from error
                failures.append(f"stream {number}: {error!r}"[:500])
            if counts["streams"] == 200:  # by then everything is loaded
                memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib if memory_kib else None
    return {"counts": dict(counts), "seed": seed, "seconds": seconds, "memory_grew_kib": grown, "failures": failures}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.seconds, args.seed, go_on=True)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "pyarrow", "pandas", "cobs")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
