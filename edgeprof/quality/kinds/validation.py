"""What the strict validation of the bill of materials came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprof.quality.kinds.sbom import SPEC
from edgeprof.quality.reading import Reading, as_json, count, flag, table, text

if TYPE_CHECKING:
    from edgeprof.quality.rules import Limits

__all__ = ["Validation", "judge", "read"]


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether it is valid, by which version of CycloneDX, with how many components."""

    valid: bool
    spec: str
    components: int


def read(content: str) -> Validation:
    """Return what a validation found."""
    data = table(as_json(content), "the whole")
    return Validation(
        flag(data.get("valid"), "valid"), text(data.get("spec"), "spec"), count(data.get("components"), "components")
    )


def judge(found: Sequence[tuple[str, Validation]], limits: Limits) -> Reading:
    """Judge whether it is valid by the wanted version, and was not empty."""
    del limits
    bad = []
    for name, one in found:
        if not one.valid:
            bad.append(
                f"The SBOM is not valid by {name}; wanted valid CycloneDX {SPEC}. Run its validation and read it."
            )
        if one.spec != SPEC:
            bad.append(f"The SBOM was validated as CycloneDX {one.spec}; wanted {SPEC}.")
        if not one.components:
            bad.append("The SBOM that was validated has no component; wanted what is installed.")
    words = [f"{'valid' if one.valid else 'not valid'}, CycloneDX {one.spec}" for _, one in found]
    return Reading("; ".join(words), tuple(bad))
