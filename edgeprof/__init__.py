"""edgeprof profiles tiny language models on microcontrollers.

>>> import edgeprof
>>> ds = edgeprof.open("demo-out/data")        # doctest: +SKIP
>>> edgeprof.compare(ds, by="quant")           # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgeprof._version import __version__

if TYPE_CHECKING:
    from edgeprof import boards, plots
    from edgeprof.boards import Board
    from edgeprof.boards import get as board
    from edgeprof.budget import memory_budget
    from edgeprof.claimed import claimed_rates
    from edgeprof.clock import fit_clock
    from edgeprof.comparison import Comparison, compare
    from edgeprof.energy.of_dataset import energy_of, token_energy
    from edgeprof.explorer.widgets import explore
    from edgeprof.fidelity import agreement
    from edgeprof.fronts import pareto
    from edgeprof.gating import GateResult, gate
    from edgeprof.metrics import measure, missing
    from edgeprof.monitor import Live, live
    from edgeprof.one_run import Run
    from edgeprof.prediction import Prediction, predict
    from edgeprof.quantiles import token_quantiles
    from edgeprof.recommendation import recommend
    from edgeprof.scaling import scaling_curves
    from edgeprof.stage_profile import stage_shares
    from edgeprof.store import Dataset
    from edgeprof.store import open_dataset as open  # noqa: A004
    from edgeprof.validation import held_out

__all__ = [
    "Board",
    "Comparison",
    "Dataset",
    "GateResult",
    "Live",
    "Prediction",
    "Run",
    "__version__",
    "agreement",
    "board",
    "boards",
    "claimed_rates",
    "compare",
    "energy_of",
    "explore",
    "fit_clock",
    "gate",
    "held_out",
    "live",
    "measure",
    "memory_budget",
    "missing",
    "open",
    "pareto",
    "plots",
    "predict",
    "recommend",
    "reference",
    "scaling_curves",
    "stage_shares",
    "token_energy",
    "token_quantiles",
]

# Loaded when first used: importing edgeprof costs next to nothing, and the capturing processes never load pandas.
_LAZY = {
    "open": ("edgeprof.store", "open_dataset"),
    "Dataset": ("edgeprof.store", "Dataset"),
    "Run": ("edgeprof.one_run", "Run"),
    "Board": ("edgeprof.boards", "Board"),
    "board": ("edgeprof.boards", "get"),
    "boards": ("edgeprof.boards", ""),
    "plots": ("edgeprof.plots", ""),
    "gate": ("edgeprof.gating", "gate"),
    "GateResult": ("edgeprof.gating", "GateResult"),
    "load_ipython_extension": (  # %load_ext edgeprof
        "edgeprof.magics",
        "load_ipython_extension",
    ),
    "agreement": ("edgeprof.fidelity", "agreement"),
    "claimed_rates": ("edgeprof.claimed", "claimed_rates"),
    "compare": ("edgeprof.comparison", "compare"),
    "Comparison": ("edgeprof.comparison", "Comparison"),
    "energy_of": ("edgeprof.energy.of_dataset", "energy_of"),
    "explore": ("edgeprof.explorer.widgets", "explore"),
    "fit_clock": ("edgeprof.clock", "fit_clock"),
    "held_out": ("edgeprof.validation", "held_out"),
    "live": ("edgeprof.monitor", "live"),
    "Live": ("edgeprof.monitor", "Live"),
    "measure": ("edgeprof.metrics", "measure"),
    "missing": ("edgeprof.metrics", "missing"),
    "memory_budget": ("edgeprof.budget", "memory_budget"),
    "predict": ("edgeprof.prediction", "predict"),
    "Prediction": ("edgeprof.prediction", "Prediction"),
    "scaling_curves": ("edgeprof.scaling", "scaling_curves"),
    "pareto": ("edgeprof.fronts", "pareto"),
    "recommend": ("edgeprof.recommendation", "recommend"),
    "stage_shares": ("edgeprof.stage_profile", "stage_shares"),
    "token_energy": ("edgeprof.energy.of_dataset", "token_energy"),
    "token_quantiles": ("edgeprof.quantiles", "token_quantiles"),
}


def reference(part: str = "") -> str:
    """Return the path of the reference data that come with edgeprof, or of one of its parts.

    Parameters
    ----------
    part
        ``gate``: a firmware built with SIMD kernels and without, measured in pairs. ``sizes``: models of other sizes,
        on which :func:`predict` is calibrated.

    Raises
    ------
    StorageError
        They are not there: an incomplete install, or no such part.
    """
    from edgeprof.resources import path

    return str(path(f"data/reference/{part}".rstrip("/")))


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module 'edgeprof' has no attribute {name!r}") from None
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted(__all__)
