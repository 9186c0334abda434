"""Files of other programs as captures: llama-bench's, of several versions and damaged, and recorded serial logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fakeboard
import pandas as pd
import pytest
from handmade import harmful
from hypothesis import given
from hypothesis import strategies as st

import edgeprof
from edgeprof.bench_file import format_of, read_bench
from edgeprof.bench_runs import quant_of, run_columns
from edgeprof.care import verify
from edgeprof.cli import main
from edgeprof.errors import LockedError, StorageError, UsageError
from edgeprof.imports import import_files
from edgeprof.redecode import redecode

ROW = {
    "build_commit": "5a32f10", "build_number": 5133, "cpu_info": "Cortex-A76, 4 \"big\" cores", "gpu_info": "",
    "backends": "CPU", "model_filename": "models/fable-15m-Q4_K_M.gguf", "model_type": "llama 15M Q4_K - Medium",
    "model_size": 9_000_000, "model_n_params": 15_000_000, "n_batch": 2048, "n_threads": 4, "type_k": "f16",
    "n_prompt": 512, "n_gen": 0, "n_depth": 0, "test_time": "2025-04-24T12:00:00Z", "avg_ns": 11250000,
    "stddev_ns": 5000, "avg_ts": 45.5, "stddev_ts": 0.25,
}  # fmt: skip
SAMPLES = {"samples_ns": [11245000, 11255000], "samples_ts": [45.75, 45.25]}
OTHER = ROW | {"n_prompt": 0, "n_gen": 128, "n_depth": 512, "avg_ts": 31.25, "stddev_ts": 0.5}
# Before depth and the file's name were columns; and a later version with columns that nobody knows yet.
OLD = {k: v for k, v in ROW.items() if k not in ("n_depth", "backends", "model_filename")}
NEW = {"brand_new": "x,y", "tensor_buft_overrides": "none"} | ROW


def as_csv(*rows: dict[str, Any]) -> str:
    lines = [",".join(rows[0])]
    lines += [",".join('"' + str(v).replace('"', '""') + '"' for v in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def as_json(*rows: dict[str, Any]) -> str:
    """Return rows as llama-bench writes them: the objects' fields a line each."""
    objects = [
        "  {\n" + ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in r.items()) + "\n  }" for r in rows
    ]
    return "[\n" + ",\n".join(objects) + "\n]\n"


def as_jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder: Path, text: str | bytes, name: str = "bench.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def imported(tmp_path: Path, *texts: str | bytes, **options: Any) -> edgeprof.Dataset:
    paths = [write(tmp_path, text, f"file-{n}") for n, text in enumerate(texts)]
    import_files(paths, tmp_path / "data", capture_id="c", **options)
    return edgeprof.open(tmp_path / "data")


def claims(ds: edgeprof.Dataset) -> dict[str, list[float]]:
    return {str(name).removeprefix("claimed_"): part["value"].tolist() for name, part in ds.claims.groupby("name")}


PP = {"pp512_tok_s": [45.5], "pp512_stddev_tok_s": [0.25], "pp512_ns": [11250000.0], "pp512_stddev_ns": [5000.0]}
TG = {
    "tg128_d512_tok_s": [31.25], "tg128_d512_stddev_tok_s": [0.5], "tg128_d512_ns": [11250000.0],
    "tg128_d512_stddev_ns": [5000.0],
}  # fmt: skip
EACH = {"pp512_sample_tok_s": [45.75, 45.25], "pp512_sample_ns": [11245000.0, 11255000.0]}


