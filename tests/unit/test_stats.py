"""Intervals against scipy, verdicts at their boundaries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from edgeprof.stats import Interval, paired_interval, verdict

KNOWN = np.array([0.1, -0.2, 0.35, 0.0, 0.6, 0.15, -0.05, 0.2])
numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30).filter(lambda v: np.ptp(v) > 1e-6)


def test_the_interval_of_known_data():
    found = paired_interval(KNOWN)
    assert found.n == 8
    # mean 1.15 / 8; standard deviation sqrt(0.4321875 / 7) = 0.248478, over sqrt(8) 0.0878500;
    # t(7) is 2.364624 and 1.894579.
    assert found.mean == pytest.approx(0.14375)
    assert (found.low, found.high) == pytest.approx(
        (0.14375 - 2.364624 * 0.08785, 0.14375 + 2.364624 * 0.08785), rel=1e-4
    )
    assert (found.low90, found.high90) == pytest.approx(
        (0.14375 - 1.894579 * 0.08785, 0.14375 + 1.894579 * 0.08785), rel=1e-4
    )


@given(numbers)
def test_the_interval_is_scipy_s(values):
    found = paired_interval(np.array(values))
    test = scipy_stats.ttest_1samp(values, 0)
    for level, low, high in ((0.95, found.low, found.high), (0.90, found.low90, found.high90)):
        theirs = test.confidence_interval(level)
        assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=1e-6, abs=1e-9)


@given(numbers)
def test_the_other_way_round_the_interval_is_mirrored(values):
    there, back = paired_interval(np.array(values)), paired_interval(-np.array(values))
    assert (there.low, there.high, there.mean) == pytest.approx((-back.high, -back.low, -back.mean))
    opposite = {"worse": "better", "better": "worse"}
    assert verdict(back, 1.0) == opposite.get(verdict(there, 1.0), verdict(there, 1.0))


def test_one_pair_or_none_is_not_enough():
    assert paired_interval(np.array([])) is None
    assert paired_interval(np.array([0.5])) is None
    assert verdict(None, 0.01) == "not enough data"


def test_equal_pairs_have_an_interval_of_no_width():
    found = paired_interval(np.array([0.25, 0.25, 0.25]))
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


# Lower is better: a difference above the smallest effect that matters, 1, is worse.
@pytest.mark.parametrize(
    ("low", "high", "low90", "high90", "expected"),
    [
        (1.01, 3.0, 1.2, 2.8, "worse"),
        (1.0, 3.0, 1.2, 2.8, "not enough data"),  # touches the limit
        (-3.0, -1.01, -2.8, -1.2, "better"),
        (-3.0, -1.0, -2.8, -1.2, "not enough data"),
        (-1.4, 1.4, -1.0, 1.0, "same"),  # the 90 % interval lies within, limits included
        (-1.4, 1.4, -1.01, 1.0, "not enough data"),
        (-1.4, 1.4, -1.0, 1.01, "not enough data"),
        (0.2, 0.9, 0.3, 0.8, "same"),  # surely not zero, surely too small to matter
        (0.5, 1.5, 0.6, 1.4, "not enough data"),
        (math.nan, math.nan, math.nan, math.nan, "not enough data"),
    ],
)
def test_verdicts(low, high, low90, high90, expected):
    assert verdict(Interval((low + high) / 2, low, high, low90, high90, 9), 1.0) == expected
