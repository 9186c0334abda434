"""The software bill of materials: CycloneDX 1.6 as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, UnreadableError, as_json, counted, items, table

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["SPEC", "judge", "read"]

SPEC = "1.6"


def read(content: str) -> int:
    """Return how many components a bill of materials lists."""
    data = table(as_json(content), "the whole")
    if (data.get("bomFormat"), data.get("specVersion")) != ("CycloneDX", SPEC):
        said = f"{data.get('bomFormat')!r} {data.get('specVersion')!r}"
        raise UnreadableError(f"it says that it is {said}, not CycloneDX {SPEC}")
    return len(items(data.get("components"), "components"))


def judge(found: Sequence[tuple[str, int]], limits: Limits) -> Reading:
    """Judge whether it lists anything."""
    del limits
    bad = [f"{name} lists no component; wanted what is installed." for name, components in found if not components]
    return Reading(counted(sum(components for _, components in found), "component"), tuple(bad))
