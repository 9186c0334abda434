"""What of a cell the candidate did not finish although the base did: what is not measured may be worse.

A run that times out, resets or ends in an error leaves no number behind, so that the numbers look as well as before.
Shares are compared, not counts: a base that fails as often is no better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from edgeprof.pairs import FINISHED

__all__ = ["Lost", "find_lost"]

_UNFIT = "does_not_fit"
_UNSEEN = "its end was not seen"


@dataclass(frozen=True, slots=True)
class Lost:
    """What was lost of a cell, and why it cannot be judged for that; empty where nothing was.

    Attributes
    ----------
    word
        ``missing``, ``not finished`` or ``does not fit``.
    text
        Which prompts and texts, how many runs of how many, with what became of them; and what to do next.
    """

    word: str = ""
    text: str = ""


def find_lost(base: pd.DataFrame | None, candidate: pd.DataFrame | None) -> Lost:
    """Return what of a cell was lost.

    Parameters
    ----------
    base, candidate
        Rows of table ``runs``, finished or not; None where there is none.
    """
    mine, theirs = _ends(base), _ends(candidate)
    if not theirs:
        parts = [f"{prompt} (not measured)" for prompt in sorted(mine)]
        return Lost("missing", f"The candidate has no run of it: {', '.join(parts)}. {_MEASURE}") if parts else Lost()
    if not _finished(theirs):
        return Lost("not finished", _nothing_finished(mine, theirs))
    parts, words = [], set()
    fits = any(ends["ok"] for ends in theirs.values())
    for prompt in sorted(mine):
        before, after = mine[prompt], theirs.get(prompt, Counter[str]())
        bad = _worse(before, after, fits=fits)
        if bad:
            parts.append(_part(prompt, before, after, bad))
            words.add("does not fit" if bad == {_UNFIT} else "not finished")
        elif not after and _finished({prompt: before}):
            parts.append(f"{prompt} (not measured)")
            words.add("not finished")
    if not parts:
        return Lost()
    word = "does not fit" if words == {"does not fit"} else "not finished"
    return Lost(word, f"The candidate did not finish what the base did: {', '.join(parts)}. {_AGAIN}")


_MEASURE = "Measure it, or take it out of the base."
_AGAIN = "Find out why, and measure it again; captures that were only interrupted can be taken out (`edgeprof rm`)."


def _ends(runs: pd.DataFrame | None) -> dict[str, Counter[str]]:
    """Return how often the runs of each prompt and text came to each end."""
    found: dict[str, Counter[str]] = {}
    if runs is not None:
        prompts = runs["prompt_id"].fillna("").astype(str)
        statuses = runs["status"].astype(object).fillna(_UNSEEN)
        for kind, prompt, status in zip(runs["kind"], prompts, statuses, strict=True):
            name = f"{'text' if kind == 'score' else 'prompt'} {prompt!r}"
            found.setdefault(name, Counter())[str(status)] += 1
    return found


def _finished(ends: dict[str, Counter[str]]) -> bool:
    return any(counts[status] for counts in ends.values() for status in FINISHED)


def _worse(base: Counter[str], candidate: Counter[str], *, fits: bool) -> set[str]:
    """Return the ends of a prompt's runs that are a larger share of the candidate's than of the base's.

    Where nothing of the candidate fits, that is judged as such.
    """
    unfinished = {*base, *candidate} - set(FINISHED)
    kinds = [unfinished, {_UNFIT}] if fits else [unfinished]
    return set().union(*(kind for kind in kinds if _share(candidate, kind) > _share(base, kind)))


def _share(ends: Counter[str], of: Collection[str]) -> float:
    return sum(ends[end] for end in of) / ends.total() if ends else 0.0


def _part(prompt: str, base: Counter[str], candidate: Counter[str], bad: Collection[str]) -> str:
    before = sum(base[end] for end in bad)
    beside = f"; of the base's {before} of {base.total()}" if before else ""
    return f"{prompt} ({_count(candidate, bad)}{beside})"


def _count(ends: Counter[str], bad: Collection[str]) -> str:
    """Return how many runs of how many came to these ends: ``3 of 10 runs: 2 timeout, 1 error``."""
    counts = [(ends[end], end.replace("_", " ")) for end in sorted(bad) if ends[end]]
    said = counts[0][1] if len(counts) == 1 else ", ".join(f"{n} {end}" for n, end in counts)
    return f"{sum(n for n, _ in counts)} of {ends.total()} runs: {said}"


def _nothing_finished(base: dict[str, Counter[str]], candidate: dict[str, Counter[str]]) -> str:
    theirs = ", ".join(f"{prompt} ({_count(ends, ends)})" for prompt, ends in sorted(candidate.items()))
    if not base:
        return f"It is new, and the candidate has no finished run of it: {theirs}. {_AGAIN}"
    if _finished(base):
        return f"The candidate has no finished run of it: {theirs}. {_AGAIN}"
    mine = ", ".join(f"{prompt} ({_count(ends, ends)})" for prompt, ends in sorted(base.items()))
    return f"Neither side has a finished run of it: the base {mine}; the candidate {theirs}. {_AGAIN}"