def test_a_row_is_a_run(tmp_path):
    ds = imported(tmp_path, as_csv(ROW, OTHER))
    first, second = ds.runs.to_dict("records")
    known = {k: v for k, v in first.items() if not pd.isna(v)}
    tags = json.loads(known.pop("tags"))
    assert known == {
        "capture_id": "c", "run_id": "c/0-0001", "port": 0, "kind": "llama-bench", "status": "ok",
        "core": ROW["cpu_info"], "firmware": "llama.cpp 5a32f10 (5133)", "model": "fable-15m-Q4_K_M", "arch": "llama",
        "n_params": 15_000_000, "quant": "Q4_K_M", "bits_per_weight": 4.8, "model_bytes": 9_000_000,
        "prompt_id": "pp512", "n_prompt": 512, "n_generate": 0, "n_generated": 0,
    }  # fmt: skip
    assert (tags["n_threads"], tags["backends"], "gpu_info" in tags) == ("4", "CPU", False)
    assert (second["prompt_id"], second["n_prompt"], second["n_generate"]) == ("tg128_d512", 0, 128)
    assert claims(ds) == PP | TG
    row = ds.table("claims", where={"name": "claimed_tg128_d512_tok_s"}).iloc[0]
    assert (row["run_id"], row["unit"], row["adapter"]) == ("c/0-0002", "token/s", "llamabench")
    assert row["line"] == as_csv(ROW, OTHER).splitlines()[2]
    assert ds.claims["t_host_ns"].isna().all()
    assert len(ds.tokens) == len(ds.table("events")) == len(ds.table("logs")) == 0
    assert ds.captures["transport"].tolist() == ['["import:file-0"]']
    assert ds.captures["settings"].tolist() == ["[{}]"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (as_csv(ROW, OTHER), "csv"), (as_csv(ROW, OTHER).replace("\n", "\r\n"), "csv"),
        ("\ufeff" + as_csv(ROW, OTHER), "csv"),
        (as_csv(ROW) + as_csv(OTHER), "csv"), (as_csv(NEW) + as_csv(OTHER), "csv"),
        (as_csv(dict(reversed(ROW.items()))) + as_csv(OTHER), "csv"),
        (as_json(ROW, OTHER), "json"), (json.dumps([ROW, OTHER]), "json"), (as_json(ROW) + as_json(OTHER), "json"),
        (json.dumps([NEW, OTHER], indent=8), "json"), (as_json(ROW, OTHER).rstrip("]\n"), "json"),
        (as_jsonl(ROW, OTHER), "jsonl"), (as_jsonl(NEW, OTHER).rstrip("\n"), "jsonl"),
    ],
)  # fmt: skip
def test_versions_and_formats(tmp_path, text, form):
    assert format_of(text.encode()) == form
    ds = imported(tmp_path, text)
    assert claims(ds) == PP | TG
    assert ds.runs["prompt_id"].tolist() == ["pp512", "tg128_d512"]
    assert len(ds.table("logs")) == len(ds.table("events")) == 0


@pytest.mark.parametrize("write_as", [as_json, as_jsonl])
def test_every_sample_is_kept(tmp_path, write_as):
    ds = imported(tmp_path, write_as(ROW | SAMPLES, OTHER))
    assert claims(ds) == PP | TG | EACH
    rates = edgeprof.claimed_rates(ds.claims, ds.runs, ds.tokens)
    assert rates["name"].tolist() == ["claimed_pp512_tok_s", "claimed_tg128_d512_tok_s"]


def test_an_old_row_says_less(tmp_path):
    ds = imported(tmp_path, as_csv(OLD))
    assert claims(ds) == PP
    assert ds.runs["model"].isna().all()
    assert (ds.runs["quant"].tolist(), ds.runs["prompt_id"].tolist()) == (["Q4_K_M"], ["pp512"])
    least = run_columns({"n_prompt": "1", "n_gen": "0", "avg_ts": "2"})
    assert {k for k, v in least.items() if v is not None} == {
        "kind", "status", "prompt_id", "n_prompt", "n_generate", "n_generated",
    }  # fmt: skip


@pytest.mark.parametrize("write_as", [as_csv, as_json, as_jsonl])
def test_lines_between_are_kept(tmp_path, write_as):
    noise = "ggml_init: found 1 device\n[1] 4711\nload_backend: loaded CPU, from x, y\n"
    ds = imported(tmp_path, noise + write_as(ROW) + "warning: \xe9\n" + write_as(OTHER) + noise)
    assert claims(ds) == PP | TG
    lines = [line for line in noise.split("\n") if line]
    assert ds.table("logs")["text"].tolist() == [*lines, "warning: \xe9", *lines]


def test_several_files_are_one_capture(tmp_path):
    ds = imported(tmp_path, as_csv(ROW), as_jsonl(OTHER), "achieved tok/s: 5.5\n")
    assert ds.runs["run_id"].tolist() == ["c/0-0001", "c/1-0001"]
    assert len(ds.captures) == 1
    assert ds.table("claims", where={"adapter": "llama2c"})[["port", "value"]].to_numpy().tolist() == [[2, 5.5]]


def test_it_is_a_capture_like_any_other(tmp_path):
    text = as_csv(ROW, OTHER) + '"cut","off'
    ds = imported(tmp_path, text, as_json(ROW | SAMPLES), "I (5) a: b\nachieved tok/s: 5.5\n$T,a_ms=1*0000\n")
    assert verify(tmp_path / "data") == []
    before = {name: ds.table(name) for name in ("captures", "runs", "claims", "logs", "events")}
    assert all(len(table) for table in before.values())
    assert [(o.code, o.what) for o in redecode(tmp_path / "data")] == [(0, "redecoded: the same tables")]
    again = edgeprof.open(tmp_path / "data")
    for name, table in before.items():
        pd.testing.assert_frame_equal(again.table(name), table)
    with pytest.raises(LockedError, match="exists already"):
        import_files([tmp_path / "file-0"], tmp_path / "data", capture_id="c")
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["capture=c"]


