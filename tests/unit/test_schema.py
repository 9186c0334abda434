"""The tables' registered columns."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pytest

from edgeprof.frames import to_pandas
from edgeprof.schema import FORMAT_VERSION, TABLES, arrow_schema, column, device_columns, empty_frame

ALL = [(t, c) for t, columns in TABLES.items() for c in columns]


def test_names_types_units_and_origins() -> None:
    for table, c in ALL:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", c.name), (table, c)
        assert c.type in {"string", "int64", "int32", "double", "float", "bool", "list<float>"}
        assert c.origin in {"device", "host", "derived"}
        assert c.help
        for suffix, unit in (("_bytes", "byte"), ("_hz", "Hz"), ("_ns", "ns"), ("_us", "us")):
            if c.name.endswith(suffix):
                assert c.unit == unit
    for table, columns in TABLES.items():
        assert len({c.name for c in columns}) == len(columns)
        assert columns[0].name == "capture_id", table


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_frame_has_every_column(table: str) -> None:
    frame = empty_frame(table)
    assert list(frame.columns) == [c.name for c in TABLES[table]]
    assert len(frame) == 0
    for c in TABLES[table]:
        if c.type in ("int64", "int32", "bool"):
            assert str(frame[c.name].dtype) == c.type
        if c.type in ("double", "float"):
            assert frame[c.name].dtype.kind == "f"


@pytest.mark.parametrize("table", TABLES)
def test_the_arrow_schema_says_unit_and_origin(table: str) -> None:
    schema = arrow_schema(table)
    assert schema.metadata == {b"edgeprof.table": table.encode(), b"edgeprof.format": str(FORMAT_VERSION).encode()}
    for c, field in zip(TABLES[table], schema, strict=True):
        assert (field.name, field.metadata) == (c.name, {b"unit": c.unit.encode(), b"origin": c.origin.encode()})


def test_device_columns_leave_out_the_host() -> None:
    assert "t_host_ns" not in device_columns("tokens")
    assert {"ticks", "nll", "token_id"} <= set(device_columns("tokens"))
    assert "emulator" not in device_columns("runs")
    assert column("tokens", "ticks").unit == "tick"
    with pytest.raises(KeyError):
        column("tokens", "nothing")


def test_integers_stay_integers_where_some_are_unknown() -> None:
    schema = arrow_schema("tokens")
    big = 2**53 + 1
    table = schema.empty_table().select(["ticks", "scored", "window"])
    table = pa.Table.from_pydict({"ticks": [big, None], "scored": [True, None], "window": [None, 1]}, table.schema)
    frame = to_pandas(table)
    assert (frame["ticks"].dtype, frame["scored"].dtype, frame["window"].dtype) == (
        pd.Int64Dtype(), pd.BooleanDtype(), pd.Int32Dtype(),
    )  # fmt: skip
    assert frame["ticks"][0] == big
    assert str(to_pandas(table.slice(0, 1))["ticks"].dtype) == "int64"
