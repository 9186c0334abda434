"""Files that other programs wrote, as a closed capture: llama-bench's tables, and serial logs.

The file itself is what the capture keeps as wire bytes, so it can be verified and decoded again like any other. Times
of the host are unknown.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.bench_file import FORMATS, format_of, read_bench
from edgeprof.capture import Source, new_capture_id, prepare
from edgeprof.decode_state import PortState, Rows
from edgeprof.errors import EdgeprofError, LockedError, StorageError, UsageError, unknown_name
from edgeprof.journal import CHUNK
from edgeprof.layout import CAPTURE_JSON, sync, write_json
from edgeprof.seal import decode_from, load_capture, states_after, write_segment
from edgeprof.wire import Kind, Splitter, is_text

__all__ = ["Imported", "import_files", "write_capture"]

LOG = "log"


@dataclass(slots=True)
class Imported:
    """What an import came to: the capture, its rows by table, and the lines that could not be taken, in words."""

    capture_id: str
    path: Path
    rows: dict[str, int]
    problems: list[str] = field(default_factory=list)


class _Files:
    """Files, one a port, as what a segment is made of (:class:`edgeprof.segment.Source`)."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def read(self, port: int, start: int, end: int) -> Iterator[bytes]:
        with self.paths[port].open("rb") as file:
            file.seek(start)
            while start < end and (chunk := file.read(min(CHUNK, end - start))):
                start += len(chunk)
                yield chunk

    def index(self, port: int, start: int, end: int) -> list[npt.NDArray[np.int64]]:
        return []


def import_files(
    paths: Sequence[Path], out: Path, *, form: str = "", capture_id: str | None = None, host_label: str | None = None
) -> Imported:
    """Import files into a data set, as one capture in which each file is a port.

    Parameters
    ----------
    paths
        The files.
    out
        The data set's folder; made if it does not exist.
    form
        ``csv``, ``json`` or ``jsonl`` (llama-bench's), or ``log`` (what came over a serial port, text or frames). By
        default each file's is found by what is in it.
    capture_id
        The capture's name; made of the time by default.
    host_label
        A name for the host, if the user wants one.

    Returns
    -------
    Imported
        With the lines that are not whole; they are in ``events``, and their bytes are kept.

    Raises
    ------
    UsageError
        A file cannot be read, is empty, or holds nothing of its format. Nothing was written.
    StorageError
        The folder cannot be written.
    """
    if form and form not in (*FORMATS, LOG):
        raise unknown_name("format", form, (*FORMATS, LOG))
    found = [_check(path, form) for path in paths]
    ports: list[dict[str, Any]] = [{"settings": {}} | ({"format": form} if form != LOG else {}) for form, _ in found]
    done = write_capture(paths, out, ports, capture_id=capture_id, host_label=host_label)
    done.problems = [problem for _, problems in found for problem in problems]
    return done


