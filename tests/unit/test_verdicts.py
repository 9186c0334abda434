"""Verdicts at their boundaries, in both directions, and what they advise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgeprof.errors import NotComparableError, UsageError
from edgeprof.intervals import Interval, gate_interval
from edgeprof.metrics import METRICS
from edgeprof.verdicts import LOOKS, alpha_of_looks, judge, judge_exact

D = math.log1p(0.02)
UNKNOWN, CLOSE = "not enough data", "close to the smallest effect"


def interval(low, high, narrow_low, narrow_high, n=10, alpha=0.05):
    return Interval((low + high) / 2, low, high, narrow_low, narrow_high, n, alpha)


# In units of the smallest effect; of a metric that is better when lower.
@pytest.mark.parametrize(
    ("low", "high", "narrow_low", "narrow_high", "expected"),
    [
        (1.01, 3.0, 1.2, 2.8, "worse"),
        (1.0, 4.4, 1.2, 4.2, UNKNOWN),  # touches the limit
        (-3.0, -1.01, -2.8, -1.2, "better"),
        (-4.4, -1.0, -4.2, -1.2, UNKNOWN),
        (-1.4, 1.4, -1.0, 1.0, "same"),  # the 90 % interval lies within, limits included
        (-1.4, 1.4, -1.01, 1.0, UNKNOWN),
        (-1.4, 1.4, -1.0, 1.01, UNKNOWN),
        (0.2, 0.9, 0.3, 0.8, "same"),  # surely not zero, surely too small to matter
        (0.5, 1.5, 0.6, 1.4, CLOSE),
        (-1.5, -0.5, -1.4, -0.6, CLOSE),
        (0.2, 1.8, 0.25, 1.75, CLOSE),  # half-width 0.75, estimate on the limit
        (0.2, 1.8, 0.24, 1.76, UNKNOWN),
        (-0.3, 1.2, -0.25, 1.15, UNKNOWN),  # as narrow, but the estimate is 0.45
        (-math.inf, math.inf, -1.0, 1.0, UNKNOWN),
    ],
)
def test_verdicts(low, high, narrow_low, narrow_high, expected):
    found = judge(interval(*(D * v for v in (low, high, narrow_low, narrow_high))), 0.02)
    assert found.word == expected
    assert not found.certain


@given(st.floats(-3, 3), st.floats(0.01, 3))
def test_where_higher_is_better_the_verdict_turns_and_nothing_else(middle, half):
    found = interval(*(D * v for v in (middle - half, middle + half, middle - 0.84 * half, middle + 0.84 * half)))
    low, high = judge(found, 0.02), judge(found, 0.02, better="higher")
    assert high.word == {"worse": "better", "better": "worse"}.get(low.word, low.word)
    assert (high.change, high.low, high.high, high.more_runs) == (low.change, low.low, low.high, low.more_runs)


def test_every_metric_with_a_direction_can_be_judged():
    found = interval(0.1, 0.3, 0.12, 0.28)
    words = {m.better: judge(found, 0.02, better=m.better).word for m in METRICS.values() if m.better}
    assert words == {"lower": "worse", "higher": "better"}
    with pytest.raises(UsageError, match="bits_per_weight"):
        judge(found, 0.02, better=METRICS["bits_per_weight"].better)


@pytest.mark.parametrize("smallest", [0, -0.02, math.nan, math.inf])
def test_the_smallest_effect_is_a_positive_fraction(smallest):
    with pytest.raises(UsageError, match="positive fraction"):
        judge(interval(0, 1, 0, 1), smallest)
    with pytest.raises(UsageError, match="positive fraction"):
        judge_exact(1, 1, smallest)


def test_more_runs_are_those_of_the_formula():
    # n0 (1.78 h90 / D)^2 = 10 (1.779 * 2)^2 = 126.6, so 117 more.
    found = judge(interval(-2.4 * D, 2.4 * D, -2 * D, 2 * D, n=10), 0.02)
    assert found.word == UNKNOWN
    factor = (stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) / stats.norm.ppf(0.95)
    assert found.more_runs == math.ceil(10 * (2 * factor) ** 2) - 10 == 117
    assert found.resolution == pytest.approx(math.expm1(factor * 2 * D))
    assert "117 more" in found.reason
    assert "10 runs a side" in found.reason
    text = judge(interval(-2.4 * D, 2.4 * D, -2 * D, 2 * D, n=10), 0.02, counted="blocks of the text")
    assert "10 blocks of the text settle" in text.reason
    assert text.more_runs == 117


def test_in_all_at_least_eight_runs_are_asked_for():
    # The formula would ask for a total of 7.
    assert judge(interval(-1.2 * D, 0.8 * D, -1.01 * D, 0.2 * D, n=6), 0.02).more_runs == 2
    for n, more in ((0, 8), (5, 3), (7, 1)):
        found = judge(None, 0.02, n=n)
        assert (found.word, found.more_runs) == (UNKNOWN, more)
        assert f"{more} more" in found.reason
    assert judge(None, 0.02, n=30).more_runs is None


def test_what_is_settled_asks_for_nothing_and_what_is_close_for_no_number():
    assert judge(interval(2 * D, 3 * D, 2.1 * D, 2.9 * D), 0.02).more_runs == 0
    close = judge(interval(0.5 * D, 1.5 * D, 0.6 * D, 1.4 * D), 0.02)
    assert close.more_runs is None
    assert "only now and then" in close.reason


@given(st.floats(-0.2, 0.2), st.integers(6, 20))
def test_an_interval_of_no_width_is_always_settled(change, n):
    found = judge(gate_interval(np.full(n, change)), 0.02)
    expected = "same" if abs(change) <= D else ("worse" if change > 0 else "better")
    assert found.word == expected
    assert (found.resolution, found.more_runs) == (0, 0)


def test_figures_are_changes_and_the_reason_says_them():
    found = judge(interval(math.log(1.03), math.log(1.07), math.log(1.035), math.log(1.065)), 0.02)
    assert (found.low, found.high) == pytest.approx((0.03, 0.07))
    assert found.reason == (
        "+4.98 % [+3.00 %, +7.00 %]: the whole 95 % interval lies beyond the smallest effect of 2.00 %."
    )


# ---- looks ----


def test_three_looks_at_most_and_each_at_its_level():
    assert alpha_of_looks(1) == 0.05
    assert alpha_of_looks(3) == 0.0221
    for looks in (0, 4):
        with pytest.raises(UsageError, match="one, two or three"):
            alpha_of_looks(looks)


@pytest.mark.parametrize("looks", LOOKS)
def test_the_levels_leave_five_percent_for_all_looks(looks):
    # Sums of as many normals at equal steps, none beyond its bound: Pocock's definition.
    rng = np.random.default_rng(11)
    sums = np.cumsum(rng.standard_normal((400_000, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))
    beyond = np.abs(sums) > stats.norm.ppf(1 - alpha_of_looks(looks) / 2)
    assert np.mean(beyond.any(axis=1)) == pytest.approx(0.05, abs=0.0015)


def test_the_reason_says_the_level_of_the_looks():
    pairs = 0.1 + 0.01 * np.random.default_rng(2).standard_normal(10)
    found = judge(gate_interval(pairs, alpha=alpha_of_looks(3)), 0.02)
    assert found.word == "worse"
    assert "97.79 % interval" in found.reason


# ---- exact clocks ----


@pytest.mark.parametrize(
    ("base", "candidate", "word", "reason"),
    [
        (1000, 1000, "same", "exactly equal"),
        (1000, 1001, "same", "changed by +0.10 % (certain, below the smallest effect of 2.00 %)"),
        (1000, 1020, "same", "changed by +2.00 % (certain, below the smallest effect of 2.00 %)"),
        (1000, 1021, "worse", "changed by +2.10 % (certain, beyond the smallest effect of 2.00 %)"),
        (1020, 1000, "same", "changed by -1.96 % (certain, below the smallest effect of 2.00 %)"),
        (1021, 1000, "better", "changed by -2.06 % (certain, beyond the smallest effect of 2.00 %)"),
        (50, 51, "same", "changed by +2.00 % (certain, below the smallest effect of 2.00 %)"),
        (1000, 0, "better", "changed by -100.0 % (certain, beyond the smallest effect of 2.00 %)"),
    ],
)
def test_exact_clocks(base, candidate, word, reason):
    found = judge_exact(base, candidate, 0.02)
    assert (found.word, found.reason) == (word, reason)
    assert found.certain
    assert (found.low, found.high, found.resolution, found.more_runs) == (found.change, found.change, 0, 0)
    turned = judge_exact(base, candidate, 0.02, better="higher")
    assert turned.word == {"worse": "better", "better": "worse"}.get(word, word)


def test_what_lies_on_the_limit_is_not_beyond_it_by_rounding():
    assert 100 * (1 + 0.15) < 115  # as doubles
    assert judge_exact(100, 115, 0.15).word == "same"
    assert judge_exact(100_000, 115_001, 0.15).word == "worse"


@pytest.mark.parametrize(("base", "candidate"), [(0, 1), (-1, 1), (math.nan, 1), (1, math.nan), (math.inf, 1), (1, -1)])
def test_what_is_no_number_is_not_judged_exactly(base, candidate):
    with pytest.raises(NotComparableError, match="fraction of the base"):
        judge_exact(base, candidate, 0.02)
