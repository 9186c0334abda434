"""Sealing: in any number of segments, and dying at every step of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakeboard import FakeBoard, append_reads, make_capture
from filelock import FileLock

import edgeprof
from edgeprof import journal, seal, sealer
from edgeprof.errors import LockedError, NewerFormatError, StorageError
from edgeprof.schema import TABLES


def stream(boot: int = 7, model: str = "toy", n: int = 5) -> bytes:
    """Return complete runs with everything in them."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append, boot=boot)
    board.pairs["model"] = model
    board.hello()
    for i in range(n):
        board.begin(kind="generate", prompt_id=f"p{i}", n_prompt=4)
        board.tokens(0, 4, 0)
        board.stages(0, [1, 2, 3])
        parts.append(b"run %d\nhalf a line" % i)
        board.tokens(4, 7, 1)
        board.memory(5, 1, 2, 3, 4)
        board.event(6, 1, i)
        parts.append(b"\xff\x01 damage")
        board.end(0, 4, 8)
        board.seq += i % 2  # a frame is lost
    return b"".join(parts)


def content(path: Path, leave_out: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Return every table's rows as text, in one order."""
    ds = edgeprof.open(path)
    out = {}
    for name in TABLES:
        rows = ds.arrow(name).to_pylist()
        out[name] = sorted(json.dumps({k: v for k, v in r.items() if k not in leave_out}) for r in rows)
    return out


STREAMS = [stream(), stream(boot=9, model="other", n=2)]
SHORT = [stream(n=3)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    out = tmp_path_factory.mktemp("reference")
    folder = make_capture(out, "c", STREAMS)
    assert seal.seal(folder, final=True)
    found = content(out)
    assert len(found["runs"]) == 7
    assert len(found["tokens"]) == 77
    return found


@pytest.mark.parametrize("seed", range(6))
def test_any_number_of_segments_gives_the_same_tables(
    tmp_path: Path, reference: dict[str, list[str]], seed: int
) -> None:
    folder = make_capture(tmp_path, "c", [b"", b""])
    rng = random.Random(seed)
    writers = [journal.PortWriter(folder, p, piece_bytes=rng.choice([200, 1500])) for p in (0, 1)]
    left = list(STREAMS)
    while any(left):
        port = rng.choice([p for p in (0, 1) if left[p]])
        n = rng.randint(1, 700)
        append_reads(writers[port], left[port][:n])
        left[port] = left[port][n:]
        if rng.random() < 0.7:
            seal.seal(folder)
    for writer in writers:
        writer.close()
    n_segments = len(seal.load_manifests(folder))
    assert n_segments > 2
    assert seal.seal(folder, final=True)
    assert len(seal.load_manifests(folder)) == n_segments + 1
    assert content(tmp_path) == reference
    digest = hashlib.sha256(b"".join(STREAMS)).hexdigest()
    assert edgeprof.open(tmp_path).captures["wire_sha256"][0] == digest
    assert wire_of(folder, 0) == STREAMS[0]
    assert not (folder / "journal").exists()


def wire_of(folder: Path, port: int) -> bytes:
    """Return the sealed wire bytes of a port."""
    data = b""
    for manifest in seal.load_manifests(folder):
        for span in manifest["ranges"]:
            if span["port"] == port and "wire" in span:
                path = folder / f"segment={manifest['segment']:04d}" / span["wire"]
                part = pa.CompressedInputStream(str(path), "zstd").read()
                assert len(data) == span["start"]
                assert hashlib.sha256(part).hexdigest() == span["sha256"]
                data += part
                assert len(data) == span["end"]
    return data


class Died(BaseException):
    """Stands for kill -9: no handler runs."""


STEPS = [
    (os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (os, "fsync"),
    (np, "save"), (pq, "write_table"), (pa, "CompressedOutputStream"),
]  # fmt: skip


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let the process die before a step; return the steps that were reached."""
    reached: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def wrap(name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if len(reached) > step:
                raise Died  # nothing more is done by a process that is dead
            reached.append(name)
            if len(reached) > step:
                raise Died
            return real(*args, **kwargs)

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, wrap(name, getattr(owner, name)))
    return reached


def deaths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, final: bool) -> Iterator[Path]:
    """Yield the data set after a death before each step, and after the last."""
    made = make_capture(tmp_path, "c", SHORT)
    for step in range(200):
        out = tmp_path / str(step)
        folder = Path(shutil.copytree(made, out / "capture=c"))
        with monkeypatch.context() as patch:
            reached = die_at(patch, step)
            try:
                seal.seal(folder, final=final)
                died = False
            except Died:
                died = True
        yield out
        shutil.rmtree(out)
        if not died:
            assert {"replace", "unlink", "fsync", "save", "write_table", "CompressedOutputStream"} <= set(reached)
            return


@pytest.mark.slow
@pytest.mark.parametrize("final", [False, True])
def test_a_seal_that_dies_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, final: bool
) -> None:
    seal.seal(make_capture(tmp_path / "whole", "c", SHORT), final=True)
    reference = content(tmp_path / "whole")
    open_ended = content(tmp_path / "whole", ("wire_sha256",))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for out in deaths(tmp_path, monkeypatch, final=final):
        folder = out / "capture=c"
        assert content(out, ("wire_sha256",)) == open_ended
        seal.seal(folder)
        seal.seal(folder, final=True)
        assert content(out) == reference
        assert not (folder / "journal").exists()
        assert wire_of(folder, 0) == SHORT[0]
        named = {f"segment={m['segment']:04d}/{e['path']}" for m in seal.load_manifests(folder) for e in m["files"]}
        assert {p.relative_to(folder).as_posix() for p in folder.glob("segment=*/**/*.parquet")} == named


def test_sealing_again_does_nothing(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", STREAMS)
    assert seal.seal(folder)
    assert not seal.seal(folder)
    assert seal.seal(folder, final=True)
    assert not seal.seal(folder, final=True)
    assert not seal.seal(folder)


def test_a_segment_takes_only_bytes_that_have_their_time(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", STREAMS[:1])
    index = journal.pieces(folder, 0)[-1][1].with_suffix(".idx")
    os.truncate(index, index.stat().st_size - 16)
    last = journal.read_index(folder, 0)[-1][0]
    seal.seal(folder)
    assert seal.load_manifests(folder)[0]["states"][0]["offset"] <= last


def test_segments_beyond_9999_stay_in_order(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", [b""])
    for number in (9999, 10000):
        path = folder / f"segment={number:04d}" / "manifest.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"format_version": 1, "segment": number, "final": False, "files": [], "states": []}))
    assert [m["segment"] for m in seal.load_manifests(folder)] == [9999, 10000]


def test_without_wire_there_is_no_digest(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", STREAMS)
    seal.seal(folder, keep_wire=False)
    seal.seal(folder, final=True, keep_wire=False)
    assert not list(folder.glob("segment=*/wire*"))
    assert edgeprof.open(tmp_path).captures["wire_sha256"].isna().all()


def test_an_open_run_ends_as_the_events_say(tmp_path: Path) -> None:
    torn = STREAMS[0][: -STREAMS[0].rindex(b"\xff\x01 damage") // 50]
    for kind, status in (("timeout", "timeout"), ("disconnected", "timeout")):
        folder = make_capture(tmp_path / kind, "c", [torn])
        journal.append_event(folder, {"port": 0, "kind": kind, "t_ns": 7, "detail": "x"})
        assert edgeprof.open(tmp_path / kind).runs["status"].isna().iloc[-1]
        seal.seal(folder, final=True)
        ds = edgeprof.open(tmp_path / kind)
        assert ds.runs["status"].iloc[-1] == status
        assert kind in list(ds.table("events")["kind"])


def test_a_full_disk_is_said_and_leaves_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_capture(tmp_path, "c", STREAMS)
    before = content(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for owner, name in ((np, "save"), (pq, "write_table"), (pa, "CompressedOutputStream"), (os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(StorageError, match="No space left"):
                seal.seal(folder, final=True)
        assert content(tmp_path) == before
    seal.seal(folder, final=True)
    assert content(tmp_path, ("wire_sha256",))["tokens"] == before["tokens"]


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"format_version": null}'])
def test_a_damaged_header_is_said(tmp_path: Path, text: str) -> None:
    folder = make_capture(tmp_path, "c", STREAMS)
    (folder / "capture.json").write_text(text, encoding="latin-1")
    with pytest.raises(StorageError, match="capture.json"):
        seal.load_capture(folder)
    with pytest.raises(StorageError):
        edgeprof.open(tmp_path)


def test_a_newer_header_is_refused(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", STREAMS)
    header = json.loads((folder / "capture.json").read_text())
    (folder / "capture.json").write_text(json.dumps(header | {"format_version": 2}))
    with pytest.raises(NewerFormatError):
        seal.seal(folder)


def test_locks(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", STREAMS)
    with FileLock(folder / "sealer.lock"), pytest.raises(LockedError, match="its sealer is alive"):
        sealer.hold(folder, "sealer")
    with sealer.hold(folder, "sealer"):
        pass
    sealer.finish(folder)
    assert not list(folder.glob("*.lock"))


def test_hostile_names_stay_inside_and_are_kept(tmp_path: Path) -> None:
    names = ["../../etc", "x" * 255, "<b>hi</b>", "\x1b[2J", "a\0b", "CON", "001"]
    for number, name in enumerate(names):
        make_capture(tmp_path / "in" / "side", f"c{number}", [stream(model=name, n=1)])
    for folder in (tmp_path / "in" / "side").iterdir():
        seal.seal(folder, final=True)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["side"]
    ds = edgeprof.open(tmp_path / "in" / "side")
    assert list(ds.runs["model"]) == names
    for name in names:
        assert len(ds.table("tokens", where={"model": name})) == 11


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "nice"), reason="only on POSIX")
def test_the_sealer_lets_others_go_first(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", SHORT)
    command = [sys.executable, "-m", "edgeprof.sealer", str(folder), "--every", "0.05"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        until = time.monotonic() + 20
        while not seal.load_manifests(folder) and time.monotonic() < until:
            time.sleep(0.02)
        theirs = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.communicate()
    assert theirs == min(ours + sealer.NICENESS, 19)
    assert process.returncode == 0
    assert seal.load_manifests(folder)[-1]["final"]
