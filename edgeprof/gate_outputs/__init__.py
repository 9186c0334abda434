"""What a gate found, in the formats that CI systems show: each a pure function of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgeprof.errors import StorageError
from edgeprof.gate_outputs import badge, benchmark, code_quality, junit, markdown, results
from edgeprof.gating import GateResult

__all__ = ["FILES", "write_all"]

FILES: Mapping[str, Callable[[GateResult], str]] = {
    "results.json": results.results_json,
    "junit.xml": junit.junit_xml,
    "summary.md": markdown.summary,
    "gl-code-quality.json": code_quality.code_quality_json,
    "badge.svg": badge.badge_svg,
    "badge.json": badge.badge_json,
    "benchmark.json": benchmark.smaller_is_better,
    "benchmark-bigger.json": benchmark.bigger_is_better,
}
"""The files that ``edgeprof gate --out`` writes, and what makes the text of each."""


def write_all(result: GateResult, folder: Path) -> list[Path]:
    """Write all files of a result into a folder; return them.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    written = [folder / name for name in FILES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, make in zip(written, FILES.values(), strict=True):
            path.write_text(make(result), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error.strerror}). Choose another --out.") from error
    return written
