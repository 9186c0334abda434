"""The passes of a run as arrays, from which its metrics are computed.

To slice a DataFrame costs a hundred times what arithmetic on some dozen passes does: the table is taken apart once, and
each run sees its stretch of it. What several metrics are made of is computed once a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from edgeprof.decode_work import DecodeWork
    from edgeprof.energy.run_energy import RunEnergy

__all__ = ["ITL_QUANTILES", "TOKEN_COLUMNS", "Passes", "passes_by_run", "passes_of"]

TOKEN_COLUMNS = [
    "run_id", "window", "position", "phase", "next_id", "scored", "nll", "n_batch", "ticks_start", "ticks", "source",
]  # fmt: skip
ITL_QUANTILES = (0.50, 0.95, 0.99)

_Bools = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[Any]
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Passes:
    """The passes of one run, in order; beside them what is known of its stages, its model and its energy.

    Attributes
    ----------
    position, n_batch, ticks_start, ticks : ndarray, shape (passes,)
        As in table ``tokens``. Where it is not known ``n_batch`` is 1, the others 0.
    position_known, n_batch_known, ticks_start_known, ticks_known : ndarray of bool, shape (passes,)
        Where it is known.
    nll : ndarray of float, shape (passes,)
        In nat, NaN where it is not known.
    energy_uj : ndarray of float, shape (passes,)
        In microjoules, NaN where it is not known: nothing measured it.
    prefill, decode, scored, printed : ndarray of bool, shape (passes,)
        Which passes are of the prompt, which generate, which count for the perplexity, which the host saw printed.
    stage_shares : mapping
        Stage to its share of the decode passes.
    work : DecodeWork or None
        What a decode pass of the run's model takes.
    energy : RunEnergy or None
        What a meter said of the run as a whole.
    """

    position: _Numbers
    position_known: _Bools
    n_batch: _Numbers
    n_batch_known: _Bools
    ticks_start: _Numbers
    ticks_start_known: _Bools
    ticks: _Numbers
    ticks_known: _Bools
    nll: npt.NDArray[np.float64]
    energy_uj: npt.NDArray[np.float64]
    prefill: _Bools
    decode: _Bools
    scored: _Bools
    printed: _Bools
    stage_shares: Mapping[str, float] = field(default_factory=dict)
    work: DecodeWork | None = None
    energy: RunEnergy | None = None

    def timed(self, phase: _Bools) -> _Bools:
        """Tell which of these passes have a begin and an end."""
        return phase & self.ticks_start_known & self.ticks_known

    def follows(self, at: npt.NDArray[np.intp]) -> _Bools:
        """Tell, for each of some passes but the first, whether it comes right after the one before, nothing lost."""
        step, known = np.diff(self.position[at]), self.position_known[at]
        return np.asarray(known[1:] & known[:-1] & ((step == 1) | (step == self.n_batch[at][:-1])), np.bool_)

    @cached_property
    def decode_ticks(self) -> _Numbers:
        """What each decode pass took, in ticks, where that is known."""
        return self.ticks[self.decode & self.ticks_known]

    @cached_property
    def _intervals(self) -> tuple[npt.NDArray[np.int64], _Bools]:
        """Return the ticks between the ends of successive passes that make tokens, and which are between tokens."""
        at = np.flatnonzero((self.prefill | self.decode) & self.ticks_start_known & self.ticks_known)
        ends = (self.ticks_start[at] + self.ticks[at]).astype(np.int64, copy=False)
        return np.diff(ends), self.decode[at][1:] & self.follows(at)

    @cached_property
    def itl_ticks(self) -> npt.NDArray[np.int64]:
        """The inter-token latencies, in ticks: n generated tokens give n - 1.

        A token is there at the end of the pass that sampled it: the last prefill pass samples the first one, each
        decode pass one more. A gap in the positions (a lost frame) gives no value, rather than a long one.
        """
        between, tokens = self._intervals
        return between[tokens]

    @cached_property
    def itl_steps_ticks(self) -> npt.NDArray[np.int64]:
        """By how much each inter-token latency differs from the one right before it, in ticks, without a sign."""
        between, tokens = self._intervals
        return np.abs(np.diff(between))[tokens[1:] & tokens[:-1]]

    @cached_property
    def itl_quantiles_ticks(self) -> Mapping[float, float]:
        """:data:`ITL_QUANTILES` of the inter-token latencies, in ticks; empty where there is none."""
        if not len(self.itl_ticks):
            return {}
        return dict(zip(ITL_QUANTILES, np.quantile(self.itl_ticks, ITL_QUANTILES).tolist(), strict=True))


def passes_of(tokens: pd.DataFrame) -> Passes:
    """Return the passes of one run, in the order of the rows.

    Parameters
    ----------
    tokens
        Rows of table ``tokens`` with at least :data:`TOKEN_COLUMNS`; ``energy_uj`` is taken if there.
    """
    return Passes(**_arrays(tokens))


def passes_by_run(tokens: pd.DataFrame) -> dict[str, Passes]:
    """Return the passes of each run by its ``run_id``, in order of window and position.

    Parameters
    ----------
    tokens
        Rows of table ``tokens`` with at least :data:`TOKEN_COLUMNS`, of any number of runs, in any order.
    """
    codes, names = pd.factorize(tokens["run_id"])
    windows, positions = (_whole(tokens[c], _LAST)[0] for c in ("window", "position"))  # unknown ones come last
    order = np.lexsort((positions, windows, codes))
    arrays = {name: values[order] for name, values in _arrays(tokens).items()}
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {
        str(name): Passes(**{key: values[begin:end] for key, values in arrays.items()})
        for name, begin, end in zip(names, bounds[:-1], bounds[1:], strict=True)
    }


def _arrays(tokens: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, unknown in (("position", 0), ("n_batch", 1), ("ticks_start", 0), ("ticks", 0)):
        found[name], found[f"{name}_known"] = _whole(tokens[name], unknown)
    with np.errstate(invalid="ignore"):  # a device may send a NaN that signals
        nll = tokens["nll"].to_numpy(np.float64, na_value=np.nan)
    energy_uj = tokens["energy_uj"].to_numpy() if "energy_uj" in tokens.columns else np.full(len(tokens), np.nan)
    return found | {
        "nll": nll,
        "energy_uj": energy_uj,
        "prefill": _is(tokens["phase"], "prefill"),
        "decode": _is(tokens["phase"], "decode"),
        "scored": tokens["scored"].fillna(False).to_numpy(np.bool_),
        "printed": _is(tokens["source"], "host"),
    }


def _whole(column: pd.Series, unknown: int) -> tuple[_Numbers, _Bools]:
    """Return a column of integers with a number in place of what is unknown, and where it is known."""
    # Fractions of a tick, which no board has but a simulation may, stay what they are.
    kind = np.float64 if pd.api.types.is_float_dtype(column.dtype) else np.int64
    return column.to_numpy(kind, na_value=unknown), column.notna().to_numpy(np.bool_)


def _is(column: pd.Series, word: str) -> _Bools:
    return (column == word).fillna(False).to_numpy(np.bool_)
