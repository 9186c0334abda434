"""Data sets made by hand: of runs and tokens as dictionaries in memory, or of what a fake board sent in a folder."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import fs

from edgeprof.frames import to_pandas
from edgeprof.schema import arrow_schema
from edgeprof.store import Dataset

__all__ = ["HOSTILE", "Tags", "dataset", "frame", "generated", "harmful", "run", "scored", "stored", "token"]

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m\x07",
    "\x1b]0;title\x07\x9b2J",
    "right\u202eot tfel\u2066",
    "two\nlines\r\ttabs",
    r"$\frac{",
    r"a$b$c\d \$ {x}^_",
    "_hidden",
    "__",
    "n" * 300,
    "\"quoted\" & 'single'",
]
"""What a device may call itself."""


def harmful(text: str) -> list[str]:
    """Return the characters that do something other than being seen, and those that could not be written."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def run(run_id: str = "c/0-0001", **columns: Any) -> dict[str, Any]:
    """Return a finished run on an emulated board; every column can be said otherwise."""
    usual = {
        "capture_id": run_id.split("/")[0], "run_id": run_id, "port": 0, "boot": 1, "kind": "generate", "board": "toy",
        "core": "none", "clock": "fuel", "board_clock_hz": 500.0, "emulator": "emu", "emulator_version": "1",
        "emulator_flags": "x", "firmware": "f 1", "model": "m", "model_sha256": "00", "quant": "F16",
        "bits_per_weight": 16.0, "model_bytes": 4000, "prompt_id": "p", "n_prompt": 3, "status": "ok",
        "ram_needed_bytes": 900, "flash_needed_bytes": 4400, "passes_received": 1, "frames_lost": 0,
    }  # fmt: skip
    return usual | columns


def token(
    run_id: str, position: int, phase: str, start: int | None, ticks: int | None, **columns: Any
) -> dict[str, Any]:
    usual = {
        "capture_id": run_id.split("/")[0], "run_id": run_id, "position": position, "phase": phase, "n_batch": 1,
        "ticks_start": start, "ticks": ticks, "scored": False, "next_id": position + 1,
    }  # fmt: skip
    return usual | columns


def generated(run_id: str = "c/0-0001", *, n_prompt: int = 3, ticks: Sequence[int] = (20,) * 9) -> list[dict[str, Any]]:
    """Return the passes of a generation without pauses: a prompt at 10 ticks a pass, then decode passes."""
    costs = [10] * n_prompt + list(ticks)
    starts = itertools.accumulate(costs, initial=0)
    return [
        token(run_id, at, "prefill" if at < n_prompt else "decode", start, cost)
        for at, (start, cost) in enumerate(zip(starts, costs, strict=False))
    ]


def scored(run_id: str, windows: Iterable[Sequence[float]], *, shift: int = 0) -> list[dict[str, Any]]:
    """Return an evaluation: in each window as many unscored passes (with a huge nll) as scored ones."""
    return [
        token(run_id, at, "score", 10 * at, 10, window=w, scored=at >= len(nlls), next_id=100 + at + shift,
              nll=nlls[at - len(nlls)] if at >= len(nlls) else 50.0)
        for w, nlls in enumerate(windows)
        for at in range(2 * len(nlls))
    ]  # fmt: skip


def table(name: str, rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(name))


def frame(name: str, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as the DataFrame that a data set would give."""
    return to_pandas(table(name, rows))


def dataset(runs: Sequence[dict[str, Any]], tokens: Sequence[dict[str, Any]] = (), **others: Any) -> Dataset:
    """Return a data set of these rows."""
    groups = {r["run_id"]: tuple(str(r.get(c) or "") for c in ("board", "model", "quant")) for r in runs}
    tail: dict[Any, pa.Table] = {}
    for name, rows in (("runs", runs), ("tokens", tokens)):
        for group in dict.fromkeys(groups.values()):
            mine = [r for r in rows if groups[r["run_id"]] == group]
            if mine:
                tail[name, group] = table(name, mine)
    for name, rows in others.items():
        tail[name, ("", "", "")] = table(name, rows)
    return Dataset("hand", fs.LocalFileSystem(), [], tail, sorted({r["capture_id"] for r in runs}), [])


def stored(out: Any, name: str, label: str = "p", *, n: int = 12, **pairs: str) -> Any:
    """Write a closed capture of one generation and return its folder; the board says ``pairs`` of itself."""
    import fakeboard

    from edgeprof.care import recover

    sent = bytearray()
    board = fakeboard.FakeBoard(sent.extend, pairs=fakeboard.PAIRS | pairs)
    board.hello()
    board.generate(label, 4, n)
    folder = fakeboard.make_capture(out, name, [bytes(sent)])
    recover(folder)
    return folder
