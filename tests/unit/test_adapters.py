"""Other people's firmware: whole logs with noise between, what is refused, and lines that come in parts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fakeboard import PAIRS, FakeBoard, make_capture
from hypothesis import given
from hypothesis import strategies as st

import edgeprof
from edgeprof import journal, seal, text_rows
from edgeprof.adapters import Refused, feed
from edgeprof.adapters.items import claim_of, unit_of
from edgeprof.adapters.keyed import checksum
from edgeprof.care import recover
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState
from edgeprof.redecode import redecode
from edgeprof.tables import build

NOISE = (
    "ESP-ROM:esp32s3-20210327\r\nrst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
    "E (4711) i2c: i2c_master_cmd_begin: error 263\n\x1b[0;31mE (4712) i2c: bus busy\x1b[0m\n"
    "Once upon a time, there was a cat, and\nachieved\nachieved tok/s:\n--- \n[INFO] tokens\n\n"
)


def decoded(*chunks: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return every table's rows of a port that sent these bytes, a read each."""
    offsets = [sum(map(len, chunks[:n])) for n in range(len(chunks))]
    times = [1000 * (n + 1) for n in range(len(chunks))]
    rows, _ = decode_port(
        chunks, PortState(), capture_id="c", port=3, facts={}, reads=(np.array(offsets), np.array(times)), final=True
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, _), table in build(rows, "c").items():
        found.setdefault(name, []).extend(table.to_pylist())
    return found


def claims(text: str) -> list[tuple[str, str, float, str | None]]:
    """Return (adapter, name, value, unit) of the claims in a text."""
    rows = decoded(text.encode()).get("claims", [])
    return [(r["adapter"], r["name"].removeprefix("claimed_"), r["value"], r["unit"]) for r in rows]


def said(text: str) -> dict[str, float]:
    return {name: value for _, name, value, _ in claims(text)}


LLAMA2_ESP32 = """\
\x1b[0;32mI (645) MAIN: Loading Model\x1b[0m\r
\x1b[0;32mI (660) LLM: Free ram available: 2388432\x1b[0m\r
\x1b[0;32mI (670) LLM: File size: 1058844 bytes\x1b[0m\r
\x1b[0;32mI (680) LLM: Vocab size if 512\x1b[0m\r
Once upon a time, there was a little girl named Lily.\x1b[0;32mI (9800) LLM: achieved tok/s: 18.587000\x1b[0m\r
\x1b[0;32mI (9810) MAIN: Generate complete\x1b[0m\r
"""

ESP32AI = """\
=== ESP32-S3 PLE TinyLM ===\r
free: sram 191 KB | psram 3.86 MB\r
build: bytes=15942312 fp=0badcafe sram=190312B psram=3.86MB\r
model: Vin=32768 Vout=4096 D=96 L=6 H=4 F=66 P=128\r
>>> Once upon a time there was a brave robot.\r
\r
\r
--- 200 tokens in 21.00 s ---\r
throughput: 9.52 tok/s   (102.9 ms/token)\r
profile ms/token: input 4.4 | attn 25.6 | ffn 6.9 | ple 8.5 | head 57.6\r
  attn detail:    qkv 11.2 | rope 0.51 | core 9.4 | proj 4.2\r
"""

SPEED = "(  134.78 ms per token,     7.42 tokens per second)"
LLAMA_CPP = f"""\
llama_perf_sampler_print:    sampling time =       1.50 ms /    40 runs   {SPEED}
llama_perf_context_print:        load time =     435.83 ms
llama_perf_context_print: prompt eval time =     919.46 ms /     8 tokens {SPEED}
llama_perf_context_print:        eval time =    4178.32 ms /    31 runs   {SPEED}
llama_perf_context_print:       total time =    5211.06 ms /    39 tokens
"""


