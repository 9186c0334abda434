"""Captures with real processes, over ptys."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from capturing import DEADLINE, running, wait_for

import edgeprof
from edgeprof import driver, sealer, sealer_process
from edgeprof.capture import Source, capture, prepare
from edgeprof.care import recover, verify
from edgeprof.driver import Evaluation, Generation
from edgeprof.errors import DeviceError, LockedError, StorageError, UsageError

pytestmark = [pytest.mark.alone, pytest.mark.slow]

JOBS = [Generation("p1", "Once upon", 8), Evaluation("eval", "text", list(range(3, 50)), 1)]
STREAM = ["--stream", "100000", "--wait", "--bytes-per-second", "100000"]


def source(board: Any, name: str = "fake") -> Source:
    return Source(board.url, name)


def processes(word: str, folder: Path) -> list[int]:
    """Return the processes of a capture."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().split(b"\0")
            if word.encode() in command and os.fsencode(folder) in command:
                found.append(int(path.parent.name))
    return found


def read_bytes(out: Path) -> int:
    return int(edgeprof.open(out).captures["bytes_read"].iloc[0])


def test_a_conversation(tmp_path: Path, board: Any) -> None:
    seen: list[tuple[int, int]] = []
    result = capture(
        [source(board())], tmp_path, JOBS, host_label="bench",
        on_progress=lambda p: seen.append((p[0].jobs_done, p[0].passes)),
    )  # fmt: skip
    assert (result.failed, result.outcomes["fake"].refused) == ({}, [])
    assert result.outcomes["fake"].hello["board"] == "fake"
    ds = edgeprof.open(tmp_path)
    assert list(ds.runs["prompt_id"]) == ["p1", "eval"]
    assert list(ds.runs["kind"]) == ["generate", "score"]
    assert list(ds.runs["status"]) == ["ok", "ok"]
    assert list(ds.runs["frames_lost"]) == [0, 0]
    assert list(ds.runs["passes_received"]) == [11, 45] == list(ds.runs["passes"])
    score = ds.table("tokens", where={"prompt_id": "eval"})
    assert list(score.groupby("window")["scored"].sum()) == [7, 7, 7]
    assert list(ds.table("prompts")["prompt_id"]) == ["p1", "eval"]
    assert ds.captures["host_label"][0] == "bench"
    assert ds.tokens["t_host_ns"].is_monotonic_increasing
    assert (ds.tokens["t_host_ns"] > 0).all()
    assert verify(tmp_path) == []
    assert not list(result.path.glob("*.lock"))
    assert not (result.path / "journal").exists()
    assert seen == sorted(seen)


def test_listening_only(tmp_path: Path, board: Any) -> None:
    one = board("--stream", "3", "--wait")
    with running([source(one)], tmp_path, seconds=6.0) as result:
        one.go()
        wait_for(lambda: list(edgeprof.open(tmp_path).runs["status"]) == ["ok"] * 3, "three runs")
    assert result["result"].failed == {}
    ds = edgeprof.open(tmp_path)
    assert list(ds.runs["passes_received"]) == [120] * 3
    assert sorted(ds.table("logs")["text"]) == [f"a line of text {i}" for i in range(3)]
    assert ds.captures["bytes_discarded"][0] == 0


@pytest.mark.parametrize("mode", ["mute", "chatter"])
def test_a_board_that_does_not_answer(tmp_path: Path, board: Any, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "HELLO_SECONDS", 0.4)
    monkeypatch.setattr(driver, "HELLO_TRIES", 3)
    result = capture([source(board("--mode", mode), "shelf 3")], tmp_path, JOBS)
    assert "shelf 3 did not answer: 3 HELLO requests" in result.failed["shelf 3"]
    assert result.outcomes == {}
    ds = edgeprof.open(tmp_path)
    assert len(ds.runs) == 0
    assert list(ds.table("events")["kind"]) == ["timeout"]


def test_a_board_that_stalls(tmp_path: Path, board: Any) -> None:
    result = capture([source(board("--mode", "stall"))], tmp_path, JOBS, idle_seconds=1.0)
    assert "said nothing for 1 s in the middle of 'p1'; what came is kept" in result.failed["fake"]
    ds = edgeprof.open(tmp_path)
    assert list(ds.runs["status"]) == ["timeout"]
    assert len(ds.tokens) == 4


def test_a_board_that_dies(tmp_path: Path, board: Any) -> None:
    result = capture([source(board("--mode", "die"))], tmp_path, JOBS)
    assert "fake went away" in result.failed["fake"]
    ds = edgeprof.open(tmp_path)
    assert list(ds.runs["status"]) == ["timeout"]
    assert len(ds.tokens) == 4
    assert "disconnected" in list(ds.table("events")["kind"])


