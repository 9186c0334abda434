"""Runs that were measured in pairs, found again by their tags.

What was measured side by side carries the same ``pair``, and which ``side`` it was: ``base`` or ``candidate``. A pair
that was cut off keeps its half in the data set; as it is measured again under another ``pair``, that half has no
partner, and no comparison may use it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["FINISHED", "IDENTITY", "SIDES", "TAGS", "matched_runs", "pair_tags", "unchanged"]

SIDES = ("base", "candidate")
TAGS = ("pair", "side", "session")
FINISHED = ("ok", "does_not_fit")
"""The statuses of runs that came to their end: whether a model fits is an answer, too."""
IDENTITY = ("firmware_sha256", "model_sha256")
"""The columns of ``runs`` in which the sides of a pair are alike if nothing changed between them."""


def pair_tags(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what the tags of runs say of pairs.

    Parameters
    ----------
    runs
        Rows of table ``runs``.

    Returns
    -------
    pandas.DataFrame
        Columns ``pair``, ``side`` and ``session`` by the index of ``runs``; None where a run does not say.
    """
    rows = [_texts(text) for text in runs["tags"]]
    return pd.DataFrame(rows, index=runs.index, columns=list(TAGS), dtype=object)


def _texts(tags: Any) -> list[str | None]:
    """Return the three tags of a run. A device may have said anything: what is no text is not there."""
    try:
        found = json.loads(tags) if isinstance(tags, str) else {}
    except (ValueError, RecursionError):
        found = {}
    values = [found.get(name) if isinstance(found, dict) else None for name in TAGS]
    return [value if isinstance(value, str) else None for value in values]


def unchanged(base: pd.DataFrame, candidate: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Tell between which runs neither firmware nor model changed; what is unknown may have.

    Parameters
    ----------
    base, candidate
        Rows of table ``runs``, n of each: row i of the one beside row i of the other.

    Returns
    -------
    numpy.ndarray
        Shape (n,).
    """
    same = np.ones(len(base), bool)
    for column in IDENTITY:
        one, other = (side[column].astype(object) for side in (base, candidate))
        known = (one.notna().to_numpy(bool)) & other.notna().to_numpy(bool)
        same &= known & (one.fillna("").to_numpy(object) == other.fillna("").to_numpy(object))
    return same


def matched_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of all whole pairs, base and candidate side by side.

    A pair is whole if it is one capture of each side on one board, and both finished the same prompts and texts.

    Parameters
    ----------
    runs
        Rows of table ``runs``; those that are no part of a pair are passed over.

    Returns
    -------
    pandas.DataFrame
        A row for each prompt or text of each pair, pairs in the order in which they were measured: ``pair``,
        ``session``, ``board``, ``kind``, ``prompt_id``, ``base`` and ``candidate`` (their ``run_id``).
    """
    tags = pair_tags(runs)
    own = ["capture_id", "run_id", "board", "kind", "prompt_id"]
    finished = runs["status"].isin(FINISHED) & tags["side"].isin(SIDES) & tags["pair"].notna()
    rows = pd.concat([runs.loc[finished, own], tags[finished]], axis=1)
    columns = ["pair", "session", "board", "kind", "prompt_id", *SIDES]
    found: list[dict[str, Any]] = []
    for pair, part in sorted(rows.groupby("pair", sort=False), key=lambda named: min(named[1]["capture_id"])):
        base, candidate = (_by_prompt(part[part["side"] == side]) for side in SIDES)
        if len(set(part["board"])) > 1 or base is None or candidate is None or base.keys() != candidate.keys():
            continue
        first = part.iloc[0]
        found += [
            {"pair": pair, "session": first["session"], "board": first["board"], "kind": kind, "prompt_id": prompt}
            | {"base": run, "candidate": candidate[kind, prompt]}
            for (kind, prompt), run in base.items()
        ]
    return pd.DataFrame(found, columns=columns, dtype=object)


def _by_prompt(half: pd.DataFrame) -> dict[tuple[str, str], str] | None:
    """Return what each prompt's run is called; None if there is no capture, or more than one."""
    if len(set(half["capture_id"])) != 1 or half.duplicated(["kind", "prompt_id"]).any():
        return None
    names = half[["kind", "prompt_id"]].fillna("").astype(str).itertuples(index=False)
    return {(kind, prompt): str(run) for (kind, prompt), run in zip(names, half["run_id"], strict=True)}
