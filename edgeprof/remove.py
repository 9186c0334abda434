"""Taking captures out of a data set: renamed first, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edgeprof.errors import StorageError, UsageError, unknown_name
from edgeprof.layout import CAPTURE_JSON, sync
from edgeprof.rewrite import Outcome, capture_id, choose, each, held
from edgeprof.schema import TABLES, arrow_schema
from edgeprof.store import open_dataset

__all__ = ["remove", "remove_capture"]

_GONE = ".removed-"


def remove(
    path: str | Path, captures: Iterable[str] = (), *, where: Iterable[str] = (), dry_run: bool = True
) -> list[Outcome]:
    """Remove captures of a data set.

    Parameters
    ----------
    path
        The data set's folder.
    captures
        Their names.
    where
        Instead, or to choose among them: ``column=value`` of ``runs`` or ``captures``. A capture goes if it has runs
        and every one matches.
    dry_run
        Only say what would be removed.

    Returns
    -------
    list of Outcome
        One a capture that was named, or that has a run that matches. Code 2: it stays, for its other runs do not
        match; 5: it is still going on, or cannot be removed.

    Raises
    ------
    UsageError
        Nothing says which, or there is no such capture or column.
    StorageError
        There is no such data set.
    """
    root, names, conditions = Path(path), list(captures), list(where)
    if not names and not conditions:
        raise UsageError("Which captures? Name them, or choose them with --where COLUMN=VALUE.")
    if (root / CAPTURE_JSON).exists():
        raise UsageError(f"{root} is a capture, not a data set. Name it: `edgeprof rm {root.parent} {root.name}`.")
    chosen = choose(root, names)
    stay: list[Outcome] = []
    if conditions:
        matching = _matching(root, conditions)
        wanted = {capture_id(c) for c in chosen}
        stay = [
            Outcome(name, "stays: other runs of it do not match", 2)
            for name, every in matching.items()
            if not every and name in wanted
        ]
        chosen = [c for c in chosen if matching.get(capture_id(c))]
        if not chosen and not stay:
            return [Outcome(str(root), f"no capture has {' and '.join(conditions)}", 2)]
    if not dry_run:
        _finish_others(root)
    return each(chosen, _would_remove if dry_run else _remove) + stay


def _matching(root: Path, conditions: list[str]) -> dict[str, bool]:
    """Return the captures of which a run matches, and whether all do."""
    dataset = open_dataset(root)
    tables = {name: dataset.arrow(name) for name in ("captures", "runs")}
    kept = dict(tables)
    for condition in conditions:
        column, found, value = condition.partition("=")
        if not found:
            raise UsageError(f"--where takes COLUMN=VALUE, not {condition!r}.")
        name = next((t for t in tables if column in (c.name for c in TABLES[t])), None)
        if name is None:
            raise unknown_name("column of runs or captures", column, {c.name for t in tables for c in TABLES[t]})
        kept[name] = kept[name].filter(pc.equal(kept[name][column], _typed(name, column, value)))
    captures = {str(c) for c in kept["captures"]["capture_id"].to_pylist()}
    total, match = (Counter(map(str, t["runs"]["capture_id"].to_pylist())) for t in (tables, kept))
    by_run = len(kept["runs"]) < len(tables["runs"])
    return {name: match[name] == total[name] for name in sorted(captures) if match[name] or not by_run}


def _typed(table: str, column: str, value: str) -> Any:
    try:
        return pa.scalar(value).cast(arrow_schema(table).field(column).type)
    except pa.ArrowException as error:
        raise UsageError(f"--where: column {column!r} cannot be compared with {value!r} ({error}).") from error


def _would_remove(capture: Path) -> Outcome:
    if capture.is_symlink():
        return _refuse_link(capture)
    size = sum(p.stat().st_size for p in capture.rglob("*") if p.is_file() and not p.is_symlink())
    return Outcome(capture_id(capture), f"would be removed: {size / 1e6:,.1f} MB")


def _refuse_link(capture: Path) -> Outcome:
    return Outcome(capture_id(capture), "stays: it is a link, and what it leads to is not of this data set", 5)


def _remove(capture: Path) -> Outcome:
    if capture.is_symlink():
        return _refuse_link(capture)
    remove_capture(capture)
    return Outcome(capture_id(capture), "removed")


def remove_capture(capture: Path) -> None:
    """Remove one capture.

    Raises
    ------
    LockedError
        It is still going on.
    StorageError
        It cannot be renamed; it is as it was.
    """
    gone = capture.with_name(f"{_GONE}{capture_id(capture)}-{secrets.token_hex(4)}")
    with held(capture):
        pass  # let go before renaming: not every system renames a folder in which a file is open
    try:
        os.replace(capture, gone)
    except OSError as error:
        raise StorageError(f"{capture} cannot be removed ({error.strerror or error}); it is as it was.") from error
    sync(capture.parent)
    shutil.rmtree(gone, ignore_errors=True)


def _finish_others(root: Path) -> None:
    """Delete what removals that died have left."""
    for folder in root.glob(f"{_GONE}*"):
        if not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)
