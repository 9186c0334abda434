"""What was checked of the container images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprof.quality.reading import Reading, as_json, counted, flag, items, listed, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["Built", "judge", "read"]


@dataclass(frozen=True, slots=True)
class Built:
    """The images that were built, and (name, passed, detail) of each check."""

    images: tuple[str, ...]
    checks: tuple[tuple[str, bool, str], ...]


def read(content: str) -> Built:
    """Return what was built and checked."""
    data = table(as_json(content), "the whole")
    checks = [table(check, "a check") for check in items(data.get("checks"), "checks")]
    return Built(
        tuple(table(data.get("built"), "built")),
        tuple(
            (text(c.get("name"), "the name of a check"), flag(c.get("passed"), "passed"), str(c.get("detail") or ""))
            for c in checks
        ),
    )


def judge(found: Sequence[tuple[str, Built]], limits: Limits) -> Reading:
    """Judge whether images were built and every check passed."""
    del limits
    checks = [check for _, built in found for check in built.checks]
    bad = [f"{name} says of no image that it was built; wanted one." for name, built in found if not built.images]
    bad += [f"{name} checked nothing; wanted at least one check." for name, built in found if not built.checks]
    failed = [f"{name} ({detail})" if detail else name for name, passed, detail in checks if not passed]
    if failed:
        said = f"{len(failed)} of {counted(len(checks), 'check')} failed; wanted none: {listed(failed)}."
        bad.append(f"{said} Mend the image, then build it again.")
    images = sum(len(built.images) for _, built in found)
    return Reading(
        f"{counted(images, 'image')}, {len(checks) - len(failed)} of {counted(len(checks), 'check')} passed", tuple(bad)
    )
