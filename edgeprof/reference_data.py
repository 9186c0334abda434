"""The reference data: small models at every quantization on every emulated board, captured by plans beside them.

The clocks are exact, so capturing them anew gives the same device columns to the last digit, which
:func:`check_reference` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeprof import boards, resources
from edgeprof.errors import DeviceError, UsageError, unknown_name
from edgeprof.same import differences
from edgeprof.store import open_dataset
from edgeprof.sweep import Plan, load_plan

__all__ = ["build_reference", "check_reference", "missing_boards", "reference_plans"]

NIGHTLY = "nightly"


def reference_plans(
    folder: Path | None = None, *, nightly: bool = False, only: tuple[str, ...] = (), quants: tuple[str, ...] = ()
) -> list[Plan]:
    """Return the plans of the reference data, in order of their files' names.

    Parameters
    ----------
    folder
        Where the plans lie; by default those that come with edgeprof.
    nightly
        True adds what takes long: floats on cores without floating point.
    only
        Boards to keep; empty keeps all.
    quants
        Quantizations to keep; empty keeps all.

    Raises
    ------
    UsageError
        There is no plan there, or none has such a board or quantization.
    """
    folder = folder or resources.path("data/reference")
    files = sorted(f for f in folder.glob("*.toml") if nightly or NIGHTLY not in f.name)
    plans = [load_plan(file) for file in files]
    if only:
        for name in only:
            boards.get(name)
        plans = [replace(plan, boards=tuple(b for b in plan.boards if b in only)) for plan in plans]
        plans = [plan for plan in plans if plan.boards]
    if not plans:
        raise UsageError(f"There are no plans for {', '.join(only) or 'any board'} in {folder}.")
    return _of_quants(plans, quants) if quants else plans


def _of_quants(plans: list[Plan], quants: tuple[str, ...]) -> list[Plan]:
    known = dict.fromkeys(quant for plan in plans for _, of_model, _ in plan.models for quant in of_model)
    for quant in quants:
        if quant not in known:
            raise unknown_name("quantization", quant, tuple(known))
    kept = [
        replace(plan, models=tuple((m, tuple(q for q in of if q in quants), keep) for m, of, keep in plan.models))
        for plan in plans
    ]
    kept = [replace(plan, models=tuple(m for m in plan.models if m[1])) for plan in kept]
    return [plan for plan in kept if plan.models]


def missing_boards(plans: list[Plan]) -> dict[str, str]:
    """Return the boards of the plans that cannot be started here, with the reason."""
    names = dict.fromkeys(name for plan in plans for name in plan.boards)
    return {name: reason for name in names if (reason := boards.why_not(name))}


def build_reference(out: Path, plans: list[Plan], run: Callable[[Plan, Path], Any]) -> None:
    """Capture what the plans ask for into ``out``; ``run`` carries out one of them.

    Raises
    ------
    DeviceError
        A board cannot be started here; nothing was captured.
    """
    if missing := missing_boards(plans):
        raise DeviceError(
            " ".join(f"The board {name!r} cannot be started here: {why}" for name, why in missing.items())
        )
    for plan in plans:
        run(plan, out)


def check_reference(fresh: Path, committed: Path | None = None) -> list[str]:
    """Return, in words, where reference data captured just now differ from those that come with edgeprof."""
    return differences(open_dataset(fresh), open_dataset(committed or resources.path("data/reference")), subset=True)
