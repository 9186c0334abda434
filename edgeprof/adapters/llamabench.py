"""llama-bench on a console: its Markdown table, JSON lines and CSV. Each row is a mean, so it becomes no tokens."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from typing import Any

from edgeprof.adapters.items import NUMBER, Item, claim_of

__all__ = ["LLAMABENCH", "test_name"]

_TEST = re.compile(r"(?:pp ?([0-9]{1,7}))?\+?(?:tg ?([0-9]{1,7}))?(?: @ d([0-9]{1,7}))?")
_MEAN = re.compile(rf"({NUMBER}) ± ({NUMBER})")
_COUNT = re.compile(r"[0-9]{1,7}")
_VALUE = re.compile(NUMBER)
_MAX_COLUMNS = 96


def test_name(n_prompt: int, n_gen: int, depth: int) -> str:
    """Return what a claim calls a test, for which llama-bench's own name has a plus, blanks and an at sign.

    >>> test_name(0, 128, 512)
    'tg128_d512'
    """
    return "_".join(f"{what}{count}" for what, count in (("pp", n_prompt), ("tg", n_gen), ("d", depth)) if count)


def _claims(n_prompt: str, n_gen: str, depth: str, mean: str, deviation: str) -> list[Item]:
    """Return mean and standard deviation of a test."""
    if not int(n_prompt) and not int(n_gen):
        return []
    test = test_name(int(n_prompt), int(n_gen), int(depth))
    found = (claim_of(f"{test}_tok_s", float(mean)), claim_of(f"{test}_stddev_tok_s", float(deviation)))
    return [claim for claim in found if claim]


def _of_fields(fields: Mapping[str, Any]) -> list[Item]:
    """Return the claims of a row whose columns have names; a version without depth has none."""
    counts = [str(fields.get(name, "0")) for name in ("n_prompt", "n_gen", "n_depth")]
    values = [str(fields.get(name, "")) for name in ("avg_ts", "stddev_ts")]
    if all(map(_COUNT.fullmatch, counts)) and all(map(_VALUE.fullmatch, values)):
        return _claims(counts[0], counts[1], counts[2], values[0], values[1])
    return []


class _LlamaBench:
    """Columns are found by name, for every version has others."""

    name = "llamabench"
    description = "llama-bench with `-o md`, `jsonl` or `csv`: mean and standard deviation of its repetitions"
    example = (
        "| llama 7B Q4_0 | 3.56 GiB | 6.74 B | CUDA | 99 | pp 512 | 2368.80 ± 93.24 |\n"
        "| llama 15M Q8_0 | 16.00 MiB | 15.19 M | CPU | 4 | tg128 @ d512 | 31.25 ± 0.50 |\n"
        '{"build_commit": "5a32f10", "n_prompt": 512, "n_gen": 0, "avg_ns": 100, "avg_ts": 45.5, "stddev_ts": 0.25}\n'
        "build_commit,model_type,n_prompt,n_gen,n_depth,avg_ts,stddev_ts\n"
        '"5a32f10","llama 15M Q8_0","256","64","0","28.750000","0.125000"'
    )

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return the claims of a row; the header of CSV is remembered."""
        if line.startswith("| "):
            return self._markdown(line)
        if line.startswith('{"build_commit"'):
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                return []
            return _of_fields(fields) if isinstance(fields, dict) else []
        if line.startswith("build_commit,"):
            header = line.split(",")
            if len(header) <= _MAX_COLUMNS and len(line) < 4096 and len(set(header)) == len(header):
                memory["header"] = header
            return []
        if line.startswith('"') and "header" in memory:
            return self._csv(line, memory["header"])
        return []

    @staticmethod
    def _markdown(line: str) -> list[Item]:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 6 or cells[0] or cells[-1] or not all(cells[1:-1]):
            return []
        test, mean = _TEST.fullmatch(cells[-3]), _MEAN.fullmatch(cells[-2])
        if not test or not mean:
            return []
        return _claims(test[1] or "0", test[2] or "0", test[3] or "0", mean[1], mean[2])

    @staticmethod
    def _csv(line: str, header: list[str]) -> list[Item]:
        try:
            cells = next(csv.reader([line], strict=True))
        except (csv.Error, StopIteration):
            return []
        return _of_fields(dict(zip(header, cells, strict=True))) if len(cells) == len(header) else []


LLAMABENCH = _LlamaBench()