def test_llama2_on_an_esp32():
    assert claims(NOISE + LLAMA2_ESP32 + NOISE) == [
        ("llama2c", "free_ram_bytes", 2388432.0, "byte"),
        ("llama2c", "model_file_bytes", 1058844.0, "byte"),
        ("llama2c", "vocab_tokens", 512.0, "token"),
        # Not decode_tok_s: llama2.c counts the prompt's forced tokens, too.
        ("llama2c", "incl_prompt_tok_s", 18.587, "token/s"),
    ]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("achieved tok/s: 105.263158", "incl_prompt_tok_s", 105.263158),
        ("Achieved tok/s: 18.587", "incl_prompt_tok_s", 18.587),
        ("[LLM] Achieved tok/s: 3.250000", "incl_prompt_tok_s", 3.25),
        ("[LLM] Free ram available: 4096", "free_ram_bytes", 4096.0),
        (">>> Llama model loading took 4.51 s", "load_s", 4.51),
        (">>> Model loading took 4.51 s", "load_s", 4.51),
        (">>> Averaged 8.40 tokens/s", "incl_prompt_tok_s", 8.4),
        ("I (5) MAIN: Chinese Poetry Inference speed: 37.20 tok/s", "generated_tok_s", 37.2),
    ],
)
def test_llama2_elsewhere(line, name, value):
    assert [(n, v) for _, n, v, _ in claims(NOISE + line + "\r\n" + NOISE)] == [(name, value)]


def test_esp32_ai():
    assert said(NOISE + ESP32AI) == {
        "free_sram_kb": 191.0, "free_psram_mb": 3.86, "build_bytes": 15942312.0, "build_sram_bytes": 190312.0,
        "build_psram_mb": 3.86, "generated_tokens": 200.0, "generate_s": 21.0, "generated_tok_s": 9.52,
        "forward_ms_per_token": 102.9, "input_ms_per_token": 4.4, "attention_ms_per_token": 25.6,
        "feed_forward_ms_per_token": 6.9, "ple_ms_per_token": 8.5, "head_ms_per_token": 57.6,
        "input_vocab_tokens": 32768.0, "output_vocab_tokens": 4096.0, "attention_qkv_ms_per_token": 11.2,
        "attention_rope_ms_per_token": 0.51, "attention_core_ms_per_token": 9.4,
        "attention_projection_ms_per_token": 4.2,
    }  # fmt: skip
    assert said("--- +40 tokens (total 240, pos 239/512) in 4.20 s ---\n") == {
        "generated_tokens": 40.0, "session_tokens": 240.0, "generate_s": 4.2,
    }  # fmt: skip
    assert said("throughput: 5.47 tok/s   (94.0 ms/token compute)\n")["forward_ms_per_token"] == 94.0
    assert said("val CE 2.3416  ppl 10.40   (4096 predictions)\n")["perplexity"] == 10.4


def test_llama_cpp():
    assert said(NOISE + LLAMA_CPP + NOISE) == {
        "sampling_ms": 1.5, "sampling_ms_per_token": 134.78, "sampling_tok_s": 7.42, "load_ms": 435.83,
        "prefill_ms": 919.46, "prefill_tokens": 8.0, "prefill_ms_per_token": 134.78, "prefill_tok_s": 7.42,
        "decode_ms": 4178.32, "decode_tokens": 31.0, "decode_ms_per_token": 134.78, "decode_tok_s": 7.42,
        "total_ms": 5211.06, "total_tokens": 39.0,
    }  # fmt: skip


EVAL = {"decode_ms": 4178.32, "decode_tokens": 31.0, "decode_ms_per_token": 134.78}
RATED = EVAL | {"decode_tok_s": 7.42}
NONE = {"prefill_ms": 0.0, "prefill_tokens": 1.0}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("llama_print_timings:        eval time =  4178.32 ms /    31 runs   (  134.78 ms per token)", EVAL),
        (f"0.00.064.607 I llama_perf_context_print:        eval time =    4178.32 ms /    31 runs   {SPEED}", RATED),
        (f"       eval time =    4178.32 ms /    31 tokens {SPEED}", RATED),
        (f"slot print_timing: id  0 | task -1 |        eval time =    4178.32 ms /    31 tokens {SPEED}", RATED),
        (
            "llama_print_timings: prompt eval time = 0.00 ms / 1 tokens ( 0.00 ms per token, inf tokens per second)",
            NONE | {"prefill_ms_per_token": 0.0},
        ),
        (
            "llama_print_timings: prompt eval time = 0.00 ms / 1 tokens (-nan ms per token, -nan tokens per second)",
            NONE,
        ),
        (
            f"llama_print_timings:      sample time =    33.02 ms /    64 runs   {SPEED}",
            {"sampling_ms": 33.02, "sampling_ms_per_token": 134.78, "sampling_tok_s": 7.42},
        ),
        ("llama_print_timings:       total time = 10901.13 ms", {"total_ms": 10901.13}),
        ("      total time =    5211.06 ms /    39 tokens", {"total_ms": 5211.06, "total_tokens": 39.0}),
        ("total time = 12.5 ms", {}),  # whose?
        ("load time = 12.5 ms", {}),
        ("eval time = 12.5 ms", {}),
    ],
)
def test_variants_of_llama_cpp_s_timings(line, expected):
    assert said(line + "\n") == expected


