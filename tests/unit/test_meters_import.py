"""Meters' files in a data set: rows, what the header says, the data set's care, and nothing imported half."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from meter_files import lines

import edgeprof
from edgeprof.care import verify
from edgeprof.cli import main
from edgeprof.errors import UsageError
from edgeprof.imports import import_files
from edgeprof.merge import merge
from edgeprof.meters.file import MeterOptions
from edgeprof.meters.importing import import_meters
from edgeprof.redecode import redecode

N = 1000
UA = np.round(np.random.default_rng(9).normal(9000, 400, N), 3)
KEPT = np.delete(np.arange(N), [600, 601])
LEVEL = [f"{bit}-------" for bit in (np.arange(N) // 400) % 2]
FILE = lines(
    "Timestamp(ms),Current(uA),D0-D7", [f"{k / 100:.2f}" for k in KEPT], UA[KEPT], [LEVEL[k] for k in KEPT]
)  # fmt: skip
SUPPLY = MeterOptions(voltage_mv=3300.0)


@pytest.fixture
def data(tmp_path) -> Path:
    """Return a data set with a capture ``run`` of two boards."""
    logs = []
    for name in ("a.bin", "b.bin"):
        logs.append(tmp_path / name)
        logs[-1].write_bytes(b"a board says this\n")
    import_files(logs, tmp_path / "data", form="log", capture_id="run")
    return tmp_path / "data"


def write(data: Path, content: bytes = FILE, name: str = "ppk2.csv") -> Path:
    path = data.parent / name
    path.write_bytes(content)
    return path


def take(data: Path, *paths: Path, port: int = 0, options: MeterOptions = SUPPLY, **more: Any) -> Any:
    return import_meters(paths, data, measures="run", port=port, options=options, **more)


def content(data: Path) -> set[str]:
    return {str(p.relative_to(data)) for p in data.rglob("*")}


def test_a_file_is_a_capture_of_its_own(data):
    done = take(data, write(data), capture_id="meter")
    assert done.rows == {"captures": 1, "power": N, "events": 4}
    ds = edgeprof.open(data)
    power = ds.table("power", where={"capture_id": "meter"})
    np.testing.assert_array_equal(power["current_ua"], np.where(np.isin(np.arange(N), KEPT), UA, np.nan))
    assert power["t_host_ns"].tolist() == [10_000 * k for k in range(N)]
    assert power["run_id"].isna().all()
    assert power["ticks"].isna().all()
    assert power["voltage_mv"].dropna().unique().tolist() == [3300]
    assert power["voltage_mv"].isna().sum() == 2
    assert (power["meter"].unique().tolist(), power["port"].unique().tolist()) == (["ppk2"], [0])
    events = ds.table("events", where={"capture_id": "meter"})
    shown = events[["kind", "start", "end", "detail"]].astype(object)
    told = list(shown.where(shown.notna(), None).itertuples(index=False, name=None))
    assert told == [
        ("gpio edge", 4_000_000, None, "D0 rising"), ("gpio edge", 8_000_000, None, "D0 falling"),
        ("meter", 5_990_000, 6_020_000, "missing here: 2"),
        ("meter", None, None, "missing samples: 2 of 1,000 (0.2 %)"),
    ]  # fmt: skip
    capture = ds.captures.set_index("capture_id").loc["meter"]
    assert json.loads(capture["settings"]) == [
        {
            "format": "ppk2-csv", "measures": "run", "measures_port": 0, "rate_hz": 100_000.0, "method": "time stamps",
            "meter": "ppk2", "started_at": None, "seconds": 0.00999, "options": {"voltage_mv": 3300.0},
        }
    ]  # fmt: skip
    assert capture["bytes_read"] == len(FILE)


def tables(data: Path) -> dict[str, Any]:
    capture = data / "capture=meter"
    found = {p.name: pq.ParquetFile(p).read() for p in sorted(capture.rglob("*.parquet"))}
    return {name: table.to_pydict() for name, table in found.items()}


def test_verify_redecode_and_merge_work_on_it(data, tmp_path):
    options = MeterOptions(3300.0, columns="t=Timestamp(ms):ms,current=Current(uA):uA", meter="ina226")
    take(data, write(data), capture_id="meter", options=options, form="meter-csv")
    before = tables(data)
    assert before["power.parquet"]["meter"] == ["ina226"] * N
    assert verify(data) == []
    assert {o.what for o in redecode(data)} == {"redecoded: the same tables"}
    np.testing.assert_equal(tables(data), before)
    assert verify(data) == []
    assert {o.what for o in merge([data], tmp_path / "all")} == {"copied"}
    assert len(edgeprof.open(tmp_path / "all").table("power", where={"capture_id": "meter"})) == N
    shutil.rmtree(data)
    assert {o.code for o in redecode(tmp_path / "all")} == {0}


def test_edges_are_not_doubled_by_redecode(data):
    take(data, write(data), capture_id="meter")
    before = tables(data)
    assert {o.what for o in redecode(data)} == {"redecoded: the same tables"}
    np.testing.assert_equal(tables(data), before)


BAD = FILE.replace(b"\n0.05,", b"\n0.01,", 1)


@pytest.mark.parametrize(
    ("contents", "options", "said"),
    [
        ([FILE], MeterOptions(), "ppk2-0.csv: no column has the voltage"),
        ([BAD], SUPPLY, "ppk2-0.csv: time goes backwards behind sample 5"),
        ([FILE, b""], SUPPLY, "ppk2-1.csv: nothing in it says which meter"),
        ([FILE, FILE], SUPPLY, "may be of the same time"),
        ([FILE], MeterOptions(3300.0, started_at="2026-10-25T02:30:00"), "does not say its offset from UTC"),
        ([FILE, FILE], MeterOptions(3300.0, started_at="2026-10-25T02:30:00Z"), "one after the other"),
        ([b"a,b\n1,2\n"], SUPPLY, "say --format"),
    ],
    ids=["voltage", "backwards", "second-empty", "two-meters", "local-time", "two-begins", "unknown"],
)
def test_what_is_refused_leaves_nothing(data, contents, options, said):
    paths = [write(data, text, f"ppk2-{i}.csv") for i, text in enumerate(contents)]
    before = content(data)
    with pytest.raises(UsageError, match=said):
        take(data, *paths, options=options)
    assert content(data) == before


def test_an_empty_file_of_a_format_is_refused(data):
    with pytest.raises(UsageError, match="the file is empty"):
        take(data, write(data, b""), form="ppk2-csv")


def test_two_meters_of_one_board_must_not_overlap(data):
    path = write(data)
    at = [MeterOptions(3300.0, started_at=f"2026-01-01T00:00:{second}Z") for second in ("00", "00.005", "01")]
    take(data, path, options=at[0], capture_id="first")
    with pytest.raises(UsageError, match=r"and first are both of port 0 of run and overlap"):
        take(data, path, options=at[1])
    with pytest.raises(UsageError, match=r"it is not known when both began"):
        take(data, path)
    take(data, path, options=at[2], capture_id="later")
    take(data, path, port=1, options=at[1], capture_id="other-board")
    assert len(edgeprof.open(data).captures) == 4


@pytest.mark.parametrize(
    ("measures", "port", "said"),
    [
        ("ran", 0, "There is no capture 'ran'. Did you mean 'run'"), ("run", None, "say with --port"),
        ("run", 2, "its ports are 0 to 1"), ("meter", 0, "is a meter's file itself"),
    ],
)  # fmt: skip
def test_the_board_must_be_there(data, measures, port, said):
    take(data, write(data), capture_id="meter")
    with pytest.raises(UsageError, match=said):
        import_meters([write(data)], data, measures=measures, port=port, options=SUPPLY)


def test_the_command(data, capsys):
    path = write(data)
    assert main(["import", str(path), "--out", str(data)]) == 3
    assert "say with --measures which capture's board it measured" in capsys.readouterr().err
    words = ["import", str(path), "--out", str(data), "--measures", "run", "--port", "1", "--voltage-mv", "3300"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "(1,000 power, 4 events)" in said.out
    assert "missing samples: 2 of 1,000" in said.err
    with pytest.raises(SystemExit, match="3"):
        main(["import", str(path), "--out", str(data), "--measures", "run", "--rate-hz", "-1"])


def test_a_damaged_file_of_an_import_is_found(data):
    take(data, write(data), capture_id="meter")
    (wire,) = (data / "capture=meter").rglob("wire-*.zst")
    wire.write_bytes(wire.read_bytes()[:-1])
    assert any("meter" in finding.where for finding in verify(data))
