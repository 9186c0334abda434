"""How many files a process may have open: a lab with a thousand ports needs more than a shell grants."""

from __future__ import annotations

import contextlib

__all__ = ["raise_limit"]


def raise_limit() -> None:
    """Raise this process's limit of open files to what the system allows (POSIX)."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