def test_perplexity():
    log = "perplexity: 1.23 seconds per pass - ETA 0.10 minutes\n[1]4.3021,[2]4.5155,\n[3]5.0021,\n\n"
    log += "Final estimate: PPL = 5.0021 +/- 0.30112\n"
    assert [(name, value) for _, name, value, _ in claims(log)] == [
        ("running_perplexity", 4.5155), ("scored_chunks", 2.0), ("running_perplexity", 5.0021), ("scored_chunks", 3.0),
        ("perplexity", 5.0021), ("perplexity_error", 0.30112),
    ]  # fmt: skip
    assert claims("[1]4.3021,[3]4.5155,\n[1]nan,[2]nan,\n[1]4.3021,[2\n") == []


def test_a_long_line_of_perplexities_is_read_whole_and_its_beginning_is_stored():
    line = ",".join(f"[{n}]{n / 7:.4f}" for n in range(1, 643)) + ","
    rows = decoded(line.encode() + b"\n")["claims"]
    assert len(line) > 8000
    assert [(r["value"], len(r["line"])) for r in rows] == [(round(642 / 7, 4), 1000), (642.0, 1000)]


BENCH_CSV = """\
build_commit,build_number,cpu_info,model_type,type_k,n_prompt,n_gen,n_depth,avg_ns,stddev_ns,avg_ts,stddev_ts
"5a32f10","5133","A76, 4 cores","llama 15M Q8_0","f16","512","0","0","11250000","5000","45.500000","0.250000"
"5a32f10","5133","A76, 4 ""big"" cores","llama 15M Q8_0","f16","0","128","512","4000000","9","31.250000","0.500000"
"""


def test_llama_bench():
    table = "| model | size | params | backend | threads | test | t/s |\n| --- | --: | --: | --- | --: | --: | --: |\n"
    table += "| llama 15M Q8_0 | 16.00 MiB | 15.19 M | CPU | 4 | {} | 45.50 ± 0.25 |\n"
    for test, name in (
        ("pp512", "pp512"), ("pp 512", "pp512"), ("tg128 @ d512", "tg128_d512"), ("pp256+tg64", "pp256_tg64"),
    ):  # fmt: skip
        assert said(NOISE + table.format(test)) == {f"{name}_tok_s": 45.5, f"{name}_stddev_tok_s": 0.25}
    for test in ("", "@ d5", "+", "pp", "xx512", "pp512 tg64"):
        assert claims(table.format(test)) == []
    row = {"build_commit": "5a", "n_prompt": 0, "n_gen": 128, "avg_ns": 7, "avg_ts": 31.25, "samples_ts": [31.25]}
    assert [n for a, n, _, _ in claims(json.dumps(row | {"stddev_ts": 0.0}) + "\n") if a == "llamabench"] == [
        "tg128_tok_s", "tg128_stddev_tok_s",
    ]  # fmt: skip
    assert [(a, n, v) for a, n, v, _ in claims(NOISE + BENCH_CSV)] == [
        ("llamabench", "pp512_tok_s", 45.5), ("llamabench", "pp512_stddev_tok_s", 0.25),
        ("llamabench", "tg128_d512_tok_s", 31.25), ("llamabench", "tg128_d512_stddev_tok_s", 0.5),
    ]  # fmt: skip
    assert claims(BENCH_CSV.split("\n", 1)[1]) == []
    assert claims(BENCH_CSV.replace(',"0.250000"', "").replace('"31.25', '"-31.25')) == []


