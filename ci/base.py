"""Which commit a change is compared with."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ANYBODYS = ("-c", "safe.directory=*")
"""In a container the clone belongs to the user outside, and git refuses what is another's."""


def git(root: Path, *words: str) -> str:
    """Return what git says in a clone, also in one of another user; nothing where it fails, or is not there."""
    command = ["git", *ANYBODYS, "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit(root: Path, name: str) -> str:
    """Return the full name of a commit; nothing where the clone does not have it."""
    return git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def base_of(root: Path, asked: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the commit that HEAD is compared with; nothing where there is none.

    It is the one that was asked for, else where HEAD left the branch that a pull request goes to (``GITHUB_BASE_REF``)
    or the main branch, else the commit before.
    """
    if asked:
        return commit(root, asked[0])
    head = commit(root, "HEAD")
    target = environment.get("GITHUB_BASE_REF", "")
    for branch in (f"origin/{target}", target) if target else ("origin/main", "main"):
        left = git(root, "merge-base", "HEAD", branch)
        if left and left != head:
            return left
    return commit(root, "HEAD~1")
