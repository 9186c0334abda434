"""What the reader keeps up with on this machine: a full pty, 64 lines at 921,600 baud, 16 lines of 100 kS/s.

``python tests/performance/capture_load.py --seconds 60 --out docs/results/capture.json`` is the nightly tier and
records figures with their machine; the tests beside it run the same for less long and assert ratios and limits. Senders
are paced by the clock and never wait: what a full line would not take counts as lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import select
import selectors
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

import numpy as np  # noqa: E402
import serial  # noqa: E402
from machine import record  # noqa: E402

import edgeprof  # noqa: E402
from edgeprof import wire  # noqa: E402
from edgeprof.capture import Source, capture, prepare  # noqa: E402

LINE = b"0123456789" * 8 + b"\n"
SPAWN = multiprocessing.get_context("spawn")
BAUD = 921_600
TICK_SECONDS = 0.002


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- one line, as fast as it goes ------------------------------------------------------------------------------


def pour(n_bytes: int, url: Any, go: Any) -> None:
    """Write so many bytes into a pty, waiting whenever it is full."""
    board, host = os.openpty()
    tty.setraw(host)
    url.put(os.ttyname(host))
    go.wait()
    # As a driver hands bytes on. With much more at a time a pty takes fewer of them a second, whoever reads: then its
    # speed is measured and not the reader's.
    block = memoryview(LINE * 20)
    while n_bytes:
        n_bytes -= os.write(board, block[: min(n_bytes, len(block))])
    time.sleep(60)  # who reads ends us


def poured(n_bytes: int, read: Callable[[str, Callable[[], None]], float]) -> tuple[float, float]:
    """Return bytes that a reader takes of a pty, per second and per second of its CPU time.

    It is given the port's name and what starts the sender, and returns the CPU time that it took.
    """
    url, go = SPAWN.Queue(), SPAWN.Event()
    sender = SPAWN.Process(target=pour, args=(n_bytes, url, go), daemon=True)
    sender.start()
    began = [0.0]

    def start() -> None:
        began[0] = time.monotonic()
        go.set()

    try:
        taken = read(url.get(timeout=30), start)
        return n_bytes / (time.monotonic() - began[0]), n_bytes / taken
    finally:
        sender.kill()
        sender.join()


def bare(n_bytes: int) -> tuple[float, float]:
    """Return what ``os.read`` in a loop takes."""

    def read(url: str, start: Callable[[], None]) -> float:
        with serial.Serial(url) as port:
            fd, left = port.fileno(), n_bytes
            os.set_blocking(fd, True)
            start()
            before = time.process_time()
            while left:
                select.select([fd], [], [])
                left -= len(os.read(fd, 1 << 16))
            return time.process_time() - before

    return poured(n_bytes, read)


def readline(n_bytes: int) -> tuple[float, float]:
    """Return what ``Serial.readline`` takes."""

    def read(url: str, start: Callable[[], None]) -> float:
        with serial.Serial(url) as port:
            left = n_bytes
            start()
            before = time.process_time()
            while left > 0:
                left -= len(port.readline())
            return time.process_time() - before

    return poured(n_bytes, read)


def journalled(n_bytes: int, folder: Path) -> tuple[float, float]:
    """Return what edgeprof's reader process takes, all of it in the journal."""

    def read(url: str, start: Callable[[], None]) -> float:
        with reading([url], folder) as (reader, capture_folder):
            before = cpu_seconds(reader.pid)
            start()
            wait_until(lambda: journal_bytes(capture_folder) == n_bytes, reader)
            return cpu_seconds(reader.pid) - before

    return poured(n_bytes, read)