WINDOW = "m-warmup-start-10\r\nm-warmup-done\r\nm-infer-start-10\r\nm-lap-us-{}\r\nm-lap-us-{}\r\nm-infer-done\r\n"
STAMPS = [("timestamp_us", 1000.0, "us"), ("timestamp_us", 2500.0, "us")]
RATE = [
    ("window_us", 1500.0, "us"),
    ("window_inferences", 10.0, "inference"),
    ("inferences_s", 1e7 / 1500, "inference/s"),
]


def windows(text: str) -> list[float]:
    return [value for _, name, value, _ in claims(text) if name == "window_us"]


def events(text: str) -> list[tuple[str, str]]:
    return [(r["kind"], r["detail"]) for r in decoded(text.encode()).get("events", [])]


def test_mlperf_tiny():
    log = WINDOW.format(1000, 2500) + "m-results-[0.005,-0.991]\r\nm-lap-us-\r\nm-ready\r\n"
    scores = [("class_0_score", 0.005, None), ("class_1_score", -0.991, None)]
    for text in (
        log,
        log.replace("m-", "[dut]: m-"),
        log.replace("\r", ""),
        NOISE + log.replace("\r\n", "\r\n" + NOISE),
    ):
        assert [(n, v, u) for _, n, v, u in claims(text)] == STAMPS + RATE + scores
    # A time stamp outside of a window is that alone, and so is one of a window that never ended.
    log = "m-lap-us-1000\nm-lap-us-2500\nm-infer-done\nm-infer-start-10\nm-lap-us-1000\nm-lap-us-2500\n"
    assert [(n, v, u) for _, n, v, u in claims(log)] == STAMPS * 2


def test_a_window_over_the_end_of_a_32_bit_counter():
    assert windows(WINDOW.format(2**32 - 500, 1000)) == [1500.0]
    assert windows(WINDOW.format(2**33, 2**33 + 7)) == [7.0]
    assert windows(WINDOW.format(2**33, 1000)) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("m-lap-us-2500\r\n", "", "10 inferences with the time stamps 1000: they tell no time"),
        ("m-lap-us-1000\r\nm-lap-us-2500\r\n", "", "in energy mode"),
        ("2500\r\n", "2500\r\nm-lap-us-9\r\n", "1000, 2500, 9"),
        ("m-lap-us-1000", "m-lap-us-2500", "2500, 2500: they tell no time"),
        ("start-10\r\nm-lap", "start-0\r\nm-lap", "a window of 0 inferences"),
    ],
)
def test_what_is_no_window_is_refused(old, new, why):
    log = WINDOW.format(1000, 2500)
    assert old in log
    text = log.replace(old, new) + log
    assert windows(text) == [1500.0]
    ((kind, detail),) = events(text)
    assert (kind, detail.startswith("mlperftiny: a window")) == ("refused", True)
    assert why in detail


def test_two_halves_of_windows_are_not_put_together():
    log = WINDOW.format(1000, 2500).encode()
    cut = log.index(b"m-lap-us-2500")
    rows = decoded(log[:cut] + b"\0\x01\xff\0" + log[:cut].replace(b"1000", b"9000")[-30:] + log[cut:])
    assert "claimed_window_us" not in {r["name"] for r in rows["claims"]}


def test_what_a_device_says_of_itself_and_what_it_refuses():
    log = "m-timestamp-mode-energy\r\nm-name-dut-[A [b]\r\nm-profile-[P V0.0.1]\r\n[dut]: m-model-[kws01]\r\n"
    log += "e-[Invalid hex digit 'x]']\r\nSupplied buffer size 9999 exceeds maximum of 4096\n"
    log += "m-name-dut-[]\nm-[Expecting 5 bytes]\n"
    assert events(log) == [
        ("said", "mlperftiny: mode = energy"), ("said", "mlperftiny: name = A [b"),
        ("said", "mlperftiny: profile = P V0.0.1"), ("said", "mlperftiny: model = kws01"),
        ("refused", "mlperftiny: the device says: Invalid hex digit 'x]'"),
        ("refused", "mlperftiny: the device says: Supplied buffer size 9999 exceeds maximum of 4096"),
    ]  # fmt: skip
    assert claims(log) == []


