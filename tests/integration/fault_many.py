"""Harm streams of frames in every way that a line can, decode what is left, and compare with what was sent.

``python tests/integration/fault_many.py 100000 --out docs/results/faults.json`` is the nightly tier; the ci tier calls
:func:`run` with fewer. Each stream is decoded in random chunks and segments, some also through a journal, Parquet and
``edgeprof.open``. All rows of all tables, and all counters, must be what tests/oracle.py says.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from fakeboard import make_capture  # noqa: E402
from injector import KINDS, Fault, Injector, plan, traffic  # noqa: E402
from machine import record  # noqa: E402
from oracle import TABLES_CHECKED, Expected, TooLateError  # noqa: E402

import edgeprof  # noqa: E402
from edgeprof.decode import decode_port  # noqa: E402
from edgeprof.decode_state import PortState, Rows  # noqa: E402
from edgeprof.seal import seal  # noqa: E402
from edgeprof.tables import build  # noqa: E402

__all__ = ["Harmed", "decoded", "run", "through_parquet"]

READ = 101
FAULTS_EACH = 25


class Harmed:
    """A harmed stream and what must come of it.

    Frames that come behind the next run of their boot, or behind the boot, are damaged too.
    """

    def __init__(self, rng: random.Random, faults: Sequence[Fault], n_runs: int) -> None:
        happened = Counter[str]()
        self.injector = Injector(traffic(rng, n_runs, faults, happened))
        self.injector.inject(faults)
        self.done = self.injector.done + happened
        self.too_late = 0
        stream = bytearray(self.injector.stream())
        while True:
            self.arrivals = self.injector.arrivals(bytes(stream))
            try:
                self.expected = Expected(self.arrivals, read=READ)
                break
            except TooLateError as error:
                at = error.args[0].start
                stream[at] ^= 0xFF if stream[at] != 0xFF else 0xFE
                self.too_late += 1
        self.stream = bytes(stream)


def _chunks(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for end in [*sorted(c for c in cuts if 0 < c < len(data)), len(data)]:
        yield data[at:end]
        at = end


def decoded(harmed: Harmed, rng: random.Random) -> tuple[dict[str, Counter[str]], PortState]:
    """Decode in segments that end anywhere, each in chunks that end anywhere; the state goes through JSON."""
    stream, state, rows = harmed.stream, PortState(), Rows()
    offsets = np.arange(0, max(len(stream), 1), READ, dtype=np.int64)
    reads = (offsets, np.arange(1, len(offsets) + 1, dtype=np.int64) * 1000)
    ends = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randint(0, 3)))
    for end in [*ends, None]:
        state = PortState.from_json(json.loads(json.dumps(state.to_json())))
        data = stream[state.offset : end]
        cuts = [c - state.offset for c in harmed.injector.cuts]
        cuts += [rng.randrange(len(data) + 1) for _ in range(rng.choice([0, 3, 100]))]
        part, state = decode_port(
            _chunks(data, cuts), state, capture_id="c", port=0, facts={}, reads=reads, final=end is None,
            end_status="aborted",
        )  # fmt: skip
        rows.extend(part)
    found: dict[str, Counter[str]] = {}
    for (name, _), table in build(rows, "c").items():
        found.setdefault(name, Counter()).update(map(_text, table.to_pylist()))
    return found, state


def through_parquet(harmed: Harmed) -> dict[str, Counter[str]]:
    """Capture, seal and open."""
    with tempfile.TemporaryDirectory() as folder:
        seal(make_capture(Path(folder), "c", [harmed.stream], read=READ), final=True)
        ds = edgeprof.open(folder)
        return {name: Counter(map(_text, ds.arrow(name).to_pylist())) for name in TABLES_CHECKED}


def _text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def differences(harmed: Harmed, found: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Return rows that are wrong, twice, or missing: what is right is empty."""
    out: dict[str, Counter[str]] = {"wrong": Counter(), "twice": Counter(), "missing": Counter()}
    for name, wanted in harmed.expected.rows.items():
        rows = found.get(name, Counter())
        if name == "events":  # those of the host's side are counted apart
            rows = Counter({r: n for r, n in rows.items() if json.loads(r)["kind"] not in ("gap", "reset")})
        for row, n in (rows - wanted).items():
            out["twice" if row in wanted else "wrong"][row] += n
        out["missing"].update(wanted - rows)
    return out


def check(harmed: Harmed, found: dict[str, Counter[str]], state: PortState | None) -> None:
    """Raise AssertionError where anything is not as it must be."""
    for what, rows in differences(harmed, found).items():
        assert not rows, f"{sum(rows.values())} rows {what}, the first: {next(iter(rows))}"
    resets = [row for row in found.get("events", ()) if json.loads(row)["kind"] == "reset"]
    want = harmed.expected
    counted = {"resets": len(resets)}
    wanted = {"resets": want.resets}
    if state is not None:
        counted |= {"lost": state.lost, "frames": state.frames, "duplicates": state.duplicates}
        wanted |= {"lost": want.lost, "frames": want.frames, "duplicates": want.duplicates}
    assert counted == wanted, f"counted {counted}, were {wanted}"


def run(n: int, seed: int, *, go_on: bool = False, parquet_every: int = 20) -> dict[str, Any]:
    """Inject ``n`` faults and return the counts; ``go_on`` counts failures where it would raise."""
    rng = random.Random(seed)
    done: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    totals: Counter[str] = Counter()
    failures: list[str] = []
    began = time.monotonic()
    while sum(done.values()) < n:
        number = rng.getrandbits(64)
        mine = random.Random(number)
        harmed = Harmed(mine, plan(mine, min(FAULTS_EACH, n - sum(done.values()))), mine.randint(4, 16))
        try:
            found, state = decoded(harmed, mine)
            check(harmed, found, state)
            if totals["streams"] % parquet_every == 0:
                check(harmed, through_parquet(harmed), None)
                totals["streams through Parquet"] += 1
        except AssertionError as error:
            if not go_on:
                raise AssertionError(f"stream {number}: {error}") from error
            failures.append(f"stream {number}: {error}")
        done.update(harmed.done)
        want = harmed.expected
        totals.update({
            "streams": 1, "frames sent": len(harmed.injector.sent), "frames taken": want.frames - want.late,
            "copies dropped": want.duplicates, "frames behind their run": want.late,
            "frames damaged, for they came behind another run": harmed.too_late, "frames lost by seq": want.lost,
            "frames lost of ended runs": want.lost_in_runs, "runs whose loss is unknown": want.unknown_losses,
            "resets": want.resets, "rows": sum(sum(rows.values()) for rows in want.rows.values()),
        })  # fmt: skip
    return {"faults": dict(done), "totals": dict(totals), "seed": seed, "failures": failures} | {
        "seconds": round(time.monotonic() - began, 1)
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.n, args.seed, go_on=True)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "pyarrow", "cobs")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
