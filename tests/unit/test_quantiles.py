"""Quantiles of very many tokens are those that numpy gives of all tokens at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fakeboard import PAIRS, FakeBoard, append_reads, make_capture
from handmade import dataset, generated, run, scored
from hypothesis import given
from hypothesis import strategies as st

import edgeprof
from edgeprof import batches, journal, seal
from edgeprof.errors import NotComparableError, StorageError, UsageError
from edgeprof.quantiles import linear_quantiles, token_quantiles


def sent(quants: tuple[str, ...], passes: int = 40, **pairs: str) -> bytes:
    """Return what a board sends that generates twice with each quantization."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.hello()
    for number, quant in enumerate(quants):
        board.pairs = PAIRS | pairs | {"quant": quant}
        for label in ("a", "b"):
            board.generate(label, 4, passes + number)
    return b"".join(parts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data set of three captures: closed, half sealed, and not sealed at all."""
    seal.seal(make_capture(tmp_path, "1", [sent(("Q8_0", "Q4_0"))]), final=True)
    half = make_capture(tmp_path, "2", [b""])
    writer = journal.PortWriter(half, 0)
    data = sent(("Q4_0", "F16"), 30)
    append_reads(writer, data[: len(data) // 2])
    seal.seal(half)
    append_reads(writer, data[len(data) // 2 :])
    writer.close()
    make_capture(tmp_path, "3", [sent(("F16",), 50)])
    return tmp_path


@given(
    st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=60)
    | st.lists(st.integers(0, 3), min_size=1, max_size=60)
    | st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60),
    st.lists(st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0]) | st.floats(0, 1), min_size=1, max_size=5),
)
def test_they_are_numpy_s_to_the_last_bit(values, q):
    assert linear_quantiles(np.array(values), q).tolist() == np.quantile(np.array(values), q).tolist()


def test_of_nothing_there_is_none():
    assert np.isnan(linear_quantiles(np.array([]), [0.5, 0.9])).all()


@pytest.mark.parametrize("phase", ["decode", "prefill", None])
@pytest.mark.parametrize("column", ["ticks", "nll", "t_host_ns"])
@pytest.mark.parametrize("by", ["quant", "prompt_id", "run_id", ["quant", "prompt_id"]])
def test_they_are_those_of_all_tokens_at_once(folder, by, column, phase):
    ds = edgeprof.open(folder)
    found = edgeprof.token_quantiles(ds, column, by, (0.5, 0.95, 0.999), phase=phase)
    key = [by] if isinstance(by, str) else by
    tokens = ds.tokens.merge(ds.runs[["run_id", *{*key} - {"run_id"}]], on="run_id")
    tokens = tokens if phase is None else tokens[tokens["phase"] == phase]
    groups = {name: part[column].to_numpy() for name, part in tokens.groupby(key)}
    assert list(found[key].itertuples(index=False, name=None)) == list(groups)
    assert found["tokens"].tolist() == [len(part) for part in groups.values()]
    for name, q in ((f"p50_{column}", 0.5), (f"p95_{column}", 0.95), (f"p99.9_{column}", 0.999)):
        assert found[name].tolist() == [np.quantile(part, q) for part in groups.values()]


def test_the_runs_can_be_chosen(folder):
    ds = edgeprof.open(folder)
    some = token_quantiles(ds, where={"prompt_id": "a", "quant": ["F16", "Q8_0"]})
    wanted = ds.table("tokens", where={"prompt_id": "a", "quant": "F16", "phase": "decode"})["ticks"]
    assert some["quant"].tolist() == ["F16", "Q8_0"]
    assert some["tokens"][0] == len(wanted)
    assert some["p95_ticks"][0] == np.quantile(wanted, 0.95)


def test_only_the_files_that_are_needed_are_read(folder, monkeypatch):
    read: list[str] = []
    scan = batches.scan
    monkeypatch.setattr("edgeprof.store.scan", lambda fs, paths, *more: read.extend(paths) or scan(fs, paths, *more))
    token_quantiles(edgeprof.open(folder), where={"quant": "Q8_0"})
    assert len(read) == 1 and "quant=q8-0" in read[0]


def test_what_is_unknown_does_not_count():
    passes = generated("c/0-0001", ticks=(20, 30, 40))
    passes[-1]["ticks"] = None
    (row,) = token_quantiles(dataset([run()], passes)).itertuples()
    assert (row.tokens, row.p50_ticks) == (2, 25)
    nlls = scored("c/0-0001", [[1.0, 2.0, float("nan"), 4.0]])
    (row,) = token_quantiles(dataset([run(kind="score")], nlls), "nll", q=1.0, phase="score").itertuples()
    assert (row.tokens, row.p100_nll) == (7, 50.0)


def test_passes_of_other_runs_in_the_same_file_are_of_no_group():
    runs = [run(), run("c/0-0002", prompt_id="other")]
    ds = dataset(runs, generated() + generated("c/0-0002", ticks=(900,) * 9))
    found = token_quantiles(ds, where={"prompt_id": "p"}, q=1.0)
    assert found[["quant", "tokens", "p100_ticks"]].to_numpy().tolist() == [["F16", 9, 20.0]]
    assert token_quantiles(ds, by="prompt_id", where={"run_id": "c/0-0002"}, q=0)["p0_ticks"].tolist() == [900.0]


def test_a_group_without_passes_is_there_and_says_so():
    found = token_quantiles(dataset([run(), run("c/0-0002", quant="Q8_0")], generated()))
    assert found["tokens"].tolist() == [9, 0]
    assert found["p50_ticks"].isna().tolist() == [False, True]


def test_a_quantization_that_is_unknown_is_a_group():
    runs = [run(), run("c/0-0002", quant=None)]
    found = token_quantiles(dataset(runs, generated() + generated("c/0-0002", ticks=(50,) * 3)))
    assert found["p50_ticks"].tolist() == [20, 50] and pd.isna(found["quant"][1])


def test_boards_and_models_are_told_apart():
    runs = [run(), run("c/0-0002", board="other"), run("c/0-0003", model="n")]
    tokens = [t for number in (1, 2, 3) for t in generated(f"c/0-000{number}", ticks=(20 * number,) * 5)]
    found = token_quantiles(dataset(runs, tokens))
    assert list(found.columns) == ["board", "model", "quant", "tokens", "p50_ticks", "p95_ticks"]
    assert found["p50_ticks"].tolist() == [40, 20, 60]


@pytest.mark.parametrize(
    ("column", "value"), [("clock", "cycles"), ("emulator_version", "2"), ("emulator", None), ("tick_hz", 5.0)]
)
def test_ticks_of_different_clocks_are_not_mixed(column, value):
    runs = [run(), run("c/0-0002", **{column: value})]
    tokens = generated() + scored("c/0-0001", [[1.0]]) + generated("c/0-0002")
    with pytest.raises(NotComparableError, match=f"{column} differ.*Add '{column}'"):
        token_quantiles(dataset(runs, tokens))
    assert len(token_quantiles(dataset(runs, tokens), by=["quant", column])) == 2
    # Only those count that have such passes; and what is no tick has no clock.
    assert token_quantiles(dataset(runs, tokens), phase="score")["tokens"].tolist() == [2]
    assert token_quantiles(dataset(runs, tokens), "position")["tokens"].tolist() == [18]


def test_a_file_of_an_older_version_may_lack_a_column(folder):
    # The column is not lost but unknown: it did not exist when that file was written.
    (path, *_) = sorted(folder.glob("capture=1/segment=*/board=*/model=*/quant=q8*/tokens.parquet"))
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["nll"]), path)
    found = token_quantiles(edgeprof.open(folder), "nll").set_index("quant")
    assert found.loc["Q8_0", "tokens"] == 0
    assert (
        found.loc["Q4_0", "tokens"] == token_quantiles(edgeprof.open(folder)).set_index("quant").loc["Q4_0", "tokens"]
    )


@pytest.mark.parametrize("damage", ["cut", "turned", "gone"])
def test_a_damaged_file_is_told(folder, damage):
    (path, *_) = sorted(folder.glob("capture=1/segment=*/board=*/model=*/quant=*/tokens.parquet"))
    ds = edgeprof.open(folder)
    data = bytearray(path.read_bytes())
    column = next(c for c in pq.read_metadata(path).row_group(0).to_dict()["columns"] if c["path_in_schema"] == "ticks")
    # A bit within the values, which the checksum of its page alone can notice.
    data[column["data_page_offset"] + column["total_compressed_size"] // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data if damage == "turned" else data[:-10])
    with pytest.raises(StorageError, match="edgeprof verify"):
        token_quantiles(ds)


def test_batches_are_of_what_there_is(folder):
    ds = edgeprof.open(folder)
    with pytest.raises(UsageError, match="'tokens'"):
        next(ds.batches("token", ["ticks"]))
    with pytest.raises(UsageError, match="'ticks'"):
        next(ds.batches("tokens", ["tick"]))
    with pytest.raises(UsageError, match="'quant'"):
        next(ds.batches("tokens", ["ticks"], {"quants": "F16"}))
    assert sum(batch.num_rows for batch in ds.batches("tokens", ["phase"])) == len(ds.tokens)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"column": "tick"}, "'ticks'"), ({"column": "phase"}, "no column of numbers"), ({"by": "quants"}, "'quant'"),
        ({"where": {"quan": "F16"}}, "'quant'"), ({"q": ()}, "at least one"), ({"q": 1.5}, "from 0 to 1"),
        ({"q": float("nan")}, "from 0 to 1"), ({"phase": "decoding"}, "'decode'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(options, says):
    with pytest.raises(UsageError, match=says):
        token_quantiles(dataset([run()], generated()), **options)


def test_without_runs_there_is_nothing_to_look_at():
    with pytest.raises(NotComparableError, match="No run of"):
        token_quantiles(dataset([run()], generated()), where={"quant": "Q8_0"})