def test_what_lines_said_is_there_once_when_they_are_decoded_again(tmp_path):
    text = "m-name-dut-[A]\ne-[Unknown command: x]\n$T,a_ms=1*0000\n"
    folder = make_capture(tmp_path, "a", [text.encode()])
    host = {"port": 0, "kind": "refused", "t_ns": 7, "detail": "b0 refused 'p': busy"}
    journal.append_event(folder, host)
    recover(folder)
    before = edgeprof.open(tmp_path).table("events")
    assert before["kind"].tolist() == ["said", "refused", "refused", "refused"]
    assert [o.code for o in redecode(tmp_path)] == [0]
    pd.testing.assert_frame_equal(edgeprof.open(tmp_path).table("events"), before)


def test_checksums():
    good = "T,ttft_ms=12.5,decode_tok_s=9.25,board=s3,note"
    line = f"${good}*{checksum(good)}"
    assert claims(line + "\n") == []  # `note` is no pair
    good = good.removesuffix(",note")
    line = f"${good}*{checksum(good)}"
    assert claims(NOISE + line + "\r\n") == [
        ("checksummed", "ttft_ms", 12.5, "ms"), ("checksummed", "decode_tok_s", 9.25, "token/s"),
    ]  # fmt: skip
    assert checksum("123456789") == "29B1"


def test_a_wrong_checksum_is_refused_and_counted():
    line = f"$T,ttft_ms=12.5*{checksum('T,ttft_ms=12.5')}"
    for at in range(1, len(line) - 5):
        wrong = line[:at] + ("0" if line[at] != "0" else "1") + line[at + 1 :]
        rows = decoded((wrong + "\n").encode())
        assert "claims" not in rows, wrong
    rows = decoded(b"x\n", line.replace("12.5", "12.6").encode() + b"\r\n", line.encode() + b"\n")
    (event,) = rows["events"]
    wanted = f"checksummed: the line's checksum is {line[-4:]}, its text has {checksum('T,ttft_ms=12.6')}"
    assert (event["kind"], event["detail"], event["start"], event["port"]) == ("refused", wanted, 2000, 3)
    assert [(r["value"], r["t_host_ns"]) for r in rows["claims"]] == [(12.5, 3000)]
    # Positioning modules have another kind of checksum, and lines that end early have none.
    rows = decoded(b"$GPGGA,123519,4807.038,N*47\n$T,ttft_ms=12.5*\n$T,ttft_ms=12.5\n")
    assert set(rows) == {"logs"}


def test_json_lines():
    log = '{"ttft_ms": 12.5, "tokens": 8, "ok_ms": true, "n": {"deep_ms": 1}, "name": "x", "uptime": 3}\n{"ttft_ms": 1'
    assert claims(NOISE + log) == [("json", "ttft_ms", 12.5, "ms"), ("json", "tokens", 8.0, "token")]
    assert claims('[{"ttft_ms": 1}]\n{"ttft_ms": 1},\n{"ttft_ms": 1, "ttft_ms": 1}\n') == []


def test_csv():
    log = (
        "position, decode_ms,phase\n0,50.5,prefill\n"
        + NOISE
        + "1,51.25,decode\n2,,decode\n3,52\n4,x,decode\n5,1,two words\n"
    )
    assert [(a, n, v) for a, n, v, _ in claims(log)] == [("csv", "decode_ms", 50.5), ("csv", "decode_ms", 51.25)]
    assert claims("0,50.5\na,b\n0,50.5\na_ms,a_ms\n0,1\n") == []  # no header, none with a unit, one that is none
    again = "a_ms,b\n1,2\nc,d_us\n1,2\n"
    assert [(n, v) for _, n, v, _ in claims(again)] == [("a_ms", 1.0), ("d_us", 2.0)]


def test_names_end_with_their_unit():
    assert (unit_of("claimed_x_ms_per_token"), unit_of("claimed_x_ms"), unit_of("perplexity")) == ("ms/token", "ms", "")
    assert (
        unit_of("claimed_ms") is unit_of("x") is unit_of("X_ms") is unit_of("_ms") is unit_of("a" * 50 + "_ms") is None
    )
    assert claim_of("x_ms", "1") is claim_of("x_ms", 10**400) is claim_of("x_ms", True) is claim_of("x", 1) is None
    assert claim_of("claimed_x_ms", 1) == claim_of("x_ms", 1)


