"""Kill the reader and the sealer at random moments, and look whether anything that was acknowledged is lost.

``python tests/integration/kill_many.py 1000 --out docs/results/kill.json`` is the nightly tier; the ci tier calls
:func:`run` with fewer. In each round a board streams and logs its own bytes (the tap). Then, again and again:

* the sealed wire bytes and the journal together are a prefix of the tap, at least as long as the reader acknowledged,
  and short of what was sent by no more than one read and what the kernel's pty holds;
* the data set opens, and its passes are those of an independent decoder (this file's) of the same bytes, each once.

Killed are the real programs, ``edgeprof.reader`` and ``edgeprof.sealer``, forked from a process that has imported
them already: so kills land in their work and not in their imports, and a second has room for several.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from machine import record  # noqa: E402

import edgeprof  # noqa: E402
from edgeprof.capture import Source, prepare  # noqa: E402
from edgeprof.care import recover  # noqa: E402

READ_BYTES = 1 << 16
# What Linux' pty holds between the two ends, and the one frame that the board may be writing.
IN_FLIGHT = (1 << 16) + 4096 + 4096
DEADLINE = 60.0

ZYGOTE = """
import json, os, signal, sys
import fakeboard, edgeprof.reader, edgeprof.sealer
import pandas  # pyarrow loads it where it is there; once for all will do
mains = {"reader": edgeprof.reader.main, "sealer": edgeprof.sealer.main, "board": fakeboard.main}
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while line := sys.stdin.buffer.raw.readline():
    job = json.loads(line)
    pid = os.fork()
    if pid:
        os.write(1, b"%d\\n" % pid)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(job["stdin"], os.O_RDONLY), 0)
    os.dup2(os.open(job["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 1)
    sys.argv = [job["program"], *job["args"]]
    os._exit(mains[job["program"]]() or 0)
"""


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds and return what it returned."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.002)
    raise TimeoutError(what)


class Child:
    """A program forked from the zygote; its standard input is a pipe of ours, its output a file."""

    def __init__(self, zygote: subprocess.Popen[bytes], folder: Path, program: str, *args: str) -> None:
        assert zygote.stdin is not None and zygote.stdout is not None
        number = len(list(folder.glob(f"{program}-*.out")))
        pipe, self.output = folder / f"{program}-{number}.in", folder / f"{program}-{number}.out"
        os.mkfifo(pipe)
        self.output.touch()
        job = {"program": program, "args": args, "stdin": str(pipe), "stdout": str(self.output)}
        zygote.stdin.write(json.dumps(job).encode() + b"\n")
        zygote.stdin.flush()
        self.pid = int(zygote.stdout.readline())
        self.stdin: int | None = os.open(pipe, os.O_WRONLY)

    def say(self, data: bytes) -> None:
        assert self.stdin is not None
        os.write(self.stdin, data)

    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def release(self) -> None:
        """End its standard input, upon which it ends in good order."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        wait_for(lambda: not self.alive(), "a killed process is still there")
        self.release()


# -- the independent decoder ---------------------------------------------------------------------------------


def uncobs(piece: bytes) -> bytes | None:
    """Undo COBS, as its paper says."""
    out, at = bytearray(), 0
    while at < len(piece):
        code = piece[at]
        block = piece[at + 1 : at + code]
        if code == 0 or len(block) != code - 1:
            return None
        out += block
        at += code
        if code < 255 and at < len(piece):
            out.append(0)
    return bytes(out)


class Independent:
    """Passes of a growing stream, with the stream offset behind the frame that brought each."""

    def __init__(self) -> None:
        self.at = 0
        self.ends: list[int] = []
        self.rows: list[tuple[Any, ...]] = []
        self.run = 0
        self.t_begin = 0

    def grow(self, stream: bytes) -> None:
        end = stream.rfind(b"\0") + 1
        for piece in stream[self.at : end].split(b"\0")[:-1]:
            self.at += len(piece) + 1
            self._piece(piece)

    def _piece(self, piece: bytes) -> None:
        payload = uncobs(piece)
        if payload is None or len(payload) < 28 or zlib.crc32(payload[:-4]) != int.from_bytes(payload[-4:], "little"):
            return
        type_, _, _, run, _, _, t0, dt = struct.unpack("<BBHHHIQI", payload[:24])
        if type_ == 2:
            self.run, self.t_begin = run, t0
        if type_ != 16:
            return
        for start, ticks, token, following, top1, nll, position, _, n, flags in struct.iter_unpack(
            "<IIIIIfHHBB", payload[24:-4]
        ):
            phase = ("prefill", "decode", "score")[flags & 3]
            begin = t0 - self.t_begin + start * dt
            self.rows.append((run, position, phase, token, following, top1, nll, n, begin, ticks * dt))
            self.ends.append(self.at)

    def before(self, offset: int) -> list[tuple[Any, ...]]:
        """Return the passes of the frames that ended before a stream offset."""
        return self.rows[: bisect.bisect_right(self.ends, offset)]


COLUMNS = ["position", "phase", "token_id", "next_id", "top1_id", "nll", "n_batch", "ticks_start", "ticks"]


def passes(ds: edgeprof.Dataset) -> list[tuple[Any, ...]]:
    """Return the data set's passes in the independent decoder's form."""
    table = ds.arrow("tokens", ["run_id", *COLUMNS])
    numbers = [int(r.rsplit("-", 1)[1]) for r in table["run_id"].to_pylist()]
    return sorted(zip(numbers, *(table[c].to_pylist() for c in COLUMNS), strict=True))


# -- a round -------------------------------------------------------------------------------------------------


def sealed_wire(capture: Path) -> bytes:
    """Return what the manifests say is sealed."""
    manifests = [json.loads(p.read_text()) for p in capture.glob("segment=*/manifest.json")]
    data = b""
    for manifest in sorted(manifests, key=lambda m: int(m["segment"])):
        for span in manifest["ranges"]:
            if span["end"] > span["start"]:
                assert span["start"] == len(data)
                path = capture / f"segment={manifest['segment']:04d}" / span["wire"]
                data += pa.CompressedInputStream(str(path), "zstd").read()
                assert span["end"] == len(data)
    return data


def kept(capture: Path) -> bytes:
    """Return all wire bytes of a capture that nobody is sealing right now: sealed, and in the journal."""
    data = sealed_wire(capture)
    pieces = sorted(capture.glob("journal/port-00/*.wire"), key=lambda p: int(p.stem))
    for path in pieces:
        start, piece = int(path.stem), path.read_bytes()
        assert start <= len(data), "a hole between what is sealed and the journal"
        overlap = data[start : start + len(piece)]
        assert piece[: len(overlap)] == overlap, "the journal is not what was sealed"
        data = data[:start] + piece if start + len(piece) > len(data) else data
    return data


class Round:
    """A board, a capture, and what must hold of them."""

    def __init__(self, zygote: subprocess.Popen[bytes], folder: Path, rng: random.Random, done: dict[str, Any]) -> None:
        self.zygote, self.folder, self.rng, self.done = zygote, folder, rng, done
        self.tap = folder / "tap"
        rate = rng.choice([20_000, 60_000, 200_000])
        options = ["--stream", "100000", "--tap", str(self.tap), "--wait", "--bytes-per-second", str(rate)]
        self.board = Child(zygote, folder, "board", *options)
        url = json.loads(wait_for(self.board.output.read_text, "the board's URL"))["url"]
        self.data = folder / "data"
        source = Source(url, "fake")
        self.capture = prepare(self.data, [source], [], host_label=None, capture_id="kill", extra={})
        self.reader = Child(zygote, folder, "reader", str(self.capture))
        config = {"ports": [{"url": url}], "piece_bytes": rng.choice([5000, 64 << 20])}
        self.reader.say(json.dumps(config).encode() + b"\n")
        wait_for(lambda: list(self.capture.glob("journal/port-00/*.wire")), "the reader's journal")
        self.board.say(b"go\n")
        self.independent = Independent()
        self.start_sealer()

    def start_sealer(self) -> None:
        every = self.rng.choice(["0.02", "0.1"])
        self.sealer = Child(self.zygote, self.folder, "sealer", str(self.capture), "--every", every)

    def acknowledged(self) -> int:
        """Return the last offset that the reader said is kept."""
        lines = self.reader.output.read_bytes().rpartition(b"\n")[0].splitlines()
        return max((int(line.split()[2]) for line in lines if line.startswith(b"read 0 ")), default=0)

    def check_bytes(self) -> int:
        """Compare what is kept with what was sent; nobody may be sealing."""
        acknowledged = self.acknowledged()
        data = kept(self.capture)
        assert self.tap.read_bytes()[: len(data)] == data, "what is kept is not what was sent"
        assert len(data) >= acknowledged, f"{acknowledged - len(data)} acknowledged bytes are lost"
        return len(data)

    def check_data_set(self) -> None:
        """Open the data set and compare it with the independent decoder."""
        acknowledged = self.acknowledged()
        ds = edgeprof.open(self.data)
        assert ds.problems == []
        n_bytes = int(ds.captures["bytes_read"].iloc[0])
        assert n_bytes >= acknowledged, f"the data set lacks {acknowledged - n_bytes} acknowledged bytes"
        self.independent.grow(self.tap.read_bytes())
        expected, found = self.independent.before(n_bytes), passes(ds)
        assert found == expected, f"{len(found)} passes in the data set, {len(expected)} were sent"
        assert len({row[:2] for row in found}) == len(found)
        runs = {row[0] for row in found}
        assert len(ds.runs) >= len(runs)
        assert set(ds.runs["status"].dropna()) <= {"ok", "aborted"}
        self.done["opened"] += 1
        self.done["passes_compared"] += len(found)

    def kill(self, kind: str) -> None:
        self.done["kills"][kind] = self.done["kills"].get(kind, 0) + 1
        (self.reader if kind == "reader" else self.sealer).kill()
        self.board.signal(signal.SIGSTOP)  # looking takes longer than killing
        if kind != "reader":
            torn = [p for p in self.capture.glob("segment=*") if not (p / "manifest.json").exists()]
            self.done["in_the_middle_of_a_segment"] += len(torn)

    def segments(self) -> int:
        return len(list(self.capture.glob("segment=*/manifest.json")))

    def kill_sealer(self) -> None:
        if self.rng.random() < 0.7:
            before = self.segments()
            wait_for(lambda: self.segments() > before, "no segment is sealed")
        time.sleep(self.rng.uniform(0.0, 0.15))
        self.kill("sealer")
        self.check_bytes()
        self.check_data_set()
        self.board.signal(signal.SIGCONT)
        self.start_sealer()

    def kill_reader(self) -> None:
        time.sleep(self.rng.uniform(0.0, 0.25))
        sent = self.tap.stat().st_size
        self.kill("reader")
        self.check_data_set()  # with a sealer in the middle of its work
        self.sealer.signal(signal.SIGSTOP)
        n_kept = self.check_bytes()
        self.check_data_set()
        self.sealer.signal(signal.SIGCONT)
        short = max(sent - n_kept, 0)
        assert short <= READ_BYTES + IN_FLIGHT, f"{short} bytes are missing"
        self.done["most_bytes_in_flight"] = max(self.done["most_bytes_in_flight"], short)

    def kill_while_closing(self) -> None:
        self.sealer.release()
        time.sleep(self.rng.uniform(0.0, 0.06))
        if self.sealer.alive():
            self.kill("sealer, closing")
        self.check_bytes()
        self.check_data_set()

    def close(self) -> None:
        """What is left becomes tables, and they are those that were seen before."""
        before = passes(edgeprof.open(self.data))
        n_kept = self.check_bytes()
        recover(self.data)
        assert sealed_wire(self.capture) == self.tap.read_bytes()[:n_kept]
        assert not (self.capture / "journal").exists()
        self.check_data_set()
        assert passes(edgeprof.open(self.data)) == before
        self.done["bytes"] += n_kept
        self.done["segments"] += self.segments()

    def stop(self) -> None:
        for child in (self.board, self.reader, self.sealer):
            child.kill()


@contextlib.contextmanager
def zygote() -> Iterator[subprocess.Popen[bytes]]:
    """Run the process that the others are forked from."""
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    command, environment = [sys.executable, "-c", ZYGOTE], os.environ | {"PYTHONPATH": path}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        yield process
    finally:
        process.communicate()


def run(n: int, seed: int, *, go_on: bool = False) -> dict[str, Any]:
    """Kill ``n`` times and return the counts; ``go_on`` counts failures where it would raise.

    A killed process leaves to the kernel what it wrote, so memory will do for a disk, and it syncs sooner.
    """
    folder = next((p for p in (Path("/dev/shm"),) if p.is_dir() and os.access(p, os.W_OK)), None)
    rng = random.Random(seed)
    done: dict[str, Any] = {
        "kills": {}, "rounds": 0, "opened": 0, "passes_compared": 0, "bytes": 0, "most_bytes_in_flight": 0,
        "in_the_middle_of_a_segment": 0, "segments": 0, "failures": [],
    }  # fmt: skip
    began = time.monotonic()
    with zygote() as mother:
        while sum(done["kills"].values()) < n:
            with tempfile.TemporaryDirectory(dir=folder) as name:
                one = Round(mother, Path(name), rng, done)
                try:
                    for _ in range(min(rng.randint(2, 5), n - sum(done["kills"].values()))):
                        one.kill_sealer()
                    one.kill_reader()
                    one.kill_while_closing()
                    one.close()
                except (AssertionError, OSError) as error:
                    if not go_on:
                        raise
                    done["failures"].append(f"round {done['rounds']}: {error}")
                finally:
                    one.stop()
                done["rounds"] += 1
    return done | {"seed": seed, "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.n, args.seed, go_on=True)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "pyarrow", "pandas", "pyserial", "filelock", "cobs")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
