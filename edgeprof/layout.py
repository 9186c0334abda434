"""Where things lie in a data set: folder names, manifests, digests, atomic writes.

::

    DATASET/capture=<id>/capture.json                       what the capture was told at its start
                        /journal/…                          wire bytes that are not sealed yet
                        /segment=NNNN/manifest.json         written last; without it the segment does not exist
                        /segment=NNNN/wire-NNNN-pPP.zst     the wire bytes of the segment
                        /segment=NNNN/board=…/model=…/quant=…/<table>.parquet

A closed capture that was written anew lies in ``segment=NNNN-gG``, G being its generation (:func:`current`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgeprof.errors import NewerFormatError, StorageError
from edgeprof.schema import FORMAT_VERSION

__all__ = [
    "CAPTURE_JSON",
    "LOCK",
    "MANIFEST",
    "check_version",
    "current",
    "file_sha256",
    "partition",
    "segment_folder",
    "slug",
    "sync",
    "write_json",
]

CAPTURE_JSON = "capture.json"
MANIFEST = "manifest.json"
LOCK = "capture.lock"
"""Held by the capturing process while a capture goes on; reader and sealer have locks of their own."""


def slug(name: str, of: str | None = None) -> str:
    """Return a folder name for what a device calls itself: safe on every file system, and distinct.

    The real name is in ``runs``; eight digits of a digest (of the name, or of what ``of`` says) keep two names apart
    that look alike here.

    Examples
    --------
    >>> slug("Q8_0"), slug("../../etc")
    ('q8-0-2f8ad2d6', 'etc-98e3dfd1')
    """
    digest = hashlib.sha256((name if of is None else of).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    word = re.sub(r"[^a-z0-9]+", "-", name.lower())[:32].strip("-")
    return f"{word or 'unknown'}-{digest}"


def partition(board: str, model: str, quant: str) -> str:
    """Return the folder of a group's tables inside a segment, with forward slashes."""
    return f"board={slug(board)}/model={slug(model)}/quant={slug(quant)}"


def segment_folder(number: int, generation: int = 0) -> str:
    """Return the name of a segment's folder.

    Examples
    --------
    >>> segment_folder(7), segment_folder(7, generation=2)
    ('segment=0007', 'segment=0007-g2')
    """
    return f"segment={number:04d}" + (f"-g{generation}" if generation else "")


def current(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, in order, those of a capture's manifests that count.

    What writes a closed capture anew writes a whole generation beside the last one, its final manifest last. A
    generation counts once that is there, and then those before it do not: so one rename is the whole change.
    """
    generations: dict[int, list[dict[str, Any]]] = {}
    for manifest in sorted(found, key=lambda m: int(m.get("segment", 0))):
        generations.setdefault(int(manifest.get("generation", 0)), []).append(manifest)
    for number in sorted(generations, reverse=True):
        if not number or generations[number][-1]["final"]:
            return generations[number]
    return []


def file_sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the whole new one, also after a power cut."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error


def sync(path: Path) -> None:
    """Ask the disk to keep a file's bytes or the names in a folder; not every system can."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def check_version(found: object, where: str) -> None:
    """Refuse what a newer edgeprof wrote.

    Raises
    ------
    NewerFormatError
        The format is newer than this edgeprof knows.
    StorageError
        There is no format version: not a file of edgeprof's.
    """
    if not isinstance(found, int):
        raise StorageError(f"{where} has no format version: it is not edgeprof's, or it is damaged.")
    if found > FORMAT_VERSION:
        raise NewerFormatError(
            f"{where} has format version {found}; this edgeprof reads up to {FORMAT_VERSION}. "
            "Upgrade with `pip install --upgrade edgeprof`; the file was left as it is."
        )
