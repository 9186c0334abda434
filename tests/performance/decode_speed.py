"""How fast wire bytes become columns, and a journal Parquet, beside what others take for the same.

``python tests/performance/decode_speed.py --out docs/results/decode.json`` records absolute figures with their machine;
the test beside it asserts ratios only. Decoding is CPU time of one process; sealing, which decodes in one thread and
compresses in another, is elapsed time. Speeds are the best of several tries; the ratio of sealing to a bare writer is
the median of those of each turn, for a machine may let one of the two have a moment at twice its usual speed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from cpu_turns import in_turns
from fakeboard import FakeBoard, make_capture
from machine import record

from edgeprof import journal, seal, wire
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState, Rows
from edgeprof.records import TOKEN

RECORDS_A_FRAME = 30
SAMPLES_A_FRAME = 250
READ_BYTES = 4096
BATCH_ROWS = 10_000
SAMPLE_TICKS = 10
UNIT_NA = 610
"""A round number of nanoamperes would make doubles that are easy to compress."""


def elapsed_seconds(work: Callable[[], Any]) -> float:
    """Return how long something took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def records(count: int) -> np.ndarray:
    """Return passes as a board would tell them: ids and ticks that differ, surprise that goes up and down."""
    rng = np.random.default_rng(1)
    made = np.zeros(count, TOKEN)
    made["ticks"] = rng.integers(90_000, 110_000, count)
    for name in ("token", "next", "top1"):
        made[name] = rng.integers(0, 512, count)
    made["nll"] = rng.exponential(2, count)
    made["position"] = np.arange(count) % 256
    made["window"], made["n_batch"], made["flags"] = 0xFFFF, 1, 1 | 8 | 16 | 32
    return made


def token_stream(made: np.ndarray) -> bytes:
    """Return records as frames of one run."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.begin(kind="generate", prompt_id="p")
    for first in range(0, len(made), RECORDS_A_FRAME):
        some = made[first : first + RECORDS_A_FRAME].copy()
        some["start"] = np.cumsum(some["ticks"])
        board.frame(wire.Type.TOKENS, some.tobytes(), len(some), t0=100_000 * first, dt=1)
    return b"".join(parts)


def json_lines(made: np.ndarray) -> list[bytes]:
    """Return the same records as a line of JSON each."""
    names = made.dtype.names or ()
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in made.tolist()]


def samples(count: int) -> np.ndarray:
    """Return what a 12-bit meter counts: a slow swing and noise."""
    noise = np.random.default_rng(2).normal(0, 20, count)
    return (2000 + 200 * np.sin(np.arange(count) / 5000) + noise).astype("<u2")


def power_stream(made: np.ndarray) -> bytes:
    """Return samples as frames of one run."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.begin(kind="generate", prompt_id="p")
    said = wire.POWER.pack(UNIT_NA, 3300, 1)
    for first in range(0, len(made), SAMPLES_A_FRAME):
        some = made[first : first + SAMPLES_A_FRAME]
        board.frame(wire.Type.POWER, said + some.tobytes(), len(some), t0=SAMPLE_TICKS * first, dt=SAMPLE_TICKS)
    return b"".join(parts)


def decode(stream: bytes) -> None:
    """Turn wire bytes to columns, as the sealer does, and let them go."""
    offsets = np.arange(0, len(stream), READ_BYTES, dtype=np.int64)

    def let_go(_: Rows) -> None:
        return None

    chunks = (stream[i : i + journal.CHUNK] for i in range(0, len(stream), journal.CHUNK))
    decode_port(
        chunks, PortState(), capture_id="c", port=0, facts={}, reads=(offsets, offsets * 100), final=True, take=let_go
    )


