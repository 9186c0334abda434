"""Tables that go to disk row group by row group: the same rows, and the same bytes however they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakeboard import FakeBoard, make_capture

import edgeprof
from edgeprof import seal, table_files
from edgeprof.care import verify
from edgeprof.compact import compact
from edgeprof.decode_state import Rows
from edgeprof.errors import StorageError
from edgeprof.redecode import redecode
from edgeprof.schema import TABLES, arrow_schema
from edgeprof.segment import options
from edgeprof.wire import POWER, Type

GROUP = ("b", "m", "q")


def stream(boot: int = 7) -> bytes:
    """Return runs with samples in them and between them, tokens and lines."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append, boot=boot)
    board.hello()
    for i in range(6):
        board.begin(kind="generate", prompt_id=f"p{i}", n_prompt=4)
        for k in range(5):
            said = POWER.pack(1000, 0xFFFF if i == 2 else 3300, i % 2)
            board.frame(Type.POWER, said + bytes(range(2 * (3 + k))), 3 + k, t0=k, dt=1)
            board.tokens(4 * k, 4, 1)
        board.stages(0, [1, 2, 3])
        board.memory(5, 1, 2, 3, 4)
        board.end(0, 4, 8)
        parts.append(b"run %d\n" % i)
        board.frame(Type.POWER, POWER.pack(1000, 3300, 0) + b"\1\2\3\4", 2, in_run=False, dt=1)
    return b"".join(parts)


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    dataset = edgeprof.open(path)
    return {name: dataset.arrow(name).to_pylist() for name in TABLES}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.glob("segment=*/**/*.parquet"))}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a row group hold a few rows only."""
    monkeypatch.setattr(table_files, "ROW_GROUP_ROWS", {"power": 11, "tokens": 7, "stages": 5, "memory": 2})
    monkeypatch.setattr(table_files, "OTHER_ROW_GROUP_ROWS", 3)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Seal with each table in one piece."""
    out = tmp_path / "whole"
    seal.seal(make_capture(out, "c", [stream(), stream(9)]), final=True)
    return out


@pytest.mark.slow
def test_row_groups_make_no_difference(tmp_path: Path, whole: Path, small: None) -> None:
    folder = make_capture(tmp_path / "parts", "c", [stream(), stream(9)])
    seal.seal(folder, final=True)
    assert rows(tmp_path / "parts") == rows(whole)
    for path in folder.glob("segment=*/**/*.parquet"):
        name = path.stem.partition("-")[0]
        size = table_files.ROW_GROUP_ROWS.get(name, table_files.OTHER_ROW_GROUP_ROWS)
        file = pq.ParquetFile(path, page_checksum_verification=True)
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert groups[:-1] == [size] * (len(groups) - 1)
        assert file.read().schema.remove_metadata().types == arrow_schema(name).types
        assert file.schema_arrow.metadata[b"edgeprof.table"] == name.encode()
        assert file.schema_arrow.field("capture_id").metadata == arrow_schema(name).field("capture_id").metadata
    assert len(files(folder)) > 5
    assert verify(tmp_path / "parts") == []


