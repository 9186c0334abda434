"""Numbers to text: the only place where it happens.

Three significant digits, unless the number is exact (counts, bytes). Unknown is ``–``, never zero.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["exact", "iec", "percent", "ratio", "si", "significant"]

UNKNOWN = "–"
_SI = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_IEC = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def _missing(value: Any) -> bool:
    try:
        return value is None or value != value or math.isnan(value)
    except TypeError:  # pandas.NA says neither yes nor no
        return True


def significant(value: Any, digits: int = 3) -> str:
    """Return a number with so many significant digits, without an exponent where it can be avoided."""
    if _missing(value):
        return UNKNOWN
    number = float(value)
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    rounded = float(f"{number:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{number:.{digits - 1}e}" if places > 9 else f"{rounded:,.{max(places, 0)}f}"


def si(value: Any, unit: str = "", digits: int = 3) -> str:
    """Return a number with an SI prefix: ``3.14 Mtick``.

    >>> si(3_141_592, "tick")
    '3.14 Mtick'
    """
    if _missing(value):
        return UNKNOWN
    number = float(value)
    for factor, prefix in _SI:
        if abs(float(f"{number:.{digits - 1}e}")) >= factor:
            return f"{significant(number / factor, digits)} {prefix}{unit}"
    return f"{significant(number, digits)} {unit}".rstrip()


def iec(value: Any, digits: int = 3) -> str:
    """Return bytes with a binary prefix: ``1.28 MiB``."""
    if _missing(value):
        return UNKNOWN
    number = float(value)
    for factor, prefix in _IEC:
        if abs(number) >= factor:
            return f"{significant(number / factor, digits)} {prefix}"
    return f"{number:.0f} B"


def exact(value: Any) -> str:
    """Return a whole number with all its digits, thousands apart."""
    return UNKNOWN if _missing(value) else f"{int(value):,}"


def percent(fraction: Any, digits: int = 1) -> str:
    """Return a signed percentage of a fraction: ``+2.0 %``."""
    return UNKNOWN if _missing(fraction) else f"{100 * float(fraction):+.{digits}f} %"


def ratio(value: Any) -> str:
    """Return a factor: ``0.412×``."""
    return UNKNOWN if _missing(value) else f"{significant(value)}×"
