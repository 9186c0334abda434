"""llama.cpp on a board with an operating system: the timings it prints at the end, and its perplexity."""

from __future__ import annotations

import re
from typing import Any

from edgeprof.adapters.items import NUMBER, Claim, Item
from edgeprof.adapters.patterns import Patterns

__all__ = ["LLAMACPP", "PERPLEXITY"]

_WHO = (
    r"(?:(?:llama_print_timings|llama_perf_(?:context_|sampler_)?print|common_perf_print|print_timings?):"
    r"|slot +print_timings?: id +[0-9]+ \| task +-?[0-9]+ \|) *"
)
_ANY = rf"(?:{_WHO}| *)"  # llama-server has lines with no name before them; these must be whole


def _rate(what: str) -> str:
    """Return the pattern of what stands in parentheses; older versions have no rate, and nothing took no time."""
    speed = rf"(?:{{{what}_tok_s}}|inf|-?nan) tokens per second"
    return rf" +\( *(?:{{{what}_ms_per_token}}|inf|-?nan) ms per token(?:, *{speed})?\)"


# `runs` are decode passes, one token each; llama-server calls them tokens.
LLAMACPP = Patterns(
    "llamacpp",
    "llama.cpp: llama_print_timings, llama_perf_context_print, llama-server",
    "llama_print_timings:        load time =   435.83 ms\n"
    "llama_print_timings:      sample time =    33.02 ms /    64 runs  "
    " (    0.52 ms per token,  1938.34 tokens per second)\n"
    "llama_print_timings: prompt eval time =   919.46 ms /     8 tokens"
    " (  114.93 ms per token,     8.70 tokens per second)\n"
    "llama_perf_context_print:        eval time =    4178.32 ms /    31 runs  "
    " (  134.78 ms per token,     7.42 tokens per second)\n"
    "llama_perf_sampler_print:    sampling time =      12.25 ms /    32 runs  "
    " (    0.38 ms per token,  2612.24 tokens per second)\n"
    "llama_perf_context_print:       total time =    5211.06 ms /    39 tokens\n"
    "common_perf_print:    sampling time =      12.25 ms\n"
    "common_perf_print:    samplers time =       8.50 ms /    40 tokens\n"
    "common_perf_print: unaccounted time =      37.01 ms /   0.7 %      "
    "(total - sampling - prompt eval - eval) / (total)\n"
    "common_perf_print:    graphs reused =         30\n"
    "slot print_timing: id  0 | task 0 | prompt eval time =     956.94 ms /     8 tokens"
    " (  119.62 ms per token,     8.36 tokens per second)",
    (
        rf"{_WHO}load time = *{{load_ms}} ms",
        rf"{_WHO}sampl(?:e|ing) time = *{{sampling_ms}} ms(?: / *[0-9]+ runs(?:{_rate('sampling')})?)?",
        rf"{_WHO}samplers time = *{{samplers_ms}} ms / *[0-9]+ tokens",
        rf"{_ANY}prompt eval time = *{{prefill_ms}} ms / *{{prefill_tokens}} tokens{_rate('prefill')}",
        rf"{_ANY}eval time = *{{decode_ms}} ms / *{{decode_tokens}} (?:runs|tokens){_rate('decode')}",
        rf"{_WHO}unaccounted time = *{{unaccounted_ms}} ms / *[0-9.]+ % +\(total - [a-z -]+\) / \(total\)",
        rf"{_WHO}graphs reused = *[0-9]+",
        rf"{_WHO}total time = *{{total_ms}} ms",
        rf"{_ANY}total time = *{{total_ms}} ms / *{{total_tokens}} tokens",
    ),
)

_CHUNK = re.compile(rf"\[([0-9]{{1,9}})\]({NUMBER})")
_FINAL = re.compile(rf"Final estimate: PPL = ({NUMBER}) \+/- ({NUMBER})")


class _Perplexity:
    """The running estimate, of which a line's last number is the mean over all chunks so far; and the final one."""

    name = "perplexity"
    description = "llama.cpp's perplexity tool"
    example = "[1]4.3021,[2]4.5155,[3]5.0021,\nFinal estimate: PPL = 5.0021 +/- 0.30112"

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return the claims of a line."""
        if line.startswith("["):
            found = [_CHUNK.fullmatch(part) for part in line.removesuffix(",").split(",")]
            chunks = [(int(m[1]), float(m[2])) for m in found if m]
            first = chunks[0][0] if chunks else 0
            if len(chunks) < len(found) or [n for n, _ in chunks] != list(range(first, first + len(chunks))):
                return []
            last, value = chunks[-1]
            return [Claim("claimed_running_perplexity", value), Claim("claimed_scored_chunks", float(last))]
        final = _FINAL.fullmatch(line)
        if not final:
            return []
        return [Claim("claimed_perplexity", float(final[1])), Claim("claimed_perplexity_error", float(final[2]))]


PERPLEXITY = _Perplexity()