@pytest.mark.slow
def test_how_the_rows_came_does_not_show(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_capture(tmp_path, "c", [stream(), stream(9)])
    seal.seal(folder, final=True)
    before = files(folder)
    monkeypatch.setattr("edgeprof.decode._FLUSH_BYTES", 400)
    monkeypatch.setattr("edgeprof.decode._WINDOW_BYTES", 170)
    assert [o.what for o in redecode(tmp_path)] == ["redecoded: the same tables"]
    assert list(files(folder).values()) == list(before.values())


def test_a_compacted_capture_has_the_same_rows(tmp_path: Path, small: None) -> None:
    folder = make_capture(tmp_path, "c", [stream(), stream(9)])
    seal.seal(folder)
    seal.seal(folder, final=True)
    before = rows(tmp_path)
    assert [o.what for o in compact(tmp_path)] == ["compacted: 2 segments are one"]
    assert rows(tmp_path) == before


def test_a_full_disk_in_the_middle_of_a_table_is_said(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_capture(tmp_path, "c", [stream()])
    before, real, written = rows(tmp_path), pq.ParquetWriter.write_table, []

    def sometimes(*args: Any, **kwargs: Any) -> None:
        written.append(1)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", sometimes)
        with pytest.raises(StorageError, match="No space left"):
            seal.seal(folder, final=True)
    assert files(folder)  # they are no segment
    assert rows(tmp_path) == before
    seal.seal(folder, final=True)
    assert {k: v for k, v in rows(tmp_path).items() if k != "captures"} == {
        k: v for k, v in before.items() if k != "captures"
    }


@pytest.mark.slow
def test_more_runs_than_a_small_number_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "ROW_GROUP_ROWS", {"memory": 35_000})
    with table_files.TableFiles(tmp_path, "c") as tables:
        for i in range(40_000):
            batch = Rows()
            batch.add("memory", GROUP, {"run_id": f"c/0-{i}", "ticks": np.array([i], np.int64)})
            if i % 997 == 0:
                batch.add("memory", GROUP, {"run_id": None, "ticks": np.array([-1], np.int64)})
            tables.take(batch)
        (entry,) = tables.finish()
    table = pq.ParquetFile(tmp_path / entry["path"]).read()
    assert entry["rows"] == len(table)
    named = [(r, t) for r, t in zip(table["run_id"].to_pylist(), table["ticks"].to_pylist(), strict=True) if r]
    assert named == [(f"c/0-{i}", i) for i in range(40_000)]


def test_nulls_that_come_late_begin_another_file(tmp_path: Path, small: None) -> None:
    """Samples without a supply, or of no run, are null there and nowhere else, and nothing changes its order."""
    samples = [(k, 3300 if k < 22 or k >= 40 else None) for k in range(60)]
    with table_files.TableFiles(tmp_path, "c") as tables:
        for tick, voltage in samples:
            batch = Rows()
            columns = {"run_id": "c/0-1", "port": 0, "current_ua": np.array([1.5]), "meter": "board"}
            batch.add("power", GROUP, columns | {"ticks": np.array([tick], np.int64), "voltage_mv": voltage})
            tables.take(batch)
        entries = tables.finish()
    assert [(e["path"].rpartition("/")[2], e["rows"]) for e in entries] == [
        ("power.parquet", 22),
        ("power-1.parquet", 38),
    ]
    required = [
        {c.name for c in map(file.schema.column, range(len(file.schema.names))) if not c.max_definition_level}
        for file in (pq.ParquetFile(tmp_path / e["path"]) for e in entries)
    ]
    assert required[0] - required[1] == {"voltage_mv"}
    found = [row for e in entries for row in pq.ParquetFile(tmp_path / e["path"]).read().to_pylist()]
    assert [(row["ticks"], row["voltage_mv"]) for row in found] == samples


def test_nulls_that_come_and_go_make_no_more_files_than_columns(tmp_path: Path, small: None) -> None:
    with table_files.TableFiles(tmp_path, "c") as tables:
        for i in range(20):  # a row group each: without a supply, then of no run, and so on
            batch, ticks = Rows(), np.arange(11) + 11 * i
            columns = {"port": 0, "current_ua": np.full(11, 1.5), "meter": "board", "ticks": ticks, "t_host_ns": ticks}
            columns |= {"run_id": "c/0-1", "voltage_mv": None} if i % 2 else {"run_id": None, "voltage_mv": 3300}
            batch.add("power", GROUP, columns)
            tables.take(batch)
        entries = tables.finish()
    assert [e["rows"] for e in entries] == [11, 209]


@pytest.mark.parametrize("opened", [0, 1], ids=["the first file", "another"])
def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: int) -> None:
    real, calls = table_files._writer, []

    def sometimes(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > opened:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(table_files, "ROW_GROUP_ROWS", {"power": 2})
    monkeypatch.setattr(table_files, "_writer", sometimes)

    def write() -> None:
        with table_files.TableFiles(tmp_path, "c") as tables:
            for voltage in (3300, None):
                batch = Rows()
                columns = {"port": 0, "current_ua": np.ones(2), "meter": "board", "voltage_mv": voltage}
                batch.add("power", GROUP, columns)
                tables.take(batch)

    with pytest.raises(OSError, match="No space left"):
        write()


def test_samples_are_written_as_said(tmp_path: Path, small: None) -> None:
    folder = make_capture(tmp_path, "c", [stream()])
    seal.seal(folder, final=True)
    (path,) = (p for p in folder.glob("segment=*/**/power.parquet") if "unknown" not in str(p))
    group = pq.read_metadata(path).row_group(0)
    found = {c.path_in_schema: c for c in (group.column(i) for i in range(group.num_columns))}
    for name, encoding in options("power")["column_encoding"].items():
        assert encoding in found[name].encodings
        assert not found[name].has_dictionary_page
    assert found["run_id"].has_dictionary_page
    assert found["ticks"].is_stats_set
    assert {c.compression for c in found.values()} == {"ZSTD"}


def test_files_of_the_first_version_stay_readable(tmp_path: Path, whole: Path) -> None:
    """What was written before, with one kind of column for all tables, reads the same and can be compacted."""
    expected = rows(whole)
    for path in whole.glob("capture=c/segment=*/**/power.parquet"):
        table = pq.ParquetFile(path).read()
        pq.write_table(table.cast(arrow_schema("power")), path, compression="zstd", compression_level=3)
    assert rows(whole) == expected
    assert pa.types.is_string(edgeprof.open(whole).arrow("power").schema.field("meter").type)