@pytest.mark.parametrize("write_as", [as_csv, as_json, as_jsonl])
def test_half_a_row_at_the_end_is_named(tmp_path, write_as):
    """Wherever a file was cut off, the whole rows are there and no other."""
    whole = write_as(ROW | SAMPLES if write_as is not as_csv else ROW, OTHER).encode()
    second = whole.index(b"5a32f10", whole.index(b"5a32f10") + 1) - 1
    end = whole.rindex(b"0.5") + 4 if write_as is as_csv else whole.rindex(b"}") + 1
    for cut in range(second + 1, end):
        found = read_bench(whole[:cut], format_of(whole))
        assert [row.fields["n_prompt"] for row in found.rows] in ([512], ["512"]), cut
        last = whole.count(b"\n", 0, second) + 1
        ((line, reason),) = found.problems
        assert line in (last, last - 1) and reason, cut
    path = write(tmp_path, whole[: second + 100])
    done = import_files([path], tmp_path / "data")
    assert len(done.problems) == 1 and f"{path}, line {line}: " in done.problems[0]
    ds = edgeprof.open(tmp_path / "data")
    (event,) = ds.table("events").to_dict("records")
    assert event["kind"] == "refused" and event["detail"].startswith(f"llamabench: line {line}: ")
    assert ds.captures["bytes_read"].tolist() == [second + 100]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"avg_ts": "nan"}, "avg_ts is 'nan'"), ({"avg_ts": "-1"}, "avg_ts is '-1'"),
        ({"n_gen": "1.5"}, "n_gen is '1.5'"),
        ({"n_prompt": "x"}, "n_prompt is 'x'"), ({"n_prompt": 0}, "n_prompt and n_gen are both 0"),
        ({"n_depth": "-5"}, "n_depth is '-5'"), ({"avg_ts": "1e999"}, "avg_ts is '1e999'"),
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves(change, reason):
    for write_as, form in ((as_csv, "csv"), (as_jsonl, "jsonl")):
        found = read_bench(write_as(ROW | change, OTHER).encode(), form)
        assert [row.fields["n_gen"] for row in found.rows] in ([128], ["128"])
        ((line, said),) = found.problems
        assert (line, reason in said) == (2 if form == "csv" else 1, True)


def test_a_row_that_is_not_utf_8_is_named():
    for write_as, form in ((as_csv, "csv"), (as_json, "json"), (as_jsonl, "jsonl")):
        data = write_as(ROW, OTHER).encode().replace(b"big", b"b\xffg", 1)
        found = read_bench(data, form)
        assert [row.fields["n_gen"] for row in found.rows] in ([128], ["128"])
        assert found.problems == [({"csv": 2, "json": 2, "jsonl": 1}[form], "is not UTF-8")]


