"""What a gate asks: how much worse each metric may become, on which boards, models and quantizations.

Rules are a TOML file (``docs/gate.md``). What it does not say is as in :data:`DEFAULTS`, so an empty file, or none, is
a gate already.
"""

from __future__ import annotations

import fnmatch
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprof.alike import KINDS
from edgeprof.changes import FITS
from edgeprof.errors import UsageError, unknown_name
from edgeprof.metrics import METRICS
from edgeprof.verdicts import alpha_of_looks

__all__ = ["CELL", "DEFAULTS", "Override", "Rule", "Rules", "load_rules", "parse_rules"]

CELL = ("board", "model", "quant")
"""What tells one cell of a gate from another."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one metric is judged.

    Attributes
    ----------
    metric
        A name of :data:`edgeprof.metrics.METRICS` that has a direction, or ``fits``.
    limit
        By how much it may be worse, as a fraction.
    optional
        Whether it is passed over where the base has no value, rather than being a reason not to pass.
    """

    metric: str
    limit: float
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Override:
    """What is otherwise for some cells: None where the override does not say. Names are shell patterns."""

    metric: str
    board: str | None = None
    model: str | None = None
    quant: str | None = None
    limit: float | None = None
    optional: bool | None = None

    def is_for(self, cell: Mapping[str, str]) -> bool:
        """Tell whether it is for a cell, given its board, model and quantization."""
        wanted = {"board": self.board, "model": self.model, "quant": self.quant}
        return all(pattern is None or fnmatch.fnmatchcase(cell[name], pattern) for name, pattern in wanted.items())


DEFAULTS = (
    Rule("prefill_ticks_per_token", 0.10),
    Rule("decode_ticks_per_token", 0.10),
    Rule("ttft_ticks", 0.10),
    Rule("itl_p95_ticks", 0.10),
    Rule(FITS, 0.0),
    # Not every capture scores a text, and not every firmware says what it needs.
    Rule("perplexity", 0.01, optional=True),
    Rule("model_bytes", 0.10, optional=True),
    Rule("ram_needed_bytes", 0.10, optional=True),
    Rule("flash_needed_bytes", 0.10, optional=True),
)
"""What is judged if no rules say otherwise."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a gate asks.

    Attributes
    ----------
    metrics
        One rule a metric, in order.
    overrides
        What is otherwise for some cells; of several that are for a cell, the later one counts.
    smallest
        The smallest effect that is worth reporting, as a fraction; None: as comparisons have it for each metric.
    looks
        At how many planned looks growing data are judged.
    match
        By which of board, model and quantization cells of base and candidate belong together.
    allow
        In what base and candidate may be unlike (:data:`edgeprof.alike.KINDS`).
    """

    metrics: tuple[Rule, ...] = DEFAULTS
    overrides: tuple[Override, ...] = ()
    smallest: float | None = None
    looks: int = 1
    match: tuple[str, ...] = CELL
    allow: tuple[str, ...] = ()

    def of(self, cell: Mapping[str, str]) -> tuple[Rule, ...]:
        """Return the rules for a cell, given its board, model and quantization."""
        found = []
        for rule in self.metrics:
            for override in self.overrides:
                if override.metric == rule.metric and override.is_for(cell):
                    limit, optional = override.limit, override.optional
                    rule = replace(
                        rule,
                        limit=rule.limit if limit is None else limit,
                        optional=rule.optional if optional is None else optional,
                    )
            found.append(rule)
        return tuple(found)


