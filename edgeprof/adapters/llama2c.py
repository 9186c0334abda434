"""llama2.c and what was made of it for ESP32, K210 and Coral."""

from __future__ import annotations

from edgeprof.adapters.patterns import Patterns

__all__ = ["LLAMA2C"]

# Its rate counts the prompt's tokens, which are forced, with those that were generated, and leaves out the first.
LLAMA2C = Patterns(
    "llama2c",
    "llama2.c and its ports to ESP32 (also a Chinese one), K210 and Coral",
    "achieved tok/s: 18.587000\n"
    "[LLM] Achieved tok/s: 3.25\n"
    "Free ram available: 2388432\n"
    "File size: 1058844 bytes\n"
    "Vocab size if 512\n"
    ">>> Llama model loading took 4.51 s\n"
    ">>> Generating tokens...\n"
    ">>> Averaged 8.40 tokens/s\n"
    "Generating (1/10)\n"
    "Chinese Poetry Inference speed: 37.20 tok/s",
    (
        r"(?:\[LLM\] )?[Aa]chieved tok/s: {incl_prompt_tok_s}",
        r"(?:\[LLM\] )?Free ram available: {free_ram_bytes}",
        r"(?:\[LLM\] )?File size: {model_file_bytes} bytes",
        r"(?:\[LLM\] )?Vocab size i[fs] {vocab_tokens}",
        r">>> (?:Llama m|M)odel loading took {load_s} s",
        r">>> Averaged {incl_prompt_tok_s} tokens/s",
        r">>> (?:Generating tokens|Unloading (?:Llama )?model)\.\.\.",
        r"Generating \([0-9]+/[0-9]+\)",
        r"(?:\[LLM\] )?(?:Generate complete|Loading Model)",
        r"Chinese Poetry Inference speed: {generated_tok_s} tok/s",
    ),
)
