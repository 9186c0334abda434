"""Attestations of what was built, as ``gh attestation verify --format json`` prints those that it verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, as_json, counted, items, table

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["judge", "read"]


def read(content: str) -> int:
    """Return how many attestations were verified."""
    verified = items(as_json(content), "the whole")
    for one in verified:
        result = table(table(one, "an attestation").get("verificationResult"), "verificationResult")
        items(table(result.get("statement"), "statement").get("subject"), "subject")
    return len(verified)


def judge(found: Sequence[tuple[str, int]], limits: Limits) -> Reading:
    """Judge whether something was attested."""
    del limits
    bad = [f"{name} verified no attestation; wanted at least one." for name, verified in found if not verified]
    return Reading(f"{counted(sum(verified for _, verified in found), 'attestation')} verified", tuple(bad))