def test_only_whole_lines_are_believed():
    assert claims("achieved tok/s: 18.5") == []
    assert claims("x\nachieved tok/s: 18.5") == []
    assert claims("achieved tok/s: 18.5\r\nx") != []


FRAMES: list[bytes] = []
FakeBoard(FRAMES.append, pairs=PAIRS).hello()


def test_a_line_goes_on_behind_a_frame_but_not_behind_damage():
    rows = decoded(b"achieved tok/s: 1", FRAMES[0], b"8.5\n")
    assert [(r["value"], r["line"], r["t_host_ns"]) for r in rows["claims"]] == [(18.5, "achieved tok/s: 18.5", 3000)]
    assert [r["text"] for r in rows["logs"]] == ["achieved tok/s: 1", "8.5"]
    rows = decoded(b"x\0\x01\xff\0achieved tok/s: 18.5\nachieved tok/s: 19.5\n")
    assert [r["value"] for r in rows["claims"]] == [19.5]
    assert "claims" not in decoded(b"achieved tok/s: 1\0\x01\xff\0" + b"8.5\n")


def test_too_long_a_line_is_given_up_to_its_end():
    long = "[1]" + "1" * text_rows.MAX_LINE
    assert claims(long + "\nachieved tok/s: 18.5\n") == [("llama2c", "incl_prompt_tok_s", 18.5, "token/s")]


def test_claims_of_a_run_belong_to_it():
    sent: list[bytes] = []
    board = FakeBoard(sent.append)
    board.begin()
    sent.append(b"achieved tok/s: 2.5\n")
    board.end()
    sent.append(b"achieved tok/s: 3.5\n")
    rows = decoded(*sent)
    expected = [(2.5, "c/3-0001", "claimed_incl_prompt_tok_s"), (3.5, None, "claimed_incl_prompt_tok_s")]
    assert [(r["value"], r["run_id"], r["name"]) for r in rows["claims"]] == expected
    assert {r["text"] for r in rows["logs"]} == {"achieved tok/s: 2.5", "achieved tok/s: 3.5"}


@given(
    st.lists(st.sampled_from([*(NOISE + LLAMA2_ESP32 + ESP32AI + LLAMA_CPP).splitlines(keepends=True), "\n"])),
    st.data(),
)
def test_how_bytes_are_read_makes_no_difference_to_what_is_understood(lines: list[str], data: st.DataObject):
    stream = "".join(lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    def understood(rows: dict[str, list[dict[str, Any]]]) -> str:
        return json.dumps(
            [
                [{k: v for k, v in r.items() if k not in ("t_host_ns", "run_id")} for r in rows[n]]
                for n in ("logs", "claims", "events")
                if n in rows
            ]
        )

    assert understood(decoded(*parts)) == understood(decoded(stream))


def test_a_data_set_has_them(tmp_path):
    text = NOISE + "position,decode_ms\n" + "filler\n" * 900 + "7,52.25\n" + ESP32AI
    folder = make_capture(tmp_path, "a", [text.encode()])
    live = edgeprof.open(tmp_path).claims
    assert seal.seal(folder)  # its first segment ends between the header and the row
    recover(folder)
    ds = edgeprof.open(tmp_path)
    assert ds.table("captures")["bytes_discarded"].tolist() == [0]
    assert len(ds.claims) == 21
    assert ds.claims.equals(live)
    row = ds.table("claims", where={"adapter": "csv"}).iloc[0]
    assert (row["name"], row["value"], row["unit"], row["line"]) == ("claimed_decode_ms", 52.25, "ms", "7,52.25")
    assert ds.runs["clock"].tolist() == ["host"]  # the story came in two reads
    assert ds.table("claims", where={"name": "claimed_perplexity"}).empty


def test_refused_lines_say_why():
    assert feed("$T,a_ms=1*0000", {}) == (
        "checksummed",
        [Refused(f"the line's checksum is 0000, its text has {checksum('T,a_ms=1')}")],
    )
