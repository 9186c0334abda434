"""What the quality gate asks: thresholds, and which evidence must be there under which profile.

Rules are a TOML file (``docs/quality.md``); those of this project are ``ci/quality.toml``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from edgeprof.errors import UsageError, unknown_name
from edgeprof.quality.kinds import KINDS

__all__ = ["PROFILES", "Evidence", "Limits", "Presence", "Rules", "load_rules", "parse_rules"]

Presence = Literal["required", "not run here"]
PROFILES = ("offline", "hosted")
"""``hosted`` requires everything; ``offline`` is for a machine that cannot reach what some checks need."""
_PRESENCE: tuple[Presence, ...] = ("required", "not run here")


@dataclass(frozen=True, slots=True)
class Limits:
    """How good is good enough.

    Attributes
    ----------
    coverage_threshold_percent
        The least coverage.
    security_issues_threshold
        The most findings of all security tools together.
    performance_regression_threshold_percent
        By how much a benchmark may be slower.
    """

    coverage_threshold_percent: float = 80.0
    security_issues_threshold: float = 0.0
    performance_regression_threshold_percent: float = 10.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that a build has to show.

    Attributes
    ----------
    name
        What people call it.
    kind
        A name of :data:`edgeprof.quality.kinds.KINDS`.
    glob
        Where its files are, below the folder of evidence.
    made_by
        What makes it: the next step where it is missing.
    offline, hosted
        Whether it must be there under that profile.
    without
        Patterns of paths that are somebody else's, although ``glob`` matches them.
    why
        Why it cannot be had everywhere; empty where it can.
    """

    name: str
    kind: str
    glob: str
    made_by: str
    offline: Presence
    hosted: Presence
    without: tuple[str, ...] = ()
    why: str = ""

    def required(self, profile: str) -> bool:
        """Tell whether it must be there under a profile."""
        return (self.hosted if profile == "hosted" else self.offline) == "required"


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a quality gate asks."""

    evidence: tuple[Evidence, ...]
    limits: Limits = Limits()


def load_rules(path: Path | str = "") -> Rules:
    """Read rules from a TOML file; without one, those that come with edgeprof.

    Raises
    ------
    UsageError
        It cannot be read, a key, kind or presence in it is not known (the message names the closest), or a value is
        not possible.
    """
    from edgeprof import resources

    file = Path(path) if path else resources.path("ci/quality.toml")
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The rules {file} cannot be read: {error}. docs/quality.md has an example.") from error
    return parse_rules(data, file.name)


def parse_rules(data: Mapping[str, Any], name: str = "quality.toml") -> Rules:
    """Return rules from what a TOML file holds; errors as of :func:`load_rules`, naming the file ``name``."""
    _known(data, ("thresholds", "evidence"), "the rules", name)
    listed = data.get("evidence", [])
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{name} asks for no evidence, so nothing could ever be red: add an [[evidence]].")
    evidence = tuple(_evidence(one, name) for one in listed)
    names = [one.name for one in evidence]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UsageError(f"{name} has two [[evidence]] of the name {twice[0]!r}: give each its own.")
    return Rules(evidence, _limits(data.get("thresholds", {}), name))


def _limits(table: Any, name: str) -> Limits:
    if not isinstance(table, dict):
        raise UsageError(f"[thresholds] of {name} is a table, not {table!r}.")
    _known(table, (f.name for f in fields(Limits)), "[thresholds]", name)
    for key, value in table.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < 0:
            raise UsageError(f"{key} in {name} is a number, 0 or more; not {value!r}.")
    return Limits(**{key: float(value) for key, value in table.items()})


def _evidence(table: Any, name: str) -> Evidence:
    where = f"an [[evidence]] of {name}"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is a table, not {table!r}.")
    _known(table, (f.name for f in fields(Evidence)), "[[evidence]]", name)
    for key in ("name", "kind", "glob", "made_by", *PROFILES):
        if not isinstance(table.get(key), str) or not table[key]:
            raise UsageError(f"{where} ({table.get('name', 'without a name')}) has no {key}, which is a text: add it.")
    if table["kind"] not in KINDS:
        raise unknown_name("kind of evidence", table["kind"], KINDS, f"It is in {name}.")
    for profile in PROFILES:
        if table[profile] not in _PRESENCE:
            raise unknown_name(f"value of {profile}", table[profile], _PRESENCE, f"It is in {name}.")
    if table["hosted"] != "required":
        raise UsageError(f"{where} ({table['name']}) is not required under hosted, which requires everything.")
    without, why = table.get("without", []), table.get("why", "")
    if not isinstance(without, list) or not all(isinstance(one, str) for one in without):
        raise UsageError(f"without in {name} is a list of texts, not {without!r}.")
    if not isinstance(why, str) or (table["offline"] != "required" and not why):
        raise UsageError(f"{where} ({table['name']}) is not run everywhere: say the reason as why, a text.")
    return Evidence(**{**table, "without": tuple(without)})


def _known(table: Mapping[str, Any], known: Iterable[str], where: str, name: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise unknown_name(f"key of {where}", key, names, f"It is in {name}; docs/quality.md explains them.")
