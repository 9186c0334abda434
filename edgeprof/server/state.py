"""Whether a data set can be read, and how much is in it: from its manifests, without opening a table."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeprof.errors import NewerFormatError, StorageError
from edgeprof.layout import CAPTURE_JSON, MANIFEST, check_version, current

__all__ = ["State", "read_state"]

_TRIES = 3


@dataclass(frozen=True, slots=True)
class State:
    """What a data set holds: sealed rows, files on the disk, and when its newest capture began (UTC)."""

    captures: int = 0
    runs: int = 0
    tokens: int = 0
    size_bytes: int = 0
    newest: datetime | None = None


def read_state(path: Path) -> State:
    """Return what a data set holds, if all of it can be read.

    What a newer edgeprof wrote is not counted, and is no fault.

    Raises
    ------
    StorageError
        The folder, a manifest or a file that a manifest names is damaged or cannot be read.
    """
    for attempt in range(_TRIES):
        try:
            return _read(path)
        except FileNotFoundError as error:
            # Captures may be compacted or removed meanwhile: look again.
            if attempt == _TRIES - 1:
                raise StorageError(f"{path} cannot be read: {error.filename} is not there.") from error
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    raise AssertionError


def _read(path: Path) -> State:
    captures, rows, size, newest = 0, {"runs": 0, "tokens": 0}, 0, None
    for folder in sorted(path.iterdir()):
        header = folder / CAPTURE_JSON
        if not folder.name.startswith("capture=") or not header.is_file():
            continue
        size += _size(folder)
        try:
            started = _started(*_version(header))
            segments = sorted(folder.glob(f"segment=*/{MANIFEST}"))
            manifests = current(_manifest(*_version(manifest)) for manifest in segments)
        except NewerFormatError:
            continue
        for manifest in manifests:
            for name, table, count in manifest["files"]:
                if not os.access(name, os.R_OK):
                    raise FileNotFoundError(None, "not there, or not readable", name)
                if table in rows:
                    rows[table] += count
        captures += 1
        newest = started if newest is None else max(newest, started)
    return State(captures, rows["runs"], rows["tokens"], size, newest)


def _size(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += _size(Path(entry.path))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _version(path: Path) -> tuple[str, int, int]:
    """Return what changes when a file does, so that each version of it is parsed once."""
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


def _json(path: str) -> dict[str, Any]:
    try:
        data = json.loads(Path(path).read_bytes())
        check_version(data.get("format_version"), path)
    except (ValueError, AttributeError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path} is damaged ({error}); run `edgeprof verify`.") from error
    return dict(data)


@lru_cache(maxsize=100_000)
def _started(path: str, *_: int) -> datetime:
    try:
        started = datetime.fromisoformat(_json(path)["started_at"])
        if started.tzinfo is None:
            raise ValueError(f"started_at is {started.isoformat()}, without a time zone")
        return started
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} is damaged ({error!r}); run `edgeprof verify`.") from error


@lru_cache(maxsize=100_000)
def _manifest(path: str, *_: int) -> dict[str, Any]:
    data, folder = _json(path), Path(path).parent
    try:
        files = [(str(folder / f["path"]), str(f["table"]), int(f["rows"])) for f in data["files"]]
        return {k: data[k] for k in ("segment", "generation", "final") if k in data} | {"files": files}
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path} is damaged ({error!r}); run `edgeprof verify`.") from error
