"""What a capture came to, in a line: how much of what, and what to look at next."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

__all__ = ["said_once", "summary"]


def summary(capture: Path, out: Path) -> str:
    """Return what a closed capture holds, and the command that shows it."""
    from edgeprof.seal import load_manifests

    rows: Counter[str] = Counter()
    manifests = load_manifests(capture)
    for manifest in manifests:
        for entry in manifest["files"]:
            rows[entry["table"]] += entry["rows"]
    n_bytes = sum(state["offset"] for state in manifests[-1]["states"]) if manifests else 0
    kinds = (("runs", "run"), ("tokens", "pass"), ("claims", "claim"), ("logs", "line of text"), ("power", "sample"))
    parts = [f"{rows[table]:,} {_plural(word, rows[table])}" for table, word in kinds if rows[table]]
    what = f"{n_bytes:,} bytes: {', '.join(parts) or 'no run and no text'}"
    if rows["runs"]:
        command = f"edgeprof runs {out}"
    elif rows["claims"] or rows["logs"]:
        command = f"edgeprof export {out} {'claims' if rows['claims'] else 'logs'}"
    else:
        command = "edgeprof doctor PORT, where nothing comes"
    return f"captured {capture.name.removeprefix('capture=')} into {out} ({what}); next: {command}"


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return {"pass": "passes", "line of text": "lines of text"}.get(word, f"{word}s")


def said_once(texts: list[str], capture: Path) -> str:
    """Return what went wrong with boards as one paragraph that says once where what came is kept."""
    whole = [re.sub(r"; what came is kept| What came is kept\.", "", text) for text in texts]
    ended = [text if text.endswith(("?", "!", ".")) else f"{text}." for text in whole]
    return f"{' '.join(ended)} What came is kept in {capture}."