def write_capture(
    paths: Sequence[Path], out: Path, ports: Sequence[dict[str, Any]], *, capture_id: str | None = None,
    host_label: str | None = None,
) -> Imported:  # fmt: skip
    """Write files that were checked into a data set, as one closed capture; it appears whole or not at all.

    Parameters
    ----------
    paths, out, capture_id, host_label
        As of :func:`import_files`.
    ports
        What the header says of each file: its ``format``, by which its bytes are decoded, and its ``settings``. There
        was no port, so there are no others.

    Raises
    ------
    StorageError
        The folder cannot be written, or the capture exists already.
    """
    name = capture_id or new_capture_id()
    there = out / f"capture={name}"
    if there.exists():
        raise LockedError(f"{there} exists already; an import never writes into another capture.")
    staging = out / f".import-{secrets.token_hex(4)}"
    sources = [Source(f"import:{path.name}", path.name) for path in paths]
    try:
        folder = prepare(staging, sources, [], host_label=host_label, capture_id=name, extra={})
        rows = _write(folder, paths, ports)
        folder.rename(there)
        sync(out)
    except OSError as error:
        if isinstance(error, EdgeprofError):
            raise
        raise StorageError(f"{out} cannot be written ({error.strerror or error}); nothing was imported.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Imported(name, there, rows)


def _write(folder: Path, paths: Sequence[Path], ports: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Write the capture's only segment; return how many rows each table has."""
    header = load_capture(folder)
    for port, said in zip(header["ports"], ports, strict=True):
        port |= said
    write_json(folder / CAPTURE_JSON, header)
    header = load_capture(folder)  # as every later decoding will find it
    source, before = _Files(paths), states_after([], len(paths))

    def decode(take: Callable[[Rows], None]) -> list[PortState]:
        return decode_from(source, header, before, lambda port: paths[port].stat().st_size, [], final=True, take=take)[
            1
        ]

    manifest = write_segment(folder, header, 0, source, before, decode, earlier=[], final=True)
    assert manifest is not None
    (folder / "journal").rmdir()
    counts: Counter[str] = Counter()
    for entry in manifest["files"]:
        counts[entry["table"]] += entry["rows"]
    return dict(counts)


def _check(path: Path, form: str) -> tuple[str, list[str]]:
    """Return a file's format, and which of its lines are not whole, in words.

    Raises
    ------
    UsageError
        There is nothing to import in it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(CHUNK)
            found = form or format_of(head)
            _check_text(path, head)
            if found == LOG:
                return LOG, _check_log(path, chain([head], iter(lambda: file.read(CHUNK), b"")))
            return found, _check_bench(path, head + file.read(), found)
    except OSError as error:
        if isinstance(error, EdgeprofError):
            raise
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _check_text(path: Path, head: bytes) -> None:
    if not head:
        raise UsageError(f"{path} is empty. Was the program that wrote it stopped, or its output redirected elsewhere?")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(
            f"{path}, line 1, is not UTF-8 but UTF-16, as PowerShell's > writes it. Write it again with "
            "`| Out-File -Encoding utf8`, or convert it; nothing was imported."
        )


def _check_bench(path: Path, data: bytes, form: str) -> list[str]:
    bench = read_bench(data, form)
    problems = [f"{path}, line {line}: {reason}" for line, reason in bench.problems]
    if bench.rows:
        return problems
    if problems:
        raise UsageError(f"There is no whole row of llama-bench's in {problems[0].rstrip('.')}. Nothing was imported.")
    if bench.headers:
        raise UsageError(f"{path} has llama-bench's header and no row below it: no test was finished. Run it again.")
    looks = format_of(data)
    hint = f"It looks like --format {looks}." if looks != form else "--format log imports it as what a board sent."
    raise UsageError(
        f"{path} holds nothing that llama-bench writes with `-o {form}`: from line 1 on, no row that names n_prompt, "
        f"n_gen and avg_ts. {hint}"
    )


def _check_log(path: Path, chunks: Iterable[bytes]) -> list[str]:
    splitter, line, first, lost, whole = Splitter(), 1, 0, 0, 0
    for piece in chain(chain.from_iterable(map(splitter.feed, chunks)), splitter.finish()):
        if piece.kind is Kind.FRAME:
            whole += len(piece.data)
            continue
        if piece.kind is Kind.DAMAGE:
            first = first or line + piece.data.count(b"\n", 0, _not_text(piece.data))
            lost += len(piece.data)
        else:
            whole += len(piece.data)
        line += piece.data.count(b"\n")
    if not whole:
        raise UsageError(
            f"{path}, line {first or 1}, is neither text in UTF-8 nor a frame of edgeprof.h's, nor is anything else in "
            "the file: it is no log, or one in another encoding. Nothing was imported."
        )
    if not lost:
        return []
    return [f"{path}, line {first}: neither text in UTF-8 nor a frame; {lost:,} bytes of the file are not decoded"]


def _not_text(data: bytes) -> int:
    """Return where bytes stop being text."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return next((at for at, byte in enumerate(data) if not is_text(bytes((byte,))) and byte < 0x80), 0)