HEADER = as_csv(ROW).splitlines()[0] + "\n"


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("", "", "is empty"), ("", "csv", "is empty"), (HEADER, "", "header and no row below it"),
        (HEADER + '"5a","51', "", "line 2: is cut off within a value"),
        (HEADER + '"5a","51"\n', "", "line 2: has 2 values"),
        (as_json(ROW)[:200], "json", "line 2: no whole JSON object begins here"),
        (as_json(ROW), "csv", "looks like --format json"),
        (as_csv(ROW), "json", "looks like --format csv"), ("hello\n", "csv", "looks like --format log"),
        ("[]\n", "jsonl", "from line 1 on"), (as_csv(ROW).encode("utf-16"), "", "line 1, is not UTF-8 but UTF-16"),
        (as_jsonl(ROW | {"avg_ts": "x"}), "", "line 1: avg_ts is 'x'"),
        (b"caption \xe9\n", "", "line 1, is neither text in UTF-8"), (b"\x7fELF\x01\x02\x03", "log", "is no log"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported(tmp_path, text, form, words):
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as error:
        import_files(
            [write(tmp_path, as_csv(ROW), "good.csv"), path], tmp_path / "data", form="" if form == "" else form
        )
    said = str(error.value)
    assert words in said or form, said
    with pytest.raises(UsageError) as error:
        import_files([path], tmp_path / "data", form=form)
    said = str(error.value)
    assert words in said and str(path) in said and "\n" not in said
    assert not (tmp_path / "data").exists()


def test_what_there_is_not(tmp_path):
    with pytest.raises(UsageError, match="none cannot be read"):
        import_files([tmp_path / "none"], tmp_path / "data")
    path = write(tmp_path, as_csv(ROW))
    with pytest.raises(UsageError, match="no format 'cvs'. Did you mean 'csv'"):
        import_files([path], tmp_path / "data", form="cvs")
    with pytest.raises(StorageError, match="cannot be written"):
        import_files([path], path / "data")


def test_a_recorded_log_is_decoded_without_times(tmp_path):
    sent: list[bytes] = []
    board = fakeboard.FakeBoard(sent.append)
    board.hello()
    board.generate("p", 4, 8)
    text = b"Once upon\n\x1b[0;32mI (98) LLM: achieved tok/s: 18.5\x1b[0m\r\n"
    assert format_of(text + b"".join(sent)) == "log"
    ds = imported(tmp_path, text + b"".join(sent) + text)
    assert (ds.runs["status"].tolist(), ds.runs["passes_received"].tolist()) == (["ok"], [11])
    assert len(ds.tokens) == 11 and ds.tokens["t_host_ns"].isna().all()
    assert claims(ds) == {"incl_prompt_tok_s": [18.5, 18.5]}
    assert len(ds.table("logs")) == 4 and ds.table("logs")["t_host_ns"].isna().all()
    assert verify(tmp_path / "data") == []


def test_a_log_with_damage_is_imported_and_the_line_named(tmp_path):
    good = b"a line\n" * 700
    path = write(tmp_path, good + b"Jos\xe9\n" + good)
    done = import_files([path], tmp_path / "data")
    (said,) = done.problems
    assert said.startswith(f"{path}, line 701: neither text in UTF-8 nor a frame; ")
    ds = edgeprof.open(tmp_path / "data")
    assert f"{ds.captures['bytes_discarded'][0]:,} bytes" in said
    assert 500 < len(ds.table("logs")) < 1400


@pytest.mark.parametrize(
    ("said", "quant"),
    [
        ("llama 7B Q4_0", "Q4_0"), ("llama 7B mostly Q4_K - Medium", "Q4_K_M"), ("llama 1B all F32", "F32"),
        ("llama 13B Q5_K - Small", "Q5_K_S"), ("llama 7B Q3_K - Large", "Q3_K_L"), ("llama 7B Q2_K - Medium", "Q2_K"),
        ("llama 7B Q6_K", "Q6_K"), ("gemma3 270M BF16", "BF16"), ("llama 8x7B Q4_K - Medium", "Q4_K_M"),
        ("qwen2moe 57B.A14B IQ2_XXS - 2.0625 bpw", "IQ2_XXS"), ("bitnet ?B TQ1_0 - 1.69 bpw ternary", "TQ1_0"),
        ("gpt-oss 20B MXFP4 MoE", "MXFP4_MOE"), ("llama 15M Q8_0 (guessed)", "Q8_0"), ("llama 7B", None), ("", None),
        ("llama 7B F16x", None), ("Q4_0", None), ("llama 1B IQ3_S mix - 3.66 bpw", "IQ3_M"),
    ],
)  # fmt: skip
def test_quantizations_as_llama_bench_spells_them(said, quant):
    assert quant_of(said) == quant


@given(
    st.lists(
        st.sampled_from([as_csv(ROW), as_json(ROW), as_jsonl(OTHER), "{", "}", "[", '"', ",", "\n", "x", "\ud800"])
    )
)
def test_no_file_makes_it_raise(parts):
    data = "".join(parts).encode("utf-8", "surrogatepass")
    for form in ("csv", "json", "jsonl"):
        found = read_bench(data, form)
        assert len(found.rows) <= data.count(b"5a32f10")
        assert all(0 < line <= data.count(b"\n") + 1 for line, _ in found.problems)
    assert format_of(data) in ("csv", "json", "jsonl", "log")


def test_the_verb(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own
    path = write(tmp_path, as_csv(ROW) + '"\x1b[31m', "bench\x1b[31m.csv")
    assert main(["import", str(path), "--out", str(tmp_path / "data"), "--label", "bench"]) == 0
    said = capsys.readouterr()
    assert "(1 runs, 0 tokens, 4 claims, 0 logs)" in said.out
    assert "left out: " in said.err and "line 3: is cut off" in said.err
    assert harmful(said.err.replace("\n", "")) == []
    assert main(["runs", str(tmp_path / "data")]) == 0
    assert "45.50" in capsys.readouterr().out
    assert main(["import", str(tmp_path / "none"), "--out", str(tmp_path / "data")]) == 3