def test_two_ports_and_one_dies(tmp_path: Path, board: Any) -> None:
    sources = [source(board("--mode", "die"), "one"), source(board(), "two")]
    result = capture(sources, tmp_path, JOBS)
    assert list(result.failed) == ["one"]
    assert list(result.outcomes) == ["two"]
    ds = edgeprof.open(tmp_path)
    runs = list(zip(ds.runs["port"], ds.runs["prompt_id"], ds.runs["status"], strict=True))
    assert runs == [(0, "p1", "timeout"), (1, "p1", "ok"), (1, "eval", "ok")]
    assert verify(tmp_path) == []


@pytest.mark.parametrize("out", ["file/below", "/proc/edgeprof"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("a regular file")
    with pytest.raises(StorageError, match="cannot be written.*--out"):
        capture([Source("/dev/null", "fake")], tmp_path / out)


@pytest.mark.parametrize("name", ["../c", "a/b", "", "a\0b", "x" * 200])
def test_a_capture_keeps_to_its_folder(tmp_path: Path, name: str) -> None:
    if name:
        with pytest.raises(UsageError, match="cannot be called"):
            capture([Source("/dev/null", "fake")], tmp_path / "out", capture_id=name)
        assert not list(tmp_path.iterdir())


def test_a_capture_never_writes_into_another(tmp_path: Path) -> None:
    prepare(tmp_path, [], [], host_label=None, capture_id="c", extra={})
    with pytest.raises(LockedError, match="exists already"):
        capture([Source("/dev/null", "fake")], tmp_path, capture_id="c")


@pytest.mark.parametrize("url", ["/dev/ttyNOTHING", "nonsense://x", "socket://127.0.0.1:1"])
def test_a_port_that_is_not_there(tmp_path: Path, url: str) -> None:
    with pytest.raises(DeviceError, match="Attached serial ports"):
        capture([Source(url, "fake")], tmp_path)


def test_a_port_that_is_in_use(tmp_path: Path, board: Any) -> None:
    one = board(*STREAM)
    with running([source(one)], tmp_path / "a", seconds=4.0), pytest.raises(DeviceError, match="in use by another"):
        capture([source(one)], tmp_path / "b")


def test_credentials_are_not_kept(tmp_path: Path) -> None:
    folder = prepare(
        tmp_path, [Source("rfc2217://me:secret@host:1", "x")], [], host_label=None, capture_id="c", extra={}
    )
    assert "secret" not in (folder / "capture.json").read_text()


def test_a_callback_that_fails_leaves_no_process(tmp_path: Path, board: Any) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        capture([source(board())], tmp_path, capture_id="c", on_progress=fail)
    assert processes("edgeprof.reader", tmp_path / "capture=c") == []
    assert processes("edgeprof.sealer", tmp_path / "capture=c") == []
    assert json.loads((tmp_path / "capture=c/segment=0000/manifest.json").read_text())["final"]


def test_who_is_live_is_locked(tmp_path: Path, board: Any) -> None:
    one, other = board(*STREAM), board(*STREAM)
    folder = tmp_path / "capture=c"
    with running([source(one)], tmp_path, seconds=8.0):
        one.go()
        wait_for(lambda: read_bytes(tmp_path) > 5000, "bytes")
        with pytest.raises(LockedError):
            recover(tmp_path)
        wait_for((folder / "sealer.lock").exists, "the sealer")
        with pytest.raises(LockedError, match="its sealer is alive"):
            sealer.hold(folder, "sealer")
        second = subprocess.run(
            [sys.executable, "-m", "edgeprof.reader", str(folder)], capture_output=True, check=False,
            input=json.dumps({"ports": [{"url": other.url}]}).encode() + b"\n",
        )  # fmt: skip
        assert second.returncode == LockedError.exit_code
        assert b"error Another process is reading" in second.stdout
    assert recover(tmp_path) == []  # it was closed in good order
    third = subprocess.run(
        [sys.executable, "-m", "edgeprof.reader", str(folder)], capture_output=True, check=False,
        input=json.dumps({"ports": [{"url": other.url}]}).encode() + b"\n",
    )  # fmt: skip
    assert third.returncode == StorageError.exit_code
    assert b"is closed" in third.stdout
    assert verify(tmp_path) == []


SCRIPT = """
import sys
from pathlib import Path
from edgeprof.capture import Source, capture
try:
    capture([Source(sys.argv[1], "fake")], Path(sys.argv[2]), capture_id="c", seal_every=float(sys.argv[3]))
except KeyboardInterrupt:
    print("closed")
    sys.exit(130)
"""


@contextlib.contextmanager
def coordinator(board: Any, out: Path, every: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run a passive capture in a process of its own, until it has some bytes."""
    command = [sys.executable, "-c", SCRIPT, board.url, str(out), str(every)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        wait_for(lambda: list(out.glob("capture=c/journal/port-00/*.wire")), "an open port")
        board.go()
        wait_for(lambda: read_bytes(out) > 30_000, "bytes")
        yield process
    finally:
        process.kill()
        process.communicate()


def kept_is_what_was_sent(out: Path, tap: Path, at_least: int) -> None:
    from integration.kill_many import Independent, passes, sealed_wire

    wire = sealed_wire(out / "capture=c")
    assert len(wire) >= at_least
    assert tap.read_bytes()[: len(wire)] == wire
    independent = Independent()
    independent.grow(wire)
    assert passes(edgeprof.open(out)) == independent.rows
    assert len(independent.rows) > 100


def test_ctrl_c_closes_in_good_order(tmp_path: Path, board: Any) -> None:
    one = board(*STREAM, "--tap", str(tmp_path / "tap"))
    out = tmp_path / "data"
    with coordinator(one, out, 600.0) as process:
        n_bytes = read_bytes(out)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE)
        assert (process.returncode, said) == (130, b"closed\n")
    assert not list(out.glob("capture=c/*.lock"))
    assert not (out / "capture=c/journal").exists()
    assert verify(out) == []
    statuses = list(edgeprof.open(out).runs["status"])
    assert set(statuses[:-1]) == {"ok"} and statuses[-1] in ("ok", "aborted")  # it may have ended between two runs
    kept_is_what_was_sent(out, tmp_path / "tap", n_bytes - 4096)


def test_the_coordinator_killed(tmp_path: Path, board: Any) -> None:
    one = board(*STREAM, "--tap", str(tmp_path / "tap"))
    out = tmp_path / "data"
    with coordinator(one, out, 0.2) as process:
        n_bytes = read_bytes(out)
        process.kill()
        process.wait()
    folder = out / "capture=c"
    wait_for(lambda: not processes("edgeprof.reader", folder), "the end of the reader")
    wait_for(lambda: not processes("edgeprof.sealer", folder), "the end of the sealer")
    assert not (folder / "journal").exists()
    assert verify(out) == []
    assert recover(out) == []
    kept_is_what_was_sent(out, tmp_path / "tap", n_bytes - 4096)


def test_the_sealer_killed_is_started_again(tmp_path: Path, board: Any) -> None:
    one = board(*STREAM, "--tap", str(tmp_path / "tap"))
    out, folder, killed = tmp_path / "data", tmp_path / "data" / "capture=c", []
    with running([source(one)], out, seconds=9.0, seal_every=0.1):
        one.go()
        for _ in range(3):
            (pid,) = wait_for(lambda: set(processes("edgeprof.sealer", folder)) - set(killed), "a sealer")
            n = len(list(folder.glob("segment=*/manifest.json")))
            wait_for(lambda n=n: len(list(folder.glob("segment=*/manifest.json"))) > n, "a segment")
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    assert verify(out) == []
    kept_is_what_was_sent(out, tmp_path / "tap", 300_000)


def test_the_reader_killed(tmp_path: Path, board: Any) -> None:
    one = board(*STREAM, "--tap", str(tmp_path / "tap"))
    out = tmp_path / "data"
    with running([source(one)], out) as result:
        one.go()
        wait_for(lambda: read_bytes(out) > 20_000, "bytes")
        n_bytes = read_bytes(out)
        (pid,) = processes("edgeprof.reader", out / "capture=c")
        os.kill(pid, signal.SIGKILL)
    assert isinstance(result["error"], DeviceError)
    assert "The reader process ended (code -9); what it read is kept" in str(result["error"])
    assert verify(out) == []
    kept_is_what_was_sent(out, tmp_path / "tap", n_bytes - 4096)


def test_recovering_after_a_crash_of_everything(tmp_path: Path, board: Any) -> None:
    one = board(*STREAM, "--tap", str(tmp_path / "tap"))
    out, folder = tmp_path / "data", tmp_path / "data" / "capture=c"
    with coordinator(one, out, 600.0) as process:
        for pid in [*processes("edgeprof.sealer", folder), process.pid, *processes("edgeprof.reader", folder)]:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not processes("edgeprof.reader", folder), "the end of the reader")
        wait_for(lambda: not processes("edgeprof.sealer", folder), "the end of the sealer")
    before = edgeprof.open(out)
    tokens, runs, bytes_read = before.tokens, before.runs, read_bytes(out)
    assert [f.damage for f in verify(out)] == [False]
    assert recover(out) == [folder]
    after = edgeprof.open(out)
    assert after.tokens.equals(tokens)
    assert list(after.runs["run_id"]) == list(runs["run_id"])
    assert list(after.runs["status"].iloc[:-1]) == list(runs["status"].iloc[:-1])
    assert after.runs["status"].iloc[-1] in ("ok", "aborted")
    assert read_bytes(out) == bytes_read
    assert recover(out) == []
    kept_is_what_was_sent(out, tmp_path / "tap", 20_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only on Linux as root, who may mount a small disk")
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = said.stderr.strip() if said.returncode else ""
    except FileNotFoundError as error:
        reason = str(error)
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"a small disk cannot be mounted here: {reason}")
        pytest.skip(f"a small disk cannot be mounted here: {reason}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("every", [600.0, 0.2])
def test_a_full_disk(tmp_path: Path, small_disk: Path, board: Any, every: float) -> None:
    one = board("--stream", "100000", "--wait", "--bytes-per-second", "600000", "--tap", str(tmp_path / "tap"))
    out = small_disk / "data"
    with running([source(one)], out, seal_every=every) as result:
        one.go()
    error = result["error"]
    assert isinstance(error, StorageError)
    assert "No space left" in str(error)
    assert "recover" in str(error)
    ds = edgeprof.open(out)  # readable as it is
    n_passes, n_bytes = len(ds.tokens), read_bytes(out)
    assert n_passes > 1000
    roomy = subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], capture_output=True, check=False)
    assert roomy.returncode == 0
    recover(out)
    assert verify(out) == []
    assert len(edgeprof.open(out).tokens) == n_passes
    kept_is_what_was_sent(out, tmp_path / "tap", n_bytes)


def test_messages_of_the_reader_do_not_hold_it_up(tmp_path: Path, board: Any) -> None:
    """A coordinator that stops reading must not stop the reader."""
    one = board(*STREAM)
    folder = prepare(tmp_path, [source(one)], [], host_label=None, capture_id="c", extra={})
    reader = subprocess.Popen(
        [sys.executable, "-m", "edgeprof.reader", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert reader.stdin is not None and reader.stdout is not None
    # A pipe that is full from the first line on.
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(reader.stdout, fcntl.F_SETPIPE_SZ, 4096)
    reader.stdin.write(json.dumps({"ports": [{"url": one.url}]}).encode() + b"\n")
    reader.stdin.flush()
    wait_for(lambda: list(folder.glob("journal/port-00/*.wire")), "the journal")
    one.go()
    wait_for(lambda: read_bytes(tmp_path) > 200_000, "bytes though nobody reads the messages")
    out, _ = reader.communicate(timeout=DEADLINE)
    assert reader.returncode == 0
    assert out.startswith(b"opened 0\nread 0 ")


def test_restarting_the_sealer_takes_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(sealer_process.time, "monotonic", lambda: now[0])
    one = sealer_process.SealerProcess.__new__(sealer_process.SealerProcess)
    one.command, one.pause = [sys.executable, "-c", ""], 0.25
    one.start()
    starts = []
    for _ in range(2000):
        now[0] += 0.1
        one.process.wait()
        before = one.process
        one.keep_alive()
        if one.process is not before:
            starts.append(now[0] - 100)
        if len(starts) == 5:
            break
    one.process.communicate()
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 4 * gaps[0] - 0.5


def test_a_sealer_that_is_dead_at_the_end_is_started_once_more(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; p = pathlib.Path(sys.argv[1]); n = len(p.read_text()) if p.exists() else 0; "
        "p.write_text('x' * (n + 1)); sys.exit('first' if n == 0 else int(sys.argv[2]))"
    )
    for code, name in ((0, "good"), (5, "bad")):
        one = sealer_process.SealerProcess.__new__(sealer_process.SealerProcess)
        one.command, one.pause = [sys.executable, "-c", program, str(tmp_path / name), str(code)], 30.0
        one.start()
        one.process.wait()
        with pytest.raises(StorageError, match="edgeprof recover") if code else contextlib.nullcontext():
            one.finish()
        assert (tmp_path / name).read_text() == "xx"
