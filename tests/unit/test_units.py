"""Numbers to text: known answers, and that unknown is never a number."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1, "1.00"), (12.345, "12.3"), (99.96, "100"), (999.6, "1,000"), (0.99951, "1.00"),
        (0.00012345, "0.000123"), (1234567, "1,230,000"), (-0.0456, "-0.0456"), (1e-7, "0.000000100"),
        (1.26e-8, "1.26e-08"), (math.inf, "inf"),
        (np.float32(2.5), "2.50"), (np.int64(7), "7.00"),
    ],
)  # fmt: skip
def test_significant(value, text):
    assert units.significant(value) == text


def test_significant_takes_a_number_of_digits():
    assert [units.significant(1.23654321, d) for d in (1, 2, 5)] == ["1", "1.2", "1.2365"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 tick"), (999, "999 tick"), (1000, "1.00 ktick"), (3_141_592, "3.14 Mtick"), (999_999, "1.00 Mtick"),
     (999_499, "999 ktick"), (5.5e9, "5.50 Gtick"), (-2500, "-2.50 ktick"), (0.25, "0.250 tick")],
)  # fmt: skip
def test_si(value, text):
    assert units.si(value, "tick") == text


def test_si_without_a_unit_ends_without_a_blank():
    assert (units.si(12), units.si(12_000), units.si(27_901_058.5, digits=4)) == ("12.0", "12.0 k", "27.90 M")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1_341_056, "1.28 MiB"),
        (159_592, "156 KiB"),
        (3 << 30, "3.00 GiB"),
    ],
)
def test_iec(value, text):
    assert units.iec(value) == text


def test_exact_percent_and_ratio():
    assert units.exact(1234567) == "1,234,567"
    assert units.exact(2**53 + 1) == "9,007,199,254,740,993"
    assert (units.percent(0.02), units.percent(-0.5, 0), units.percent(8.83, 2)) == ("+2.0 %", "-50 %", "+883.00 %")
    assert (units.ratio(0.4124), units.ratio(1)) == ("0.412×", "1.00×")


@pytest.mark.parametrize("function", [getattr(units, name) for name in units.__all__])
@pytest.mark.parametrize("nothing", [None, math.nan, pd.NA, pd.NaT, np.nan, "no number"])
def test_unknown_is_a_dash_and_never_zero(function, nothing):
    assert function(nothing) == "–"


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_significant_is_within_half_a_digit(number):
    shown = float(units.significant(number).replace(",", ""))
    assert shown == pytest.approx(number, rel=5.001e-3, abs=0)
    assert math.copysign(1, shown) == math.copysign(1, number) or shown == 0


@given(st.integers(min_value=0, max_value=10**15))
def test_si_and_iec_are_within_half_a_digit(number):
    for text, factors in (
        (units.si(number, "x"), {"x": 1, "kx": 1e3, "Mx": 1e6, "Gx": 1e9}),
        (units.iec(number), {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}),
    ):
        digits, unit = text.rsplit(" ", 1)
        assert float(digits.replace(",", "")) * factors[unit] == pytest.approx(number, rel=5.001e-3)
