"""Every line that is known to be printed by somebody's firmware, between noise, and lines that only look like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.adapters import Claim, Known, Refused, Said, feed

SPEED = "(  134.78 ms per token,     7.42 tokens per second)"
INFINITE = "(  919.46 ms per token,      inf tokens per second)"
UNACCOUNTED = "(total - sampling - prompt eval - eval) / (total)"
SPLIT = (
    "  attn split ms: qkv 3.10 | prep 2.20 | score 4.00 | softmax 1.10 | vacc 5.20 | outproj 2.30 | other -0.10"
    "  (sum 18.00 of 17.90)"
)
IDF, COLOUR = "I (660) LLM: {}", "\x1b[0;32mI (660) LLM: {}\x1b[0m"

LINES: list[tuple[str, str, dict[str, float]]] = [
    # llama2.c and its ports
    ("llama2c", "achieved tok/s: 18.587000", {"incl_prompt_tok_s": 18.587}),
    ("llama2c", COLOUR.format("achieved tok/s: 18.587000"), {"incl_prompt_tok_s": 18.587}),
    ("llama2c", IDF.format("Achieved tok/s: 18.587"), {"incl_prompt_tok_s": 18.587}),
    ("llama2c", "[LLM] Achieved tok/s: 3.250000", {"incl_prompt_tok_s": 3.25}),
    ("llama2c", "[LLM] Free ram available: 4096", {"free_ram_bytes": 4096}),
    ("llama2c", COLOUR.format("Free ram available: 2388432"), {"free_ram_bytes": 2388432}),
    ("llama2c", COLOUR.format("File size: 1058844 bytes"), {"model_file_bytes": 1058844}),
    ("llama2c", COLOUR.format("Vocab size if 512"), {"vocab_tokens": 512}),
    ("llama2c", ">>> Llama model loading took 4.51 s", {"load_s": 4.51}),
    ("llama2c", ">>> Averaged 8.40 tokens/s", {"incl_prompt_tok_s": 8.4}),
    ("llama2c", ">>> Generating tokens...", {}),
    ("llama2c", "Generating (1/10)", {}),
    ("llama2c", COLOUR.format("Generate complete"), {}),
    ("llama2c", "I (98) MAIN: Chinese Poetry Inference speed: 37.20 tok/s", {"generated_tok_s": 37.2}),
    # slvDev/esp32-ai and its ports
    ("esp32ai", "--- 200 tokens in 21.00 s ---", {"generated_tokens": 200, "generate_s": 21}),
    ("esp32ai", "--- +40 tokens (total 240, pos 240/512) in 4.20 s ---",
     {"generated_tokens": 40, "session_tokens": 240, "generate_s": 4.2}),
    ("esp32ai", "throughput: 9.52 tok/s   (102.9 ms/token)", {"generated_tok_s": 9.52, "forward_ms_per_token": 102.9}),
    ("esp32ai", "throughput: 5.47 tok/s (94.0 ms/token compute)",
     {"generated_tok_s": 5.47, "forward_ms_per_token": 94}),
    ("esp32ai", "profile ms/token: input 4.4 | attn 25.6 | ffn 6.9 | ple 8.5 | head 57.6",
     {"input_ms_per_token": 4.4, "attention_ms_per_token": 25.6, "feed_forward_ms_per_token": 6.9,
      "ple_ms_per_token": 8.5, "head_ms_per_token": 57.6}),
    ("esp32ai", "accounting ms/token: forward 94.10 | argmax 1.20 | emit 0.30 | unaccounted 0.05 | wall 95.65",
     {"forward_ms_per_token": 94.1, "argmax_ms_per_token": 1.2, "emit_ms_per_token": 0.3,
      "unaccounted_ms_per_token": 0.05, "wall_ms_per_token": 95.65}),
    ("esp32ai", "  attn detail:    qkv 11.2 | rope 0.51 | core 9.4 | proj 4.2",
     {"attention_qkv_ms_per_token": 11.2, "attention_rope_ms_per_token": 0.51, "attention_core_ms_per_token": 9.4,
      "attention_projection_ms_per_token": 4.2}),
    ("esp32ai", SPLIT,
     {"attention_qkv_ms_per_token": 3.1, "attention_prepare_ms_per_token": 2.2, "attention_score_ms_per_token": 4,
      "attention_softmax_ms_per_token": 1.1, "attention_value_ms_per_token": 5.2,
      "attention_projection_ms_per_token": 2.3}),
    ("esp32ai", "  prep split ms: rope 0.120 | kv quantize+store 0.300 | q quantize + init 0.080", {}),
    ("esp32ai", "free: sram 120 KB | psram 3.86 MB", {"free_sram_kb": 120, "free_psram_mb": 3.86}),
    ("esp32ai", IDF.format("free: SRAM 120 KB, PSRAM 3.86 MB"), {"free_sram_kb": 120, "free_psram_mb": 3.86}),
    ("esp32ai", "build: bytes=15942312 fp=0badcafe sram=190312B psram=3.86MB",
     {"build_bytes": 15942312, "build_sram_bytes": 190312, "build_psram_mb": 3.86}),
    ("esp32ai", "model: Vin=32768 Vout=4096 D=96 L=6 H=4 F=66 P=128",
     {"input_vocab_tokens": 32768, "output_vocab_tokens": 4096}),
    ("esp32ai", IDF.format("model: Vin=32768 Vout=4096 D=96 L=6 H=4 F=66 P=128 (image 14.90 MB)"),
     {"input_vocab_tokens": 32768, "output_vocab_tokens": 4096, "image_mb": 14.9}),
    ("esp32ai", "=== ESP32-S3 PLE TinyLM ===", {}),
    ("esp32ai", "val CE 2.3416  ppl 10.40   (4096 predictions)",
     {"cross_entropy_nat": 2.3416, "perplexity": 10.4, "scored_tokens": 4096}),
    # llama.cpp
    ("llamacpp", "llama_print_timings:        load time =   435.83 ms", {"load_ms": 435.83}),
    ("llamacpp", f"0.00.064.607 I llama_perf_context_print: prompt eval time =     919.46 ms /     8 tokens {SPEED}",
     {"prefill_ms": 919.46, "prefill_tokens": 8, "prefill_ms_per_token": 134.78, "prefill_tok_s": 7.42}),
    ("llamacpp", f"llama_print_timings: prompt eval time = 919.46 ms /     1 tokens {INFINITE}",
     {"prefill_ms": 919.46, "prefill_tokens": 1, "prefill_ms_per_token": 919.46}),
    ("llamacpp", "llama_print_timings:        eval time =  4178.32 ms /    31 runs   (  134.78 ms per token)",
     {"decode_ms": 4178.32, "decode_tokens": 31, "decode_ms_per_token": 134.78}),
    ("llamacpp", f"slot print_timing: id  0 | task 0 |        eval time =    4178.32 ms /    31 tokens {SPEED}",
     {"decode_ms": 4178.32, "decode_tokens": 31, "decode_ms_per_token": 134.78, "decode_tok_s": 7.42}),
    ("llamacpp", f"       eval time =    4178.32 ms /    31 tokens {SPEED}",
     {"decode_ms": 4178.32, "decode_tokens": 31, "decode_ms_per_token": 134.78, "decode_tok_s": 7.42}),
    ("llamacpp", f"llama_print_timings:      sample time =    33.02 ms /    64 runs   {SPEED}",
     {"sampling_ms": 33.02, "sampling_ms_per_token": 134.78, "sampling_tok_s": 7.42}),
    ("llamacpp", "common_perf_print:    sampling time =      12.25 ms", {"sampling_ms": 12.25}),
    ("llamacpp", "common_perf_print:    samplers time =       8.50 ms /    40 tokens", {"samplers_ms": 8.5}),
    ("llamacpp", "llama_print_timings:       total time = 10901.13 ms", {"total_ms": 10901.13}),
    ("llamacpp", "llama_perf_context_print:       total time =    5211.06 ms /    39 tokens",
     {"total_ms": 5211.06, "total_tokens": 39}),
    ("llamacpp", f"common_perf_print: unaccounted time =      37.01 ms /   0.7 %      {UNACCOUNTED}",
     {"unaccounted_ms": 37.01}),
    ("llamacpp", "common_perf_print:    graphs reused =         30", {}),
    ("perplexity", "[1]4.3021,[2]4.5155,", {"running_perplexity": 4.5155, "scored_chunks": 2}),
    ("perplexity", "Final estimate: PPL = 5.0021 +/- 0.30112", {"perplexity": 5.0021, "perplexity_error": 0.30112}),
    # llama-bench
    ("llamabench", "| llama 7B Q4_0 | 3.56 GiB | 6.74 B | CUDA | 99 | pp 512 | 2368.80 ± 93.24 |",
     {"pp512_tok_s": 2368.8, "pp512_stddev_tok_s": 93.24}),
    ("llamabench", "| llama 7B Q4_0 | 3.56 GiB | 6.74 B | CUDA | 99 | pp512 @ d512 | 2368.80 ± 93.24 |",
     {"pp512_d512_tok_s": 2368.8, "pp512_d512_stddev_tok_s": 93.24}),
    # MLPerf Tiny
    ("mlperftiny", "m-lap-us-1234567", {"timestamp_us": 1234567}),
    ("mlperftiny", "[dut]: m-lap-us-1234567", {"timestamp_us": 1234567}),
    ("mlperftiny", "m-results-[0.005,0.991]", {"class_0_score": 0.005, "class_1_score": 0.991}),
    ("mlperftiny", "[dut]: m-name-dut-[ACME]", {}),
    ("mlperftiny", "m-model-[kws01]", {}),
    ("mlperftiny", "e-[Unknown command: x]", {}),
    ("mlperftiny", "Supplied buffer size 9999 exceeds maximum of 4096", {}),
]  # fmt: skip

NOISE = [
    "", "\r", "E (4711) i2c: i2c_master_cmd_begin: error 263", "\x1b[0;31mE (4712) i2c: bus busy\x1b[0m", "achieved",
    "ESP-ROM:esp32s3-20210327", "Once upon a time, there was a cat, and", "--- ", "m-ready", "m-[Expecting 5 bytes]",
    "m-warmup-start-10", "throughput", "[INFO] tokens", "| model | size | params |", "{}", "[1]", "$T,",
    "m-buffer-00-ff",
]  # fmt: skip

NEAR = [
    # a number that is none, is missing or has something behind it
    "achieved tok/s: nan", "achieved tok/s: inf", "achieved tok/s: -1.0", "achieved tok/s:", "achieved tok/s: 18.5.7",
    "achieved tok/s: 18,5", "achieved tok/s: 1e3", "achieved tok/s: 18.5 tok/s", "achieved tok/s = 18.5",
    "Achieved tok/s: 18.50. Total tokens: 128, Total time: 5 ns (0.00 s)", "Once achieved tok/s: 18.5",
    "[LLM]Achieved tok/s: 3.25", "[VLM] Achieved tok/s: 3.25", ">> Averaged 8.40 tokens/s", ">>> Averaged 8.40 tok/s",
    ">>> Averaged  tokens/s", ">>> Once upon a time...", ">>> Found no objects", "Vocab size 512", "File size: 5 KB",
    "Free ram available: 2388432 bytes", "Chinese Poetry Inference speed: 37.20", "Generating (1/10) tokens",
    "Generating (1 of 10)", "a generate complete", "Generate complete.",
    "--- tokens in 21.00 s ---", "--- 200 tokens in 21.00 s --", "-- 200 tokens in 21.00 s ---",
    "--- +40 tokens in 4.20 s ---", "throughput: 9.52 tok/s (102.9 ms/tok, recompute-full)", "throughput: 9.52 tok/s",
    "Overall throughput: 9.52 tok/s   (102.9 ms/token)", "profile ms/token: input 4.4 | attn 25.6 | ffn 6.9",
    "profile ms/token: input 4.4 | attn -25.6 | ffn 6.9 | ple 8.5 | head 57.6", "accounting ms/token: forward 94.10",
    "  attn detail: qkv 11.2 | core 9.4", "free: sram 120 KB", "free: SRAM 120 KB | PSRAM 3.86 MB",
    "model: Vin=32768 Vout=4096", "== RUN ==", "=== RUN === COMPLETE ===", "val CE 2.3416",
    "val CE nan  ppl nan   (0 predictions)",
    # whose timing?
    "total time = 12.5 ms", "load time = 12.5 ms", "eval time = 12.5 ms", "sampling time = 12.5 ms",
    "my_print_timings: load time = 12.5 ms", "llama_print_timings: load time = 12.5 s",
    "llama_print_timings: eval time = 12.5 ms / 31 runs (1.0 ms per token, 7.42 tokens per minute)",
    "llama_print_timings: prompt eval time = 12.5 ms / 31 runs (1.0 ms per token, 7.42 tokens per second)",
    f"slot print_timing: id  0 | eval time = 12.5 ms / 31 tokens {SPEED}",
    "slot print_timing: id  0 | task 13 | n_decoded =    124, tg =   0.61 t/s, tg_3s =   0.58 t/s",
    "[1]4.3021,[3]4.5155,", "[1]4.3021 [2]4.5155", "Final estimate: PPL = nan +/- nan", "Final estimate: PPL = 5.0021",
    "| llama 7B Q4_0 | pp512 | 2368.80 +- 93.24 |",
    "| llama 7B Q4_0 | 3.56 GiB | 6.74 B | CUDA | 99 | xx512 | 1.0 ± 0.1 |",
    "m-lap-us-", "m-lap-us-12x", "m-lap-ms-12", "x m-lap-us-12", "m-results-[]", "m-results-[a,b]", "m-results-[0.5",
    "m-name-dut-[]", "m-name-[ACME]", "m-timestamp-mode-other", "m-infer-done", "e-[]", "e-Unknown", "Supplied buffer",
]  # fmt: skip


def said(line: str) -> tuple[str, dict[str, float], int]:
    """Return an adapter's name, its claims, and how many other items it made of a line."""
    name, items = feed(line, {})
    claims = {i.name.removeprefix("claimed_"): i.value for i in items if isinstance(i, Claim)}
    return name, claims, sum(isinstance(i, (Known, Said, Refused)) for i in items)


@pytest.mark.parametrize(("adapter", "line", "claims"), LINES, ids=[line.strip()[:40] for _, line, _ in LINES])
def test_a_known_line(adapter, line, claims):
    for end in ("", "\r", " ", "  \r"):
        assert said(line + end) == (adapter, claims, int(not claims))


@pytest.mark.parametrize("line", NEAR)
def test_a_line_that_only_looks_like_one(line):
    assert feed(line, {}) == ("", [])
    for wrapper in (IDF, COLOUR):
        assert feed(wrapper.format(line), {}) == ("", [])


@pytest.mark.parametrize("line", NOISE)
def test_noise_says_nothing(line):
    assert feed(line, {}) == ("", [])


@pytest.mark.slow
@given(st.permutations(LINES), st.lists(st.sampled_from(NOISE), min_size=len(LINES), max_size=len(LINES)))
def test_no_line_changes_what_another_one_says(lines, noise):
    memories: dict = {}
    for (adapter, line, claims), between in zip(lines, noise, strict=True):
        name, items = feed(line, memories)
        found = {i.name.removeprefix("claimed_"): i.value for i in items if isinstance(i, Claim)}
        assert (name, found) == (adapter, claims)
        assert feed(between, memories) == ("", [])
