"""GitHub's ``needs``: how each job that the gate waited for ended.

GitHub takes a job that was skipped for one that passed; here only success is success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, as_json, counted, listed, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["judge", "read"]


def read(content: str) -> Mapping[str, str]:
    """Return each job's result."""
    data = table(as_json(content), "the whole")
    return {job: text(table(entry, job).get("result"), f"result of {job}") for job, entry in data.items()}


def judge(found: Sequence[tuple[str, Mapping[str, str]]], limits: Limits) -> Reading:
    """Judge whether all jobs succeeded."""
    del limits
    jobs = [(job, result) for _, results in found for job, result in results.items()]
    bad = [f"{name} names no job; wanted all that the gate needs." for name, results in found if not results]
    if lost := [f"{job}: {result}" for job, result in jobs if result != "success"]:
        bad.append(
            f"{len(lost)} of {counted(len(jobs), 'job')} without success; wanted all: {listed(lost)}. Read their logs."
        )
    return Reading(f"{len(jobs) - len(lost)} of {counted(len(jobs), 'job')} succeeded", tuple(bad))
