"""Redecoding and compacting closed captures: the same tables, or the old ones, whatever happens."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakeboard import FakeBoard, append_reads, make_capture
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeprof
from edgeprof import care, decode_frames, journal, kept, records, rewrite, seal, store
from edgeprof.cli import main
from edgeprof.compact import compact
from edgeprof.errors import UsageError
from edgeprof.layout import current, segment_folder
from edgeprof.redecode import redecode
from edgeprof.schema import TABLES


def sent(boot: int = 7, model: str = "toy", n: int = 4) -> bytes:
    """Return runs with everything in them: text, damage, a lost frame, and a frame cut off at the end."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append, boot=boot)
    board.pairs["model"] = model
    board.hello()
    for i in range(n):
        board.begin(kind="generate", prompt_id=f"p{i}", n_prompt=4)
        board.tokens(0, 4, 0)
        board.stages(0, [1, 2, 3])
        parts.append(b"run %d\nachieved tok/s: 8.5\nhalf a line" % i)
        board.tokens(4, 7, 1)
        board.memory(5, 1, 2, 3, 4)
        board.event(6, 1, i)
        board.logits(6, 0, [0.5, 1.25 * i])
        board.logits(6, 2, [-1e30] * i)
        parts.append(b"\xff\x01 damage")
        board.end(0, 4, 8)
        board.seq += i % 2
    board.begin(kind="generate", prompt_id="torn", n_prompt=4)
    board.tokens(0, 4, 0)
    return b"".join(parts)[:-9]


STREAMS = [sent(), sent(boot=9, model="other", n=2)]


def segmented(out: Path, name: str = "c", *, seed: int = 0, final: bool = True, keep_wire: bool = True) -> Path:
    """Return a capture of two ports, in several segments."""
    folder = make_capture(out, name, [b"", b""])
    rng = random.Random(seed)
    writers = [journal.PortWriter(folder, p, piece_bytes=900) for p in (0, 1)]
    left = list(STREAMS)
    while any(left):
        port = rng.choice([p for p in (0, 1) if left[p]])
        n = rng.randint(200, 900)
        append_reads(writers[port], left[port][:n])
        left[port] = left[port][n:]
        seal.seal(folder, keep_wire=keep_wire)
    for writer in writers:
        writer.close()
    for kind in ("timeout", "refused"):
        journal.append_event(folder, {"port": 1, "kind": kind, "t_ns": 7, "detail": "x"})
    if final:
        seal.seal(folder, final=True, keep_wire=keep_wire)
        assert len(seal.load_manifests(folder)) > 3
    return folder


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every table, row after row as it is read."""
    ds = edgeprof.open(path)
    assert ds.problems == []
    return {name: ds.arrow(name).to_pylist() for name in TABLES}


def unordered(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    return {name: sorted(map(json.dumps, found)) for name, found in tables.items()}


def digests(folder: Path) -> list[Any]:
    return [[m["segment"], m["final"], m["ranges"], m["files"], m["states"]] for m in seal.load_manifests(folder)]


def sound(path: Path) -> bool:
    """Tell whether nothing is damaged and nothing is left over."""
    return care.verify(path) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    segmented(out)
    tables = rows(out)
    assert {name for name, found in tables.items() if found} >= set(TABLES) - {
        "power",
        "prompts",
        "vocab",
        "sections",
        "clock",
    }
    assert {e["kind"] for e in tables["events"]} == {"gap", "mark", "timeout", "refused"}
    return out


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for the disk; no power is cut here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


# ---- redecode ----


@pytest.mark.slow
def test_redecoding_gives_the_same_files(data: Path) -> None:
    folder = data / "capture=c"
    before, tables = digests(folder), rows(data)
    for generation in (1, 2):
        assert [(o.capture, o.what, o.code) for o in redecode(data)] == [("c", "redecoded: the same tables", 0)]
        assert digests(folder) == before
        assert rows(data) == tables
        assert {p.name for p in folder.iterdir()} == {
            "capture.json",
            *(segment_folder(n, generation) for n in range(len(before))),
        }
        assert sound(data)


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10**6))
def test_redecoding_any_segments_changes_no_row(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    out = tmp_path_factory.mktemp("any")
    segmented(out, seed=seed)
    tables = rows(out)
    redecode(out)
    assert unordered(rows(out)) == unordered(tables)
    assert sound(out)
    shutil.rmtree(out)


def double_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another version of edgeprof understand the column ``heap_bytes`` otherwise."""

    def other(frame: Any, t_begin: Any) -> dict[str, Any]:
        columns = records.memory_columns(frame, t_begin)
        return columns | {"heap_bytes": np.asarray(columns["heap_bytes"]) * 2}

    monkeypatch.setattr(decode_frames, "memory_columns", other)


