"""What an explorer shows: one frozen value, from which everything that is drawn follows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from edgeprof.errors import UsageError, unknown_name

__all__ = ["DETAILS", "PHASES", "VALUES", "View", "changed", "code", "validated"]

PHASES = ("decode", "prefill", "score")
VALUES = {"ticks": "latency", "nll": "NLL"}
"""Columns of ``tokens`` that can be looked at, and what they are called."""
DETAILS = {"pareto": "Pareto front", "memory": "memory budget", "stages": "stage profile"}
"""What can stand below the cost of passes, and what it is called."""


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at.

    Attributes
    ----------
    boards, quants, prompts
        Only runs of these; empty: of all. Evaluation texts count for the Pareto front whatever the prompt.
    phase
        Passes of which phase: ``decode``, ``prefill`` or ``score``.
    value
        What of a token: ``ticks`` (its latency, in ticks of the board's clock) or ``nll`` (its negative
        log-likelihood, in nat).
    detail
        What stands below: ``pareto``, ``memory`` or ``stages``.
    x, y
        The metrics of the Pareto front.
    run_a, run_b
        The pinned runs, by ``run_id``; empty: none.
    first, last
        The brushed positions, both included; None: from the first, to the last.
    look
        ``light`` or ``dark``.
    """

    boards: tuple[str, ...] = ()
    quants: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    phase: str = "decode"
    value: str = "ticks"
    detail: str = "pareto"
    x: str = "model_bytes"
    y: str = "decode_ticks_per_token"
    run_a: str = ""
    run_b: str = ""
    first: int | None = None
    last: int | None = None
    look: str = "light"


def changed(view: View, changes: dict[str, Any]) -> View:
    """Return a view with some attributes changed; several names are a tuple, whatever they came in.

    Raises
    ------
    UsageError
        There is no such attribute; the message names the closest.
    """
    known = {f.name: f for f in fields(View)}
    said: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise unknown_name("attribute of a view", name, known)
        several = isinstance(getattr(view, name), tuple)
        # An empty word is nothing chosen: so a notebook's parameter can be handed on as it is.
        said[name] = (((value,) if value else ()) if isinstance(value, str) else tuple(value)) if several else value
    return replace(view, **said)


def validated(view: View) -> View:
    """Return a view whose words are all known; what a data set has to know is checked when it is drawn.

    Raises
    ------
    UsageError
        A phase, value, detail or look that there is not, or a range that ends before it begins.
    """
    from edgeprof.fronts import directions
    from edgeprof.plots.style import LOOKS

    for what, name, known in (
        ("phase", view.phase, PHASES), ("value of a token", view.value, VALUES), ("detail", view.detail, DETAILS),
        ("look of plots", view.look, LOOKS),
    ):  # fmt: skip
        if name not in known:
            raise unknown_name(what, name, known)
    directions((view.x, view.y))
    if view.first is not None and view.last is not None and view.last < view.first:
        raise UsageError(
            f"Positions from {view.first} to {view.last} hold nothing: give the smaller number as `first`."
        )
    return view


def code(view: View, data: str) -> str:
    """Return a notebook cell that draws a view anew, with nothing in it that is as it is by default."""
    usual = View()
    said = [
        f"    {f.name}={getattr(view, f.name)!r},"
        for f in fields(View)
        if getattr(view, f.name) != getattr(usual, f.name)
    ]
    arguments = "\n" + "\n".join(said) + "\n" if said else ""
    return (
        "import edgeprof\nfrom edgeprof.explorer import View, figure\n\n"
        f"ds = edgeprof.open({data!r})\nview = View({arguments})\nfigure(ds, view)"
    )
