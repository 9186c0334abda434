"""Whether two groups of runs measured the same thing in the same way; and if not, in what they differ."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from edgeprof.energy.run_energy import is_synthetic
from edgeprof.errors import NotComparableError, unknown_name

__all__ = ["KINDS", "NOT_ENERGY", "refuse_unlike", "unlike"]

KINDS = ("clock", "emulator", "meter", "model", "prompts", "tokens")
"""In what runs may be unlike; each can be allowed."""
NOT_ENERGY = tuple(kind for kind in KINDS if kind != "meter")
"""What matters to anything but energy."""
_EMULATOR = ("emulator", "emulator_version", "emulator_flags")
_SAMPLING = ("sampler", "temperature", "seed")
_LOOKED_AT = ("clock", *_EMULATOR, "meter", "model", "quant", "model_sha256")


def refuse_unlike(base: pd.DataFrame, candidate: pd.DataFrame, allow: Collection[str] = ()) -> None:
    """Raise NotComparableError where runs are unlike in what is not allowed, with every reason.

    Raises
    ------
    UsageError
        ``allow`` names something that is not of :data:`KINDS`.
    """
    for kind in allow:
        if kind not in KINDS:
            raise unknown_name("way to be unlike", kind, KINDS)
    found = {kind: reason for kind, reason in unlike(base, candidate).items() if kind not in allow}
    if found:
        raise NotComparableError(
            f"These runs are not alike: {'; '.join(found.values())}. Capture them again in the same way, choose runs "
            f"that are alike, or compare nevertheless with --allow-unlike {' --allow-unlike '.join(found)}."
        )


def unlike(base: pd.DataFrame, candidate: pd.DataFrame) -> dict[str, str]:
    """Return in what two groups of runs differ that a comparison depends on: kind to reason, empty where nothing does.

    Parameters
    ----------
    base, candidate
        Rows of table ``runs``; columns ``prompt_sha256``, of the prompts' texts, and ``meter``, of what measured the
        energy, are used if there.
    """
    # Of all columns, whose copies take more time than all of this, those that are looked at.
    both = pd.concat([side[[column for column in _LOOKED_AT if column in side.columns]] for side in (base, candidate)])
    found = {
        "clock": _clock(both),
        "emulator": _emulator(both),
        "meter": _meter(both),
        "model": "" if _in_pairs(base, candidate) else _models(both),
        "prompts": _prompts(base, candidate),
        "tokens": _differing(base, candidate, "n_prompt", "was cut into other numbers of tokens"),
    }
    return {kind: reason for kind, reason in found.items() if reason}


def _clock(both: pd.DataFrame) -> str:
    clocks = sorted(map(str, both["clock"].dropna().unique()))
    if len(clocks) < 2:
        return ""
    return f"their clocks count different things ({', '.join(clocks)}), of which no ratio says anything"


def _emulator(both: pd.DataFrame) -> str:
    for column in _EMULATOR:
        # No emulator is another one than any.
        values = sorted(map(str, both[column].fillna("none").unique()))
        if len(values) > 1:
            return (
                f"{column} differs ({', '.join(values)}), and counts of one clock are exact only on the same emulator, "
                "version and flags"
            )
    return ""


def _meter(both: pd.DataFrame) -> str:
    meters = sorted(map(str, both["meter"].dropna().unique())) if "meter" in both.columns else []
    if len(meters) < 2:
        return ""
    made = [name for name in meters if is_synthetic(name)]
    why = f", and what {', '.join(made)} has is of no board" if made and len(made) < len(meters) else ""
    return f"their energy is by different meters ({', '.join(meters)}), each with a gain and an offset of its own{why}"


def _in_pairs(base: pd.DataFrame, candidate: pd.DataFrame) -> bool:
    """Tell whether these were measured side by side: then what they differ in is what was to be compared."""
    if "pair" not in base.columns or "pair" not in candidate.columns:
        return False
    return bool(set(base["pair"].dropna()) & set(candidate["pair"].dropna()))


def _models(both: pd.DataFrame) -> str:
    known = both[both["model_sha256"].notna()]
    for (model, quant), part in known.groupby(["model", "quant"], dropna=False):
        files = set(part["model_sha256"])
        if len(files) > 1:
            return f"there are {len(files)} different files of {model} at {quant}"
    return ""


def _prompts(base: pd.DataFrame, candidate: pd.DataFrame) -> str:
    for kind in ("generate", "score"):
        mine, theirs = (set(side["prompt_id"][side["kind"] == kind].dropna()) for side in (base, candidate))
        if mine and theirs and not mine & theirs:
            return f"they have no prompt in common ({', '.join(sorted(mine)[:3])}; {', '.join(sorted(theirs)[:3])})"
    reasons = (
        [_differing(base, candidate, "prompt_sha256", "is not the same text in both")]
        if "prompt_sha256" in base.columns and "prompt_sha256" in candidate.columns
        else []
    )
    reasons += [_differing(base, candidate, column, "was sampled in other ways") for column in _SAMPLING]
    return next((reason for reason in reasons if reason), "")


def _differing(base: pd.DataFrame, candidate: pd.DataFrame, column: str, what: str) -> str:
    """Return which prompt has other values of a column on one side than on the other; unknown is not another."""
    mine, theirs = (_values(side, column) for side in (base, candidate))
    for prompt in sorted(mine.keys() & theirs.keys()):
        if mine[prompt] != theirs[prompt]:
            a, b = (", ".join(sorted(str(v)[:12] for v in side[prompt])) for side in (mine, theirs))
            return f"prompt {prompt!r} {what} ({column} {a} and {b})"
    return ""


def _values(runs: pd.DataFrame, column: str) -> dict[str, set[object]]:
    # What did not fit was not tokenized either.
    known = runs[[*dict.fromkeys((column, "sampler", "prompt_id"))]]
    known = known[(runs["kind"] == "generate") & (runs["status"] == "ok") & runs[column].notna()]
    if column == "seed":  # of greedy sampling it says nothing
        known = known[known["sampler"] != "greedy"]
    return {str(prompt): set(part[column]) for prompt, part in known.groupby("prompt_id")}
