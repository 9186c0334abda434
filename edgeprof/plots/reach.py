"""How far an axis reaches, so that one value far off does not make all others a dot; what lies beyond is marked."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["limits", "within"]

_ENDS = 0.75
_MARGIN = 0.06


def limits(
    must: Iterable[float], values: Iterable[float], ends: Iterable[float] = (), *, far: float = 8.0
) -> tuple[float, float]:
    """Return the ends of an axis.

    Parameters
    ----------
    must
        What is seen in any case.
    values
        What is seen unless it lies farther off than so many times as the middle of them is wide.
    ends
        Ends of intervals; they are cut sooner, for what matters of a wide one is that it is wide.
    far
        So many times.
    """
    inner, shown, outer = (_finite(each) for each in (must, values, ends))
    middle = [np.quantile(shown, 0.2, method="higher"), np.quantile(shown, 0.8, method="lower")] if shown.size else []
    low, high = _reach(np.concatenate([inner, middle]), shown, far)
    low, high = _reach(np.array([low, high]), outer, _ENDS)
    margin = _MARGIN * (high - low)
    return low - margin, high + margin


def within(value: float, ends: tuple[float, float]) -> float:
    """Return a value, or the end of the axis that it lies beyond."""
    return min(max(value, ends[0]), ends[1])


def _finite(values: Iterable[float]) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = np.asarray(list(values), dtype=np.float64)
    finite: npt.NDArray[np.bool_] = np.isfinite(array)
    return array[finite]


def _reach(seen: npt.NDArray[np.float64], more: npt.NDArray[np.float64], times: float) -> tuple[float, float]:
    """Widen what is seen to more, but to each side by no more than so many times its width."""
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    width = high - low or abs(high) or 1.0
    if more.size:
        low, high = max(min(low, more.min()), low - times * width), min(max(high, more.max()), high + times * width)
    return (low, high) if high > low else (low - width / 2, high + width / 2)
