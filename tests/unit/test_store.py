"""Reading a data set: what is there, what is not, what is damaged, and that reading writes nothing."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fakeboard import FakeBoard, append_reads, make_capture

import edgeprof
from edgeprof import journal, seal, store
from edgeprof.errors import NewerFormatError, StorageError, UsageError
from edgeprof.schema import TABLES


def stream(model: str = "toy", quant: str = "Q8_0", labels: tuple[str, ...] = ("a", "b")) -> bytes:
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.pairs |= {"model": model, "quant": quant}
    board.hello()
    for label in labels:
        parts.append(b"hello\n")
        board.generate(label)
    return b"".join(parts)


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(path)): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
        for p in sorted(path.rglob("*"))
    }


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a data set of three captures: closed, half sealed, and not sealed at all."""
    out = tmp_path / "data"
    seal.seal(make_capture(out, "1", [stream()], facts={"tags": {"shelf": "3"}}), final=True)
    half = make_capture(out, "2", [b""])
    writer = journal.PortWriter(half, 0)
    data = stream(quant="Q4_0")
    append_reads(writer, data[:-200])
    seal.seal(half)
    append_reads(writer, data[-200:])
    writer.close()
    make_capture(out, "3", [stream(model="other")])
    return out


def test_some_columns_of_runs_are_those_of_all(dataset: Path) -> None:
    some = edgeprof.open(dataset)  # the whole of the runs is never read here
    where = {"quant": ["Q4_0", "Q8_0"], "model": "toy"}
    found = some.table("runs", ["prompt_id", "run_id"], where)
    whole = edgeprof.open(dataset).runs
    wanted = whole.loc[whole["model"] == "toy", ["prompt_id", "run_id"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted)
    assert len(found) and "_runs" not in vars(some)


def test_opening_writes_nothing(dataset: Path) -> None:
    before = tree(dataset)
    ds = edgeprof.open(dataset)
    for name in TABLES:
        ds.table(name)
        ds.table(name, where={"quant": "Q4_0"} if "run_id" in ds.table(name) else None)
    repr(ds), ds._repr_html_()
    assert tree(dataset) == before


def test_everything_is_there(dataset: Path) -> None:
    ds = edgeprof.open(dataset)
    assert list(ds.runs["run_id"]) == [f"{c}/0-000{r}" for c in (1, 2, 3) for r in (1, 2)]
    assert list(ds.captures["capture_id"]) == ["1", "2", "3"]
    assert len(ds.tokens) == 66
    assert not ds.tokens.duplicated(["run_id", "position"]).any()
    assert list(ds.table("logs")["text"]) == ["hello"] * 6
    for name, columns in TABLES.items():
        assert list(ds.table(name).columns) == [c.name for c in columns]
    assert ds.problems == []
    assert "captures: 3, runs: 6, boards: fake, models: other, toy" in repr(ds)


@pytest.mark.parametrize(
    ("where", "n"),
    [
        ({}, 66), ({"quant": "Q4_0"}, 22), ({"quant": ["Q4_0", "Q8_0"]}, 66), ({"model": "other"}, 22),
        ({"prompt_id": "a"}, 33), ({"prompt_id": "a", "position": [0, 1]}, 6), ({"run_id": "2/0-0002"}, 11),
        ({"run_id": ["1/0-0001", "2/0-0001"], "quant": "Q4_0"}, 11), ({"quant": "nothing"}, 0), ({"board": None}, 0),
        ({"n_prompt": 4, "phase": "prefill"}, 24), ({"status": "ok"}, 66),
    ],
)  # fmt: skip
def test_where(dataset: Path, where: dict[str, Any], n: int) -> None:
    ds = edgeprof.open(dataset)
    assert len(ds.table("tokens", where=where)) == n
    assert len(ds.table("tokens", ["ticks"], where)) == n
    assert list(ds.table("tokens", ["ticks"], where).columns) == ["ticks"]


def test_where_reads_only_the_files_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, quant in enumerate(["Q8_0", "Q4_0", "Q2_K"]):
        seal.seal(make_capture(tmp_path, str(number), [stream(quant=quant)]), final=True)
    ds = edgeprof.open(tmp_path)
    assert len(ds.runs) == 6
    opened: list[str] = []
    real = ds._fs.open_input_file

    class Watched:
        def open_input_file(self, path: str) -> Any:
            opened.append(path)
            return real(path)

    monkeypatch.setattr(ds, "_fs", Watched())
    assert len(ds.table("tokens", where={"quant": "Q4_0"})) == 22
    assert len(opened) == 1
    assert "q4-0" in opened[0]
    opened.clear()
    ds.table("tokens", where={"quant": "nothing"})
    assert opened == []


def test_where_finds_what_only_the_host_knows(tmp_path: Path) -> None:
    parts: list[bytes] = []
    FakeBoard(parts.append, pairs={"n_ctx": "4"}).generate("a")
    folder = make_capture(tmp_path, "1", [b"".join(parts)], facts={"model": "mine", "model_sha256": "ab"})
    for _ in range(2):
        ds = edgeprof.open(tmp_path)
        for where in ({"model": "mine"}, {"model_sha256": "ab"}, {"board": None}):
            assert len(ds.table("tokens", where=where)) == 11
        seal.seal(folder, final=True)
    assert list(folder.glob("segment=0000/board=unknown-*/model=mine-*/quant=unknown-*/tokens.parquet"))


def test_a_run_that_is_half_sealed_is_whole(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "1", [b""])
    writer, data = journal.PortWriter(folder, 0), stream(labels=("a",))
    for at in range(0, len(data), 150):
        append_reads(writer, data[at : at + 150])
        seal.seal(folder)
    writer.close()
    ds = edgeprof.open(tmp_path)
    assert len(ds.table("tokens", where={"prompt_id": "a"})) == len(ds.tokens) == 11


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda ds: ds.table("token"), "table 'token'. Did you mean 'tokens'"),
        (lambda ds: ds.table("tokens", ["tick"]), "'tick'. Did you mean 'ticks'"),
        (lambda ds: ds.table("tokens", where={"quants": 1}), "'quants'. Did you mean 'quant'"),
        (lambda ds: ds.table("captures", where={"quant": 1}), "column of captures"),
        (lambda ds: ds.table("tokens", where={"ticks": "x"}), "cannot be compared"),
        (lambda ds: ds.table("tokens", where={"ticks": 2**70}), "cannot be compared"),
        (lambda ds: ds.table("tokens", where={"seed": "x"}), "cannot be compared"),
    ],
)
def test_unknown_names_and_values(dataset: Path, call: Any, text: str) -> None:
    with pytest.raises(UsageError) as error:
        call(edgeprof.open(dataset))
    assert text in str(error.value)


