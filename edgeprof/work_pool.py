"""Captures of a sweep at work: side by side where that disturbs none of them, else one at a time."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from edgeprof import boards
from edgeprof.errors import UsageError
from edgeprof.metrics import EXACT_CLOCKS

__all__ = ["at_a_time", "is_exact", "run_all"]

MOST_AT_A_TIME = 8

T = TypeVar("T")


def is_exact(board: str) -> bool:
    """Tell whether a board's clock counts the same on every execution, whatever else this machine does."""
    return boards.get(board).clock in EXACT_CLOCKS


def at_a_time(jobs: int) -> int:
    """Return how many captures run side by side where so many were asked for; 0 is one a core.

    Raises
    ------
    UsageError
        A negative number.
    """
    if jobs < 0:
        raise UsageError(f"{jobs} captures at a time is not possible: give a positive number, or 0 for one a core.")
    return jobs or min(os.cpu_count() or 1, MOST_AT_A_TIME)


def run_all(
    todo: Sequence[T], work: Callable[[T, threading.Event], str | None], *, alone: Callable[[T], bool], workers: int
) -> list[str]:
    """Do all of the work, what may run side by side first; return why some of it failed.

    Parameters
    ----------
    todo
        What there is to do.
    work
        Does one of them and returns why it failed, or None. It gets an event that is set when all shall end.
    alone
        Tells of one of them whether nothing else may run beside it: its clock would notice.
    workers
        How many at a time, from :func:`at_a_time`.
    """
    stop, failures = threading.Event(), list[str]()
    for lonely, most in ((False, workers), (True, 1)):
        with concurrent.futures.ThreadPoolExecutor(most) as pool:
            futures = [pool.submit(work, item, stop) for item in todo if alone(item) == lonely]
            try:
                results = (future.result() for future in concurrent.futures.as_completed(futures))
                failures.extend(error for error in results if error)
            except BaseException:
                stop.set()
                for future in futures:
                    future.cancel()
                raise
    return failures