def load_rules(path: Path) -> Rules:
    """Read rules from a TOML file.

    Raises
    ------
    UsageError
        It cannot be read, a key or metric in it is not known (the message names the closest), or a value is not
        possible.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The rules {path} cannot be read: {error}. docs/gate.md has an example.") from error
    return parse_rules(data, path.name)


_KEYS = {"gate", "metric", "override"}
_GATE = {"smallest_pct", "looks", "match", "allow_unlike", "defaults"}
_METRIC = {"limit_pct", "optional"}


def parse_rules(data: Mapping[str, Any], name: str = "gate.toml") -> Rules:
    """Return rules from what a TOML file holds; errors as of :func:`load_rules`, naming the file ``name``."""
    _known(data, _KEYS, "the rules", name)
    gate = _table(data.get("gate", {}), "[gate]", name)
    _known(gate, _GATE, "[gate] of the rules", name)
    by_name = {rule.metric: rule for rule in DEFAULTS} if _flag(gate.get("defaults", True), "defaults", name) else {}
    for metric, asked in _table(data.get("metric", {}), "[metric]", name).items():
        where = f"[metric.{metric}]"
        _judged(metric, name)
        _known(_table(asked, where, name), _METRIC, f"{where} of the rules", name)
        limit, optional = _limit(asked, metric, where, name), _optional(asked, where, name)
        if limit is None:  # fits has none
            limit = next((rule.limit for rule in DEFAULTS if rule.metric == metric), None)
        if limit is None:
            raise UsageError(
                f"{where} of {name} says no limit_pct, and there is no default for it: add limit_pct = 10."
            )
        by_name[metric] = Rule(metric, limit, bool(optional))  # who lists a metric wants it judged
    overrides = data.get("override", [])
    if not isinstance(overrides, list):
        raise UsageError(f"override in {name} is a list of tables: write [[override]], with two brackets.")
    return Rules(
        metrics=tuple(by_name.values()),
        overrides=tuple(_override(one, set(by_name), name) for one in overrides),
        smallest=_fraction(gate["smallest_pct"], "smallest_pct", name) if "smallest_pct" in gate else None,
        looks=_looks(gate.get("looks", 1), name),
        match=_match(gate.get("match", list(CELL)), name),
        allow=_names(gate.get("allow_unlike", []), "allow_unlike", KINDS, name),
    )


def _override(table: Any, judged: set[str], name: str) -> Override:
    where = "[[override]]"
    _known(_table(table, where, name), {"metric", *CELL, *_METRIC}, f"{where} of the rules", name)
    if "metric" not in table:
        raise UsageError(f'An {where} of {name} says no metric: add metric = "decode_ticks_per_token".')
    metric = _text(table["metric"], "metric", name)
    _judged(metric, name)
    if metric not in judged:
        raise UsageError(f"An {where} of {name} is for {metric}, which is not judged: add [metric.{metric}].")
    return Override(
        metric,
        **{key: _text(table[key], key, name) for key in CELL if key in table},
        limit=_limit(table, metric, where, name),
        optional=_optional(table, where, name),
    )


def _known(table: Mapping[str, Any], known: set[str], where: str, name: str) -> None:
    for key in table:
        if key not in known:
            raise unknown_name(f"key of {where}", key, known, f"It is in {name}; docs/gate.md explains them.")


def _judged(metric: str, name: str) -> None:
    """Refuse what is not judged."""
    judged = [FITS, *(n for n, m in METRICS.items() if m.better)]
    if metric not in judged:
        raise unknown_name("metric to judge", metric, judged, f"It is in {name}.")


def _table(value: Any, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} of {name} is a table, not {value!r}; docs/gate.md has an example.")
    return value


def _text(value: Any, key: str, name: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{key} in {name} is a text, not {value!r}: put it in quotation marks.")
    return value


def _flag(value: Any, key: str, name: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{key} in {name} is true or false, not {value!r}.")
    return value


def _optional(table: Mapping[str, Any], where: str, name: str) -> bool | None:
    return _flag(table["optional"], f"optional of {where}", name) if "optional" in table else None


def _limit(table: Mapping[str, Any], metric: str, where: str, name: str) -> float | None:
    if "limit_pct" not in table:
        return None
    if metric == FITS:
        raise UsageError(f"{where} of {name} says a limit_pct: a model fits or does not, so {FITS} has no limit.")
    return _fraction(table["limit_pct"], f"limit_pct of {where}", name, zero=True)


def _fraction(value: Any, key: str, name: str, *, zero: bool = False) -> float:
    number = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise UsageError(f"{key} in {name} is a number of percent, {least}; not {value!r}.")
    return float(value) / 100


def _looks(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"looks in {name} is a whole number, not {value!r}.")
    alpha_of_looks(value)
    return value


def _match(value: Any, name: str) -> tuple[str, ...]:
    """Return by what cells are matched, in the usual order."""
    found = _names(value, "match", CELL, name)
    if "board" not in found:
        raise UsageError(f"match in {name} lacks the board: ticks of two boards are not the same.")
    return tuple(column for column in CELL if column in found)


def _names(value: Any, key: str, known: Sequence[str], name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{key} in {name} is a list, not {value!r}: {key} = [{', '.join(map(repr, known[:2]))}].")
    for one in value:
        if one not in known:
            raise unknown_name(f"value of {key}", str(one), known, f"It is in {name}.")
    return tuple(value)