def test_an_empty_data_set(tmp_path: Path) -> None:
    ds = edgeprof.open(tmp_path)
    for name, columns in TABLES.items():
        frame = ds.table(name)
        assert list(frame.columns) == [c.name for c in columns]
        assert len(frame) == 0
    assert ds.tokens["ticks"].dtype == "int64"
    assert ds.tokens["nll"].dtype == "float32"
    assert list(ds.table("tokens", ["nll"], {"quant": "x"}).columns) == ["nll"]
    assert "runs: 0" in repr(ds)


def test_a_capture_of_nothing(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "1", [b""])
    assert list(edgeprof.open(tmp_path).captures["bytes_read"]) == [0]
    seal.seal(folder, final=True)
    ds = edgeprof.open(tmp_path)
    assert list(ds.captures["bytes_read"]) == [0]
    assert len(ds.runs) == 0


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "no", tmp_path / "file", f"file://{tmp_path}/no"):
        with pytest.raises(StorageError, match="There is no data set"):
            edgeprof.open(path)


def test_a_uri_is_a_path(dataset: Path) -> None:
    assert len(edgeprof.open(f"file://{dataset}").tokens) == 66


def rewrite(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_newer_capture_is_refused_and_the_rest_is_read(dataset: Path) -> None:
    rewrite(dataset / "capture=1/segment=0000/manifest.json", format_version=2)
    rewrite(dataset / "capture=3/capture.json", format_version=7)
    with pytest.warns(UserWarning, match="format version"):
        ds = edgeprof.open(dataset)
    assert list(ds.captures["capture_id"]) == ["2"]
    assert len(ds.problems) == 2
    assert "problems: 2" in repr(ds)
    shutil.rmtree(dataset / "capture=2")
    with pytest.raises(NewerFormatError, match="pip install --upgrade"):
        edgeprof.open(dataset)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}', '{"format_version": 1, "segment": "x"}'])
