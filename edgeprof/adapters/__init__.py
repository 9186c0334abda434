"""Adapters: what other people's firmware prints, understood.

An adapter reads one line at a time and does nothing else: no port, no clock, no file. What it takes goes to the table
``claims``; every line stays in ``logs``, whether it was understood or not. docs/adapters.md says how to add one.
"""

from __future__ import annotations

from typing import Any, Protocol

from edgeprof.adapters.esp32ai import ESP32AI
from edgeprof.adapters.items import Claim, Item, Known, Refused, Said
from edgeprof.adapters.keyed import CHECKSUMMED, CSV, JSON_LINES
from edgeprof.adapters.llama2c import LLAMA2C
from edgeprof.adapters.llamabench import LLAMABENCH
from edgeprof.adapters.llamacpp import LLAMACPP, PERPLEXITY
from edgeprof.adapters.mlperftiny import MLPERFTINY
from edgeprof.adapters.wrappers import log_begin, unwrap

__all__ = [
    "ADAPTERS", "CLOSING", "PROMPTS", "Adapter", "Claim", "Item", "Known", "Refused", "Said", "feed", "forget_pairs",
    "log_begin", "markdown",
]  # fmt: skip


class Adapter(Protocol):
    """Somebody's way of printing numbers."""

    @property
    def name(self) -> str:
        """What the column ``adapter`` says."""
        ...

    @property
    def description(self) -> str:
        """Whose lines it reads."""
        ...

    @property
    def example(self) -> str:
        """Lines that it understands."""
        ...

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return what a line says, without raising; nothing where it is not surely one of its lines.

        Parameters
        ----------
        line
            A whole line, with no wrapper of a log library's and no line end.
        memory
            What it keeps from line to line: plain data, as it goes into a segment's manifest, and little.
        """
        ...


ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (LLAMA2C, ESP32AI, LLAMACPP, PERPLEXITY, LLAMABENCH, MLPERFTINY, CHECKSUMMED, JSON_LINES, CSV)
}
"""Name to adapter, in the order in which they are asked."""

CLOSING = {
    LLAMA2C.name: ("claimed_incl_prompt_tok_s", "claimed_generated_tok_s"),
    ESP32AI.name: ("claimed_generate_s", "claimed_generated_tok_s"),
}
"""Adapter to the claims with which its firmware says that a generation, whose tokens it printed, is over."""

PROMPTS = (">>> ", "cmd> ")
"""What firmware prints before it waits for a command, or before the first token, without a newline: no token."""


def feed(line: str, memories: dict[str, dict[str, Any]]) -> tuple[str, list[Item]]:
    """Return the first adapter that takes a line, and what it says; ``("", [])`` if none does.

    Parameters
    ----------
    line
        A whole line, as the board sent it.
    memories
        Each adapter's memory, by name; changed.
    """
    text = unwrap(line)
    if not text:
        return "", []
    for name, adapter in ADAPTERS.items():
        memory = memories.get(name, {})
        items = adapter.feed(text, memory)
        if memory:
            memories[name] = memory
        if items:
            return name, items
    return "", []


def forget_pairs(memories: dict[str, dict[str, Any]]) -> None:
    """Forget, where bytes were lost, what must not be put together with lines that come behind the hole."""
    memories.pop(MLPERFTINY.name, None)


def _shown(item: Item) -> str:
    if isinstance(item, Claim):
        return f"`{item.name}`" + (f" [{item.unit}]" if item.unit else "")
    if isinstance(item, Known):
        return "known"
    return f"event `said`: {item.what}" if isinstance(item, Said) else "event `refused`"


def markdown() -> str:
    """Return what each adapter understands as Markdown; ``docs/adapters.md`` holds it, and a test compares."""
    parts = []
    for adapter in ADAPTERS.values():
        rows, memories = [], dict[str, dict[str, Any]]()
        for line in adapter.example.split("\n"):
            says = ", ".join(map(_shown, feed(line, memories)[1]))
            shown = " ".join(line.split()).replace("|", "\\|")
            rows.append(f"| `{shown}` | {says or '–'} |")
        head = ["| line | claims |", "|---|---|"]
        parts.append("\n".join([f"### {adapter.name}", "", f"{adapter.description}.", "", *head, *rows]))
    return "\n\n".join(parts) + "\n"
