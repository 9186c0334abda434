"""Which files belong to the project: those that git knows, or, where there is no git, those that nothing made."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ci.base import ANYBODYS

MADE = {
    ".git", ".nox", ".venv", ".hypothesis", ".ipynb_checkpoints", "__pycache__", "build", "dist", "demo-out", "reports",
    "_build", "made",
}  # fmt: skip


def tracked(root: Path, *, also_new: bool = False) -> list[str]:
    """Return the project's files, relative to its folder; those that git was not told of yet, too, if asked."""
    command = ["git", *ANYBODYS, "-C", str(root), "ls-files", "-z", "--cached"]
    if also_new:
        command += ["--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        names = done.stdout.split("\0") if done.returncode == 0 else []
    except FileNotFoundError:
        names = []
    names = [name for name in names if name] or [path.relative_to(root).as_posix() for path in root.rglob("*")]
    return sorted(name for name in names if (root / name).is_file() and not made(name))


def made(name: str) -> bool:
    """Return whether a file was made by a session, a tool or a run."""
    parts = Path(name).parts
    return bool(MADE.intersection(parts)) or any(part.endswith("_cache") for part in parts)
