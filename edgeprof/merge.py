"""Closed captures of several data sets into one: copied under another name, checked, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from filelock import FileLock, Timeout

from edgeprof.care import captures_in, verify_capture
from edgeprof.errors import LockedError, StorageError
from edgeprof.layout import CAPTURE_JSON, MANIFEST, file_sha256, segment_folder, sync
from edgeprof.remove import remove_capture
from edgeprof.rewrite import Outcome, capture_id, closed, each
from edgeprof.seal import load_capture, load_manifests
from edgeprof.segment import index_name

__all__ = ["merge"]

_COMING = ".merging-"
_LOCK = ".merge.lock"


def merge(sources: Iterable[str | Path], out: str | Path, *, move: bool = False) -> list[Outcome]:
    """Copy the closed captures of data sets into another, which is made if it does not exist.

    A copy has another name until all of it is there and its digests are those of the manifests; so whatever ends this,
    nobody sees a part of one.

    Parameters
    ----------
    sources
        Data sets, or captures in them; they are only read.
    out
        The data set that takes them all.
    move
        Remove each capture from its source once it is in ``out``, whole.

    Returns
    -------
    list of Outcome
        One a capture and source. Code 1: another capture of that name is there; 2: it is not closed; 5: it is
        damaged, or cannot be read or written.

    Raises
    ------
    StorageError
        A source holds no capture, or ``out`` cannot be written.
    LockedError
        Another merge into ``out`` is going on.
    """
    found = [capture for source in sources for capture in captures_in(Path(source))]
    target = Path(out)
    lock = FileLock(target / _LOCK)
    try:
        target.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LockedError(f"Another merge into {target} is going on. Wait until it has ended.") from error
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error.strerror or error}).") from error
    try:
        for folder in target.glob(f"{_COMING}*"):
            shutil.rmtree(folder, ignore_errors=True)
        return each(found, lambda capture: _merge(capture, target, move=move))
    finally:
        lock.release(force=True)  # first: an open file cannot be removed everywhere
        with contextlib.suppress(OSError):
            (target / _LOCK).unlink(missing_ok=True)


def _merge(capture: Path, target: Path, *, move: bool) -> Outcome:
    name = capture_id(capture)
    load_capture(capture)
    manifests = load_manifests(capture)
    there = target / f"capture={name}"
    if not closed(manifests):
        return Outcome(name, "left out: it is not closed; `edgeprof recover` closes it", 2)
    if there.exists() and os.path.samefile(capture, there):
        return Outcome(name, "is there already: it is the same folder")
    if there.exists():
        if _identity(capture) != _identity(there):
            return Outcome(name, f"refused: {_difference(capture, there)}; nothing was overwritten", 1)
        _check(there)
        done = "is there already"
    else:
        try:
            _copy(capture, manifests, there)
        except OSError as error:
            why = str(error) if isinstance(error, StorageError) else f"{error.strerror or error}"
            raise StorageError(f"cannot be merged ({why}); nothing of it is in {target}") from error
        done = "copied"
    if not move:
        return Outcome(name, done)
    remove_capture(capture)
    return Outcome(name, "moved")


def _files(manifests: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the files of a capture, relative to its folder; its last manifest comes last."""
    yield CAPTURE_JSON
    for m in manifests:
        folder = segment_folder(m["segment"], m.get("generation", 0))
        names = [entry["path"] for entry in m["files"]]
        for span in m["ranges"]:
            names += [span["wire"], index_name(span["wire"])] if "wire" in span else []
        for name in [*names, MANIFEST]:
            if ".." in PurePosixPath(name).parts or PureWindowsPath(name).anchor or "\\" in name:
                raise StorageError(f"a manifest names {name!r}, which is not in its folder")
            yield f"{folder}/{name}"


def _copy(capture: Path, manifests: list[dict[str, Any]], there: Path) -> None:
    coming = there.with_name(f"{_COMING}{capture_id(capture)}-{secrets.token_hex(4)}")
    try:
        for name in _files(manifests):
            (coming / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(capture / name, coming / name)
            sync(coming / name)
        # A copy that differs in its manifests was changed meanwhile; the manifests say what all else must be.
        if _identity(coming) != _identity(capture):
            raise StorageError(f"{capture} was changed meanwhile")
        _check(coming)
        # Not replace: what came there meanwhile is not overwritten.
        coming.rename(there)
        sync(there.parent)
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def _check(capture: Path) -> None:
    for finding in verify_capture(capture):
        if finding.damage:
            where = Path(finding.where)
            inside = where.relative_to(capture) if where.is_relative_to(capture) else where
            raise StorageError(f"{capture_id(capture)}/{inside}: {finding.what}")


def _identity(capture: Path) -> tuple[str, list[Any]]:
    """Return what makes two captures the same: what they were told, and the digests of all that they hold."""
    held = [[m["segment"], m["ranges"], m["files"], m["states"]] for m in load_manifests(capture)]
    return file_sha256(capture / CAPTURE_JSON), held


def _difference(capture: Path, there: Path) -> str:
    if file_sha256(capture / CAPTURE_JSON) == file_sha256(there / CAPTURE_JSON):
        return "the same capture is there with other tables; one of the two was redecoded or compacted, or is damaged"
    return "another capture of that name is there"