def decoding(count: int = 600_000, turns: int = 5) -> dict[str, float]:
    """Return millions of token records and of samples a second, and those of JSON."""
    made = records(count)
    stream, lines, power = token_stream(made), json_lines(made), power_stream(samples(8 * count))
    took = in_turns(
        {
            "tokens": lambda: decode(stream),
            "orjson": lambda: [orjson.loads(line) for line in lines],
            "samples": lambda: decode(power),
        },
        turns,
    )
    tokens, parsed, sampled = (
        count / took["tokens"] / 1e6,
        count / took["orjson"] / 1e6,
        8 * count / took["samples"] / 1e6,
    )
    return {
        "token_mrecords_per_s": round(tokens, 2),
        "power_msamples_per_s": round(sampled, 1),
        "orjson_mrecords_per_s": round(parsed, 3),
        "tokens_over_orjson": round(tokens / parsed, 1),
        "samples_over_orjson": round(sampled / parsed, 1),
    }


def bare_parquet(made: np.ndarray, path: Path) -> None:
    """Write (t, p) and nothing else, as an open ParquetWriter takes it best."""
    ticks = np.arange(len(made), dtype=np.int64) * SAMPLE_TICKS
    schema = pa.schema([("t", pa.int64()), ("p", pa.uint16())])
    options: Any = {"use_dictionary": False, "column_encoding": {"t": "DELTA_BINARY_PACKED"}}
    with pq.ParquetWriter(path, schema, compression="zstd", **options) as writer:
        for first in range(0, len(made), BATCH_ROWS):
            some = slice(first, first + BATCH_ROWS)
            writer.write_table(pa.Table.from_arrays([pa.array(ticks[some]), pa.array(made[some])], schema=schema))


def sealing(count: int = 16_000_000, tries: int = 7) -> dict[str, float]:
    """Return millions of rows a second from a journal to a sealed table ``power``, and those of a bare writer."""
    made = samples(count)
    stream = power_stream(made)
    taken: dict[str, list[float]] = {"bare": [], "seal": [], "keep": []}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for _ in range(tries):  # one after the other, so that a slow moment of the machine hits all
            taken["bare"].append(elapsed_seconds(lambda: bare_parquet(made, folder / "bare.parquet")))
            for name in ("seal", "keep"):
                capture = make_capture(folder / name, "c", [b""])
                writer = journal.PortWriter(capture, 0)
                for first in range(0, len(stream), READ_BYTES):
                    writer.append(stream[first : first + READ_BYTES], 100 * first)
                writer.close()
                keep = name == "keep"
                taken[name].append(elapsed_seconds(lambda c=capture, k=keep: seal.seal(c, final=True, keep_wire=k)))
                (entry,) = (e for e in seal.load_manifests(capture)[0]["files"] if e["table"] == "power")
                if entry["rows"] != count:
                    raise ValueError(f"{entry['rows']} rows of {count} were sealed")
                shutil.rmtree(folder / name)
    speed = {name: count / min(seconds) / 1e6 for name, seconds in taken.items()}
    ratio = statistics.median(bare / seal for bare, seal in zip(taken["bare"], taken["seal"], strict=True))
    return {
        "seal_mrows_per_s": round(speed["seal"], 1),
        "seal_keeping_wire_mrows_per_s": round(speed["keep"], 1),
        "bare_parquet_mrows_per_s": round(speed["bare"], 1),
        "seal_over_bare_parquet": round(ratio, 3),
        "bytes_per_row": round(entry["bytes"] / count, 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    what = {
        "decoding": f"wire bytes in memory to columns; {RECORDS_A_FRAME} records, {SAMPLES_A_FRAME} samples a frame",
        "orjson": "orjson.loads of one line a record, to dicts",
        "seal": "a journal to the sealed table power, all eight columns, in one segment; wire bytes not kept",
        "bare_parquet": f"ParquetWriter: (int64 t, uint16 p), batches of {BATCH_ROWS} rows, no dictionary, zstd",
        "all": "the best of several tries; decoding and orjson in CPU time, seal and bare_parquet elapsed; the ratio "
        "of these two is the median of those of each turn",
    }
    record(args.out, {"what": what, "speed": decoding() | sealing()}, "numpy", "pyarrow", "cobs", "orjson")
    sys.stdout.write(args.out.read_text(encoding="utf-8"))
