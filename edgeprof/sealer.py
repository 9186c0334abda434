"""The sealer process: follows a capture's journal and makes Parquet of it.

``python -m edgeprof.sealer CAPTURE [--every SECONDS] [--bytes N] [--keep-wire all|DAYS|none]`` seals a segment every so
often. When its standard input ends it waits for the reader to be gone, seals the rest and ends.
It only reads the journal, so it may die at any moment and be started again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edgeprof.errors import EdgeprofError, LockedError, StorageError
from edgeprof.journal import stream_end
from edgeprof.keepwire import DAY_SECONDS, drop_old_wire, kept_days
from edgeprof.leaving import leave
from edgeprof.open_files import raise_limit
from edgeprof.seal import load_capture, load_manifests, seal

__all__ = ["finish", "hold", "main"]

READER_GRACE_SECONDS = 30.0
NICENESS = 5
"""The reader goes first: what it does not read in time is lost, and what is sealed later is not."""


def hold(capture: Path, name: str, timeout: float = 0.0) -> FileLock:
    """Take one of a capture's two locks (``reader`` or ``sealer``).

    Raises
    ------
    LockedError
        Another process holds it.
    StorageError
        The folder cannot be written.
    """
    lock = FileLock(capture / f"{name}.lock")
    try:
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise LockedError(
            f"{capture.name} is being written by another process (its {name} is alive). Wait until that capture "
            "has ended, or stop it with Ctrl-C where it runs; nothing was changed."
        ) from error
    except OSError as error:
        raise StorageError(f"{capture} cannot be written ({error.strerror or error}); nothing was changed.") from error
    return lock


def finish(capture: Path, *, keep_days: float = math.inf, known: list[dict[str, Any]] | None = None) -> None:
    """Seal all that is left of a capture whose reader is gone, and close it; ``known`` as of :func:`seal`."""
    seal(capture, final=True, keep_wire=keep_days > 0, known=known)
    _drop_old_wire(capture, load_capture(capture), load_manifests(capture) if known is None else known, keep_days)
    for lock in capture.glob("*.lock"):
        lock.unlink(missing_ok=True)


def _drop_old_wire(capture: Path, header: dict[str, Any], manifests: list[dict[str, Any]], days: float) -> None:
    lasted_s = (time.monotonic_ns() - header["monotonic_start_ns"]) / 1e9
    # Files are dated by a clock that may jump, as on a board's first contact with a time server; this one does not.
    if 0 < days < math.inf and not 0 <= lasted_s < days * DAY_SECONDS:
        drop_old_wire(capture, manifests, days)


def _pending(capture: Path, sealed: list[int]) -> int:
    return sum(stream_end(capture, port) - offset for port, offset in enumerate(sealed))


def follow(
    capture: Path, every: float, n_bytes: int, stop: threading.Event, *, keep_days: float
) -> list[dict[str, Any]]:
    """Seal segments until ``stop`` is set, and return the manifests; wire bytes older than ``keep_days`` go."""
    header = load_capture(capture)
    manifests = load_manifests(capture)
    for manifest in manifests[:-1]:
        manifest["states"] = []
    sealed = [s["offset"] for s in manifests[-1]["states"]] if manifests else [0] * len(header["ports"])
    last = time.monotonic()
    while not stop.wait(min(0.2, every)):
        due = time.monotonic() - last >= every
        if (due or _pending(capture, sealed) >= n_bytes) and seal(capture, keep_wire=keep_days > 0, known=manifests):
            sealed = [s["offset"] for s in manifests[-1]["states"]]
            _drop_old_wire(capture, header, manifests, keep_days)
        if due:
            last = time.monotonic()
    return manifests


def main() -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--every", type=float, default=600.0)
    parser.add_argument("--bytes", type=int, default=64 << 20)
    parser.add_argument("--keep-wire", default="all")
    args = parser.parse_args()
    if hasattr(os, "nice"):  # Windows has none
        os.nice(NICENESS)
    raise_limit()
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    try:
        days = kept_days(args.keep_wire)
        # A lock is held for as long as its object lives.
        with hold(args.capture, "sealer"):
            manifests = follow(args.capture, args.every, args.bytes, stop, keep_days=days)
            with hold(args.capture, "reader", READER_GRACE_SECONDS):
                finish(args.capture, keep_days=days, known=manifests)
    except EdgeprofError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main())
