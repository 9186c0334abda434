"""Making many reports at a time: a process each, so that one that fails or dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from edgeprof.errors import EdgeprofError, ReportError, UsageError
from edgeprof.matrix import Planned

__all__ = ["Outcome", "make_reports"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a report; ``error`` is None where it was made."""

    planned: Planned
    error: EdgeprofError | None


def make_reports(
    planned: Sequence[Planned], out: Path, *, jobs: int = 0, on_done: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Make reports, each in a folder of its own below ``out``; one that fails does not stop the others.

    Parameters
    ----------
    planned
        From :func:`edgeprof.matrix.load_matrix`.
    out
        The folder above them.
    jobs
        Reports at a time; 0 is one a core.
    on_done
        Called with each as it is made or has failed.

    Returns
    -------
    list of Outcome
        In the order of ``planned``.

    Raises
    ------
    UsageError
        A negative number of jobs.
    """
    if jobs < 0:
        raise UsageError(f"{jobs} reports at a time is not possible: give a positive number, or 0 for one a core.")
    outcomes: dict[str, Outcome] = {}
    for outcome in _outcomes(planned, out, jobs or os.cpu_count() or 1):
        outcomes[outcome.planned.slug] = outcome
        if on_done:
            on_done(outcome)
    return [outcomes[one.slug] for one in planned]


def _outcomes(planned: Sequence[Planned], out: Path, jobs: int) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")  # a fork would share this process's sockets and threads
    waiting = list(reversed(planned))
    running: dict[Connection, tuple[Planned, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                one = waiting.pop()
                answers, sends = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(target=_make, args=(one, out / one.slug, sends), name=one.slug)
                process.start()
                sends.close()  # ours; the end of the process then ends the pipe
                running[answers] = one, process
            for answer in wait(list(running)):
                assert isinstance(answer, Connection)
                done, ended = running.pop(answer)
                yield Outcome(done, _answer(answer, ended))
    finally:
        for _, left in running.values():
            left.terminate()
        for _, left in running.values():
            left.join()


def _answer(answer: Connection, process: BaseProcess) -> EdgeprofError | None:
    with answer:
        try:
            error: EdgeprofError | None = answer.recv()
        except EOFError:
            process.join()
            code = process.exitcode or 0
            why = f"signal {-code}" if code < 0 else f"code {code}"
            error = ReportError(f"The process that made the report {process.name} ended with {why} and said nothing.")
    process.join()
    return error


def _make(planned: Planned, out: Path, sends: Connection) -> None:
    """Make one report; what becomes of it goes into the pipe."""
    from edgeprof.report import make_report

    signal.signal(signal.SIGTERM, _terminated)
    try:
        make_report(planned.notebook, out, planned.parameters)
        sends.send(None)
    except EdgeprofError as error:
        sends.send(error)


def _terminated(*_: Any) -> None:
    raise SystemExit(143)  # not at once: the kernel is ended on the way out
