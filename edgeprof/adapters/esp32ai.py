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
    "free: sram 120 KB | psram 3.86 MB\n"
    "build: bytes=15942312 fp=0badcafe sram=190312B psram=3.86MB\n"
    "val CE 2.3416  ppl 10.40   (4096 predictions)",
    (
        r"--- {generated_tokens} tokens in {generate_s} s(?:, end of story)? ---",
        r"--- \+{generated_tokens} tokens \(total {session_tokens}, pos [0-9]+/[0-9]+\) in {generate_s} s ---",
        r"throughput: {generated_tok_s} tok/s +\({forward_ms_per_token} ms/token(?: compute)?\)",
        _PROFILE,
        _ACCOUNTING,
        r"free: sram {free_sram_kb} KB \| psram {free_psram_mb} MB",
        r"build: bytes={build_bytes} fp=[0-9a-f]+ sram={build_sram_bytes}B psram={build_psram_mb}MB",
        r"val CE {cross_entropy_nat} +ppl {perplexity} +\({scored_tokens} predictions\)",
    ),
)
