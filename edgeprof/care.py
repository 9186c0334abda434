"""The data set's care: ``verify`` what is stored, ``recover`` what a crash left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edgeprof.errors import EdgeprofError, StorageError
from edgeprof.keepwire import kept_days
from edgeprof.layout import CAPTURE_JSON, file_sha256, segment_folder
from edgeprof.seal import load_capture, load_manifests
from edgeprof.sealer import finish, hold
from edgeprof.segment import index_name

__all__ = ["Finding", "captures_in", "recover", "verify", "verify_capture", "verify_wire"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the manifests say. ``damage`` is False where nothing is lost."""

    where: str
    what: str
    damage: bool = True


def captures_in(path: Path) -> list[Path]:
    """Return the captures of a data set, or the one that ``path`` itself is.

    Raises
    ------
    StorageError
        There is none.
    """
    if (path / CAPTURE_JSON).exists():
        return [path]
    found = sorted(p.parent for p in path.glob(f"capture=*/{CAPTURE_JSON}"))
    if not found:
        raise StorageError(f"{path} holds no capture: it is not a data set, or it is empty.")
    return found


def verify(path: str | Path) -> list[Finding]:
    """Check every file of a data set against its manifests; an empty list is good news.

    Digests of all tables and wire bytes, row counts, gaps between segments, files that no manifest names, and captures
    that were never closed.
    """
    findings: list[Finding] = []
    for capture in captures_in(Path(path)):
        findings += verify_capture(capture)
    return findings


def verify_capture(capture: Path) -> list[Finding]:
    """Check one capture as :func:`verify` does."""
    findings: list[Finding] = []
    try:
        findings.extend(_verify_capture(capture))
    except EdgeprofError as error:
        findings.append(Finding(str(capture), str(error)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        findings.append(Finding(str(capture), f"cannot be checked: {error!r}"))
    return findings


def _verify_capture(capture: Path) -> Iterator[Finding]:
    load_capture(capture)
    manifests = load_manifests(capture)
    yield from _verify_leftovers(capture, manifests)
    ends: dict[int, int] = {}
    for number, manifest in enumerate(manifests):
        folder = capture / segment_folder(number, manifest.get("generation", 0))
        if manifest["segment"] != number:
            yield Finding(str(folder), f"segment {number} is missing; the next is {manifest['segment']}")
            return
        named = {entry["path"] for entry in manifest["files"]}
        for entry in manifest["files"]:
            yield from _verify_file(folder, entry)
        for span in manifest["ranges"]:
            if span["start"] != ends.get(span["port"], 0):
                yield Finding(str(folder), f"port {span['port']}: bytes are missing before offset {span['start']}")
            ends[span["port"]] = span["end"]
            if "wire" in span:
                yield from verify_wire(folder, span)
        for file in folder.glob("board=*/**/*.parquet"):
            if file.relative_to(folder).as_posix() not in named:
                yield Finding(str(file), "no manifest names it; readers ignore it", damage=False)
    if not manifests or not manifests[-1]["final"]:
        yield Finding(str(capture), "not closed: it is still going on, or `edgeprof recover` closes it", damage=False)


def _verify_leftovers(capture: Path, manifests: list[dict[str, Any]]) -> Iterator[Finding]:
    """Find the folders of another generation than the one that counts."""
    count = {segment_folder(m["segment"], m.get("generation", 0)) for m in manifests}
    anew = any(m.get("generation", 0) for m in manifests)
    for folder in sorted(capture.glob("segment=*")):
        if folder.name not in count and (anew or "-g" in folder.name):
            what = "left by a redecode or compact that was interrupted; readers ignore it, and the next one removes it"
            yield Finding(str(folder), what, damage=False)


def _verify_file(folder: Path, entry: dict[str, Any]) -> Iterator[Finding]:
    path = folder / entry["path"]
    if not path.exists():
        yield Finding(str(path), "missing")
    elif file_sha256(path) != entry["sha256"]:
        yield Finding(str(path), "its bytes are not those that were sealed")
    elif pq.read_metadata(path).num_rows != entry["rows"]:
        yield Finding(str(path), f"has other than the {entry['rows']} rows that were sealed")


def verify_wire(folder: Path, span: dict[str, Any]) -> Iterator[Finding]:
    """Check the wire bytes and read times that a segment keeps of one port."""
    path = folder / span["wire"]
    digest, size = hashlib.sha256(), 0
    try:
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
    except (OSError, pa.ArrowException) as error:
        yield Finding(str(path), f"cannot be read: {error}")
        return
    if digest.hexdigest() != span["sha256"] or size != span["end"] - span["start"]:
        yield Finding(str(path), "its bytes are not those that were captured")
    index = folder / index_name(span["wire"])
    if not index.exists():
        yield Finding(str(index), "missing")
    elif "index_sha256" in span and file_sha256(index) != span["index_sha256"]:
        yield Finding(str(index), "its bytes are not those that were sealed")


def recover(path: str | Path) -> list[Path]:
    """Close the captures that a crash left open; return those that were closed.

    What the journal holds becomes a last segment, runs that were under way end as ``aborted``, and nothing that is
    sealed is touched. A finished capture is left alone.

    Raises
    ------
    LockedError
        A capture is still going on; nothing of it was changed.
    """
    closed = []
    for capture in captures_in(Path(path)):
        manifests = load_manifests(capture)
        if manifests and manifests[-1]["final"]:
            continue
        with hold(capture, "reader"), hold(capture, "sealer"):
            finish(capture, keep_days=kept_days(str(load_capture(capture).get("keep_wire", "all"))))
        closed.append(capture)
    return closed