def test_a_damaged_manifest_is_a_problem_of_its_capture(dataset: Path, text: str) -> None:
    (dataset / "capture=1/segment=0000/manifest.json").write_text(text)
    with pytest.warns(UserWarning, match=r"manifest\.json|capture=1"):
        ds = edgeprof.open(dataset)
    assert len(ds.runs) == 4
    shutil.rmtree(dataset / "capture=2")
    shutil.rmtree(dataset / "capture=3")
    with pytest.raises(StorageError):
        edgeprof.open(dataset)


def test_a_journal_that_went_away_is_said(dataset: Path) -> None:
    pieces = journal.pieces(dataset / "capture=3", 0)
    pieces[0][1].rename(pieces[0][1].with_name("00000000000000000007.wire"))
    with pytest.warns(UserWarning, match="capture=3"):
        ds = edgeprof.open(dataset)
    assert list(ds.captures["capture_id"]) == ["1", "2"]


def test_columns_of_tomorrow_and_of_yesterday(dataset: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (path,) = (dataset / "capture=1").glob("segment=*/board=fake*/**/tokens.parquet")
    table = pq.read_table(path, partitioning=None).drop_columns(["scored"])
    pq.write_table(table.append_column("tomorrow", pa.array([1] * len(table))), path)
    ds = edgeprof.open(dataset)
    assert "tomorrow" not in ds.tokens
    assert ds.tokens["scored"].isna().sum() == 22
    assert len(ds.table("tokens", ["scored"])) == 66


@pytest.mark.slow
def test_damaged_parquet_is_said_and_never_wrong(dataset: Path) -> None:
    (path,) = (dataset / "capture=1").glob("segment=*/board=fake*/**/tokens.parquet")
    whole, good = path.read_bytes(), edgeprof.open(dataset).tokens
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    said = 0
    for at in range(4, footer, 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            found = edgeprof.open(dataset).tokens
        except StorageError:
            said += 1
        else:
            pd.testing.assert_frame_equal(found, good)
    assert said > footer / 10
    for broken in (b"", whole[:10], whole[:-1], whole[:footer], b"PAR1" + b"\0" * 100 + b"PAR1"):
        path.write_bytes(broken)
        with pytest.raises(StorageError, match="edgeprof verify"):
            _ = edgeprof.open(dataset).tokens
    path.unlink()
    with pytest.raises(StorageError, match="edgeprof verify"):
        _ = edgeprof.open(dataset).tokens
    assert len(edgeprof.open(dataset).runs) == 6  # what does not need it is read


def test_html_is_escaped(tmp_path: Path) -> None:
    make_capture(tmp_path, "1", [stream(model="<script>")])
    text = edgeprof.open(tmp_path)._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.slow
def test_reading_while_it_is_sealed(tmp_path: Path) -> None:
    """A reader sees every moment whole, however often segments and pieces change below it."""
    folder = make_capture(tmp_path, "1", [b""])
    data, stop, seen = stream(labels=tuple("abcdefgh")), threading.Event(), []
    problems: list[BaseException] = []

    def write() -> None:
        try:
            writer = journal.PortWriter(folder, 0, piece_bytes=120)
            for at in range(0, len(data), 60):
                append_reads(writer, data[at : at + 60])
                seal.seal(folder)
            writer.close()
            seal.seal(folder, final=True)
        except BaseException as error:
            problems.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not stop.is_set():
        ds = edgeprof.open(tmp_path)
        assert not ds.tokens.duplicated(["run_id", "position"]).any()
        seen.append((int(ds.captures["bytes_read"][0]), len(ds.tokens)))
    thread.join()
    assert problems == []
    assert seen == sorted(seen)
    assert len(edgeprof.open(tmp_path).tokens) == 88


def test_more_than_one_open_at_a_time_is_a_moment_of_its_own(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the journal is taken away while the tail is read, the new manifest is read instead."""
    real, calls = store._tail, []

    def late(capture: Path, manifests: Any) -> Any:
        if capture.name == "capture=3" and not calls:
            calls.append(capture)
            seal.seal(capture, final=True)
        return real(capture, manifests)

    monkeypatch.setattr(store, "_tail", late)
    ds = edgeprof.open(dataset)
    assert calls
    assert len(ds.tokens) == 66