@contextlib.contextmanager
def reading(urls: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run the reader process on ports."""
    name = f"c{time.monotonic_ns()}"
    out = prepare(folder, [Source(u, u) for u in urls], [], host_label=None, capture_id=name, extra={})
    with (out / "said").open("wb") as said:
        reader = subprocess.Popen([sys.executable, "-m", "edgeprof.reader", out], stdin=subprocess.PIPE, stdout=said)
    assert reader.stdin is not None
    settings = {"baudrate": BAUD}
    told = {"ports": [{"url": url, "settings": settings} for url in urls]}
    reader.stdin.write(json.dumps(told).encode() + b"\n")
    reader.stdin.flush()
    try:
        wait_until(lambda: (out / "said").read_bytes().count(b"opened") == len(urls), reader)
        yield reader, out
    finally:
        reader.communicate()


def wait_until(condition: Callable[[], bool], reader: subprocess.Popen[bytes], seconds: float = 300.0) -> None:
    """Wait for a condition while a process lives."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end or reader.poll() is not None:
            raise TimeoutError("the reader did not get there")
        time.sleep(0.02)  # not so often that it takes a core from what is measured


def journal_bytes(capture_folder: Path) -> int:
    """Return how much is in a capture's journal."""
    return sum(path.stat().st_size for path in capture_folder.glob("journal/port-*/*.wire"))


def full_line(folder: Path, n_bytes: int = 200_000_000, tries: int = 3) -> dict[str, float]:
    """Return what one line brings, three ways, by the clock and by CPU time.

    Each is the best of some tries, for other processes and other machines of the host only take away.
    """
    best = {"os_read": (0.0, 0.0), "journal": (0.0, 0.0), "readline": (0.0, 0.0)}
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "os_read": lambda: bare(n_bytes),
        "journal": lambda: journalled(n_bytes, folder),
        "readline": lambda: readline(n_bytes // 800 // len(LINE) * len(LINE)),
    }
    for _ in range(tries):
        for way, measure in ways.items():
            wall, cpu = measure()
            best[way] = max(wall, best[way][0]), max(cpu, best[way][1])
    figures = {f"{way}_bytes_per_s": wall for way, (wall, _) in best.items()}
    figures |= {f"{way}_bytes_per_cpu_s": cpu for way, (_, cpu) in best.items()}
    for other in ("os_read", "readline"):
        for kind, at in (("", 0), ("_of_cpu", 1)):
            figures[f"journal_over_{other}{kind}"] = best["journal"][at] / best[other][at]
    return figures


# -- many lines, paced ---------------------------------------------------------------------------------------------


class Paced:
    """Lines whose senders write what the clock says is due; what would block is lost and counted."""

    def __init__(self, n_ports: int) -> None:
        self.boards: list[int] = []
        self.hosts: list[int] = []
        for _ in range(n_ports):
            board, host = os.openpty()
            tty.setraw(host)
            os.set_blocking(board, False)
            self.boards.append(board)
            self.hosts.append(host)
        self.urls = [os.ttyname(host) for host in self.hosts]
        self.sent = self.lost = 0

    def write(self, port: int, data: bytes) -> None:
        try:
            written = os.write(self.boards[port], data)
        except BlockingIOError:
            written = 0
        self.sent += written
        self.lost += len(data) - written

    def run(self, seconds: float, due: Callable[[int, float], bytes]) -> float:
        """Send what ``due(port, second)`` returns, every tick; return the longest time between two ticks."""
        began = last = time.monotonic()
        longest = 0.0
        while (now := time.monotonic()) - began < seconds:
            longest, last = max(longest, now - last), now
            for port in range(len(self.boards)):
                if data := due(port, now - began):
                    self.write(port, data)
            time.sleep(max(0.0, now + TICK_SECONDS - time.monotonic()))
        return longest


def send_bytes(n_ports: int, seconds: float, urls: Any, go: Any, done: Any) -> None:
    """Send bytes on lines at a baud rate."""
    lines = Paced(n_ports)
    urls.put(lines.urls)
    go.wait()
    sent = [0] * n_ports
    block = bytes(range(1, 251)) * 400

    def due(port: int, second: float) -> bytes:
        wanted = int(BAUD / 10 * second) - sent[port]
        sent[port] += wanted
        return block[:wanted]

    longest = lines.run(seconds, due)
    done.put({"sent": lines.sent, "lost": lines.lost, "longest_tick_ms": 1e3 * longest})
    time.sleep(60)


@contextlib.contextmanager
def sending(n_ports: int, seconds: float) -> Iterator[tuple[list[str], Callable[[int], tuple[float, dict[str, Any]]]]]:
    """Run a sender on lines; give their names and what has it send, which returns a reader's share of a core."""
    urls, go, done = SPAWN.Queue(), SPAWN.Event(), SPAWN.Queue()
    sender = SPAWN.Process(target=send_bytes, args=(n_ports, seconds, urls, go, done), daemon=True)
    sender.start()

    def share(pid: int) -> tuple[float, dict[str, Any]]:
        before, began = cpu_seconds(pid), time.monotonic()
        go.set()
        told = done.get(timeout=seconds + 60)
        return (cpu_seconds(pid) - before) / (time.monotonic() - began), told

    try:
        yield urls.get(timeout=30), share
    finally:
        sender.kill()
        sender.join()


def read_into_files(urls: list[str], folder: str, ready: Any) -> None:
    """Be the plainest reader of many lines: wait, read what is there, write it to a file."""
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as lines:
        for number, url in enumerate(urls):
            file = opened.enter_context(Path(folder, str(number)).open("wb", buffering=0))
            lines.register(opened.enter_context(serial.Serial(url)).fileno(), selectors.EVENT_READ, file)
        ready.set()
        while True:
            for key, _ in lines.select():
                key.data.write(os.read(key.fd, 1 << 16))


def bare_lines(folder: Path, seconds: float, n_ports: int = 64) -> float:
    """Return the share of a core that ``read_into_files`` takes for the same lines."""
    folder.mkdir(parents=True, exist_ok=True)
    with sending(n_ports, seconds) as (urls, share):
        ready = SPAWN.Event()
        reader = SPAWN.Process(target=read_into_files, args=(urls, str(folder), ready), daemon=True)
        reader.start()
        try:
            assert ready.wait(30) and reader.pid
            return share(reader.pid)[0]
        finally:
            reader.kill()
            reader.join()


def many_lines(folder: Path, seconds: float, n_ports: int = 64) -> dict[str, float]:
    """Have the reader keep up with lines at 921,600 baud; return what was lost and its share of a core."""
    with sending(n_ports, seconds) as (urls, share), reading(urls, folder) as (reader, out):
        taken, told = share(reader.pid)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: journal_bytes(out) >= told["sent"], reader, 5.0)
        kept = journal_bytes(out)
    plain = bare_lines(folder / "bare", seconds, n_ports)
    return {
        "ports": n_ports, "seconds": seconds, "bytes_sent": told["sent"], "bytes_the_line_did_not_take": told["lost"],
        "bytes_not_in_the_journal": told["sent"] - kept, "reader_share_of_a_core": taken,
        "bare_loop_share_of_a_core": plain, "reader_over_bare_loop": taken / plain,
        "longest_tick_ms": told["longest_tick_ms"],
    }  # fmt: skip


