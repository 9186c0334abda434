"""Which runs belong together, and which group is the one that the others are held against."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.pairs import TAGS, pair_tags

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["Name", "baselines", "grouped", "labelled"]

Name = tuple[str, ...]
"""A group's values of the columns that tell groups apart, unknown as an empty text."""


def labelled(dataset: Dataset) -> pd.DataFrame:
    """Return the runs of devices with what else tells them apart: ``day`` (UTC), tags, the prompts' digests.

    What a host saw printed, or what was imported, has no passes of a device and is left out.
    """
    runs = dataset.runs
    said = (runs["kind"] == "llama-bench") | ((runs["clock"] == "host") & runs["boot"].isna())
    runs = runs[~said]
    others = pd.DataFrame([_tags(text) for text in runs["tags"]], index=runs.index, dtype=object)
    own = [name for name in others.columns if name not in (*runs.columns, *TAGS)]
    runs = pd.concat([runs, pair_tags(runs), others[own]], axis=1)
    days = dataset.table("captures", ["capture_id", "started_at"])
    day = dict(zip(days["capture_id"], days["started_at"].astype(str).str[:10], strict=True))
    prompts = dataset.table("prompts", ["capture_id", "prompt_id", "sha256"])
    text = dict(zip(zip(prompts["capture_id"], prompts["prompt_id"], strict=True), prompts["sha256"], strict=True))
    ids = zip(runs["capture_id"], runs["prompt_id"], strict=True)
    digests = pd.Series([text.get(key) for key in ids], index=runs.index, dtype=object)
    return runs.assign(day=runs["capture_id"].map(day), prompt_sha256=digests)


def _tags(text: Any) -> dict[str, str]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def grouped(rows: pd.DataFrame, key: Sequence[str]) -> dict[Name, pd.DataFrame]:
    """Return the groups by name, in order of their names."""
    found = rows.groupby(list(key), dropna=False, sort=True)
    return {tuple("" if pd.isna(v) else str(v) for v in name): part for name, part in found}  # type: ignore[call-overload]


def baselines(
    groups: Mapping[Name, pd.DataFrame], key: Sequence[str], wanted: str | Mapping[str, str] | None, *, within: bool
) -> dict[Name, Name]:
    """Return each group's baseline.

    Parameters
    ----------
    groups
        From :func:`grouped`.
    key
        The columns that tell groups apart, the board first.
    wanted
        A value of the first column that is not the board or the model (of the board, where boards are compared), or
        column to value. By default the group with the most bits per weight, the first by name where several have them.
    within
        True where each board has its own baseline; False where boards are compared with each other.

    Raises
    ------
    NotComparableError
        The baseline does not fit on a board.
    UsageError
        An unknown column or value; the message names the closest.
    """
    fixed = ("board", "model") if within else ("model",)
    column = next((c for c in key if c not in fixed), key[-1])
    want = {column: wanted} if isinstance(wanted, str) else {c: str(v) for c, v in (wanted or {}).items()}
    for name in want:
        if name not in key:
            raise unknown_name("column of the comparison", name, list(key))
    if not within:
        base = _baseline(groups, key, want, "of any board")
        return dict.fromkeys(groups, base)
    chosen: dict[Name, Name] = {}
    for board in sorted({name[0] for name in groups}):
        mine = {n: g for n, g in groups.items() if n[0] == board}
        chosen |= dict.fromkeys(mine, _baseline(mine, key, want, f"of board {board!r}"))
    return chosen


def _baseline(groups: Mapping[Name, pd.DataFrame], key: Sequence[str], want: Mapping[str, str], where: str) -> Name:
    fits = {n: g for n, g in groups.items() if (g["status"] == "ok").any()} or groups
    chosen = [n for n in fits if all(n[key.index(c)] == v for c, v in want.items())]
    if not chosen:
        if any(all(n[key.index(c)] == v for c, v in want.items()) for n in groups):
            raise NotComparableError(f"The baseline {dict(want)} {where} does not fit; choose another one.")
        for column, value in want.items():
            known = {n[key.index(column)] for n in fits}
            if value not in known:
                raise unknown_name(f"baseline {column}", value, known, f"It was looked for among the groups {where}.")
        raise UsageError(f"No group {where} has {dict(want)}.")

    def bits(name: Name) -> float:
        value = groups[name]["bits_per_weight"].max()
        return 0.0 if pd.isna(value) else float(value)

    return min(chosen, key=lambda n: (-bits(n), n))