@pytest.mark.slow
def test_a_changed_decoder_gives_its_tables(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(data)
    double_memory(monkeypatch)
    assert [o.what for o in redecode(data, ["c"])] == ["redecoded: memory changed"]
    after = rows(data)
    assert [r["heap_bytes"] for r in after["memory"]] == [2 * r["heap_bytes"] for r in before["memory"]]
    assert {name for name in TABLES if after[name] != before[name]} == {"memory"}
    assert sound(data)


@pytest.mark.slow
def test_a_decoder_that_stops_earlier_moves_rows_to_the_next_segment(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(data)
    whole = seal.decode_port

    def slow(chunks: Any, state: Any, *, final: bool, **options: Any) -> Any:
        told = b"".join(chunks)
        return whole([told if final else told[: len(told) // 2]], state, final=final, **options)

    monkeypatch.setattr(seal, "decode_port", slow)
    redecode(data)
    assert unordered(rows(data)) == unordered(before)
    assert sound(data)


@pytest.mark.slow
def test_damaged_tables_are_mended(data: Path) -> None:
    tables = rows(data)
    for path in data.glob("capture=c/segment=*/board=*/**/tokens.parquet"):
        path.write_bytes(b"nonsense")
    assert not sound(data)
    assert [o.code for o in redecode(data)] == [0]
    assert rows(data) == tables
    assert sound(data)


@pytest.mark.parametrize("which", ["wire-*.zst", "wire-*.npy", "board=unknown*/**/events.parquet"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_what_cannot_be_made_again_is_not_made_of_damage(data: Path, which: str, how: str) -> None:
    folder = data / "capture=c"
    victim = max(folder.glob(f"segment=*/{which}"))
    if how == "missing":
        victim.unlink()
    else:
        whole = victim.read_bytes()
        victim.write_bytes(whole[:-20] + bytes(b ^ 1 for b in whole[-20:]))
    before = sorted(p.name for p in folder.iterdir())
    (outcome,) = redecode(data)
    assert outcome.code == 5
    assert victim.name in outcome.what
    assert sorted(p.name for p in folder.iterdir()) == before
    assert [f.where for f in care.verify(data) if f.damage] == [str(victim)]


@pytest.mark.slow
def test_what_has_no_wire_bytes_is_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segmented(data, "none", keep_wire=False)
    segmented(data, "open", final=False)
    before = rows(data)
    codes = {o.capture: o.code for o in redecode(data)}
    assert codes == {"c": 0, "none": 2, "open": 2}
    assert rows(data) == before
    assert main(["redecode", str(data)]) == 0
    assert main(["redecode", str(data), "none", "capture=open"]) == 2
    assert "none: left alone: its wire bytes were not kept" in capsys.readouterr().out


# ---- compact ----


@pytest.mark.slow
def test_compacting_changes_no_row_and_no_order(data: Path) -> None:
    folder = data / "capture=c"
    tables, n = rows(data), len(seal.load_manifests(folder))
    wire = kept.KeptWire(folder, seal.load_manifests(folder))
    index = [np.concatenate(list(wire.index(p, 0, 1 << 40))).tolist() for p in (0, 1)]
    files = len(list(folder.rglob("*.parquet")))
    assert [(o.what, o.code) for o in compact(data)] == [(f"compacted: {n} segments are one", 0)]
    assert rows(data) == tables
    assert len(list(folder.rglob("*.parquet"))) < files / 2
    (manifest,) = seal.load_manifests(folder)
    assert [(s["start"], s["end"]) for s in manifest["ranges"]] == [(0, len(s)) for s in STREAMS]
    wire = kept.KeptWire(folder, [manifest])
    assert [b"".join(wire.read(p, 0, 1 << 40)) for p in (0, 1)] == STREAMS
    assert [np.concatenate(list(wire.index(p, 0, 1 << 40))).tolist() for p in (0, 1)] == index
    assert sound(data)
    assert [(o.what, o.code) for o in compact(data)] == [("is one segment already", 0)]


@pytest.mark.slow
def test_what_was_compacted_can_be_redecoded(data: Path) -> None:
    tables = rows(data)
    compact(data)
    assert [o.code for o in redecode(data)] == [0]
    assert unordered(rows(data)) == unordered(tables)
    assert sound(data)


@pytest.mark.slow
def test_what_was_redecoded_can_be_compacted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double_memory(monkeypatch)
    redecode(data)
    tables = rows(data)
    assert [o.code for o in compact(data)] == [0]
    assert rows(data) == tables
    assert sound(data)


@pytest.mark.slow
def test_compacting_without_wire_bytes(tmp_path: Path) -> None:
    folder = segmented(tmp_path, keep_wire=False)
    tables = rows(tmp_path)
    assert [o.code for o in compact(tmp_path)] == [0]
    assert rows(tmp_path) == tables
    assert len(seal.load_manifests(folder)) == 1
    assert not list(folder.rglob("wire*"))


def test_compacting_loses_no_wire_bytes(tmp_path: Path) -> None:
    folder = segmented(tmp_path, keep_wire=False, final=False)
    writer = journal.PortWriter(folder, 0)
    append_reads(writer, b"\0" + STREAMS[0])
    writer.close()
    seal.seal(folder, final=True)
    before = {p for p in folder.rglob("*") if p.is_file()}
    (outcome,) = compact(tmp_path)
    assert outcome.code == 2
    assert "of some segments" in outcome.what
    assert {p for p in folder.rglob("*") if p.is_file()} == before


def test_damage_is_not_compacted_away(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = max(data.glob("capture=c/segment=*/board=*/**/*.parquet"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20] + bytes(b ^ 1 for b in whole[-20:]))
    assert main(["compact", str(data)]) == 5
    assert victim.name in capsys.readouterr().out
    assert [f.where for f in care.verify(data)] == [str(victim)]


def test_a_column_of_a_later_version_survives(data: Path) -> None:
    path = max(data.glob("capture=c/segment=*/board=fake*/**/tokens.parquet"))
    table = pq.ParquetFile(path).read()
    pq.write_table(table.append_column("later", pa.array(range(len(table)))), path)
    manifest = next(p for p in path.parents if p.name.startswith("segment=")) / "manifest.json"
    content = json.loads(manifest.read_text())
    for entry in content["files"]:
        if path.as_posix().endswith(entry["path"]):
            entry["sha256"] = care.file_sha256(path)
    manifest.write_text(json.dumps(content))
    assert [o.code for o in compact(data)] == [0]
    found = [pq.ParquetFile(p).read() for p in data.glob("capture=c/segment=0000-g1/board=fake*/**/tokens.parquet")]
    later = [t["later"].drop_null().to_pylist() for t in found if "later" in t.column_names]
    assert later == [list(range(len(table)))]


# ---- both: wrong use, locks, disks ----

BOTH = pytest.mark.parametrize("change", [redecode, compact])


@BOTH
def test_wrong_use(data: Path, tmp_path: Path, change: Callable[..., Any]) -> None:
    verb = change.__name__
    segmented(data, "20260101")
    with pytest.raises(UsageError, match="There is no capture '20260102'. Did you mean '20260101'"):
        change(data, ["20260102"])
    assert main([verb, str(data), "../data/capture=c"]) == 3
    (tmp_path / "empty").mkdir()
    assert main([verb, str(tmp_path / "empty")]) == 5
    assert main([verb, str(tmp_path / "none")]) == 5
    assert not list(data.rglob("*-g1"))


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("lock", ["reader", "sealer"])
def test_a_live_capture_is_refused(
    data: Path, change: Callable[..., Any], lock: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data / "capture=c"
    segmented(data, "d", seed=1)
    before = digests(folder)
    with FileLock(folder / f"{lock}.lock"):
        assert {o.capture: o.code for o in change(data)} == {"c": 5, "d": 0}
        assert main([change.__name__, str(data)]) == 5
        assert f"its {lock} is alive" in capsys.readouterr().out
    assert digests(folder) == before
    assert not list(folder.glob("*-g*"))


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(
    ("owner", "name"), [(np, "save"), (pq, "write_table"), (pa, "CompressedOutputStream"), (os, "replace")]
)
@pytest.mark.parametrize("late", [0, 1])
def test_a_full_disk_is_said_and_changes_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any], owner: Any, name: str, late: int
) -> None:
    before, names = rows(data), sorted(p.name for p in (data / "capture=c").iterdir())
    real, calls = getattr(owner, name), []

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return full() if len(calls) > late else real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, sometimes)
        (outcome,) = change(data)
    if change is compact and name == "replace" and late:
        assert outcome.code == 0  # it has one manifest, and that was written
    else:
        assert outcome.code == 5
        assert "No space left" in outcome.what
        assert sorted(p.name for p in (data / "capture=c").iterdir()) == names
    assert rows(data) == before
    assert sound(data)
    assert [o.code for o in change(data)] == [0]
    assert rows(data) == before


@BOTH
def test_a_folder_where_no_lock_can_be_made_is_said(
    data: Path, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("edgeprof.sealer.FileLock.acquire", refuse)
        (outcome,) = change(data)
    assert outcome.code == 5
    assert "cannot be written (Permission denied)" in outcome.what
    assert sound(data)


# ---- both: dying ----


class Died(BaseException):
    """Stands for kill -9: nothing is done any more."""


STEPS = [
    (os, "replace"), (os, "mkdir"), (os, "unlink"), (os, "rmdir"), (np, "save"), (pq, "write_table"),
    (pa, "CompressedOutputStream"), (shutil, "rmtree"),
]  # fmt: skip


def die_at(patch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let the process die before a step; return the steps that were reached."""
    reached: list[str] = []

    def wrap(name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            reached.append(name)
            if len(reached) > step:
                raise Died
            return real(*args, **kwargs)

        return call

    for owner, name in STEPS:
        patch.setattr(owner, name, wrap(name, getattr(owner, name)))
    return reached


@pytest.mark.slow
@BOTH
def test_a_death_at_any_step_leaves_the_old_or_the_new(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any]
) -> None:
    double_memory(monkeypatch)
    old, whole = rows(made), shutil.copytree(made, tmp_path / "whole")
    with monkeypatch.context() as patch:
        reached = die_at(patch, 10**6)
        change(whole)
    new = rows(whole)
    assert (new != old) == (change is redecode)
    # The switch is the last manifest's rename; deaths just around it, and at some of the other steps.
    switch = len(reached) - 1 - reached[::-1].index("replace")
    steps = {switch - 1, switch, switch + 1, switch + 2, *random.Random(1).sample(range(len(reached)), 8)}
    for step in sorted(steps):
        out = shutil.copytree(made, tmp_path / str(step))
        with monkeypatch.context() as patch:
            die_at(patch, step)
            with pytest.raises(Died):
                change(out)
        assert rows(out) == (old if step <= switch else new)
        assert not [f for f in care.verify(out) if f.damage]
        assert [o.code for o in change(out)] == [0]
        assert rows(out) == new
        assert sound(out)


PROGRAM = """
import sys
import numpy as np
from edgeprof import decode_frames, records
from edgeprof.{verb} import {verb}
whole = records.memory_columns
decode_frames.memory_columns = lambda *a: (c := whole(*a)) | {{"heap_bytes": np.asarray(c["heap_bytes"]) * 2}}
print("ready", flush=True)
while True:
    {verb}(sys.argv[1])
    print("done", flush=True)
"""


@pytest.mark.slow
@BOTH
def test_killed_at_random_moments(data: Path, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    old = rows(data)
    with monkeypatch.context() as patch:
        double_memory(patch)
        other = shutil.copytree(data, data.with_name("other"))
        change(other)
        new = rows(other)
    shutil.rmtree(other)
    for _ in range(4):
        program = [sys.executable, "-c", PROGRAM.format(verb=change.__name__), str(data)]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        assert rows(data) in (old, new)
        assert not [f for f in care.verify(data) if f.damage]
    assert [o.code for o in change(data)] == [0]
    assert rows(data) == old  # this process has the decoder that the capture was sealed with
    assert sound(data)


# ---- reading meanwhile ----


def test_which_manifests_count() -> None:
    def m(segment: int, generation: int = 0, *, final: bool = False) -> dict[str, Any]:
        return {"segment": segment, "final": final} | ({"generation": generation} if generation else {})

    old = [m(0), m(1, final=True)]
    assert current([]) == []
    assert current(reversed(old)) == old
    assert current([*old, m(0, 1)]) == old
    assert current([*old, m(0, 1, final=True)]) == [m(0, 1, final=True)]
    assert current([m(0, 2), m(0, 1, final=True), m(0)]) == [m(0, 1, final=True)]
    assert current([m(0, 1)]) == []


def test_reading_while_the_old_generation_goes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(data)
    real, calls = store._manifests, []

    def torn(*args: Any) -> Any:
        calls.append(1)
        found = real(*args)
        if len(calls) == 1:
            return found[:1] + found[2:]  # its folder was removed while the others were read
        if len(calls) == 2:
            return found[:-1]
        if len(calls) == 3:
            raise FileNotFoundError(2, "gone")
        return found

    monkeypatch.setattr(store, "_manifests", torn)
    assert rows(data) == before
    assert len(calls) == 4


def test_verify_notes_what_a_death_left(data: Path) -> None:
    (data / "capture=c/segment=0000-g1").mkdir()
    (finding,) = care.verify(data)
    assert not finding.damage
    assert "readers ignore it" in finding.what
    assert [o.code for o in rewrite.each([data / "capture=c"], lambda c: rewrite.Outcome(c.name, "x"))] == [0]
    redecode(data)
    assert sound(data)