# -- power streams, with everything else going on --------------------------------------------------------------------

RATE_HZ, SAMPLES = 100_000, 250


def power_frame(seq: int) -> bytes:
    """Return a frame of samples that can be told from every other."""
    samples = ((np.arange(SAMPLES) + seq * 7) % 65536).astype("<u2").tobytes()
    body = wire.POWER.pack(1000, 3300, 0) + samples
    return wire.encode_frame(wire.Type.POWER, body, n=SAMPLES, boot=1, seq=seq, t0=seq * SAMPLES, dt=1)


def send_power(n_ports: int, seconds: float, urls: Any, go: Any, done: Any) -> None:
    """Send power frames at 100,000 samples a second a line."""
    lines = Paced(n_ports)
    urls.put(lines.urls)
    go.wait()
    sent = [0] * n_ports
    made: dict[int, bytes] = {}

    def due(port: int, second: float) -> bytes:
        data, wanted = b"", int(RATE_HZ / SAMPLES * second)
        while sent[port] < wanted:
            seq = sent[port]
            if seq not in made:  # all lines send the same frames
                made[seq] = power_frame(seq)
                made.pop(seq - 400, None)
            data += made[seq]
            sent[port] += 1
        return data

    longest = lines.run(seconds, due)
    done.put({"frames": sum(sent), "sent": lines.sent, "lost": lines.lost, "longest_tick_ms": 1e3 * longest})
    time.sleep(60)


def spin() -> None:
    """Be a notebook kernel that computes."""
    while True:
        sum(i * i for i in range(100_000))


def power_lines(folder: Path, seconds: float, n_ports: int = 16) -> dict[str, float]:
    """Capture power streams while a kernel is busy and segments are sealed; return what was lost."""
    urls, go, done = SPAWN.Queue(), SPAWN.Event(), SPAWN.Queue()
    sender = SPAWN.Process(target=send_power, args=(n_ports, seconds, urls, go, done), daemon=True)
    kernel = SPAWN.Process(target=spin, daemon=True)
    sender.start()
    told: dict[str, float] = {}
    left = [n_ports]

    def opened() -> None:
        left[0] -= 1
        if not left[0]:
            kernel.start()
            go.set()

    try:
        sources = [Source(u, u, opened=opened) for u in urls.get(timeout=30)]
        name = f"p{time.monotonic_ns()}"
        capture(sources, folder, capture_id=name, seconds=seconds + 6, seal_every=2.0, keep_wire="none")
        told = done.get(timeout=60)
    finally:
        for process in (sender, kernel):
            if process.pid:
                process.kill()
                process.join()
    ds = edgeprof.open(folder)
    segments = len(list(folder.glob(f"capture={name}/segment=*/manifest.json")))
    power = ds.arrow("power", ["port", "ticks", "current_ua"])
    counts = np.bincount(power["port"].to_numpy(), minlength=n_ports)
    frames = int(ds.captures["frames"].iloc[-1])
    return {
        "ports": n_ports, "seconds": seconds, "samples_sent": told["frames"] * SAMPLES,
        "samples_in_the_data_set": len(power), "fewest_of_a_port": int(counts.min()), "frames": frames,
        "frames_sent": told["frames"], "bytes_the_line_did_not_take": told["lost"], "segments": segments,
        "longest_tick_ms": told["longest_tick_ms"],
    }  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result: dict[str, Any] = {"full_line": full_line(folder / "a")}
        result["many_lines"] = many_lines(folder / "b", args.seconds)
        result["power_lines"] = power_lines(folder / "c", args.seconds)
    print(json.dumps(result, indent=1))
    if args.out:
        record(args.out, result, "numpy", "pyarrow", "pyserial")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
