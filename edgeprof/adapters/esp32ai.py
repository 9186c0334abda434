"""slvDev/esp32-ai: a model with per-layer embeddings on ESP32-S3 and P4."""

from __future__ import annotations

from edgeprof.adapters.patterns import Patterns

__all__ = ["ESP32AI"]

_PROFILE = (
    r"profile ms/token: input {input_ms_per_token} \| attn {attention_ms_per_token} \| ffn {feed_forward_ms_per_token} "
    r"\| ple {ple_ms_per_token} \| head {head_ms_per_token}"
    r"(?: \| matvec {matvec_ms_per_token} \| deq {dequantize_ms_per_token})?"
)
_ACCOUNTING = (
    r"accounting ms/token: forward {forward_ms_per_token} \| argmax {argmax_ms_per_token} \| emit {emit_ms_per_token} "
    r"\| unaccounted {unaccounted_ms_per_token} \| wall {wall_ms_per_token}"
)
# Forks split the attention: its parts are means a token as well.
_ATTENTION = (
    r" *attn detail: +qkv {attention_qkv_ms_per_token} \| rope {attention_rope_ms_per_token} "
    r"\| core {attention_core_ms_per_token} \| proj {attention_projection_ms_per_token}"
)
_ATTENTION_SPLIT = (
    r" *attn split ms: qkv {attention_qkv_ms_per_token} \| prep {attention_prepare_ms_per_token} "
    r"\| score {attention_score_ms_per_token} \| softmax {attention_softmax_ms_per_token} "
    r"\| vacc {attention_value_ms_per_token} \| outproj {attention_projection_ms_per_token} "
    r"\| other -?[0-9.]+ +\(sum [0-9.]+ of [0-9.]+\)"
)
_MODEL = (
    r"model: Vin={input_vocab_tokens} Vout={output_vocab_tokens} D=[0-9]+ L=[0-9]+ H=[0-9]+ F=[0-9]+ P=[0-9]+"
    r"(?: \(image {image_mb} MB\))?"
)

# Its rate is of the wall clock and of generated tokens only; its ms/token is of the forward pass alone, whether or not
# the line says `compute`. Stages are means over all passes, so they are no rows of the table `stages`.
ESP32AI = Patterns(
    "esp32ai",
    "slvDev/esp32-ai and its ports",
    "--- 200 tokens in 21.00 s ---\n"
    "--- 57 tokens in 6.10 s, end of story ---\n"
    "--- +40 tokens (total 240, pos 240/512) in 4.20 s ---\n"
    "throughput: 9.52 tok/s   (102.9 ms/token)\n"
    "throughput: 5.47 tok/s   (94.0 ms/token compute)\n"
    "profile ms/token: input 4.4 | attn 25.6 | ffn 6.9 | ple 8.5 | head 57.6\n"
    "accounting ms/token: forward 94.10 | argmax 1.20 | emit 0.30 | unaccounted 0.05 | wall 95.65\n"
    "  attn detail:    qkv 11.2 | rope 0.51 | core 9.4 | proj 4.2\n"
    "  attn split ms: qkv 3.10 | prep 2.20 | score 4.00 | softmax 1.10 | vacc 5.20 | outproj 2.30 | other 0.10"
    "  (sum 18.00 of 18.00)\n"
    "=== ESP32-S3 PLE TinyLM ===\n"
    "model: Vin=32768 Vout=4096 D=96 L=6 H=4 F=66 P=128\n"
    "free: sram 120 KB | psram 3.86 MB\n"
    "free: SRAM 120 KB, PSRAM 3.86 MB\n"
    "build: bytes=15942312 fp=0badcafe sram=190312B psram=3.86MB\n"
    "val CE 2.3416  ppl 10.40   (4096 predictions)",
    (
        r"--- {generated_tokens} tokens in {generate_s} s(?:, end of story)? ---",
        r"--- \+{generated_tokens} tokens \(total {session_tokens}, pos [0-9]+/[0-9]+\) in {generate_s} s ---",
        r"throughput: {generated_tok_s} tok/s +\({forward_ms_per_token} ms/token(?: compute)?\)",
        _PROFILE,
        _ACCOUNTING,
        _ATTENTION,
        _ATTENTION_SPLIT,
        _MODEL,
        r"=== [\w .:+/-]+ ===",
        r"free: sram {free_sram_kb} KB \| psram {free_psram_mb} MB",
        r"free: SRAM {free_sram_kb} KB, PSRAM {free_psram_mb} MB",
        r"free after decode: sram {free_after_decode_sram_kb} KB \| psram {free_after_decode_psram_mb} MB",
        r"head staged int8: {head_mb} MB",
        r"temp_end: {end_celsius}",
        r" *(?:prep split ms|head split ms|head detail|certihead): .+",
        r"build: bytes={build_bytes} fp=[0-9a-f]+ sram={build_sram_bytes}B psram={build_psram_mb}MB",
        r"val CE {cross_entropy_nat} +ppl {perplexity} +\({scored_tokens} predictions\)",
    ),
)
