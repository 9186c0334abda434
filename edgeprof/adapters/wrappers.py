"""What a log library writes around a line: colours, level, time and tag."""

from __future__ import annotations

import re

__all__ = ["log_begin", "unwrap"]

# Colours only. Where the cursor was moved, what stands in the line is not what was seen.
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,16}m")
_IDF = r"[EWIDV] \((?:[0-9]{1,12}|[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3})\) [\w./-]{1,40}: "
# ESP-IDF. Tokens are printed without a newline, so its coloured line may begin behind some.
_BEHIND = re.compile(rf"\x1b\[[01];3[0-9]m(?={_IDF})", re.ASCII)
_WRAPPERS = (
    re.compile(_IDF, re.ASCII),
    re.compile(r"[0-9]{1,4}\.[0-9]{2}\.[0-9]{3}\.[0-9]{3} [EWID] "),  # llama.cpp with --log-timestamps
)


def unwrap(line: str) -> str:
    r"""Return what the firmware itself said: no colours, no ESP-IDF or llama.cpp log prefix, no space behind.

    >>> unwrap("\x1b[0;32mI (660) LLM: Free ram available: 2388432\x1b[0m")
    'Free ram available: 2388432'
    """
    if "\x1b" in line:
        begins = [found.end() for found in _BEHIND.finditer(line)]
        line = _COLOUR.sub("", line[begins[-1] :] if begins else line)
    for wrapper in _WRAPPERS:
        found = wrapper.match(line)
        if found:
            return line[found.end() :].rstrip()
    return line.rstrip()


def log_begin(line: str) -> int | None:
    r"""Return at which character a log library's line begins: 0, or more behind tokens; None where there is none.

    >>> log_begin("Once upon a\x1b[0;32mI (660) LLM: Generate complete"), log_begin("Once upon a")
    (11, None)
    """
    if "\x1b" in line:
        behind = _BEHIND.search(line)
        if behind:
            return behind.start()
        line = _COLOUR.sub("", line)
    return 0 if any(wrapper.match(line) for wrapper in _WRAPPERS) else None
