"""Finding and reading the files that a build left as evidence."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from edgeprof.errors import StorageError
from edgeprof.quality.judging import File, Quality, judge
from edgeprof.quality.rules import Evidence, load_rules

__all__ = ["judge_folder"]


def judge_folder(reports: str | Path, profile: str = "offline", rules: str | Path = "") -> Quality:
    """Judge the evidence in a folder.

    Parameters
    ----------
    reports
        The folder; artifacts of several machines may lie in folders below it.
    profile
        ``offline`` or ``hosted``.
    rules
        A TOML file; empty: those that come with edgeprof.

    Raises
    ------
    StorageError
        There is no such folder.
    UsageError
        No such profile, or rules that cannot be used.
    """
    folder, asked = Path(reports), load_rules(rules)
    if not folder.is_dir():
        raise StorageError(
            f"There is no evidence at {folder}: the folder does not exist. nox's sessions leave theirs in reports/."
        )
    return judge(asked, profile, {one.name: _files(folder, one) for one in asked.evidence})


def _files(folder: Path, asked: Evidence) -> list[File]:
    """Return the files of one piece of evidence, in order of their names."""
    found: list[File] = []
    for path in sorted(folder.glob(asked.glob)):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or any(fnmatch.fnmatchcase(name, pattern) for pattern in asked.without):
            continue
        try:
            found.append((name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            found.append((name, ValueError("it is no text in UTF-8")))
        except OSError as error:
            found.append((name, ValueError(f"the system says: {error.strerror}")))
    return found
