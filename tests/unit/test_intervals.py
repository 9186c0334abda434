"""Intervals against SciPy, against counting by hand, and where there are none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgeprof import intervals
from edgeprof.bootstrap import BLOCK_TOKENS, block_bootstrap_nll
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.intervals import (
    _signed_rank_count,
    gate_interval,
    log_ratios,
    walsh_interval,
    walsh_limits,
    welch_interval,
)
from edgeprof.run_values import run_values

PAIRS = np.array([0.03, -0.01, 0.05, 0.02, 0.04, 0.01, 0.06])
numbers = st.lists(st.floats(-1, 1), min_size=6, max_size=25)


def ends(interval):
    return (interval.low, interval.high, interval.narrow_low, interval.narrow_high)


# ---- pairs ----


def test_the_walsh_interval_by_hand():
    averages = sorted((a + b) / 2 for i, a in enumerate(PAIRS) for b in PAIRS[i:])
    assert len(averages) == 28
    found = walsh_interval(PAIRS)
    # Of 128 equally likely signs 1, 1, 1, 2 give a rank sum of 0, 1, 2, 3: up to 2 it is 0.0234, up to 3 it is 0.0391.
    assert (found.low, found.high) == (averages[2], averages[-3])
    # 2 and 3 more give 4 and 5: up to 3 it stays under 0.05, up to 4 it is 0.0547.
    assert (found.narrow_low, found.narrow_high) == (averages[3], averages[-4])
    assert found.estimate == pytest.approx(np.median(averages))
    assert found.n == 7


@pytest.mark.parametrize("n", [6, 8, 11])
@pytest.mark.parametrize("tail", [0.025, 0.05, 0.01105])
def test_the_count_is_that_of_all_signs(n, tail):
    sums = np.array([sum(r for r, s in enumerate(signs, 1) if s) for signs in itertools.product((0, 1), repeat=n)])
    allowed = [k for k in range(n * (n + 1) // 2) if np.mean(sums < k) <= tail]
    assert _signed_rank_count(n, tail) == max(allowed)


@pytest.mark.slow
@given(numbers)
def test_the_walsh_interval_inverts_scipy_s_test(values):
    values = np.unique(np.round(values, 3))
    found = walsh_interval(values) if len(values) > 5 else None
    if found is None:
        return
    # Inside the interval the test does not reject, outside it does; on its ends it has ties.
    for place, rejected in (
        (found.low - 1e-4, True), (found.high + 1e-4, True), (found.low + 1e-4, False), (found.high - 1e-4, False),
    ):  # fmt: skip
        if rejected or found.low + 1e-4 < found.high - 1e-4:
            rest = values - place
            if len(np.unique(np.abs(np.round(rest, 9)))) == len(rest):
                assert (stats.wilcoxon(rest, method="exact").pvalue <= 0.05) == rejected


def test_the_count_is_that_of_the_tables():
    # Critical values of Wilcoxon's T, two-sided 5 %: the largest sum that rejects.
    assert {n: _signed_rank_count(n, 0.025) - 1 for n in (6, 10, 20, 30, 50)} == {6: 0, 10: 8, 20: 52, 30: 137, 50: 434}


def test_beyond_sixty_pairs_the_normal_approximation_takes_over(monkeypatch):
    approximate = {n: _signed_rank_count(n, 0.025) for n in (61, 80, 100)}
    monkeypatch.setattr(intervals, "_EXACT_UP_TO", 100)
    counted = {n: _signed_rank_count.__wrapped__(n, 0.025) for n in approximate}
    assert all(abs(counted[n] - approximate[n]) <= 0.005 * counted[n] for n in counted)


def test_fewer_than_six_pairs_have_no_interval_and_more_looks_take_seven():
    assert walsh_interval(PAIRS[:5]) is None
    assert walsh_interval(PAIRS[:6]) is not None
    assert walsh_interval(PAIRS[:6], alpha=0.0221) is None
    assert walsh_interval(PAIRS, alpha=0.0221) is not None
    assert walsh_interval([]) is None
    assert walsh_interval([*PAIRS, math.nan]) is None


@given(numbers, st.floats(-2, 2))
def test_the_interval_moves_with_its_data_and_turns_with_them(values, by):
    found, moved, turned = (walsh_interval(v) for v in (np.array(values), np.array(values) + by, -np.array(values)))
    assert ends(moved) == pytest.approx([e + by for e in ends(found)], abs=1e-9)
    assert (turned.low, turned.high, turned.estimate) == pytest.approx((-found.high, -found.low, -found.estimate))
    assert found.low <= found.narrow_low <= found.estimate <= found.narrow_high <= found.high


def test_many_data_sets_at_once_are_each_by_itself():
    sets = np.random.default_rng(3).standard_normal((5, 9))
    together = walsh_limits(sets)
    for row, *limits in zip(sets, *together, strict=True):
        found = walsh_interval(row)
        assert [found.estimate, *ends(found)] == limits


def test_a_coarse_clock_widens_both_ends():
    calm = walsh_interval(np.zeros(8), tick_fraction=0.001)
    assert ends(calm) == (-0.001, 0.001, -0.001, 0.001)
    assert ends(walsh_interval(np.zeros(8))) == (0, 0, 0, 0)


def test_with_few_pairs_verdicts_go_by_what_student_s_interval_says_too():
    one_out = np.array([0.03, 0.029, 0.031, 0.03, 0.028, 0.032, 0.03, 0.031, 0.029, 0.2])
    ranks, found = walsh_interval(one_out), gate_interval(one_out)
    theirs = stats.ttest_1samp(one_out, 0).confidence_interval(0.95)
    assert ranks.low > theirs.low
    assert found.low == pytest.approx(theirs.low)
    assert found.high == pytest.approx(max(theirs.high, ranks.high))
    assert (found.estimate, found.narrow_low, found.narrow_high) == (
        ranks.estimate,
        ranks.narrow_low,
        ranks.narrow_high,
    )
    assert gate_interval(np.tile(one_out, 2)) == walsh_interval(np.tile(one_out, 2))
    assert gate_interval(PAIRS[:5]) is None


def test_log_ratios_are_of_pairs():
    assert log_ratios([100, 200], [110, 180]) == pytest.approx([math.log(1.1), math.log(0.9)])
    with pytest.raises(NotComparableError, match="there are 2 and 3"):
        log_ratios([1, 2], [1, 2, 3])
    with pytest.raises(NotComparableError, match="zero, negative or unknown"):
        log_ratios([1, 0], [1, 2])
    with pytest.raises(NotComparableError, match="2 axes"):
        log_ratios(np.ones((2, 2)), np.ones((2, 2)))


# ---- groups that are not paired ----

BASE = np.array([100.0, 101, 99, 102, 100, 98, 103, 250])
CANDIDATE = np.array([110.0, 108, 111, 109, 112, 110, 107, 113, 109, 300])


def test_the_welch_interval_by_hand():
    def part(values):
        """Yuen's trimmed mean, its squared error and degrees of freedom."""
        logs = np.sort(np.log(values))
        cut, n = int(0.2 * len(logs)), len(logs)
        kept = logs[cut : n - cut]
        winsorized = np.concatenate((np.full(cut, kept[0]), kept, np.full(cut, kept[-1])))
        h = len(kept)
        return kept.mean(), np.var(winsorized, ddof=1) * (n - 1) / (h * (h - 1)), h - 1

    (a, d_a, f_a), (b, d_b, f_b) = part(BASE), part(CANDIDATE)
    freedom = (d_a + d_b) ** 2 / (d_a**2 / f_a + d_b**2 / f_b)
    found = welch_interval(BASE, CANDIDATE)
    assert found.estimate == pytest.approx(b - a)
    for level, low, high in ((0.975, found.low, found.high), (0.95, found.narrow_low, found.narrow_high)):
        half = stats.t.ppf(level, freedom) * math.sqrt(d_a + d_b)
        assert (low, high) == pytest.approx((b - a - half, b - a + half))
    assert found.n == 8
    assert abs(found.estimate - math.log(1.1)) < 0.01  # one run that was interrupted does not move it


def test_sessions_that_differ_widen_the_interval():
    medians = np.array([100.0, 102, 99, 101, 98])
    plain, found = welch_interval(BASE, CANDIDATE), welch_interval(BASE, CANDIDATE, session_medians=medians)
    deviation = np.std(np.log(medians), ddof=1)
    expected = math.hypot(plain.high - plain.estimate, 2.776445 * math.sqrt(2) * deviation)
    assert found.high - found.estimate == pytest.approx(expected, rel=1e-6)
    narrow = math.hypot(plain.narrow_high - plain.estimate, 2.131847 * math.sqrt(2) * deviation)
    assert found.narrow_high - found.estimate == pytest.approx(narrow, rel=1e-6)
    assert welch_interval(BASE, CANDIDATE, session_medians=[100.0]) is None


def test_a_calm_board_has_an_interval_of_a_tick():
    found = welch_interval(np.full(8, 1000.0), np.full(8, 1100.0), tick_fraction=0.001)
    assert (found.low, found.high) == pytest.approx((math.log(1.1) - 0.001, math.log(1.1) + 0.001))


def test_fewer_than_six_runs_in_a_group_have_no_interval():
    assert welch_interval(BASE[:5], CANDIDATE) is None
    assert welch_interval(BASE, CANDIDATE[:5]) is None
    with pytest.raises(NotComparableError, match="zero, negative or unknown"):
        welch_interval(BASE, [*CANDIDATE, math.nan])


# ---- quality ----


def text(seed=5, windows=16, spread=0.02, shift=0.01):
    """Return the NLL differences of the second halves of windows of 256 tokens, and their places in the text."""
    positions = (256 * np.arange(windows)[:, None] + np.arange(128, 255)).ravel()
    return np.random.default_rng(seed).normal(shift, spread, len(positions)), positions


def test_independent_tokens_have_about_student_s_interval():
    differences, positions = text()
    found = block_bootstrap_nll(differences, positions)
    blocks = differences.reshape(16, -1).mean(axis=1)
    theirs = stats.ttest_1samp(blocks, 0).confidence_interval(0.95)
    assert found.estimate == pytest.approx(differences.mean())
    assert found.n == 16
    assert (found.high - found.low) / (theirs.high - theirs.low) == pytest.approx(1.0, abs=0.15)


def test_of_few_blocks_the_interval_is_no_narrower_than_student_s():
    # Most blocks are alike: draws hardly have a tail, and they alone would promise too much.
    _, positions = text(windows=10)
    levels = np.repeat([0.01, 0.0101, -0.01, -0.0099, 0.0001, -0.0001, 0.0002, 0, 0, 0], 127)
    found = block_bootstrap_nll(levels, positions)
    error = float(np.std(levels)) / np.sqrt(10)
    assert found.high - found.low >= 2 * stats.t.ppf(0.975, 9) * error * (1 - 1e-12)
    assert found.narrow_high - found.narrow_low >= 2 * stats.t.ppf(0.95, 9) * error * (1 - 1e-12)


def test_what_a_block_has_in_common_widens_the_interval():
    differences, positions = text()
    shared = np.repeat(np.random.default_rng(6).normal(0, 0.02, 16), 127)
    alone, together = (block_bootstrap_nll(d, positions) for d in (differences, differences + shared))
    assert together.high - together.low > 4 * (alone.high - alone.low)


def test_the_same_seed_gives_the_same_interval_in_any_order():
    differences, positions = text()
    found, shuffled = block_bootstrap_nll(differences, positions), np.random.default_rng(1).permutation(len(positions))
    assert block_bootstrap_nll(differences, positions) == found
    assert ends(block_bootstrap_nll(differences[shuffled], positions[shuffled])) == pytest.approx(ends(found))
    other = block_bootstrap_nll(differences, positions, seed=1)
    assert other != found
    assert ends(other) == pytest.approx(ends(found), abs=0.1 * (found.high - found.low))


def test_blocks_are_of_the_text_and_too_few_of_them_are_none():
    differences, positions = text(windows=9)
    assert block_bootstrap_nll(differences, positions) is None
    assert block_bootstrap_nll(differences, positions, block_tokens=BLOCK_TOKENS // 2).n == 18
    assert block_bootstrap_nll([], []) is None


def test_the_same_model_twice_has_no_difference():
    _, positions = text()
    found = block_bootstrap_nll(np.zeros(len(positions)), positions)
    assert (found.estimate, *ends(found)) == (0, 0, 0, 0, 0)
    found = block_bootstrap_nll(np.full(len(positions), 0.1), positions)
    assert ends(found) == pytest.approx((0.1, 0.1, 0.1, 0.1))


def test_differences_that_are_not_paired_are_refused():
    differences, positions = text()
    with pytest.raises(NotComparableError, match="Average repeated runs"):
        block_bootstrap_nll(differences, np.zeros(len(positions), int))
    differences[7] = math.inf
    with pytest.raises(NotComparableError, match="1 of 2032"):
        block_bootstrap_nll(differences, positions)
    with pytest.raises(UsageError, match="at least one"):
        block_bootstrap_nll([], [], block_tokens=0)


# ---- one number a run ----


def tables():
    runs = pd.DataFrame({"run_id": ["c/0-1", "c/0-2", "c/0-3"]})
    rows = [("c/0-1", "prefill", 0, 9_000)]
    rows += [("c/0-1", "decode", p, t) for p, t in enumerate([500, 400, 300, 200, 100, 102, 101], 1)]
    rows += [("c/0-2", "decode", p, 100 + p) for p in range(7, 0, -1)]  # not in order
    return pd.DataFrame(rows, columns=["run_id", "phase", "position", "ticks"]).astype({"ticks": "Int64"}), runs


def test_a_run_is_the_median_of_its_decode_passes_without_the_first_four():
    tokens, runs = tables()
    found = run_values(tokens, runs)
    assert list(found.index) == list(runs["run_id"])
    assert found["c/0-1"] == 101
    assert found["c/0-2"] == 106  # of 105, 106, 107
    assert np.isnan(found["c/0-3"])
    assert run_values(tokens, runs, warm_up_passes=0)["c/0-1"] == 200


@pytest.mark.slow
def test_a_registered_metric_is_the_registry_s():
    import edgeprof
    from edgeprof.metrics import measure_runs

    data = edgeprof.open(edgeprof.reference())
    runs = data.runs[(data.runs["board"] == "wasm") & (data.runs["kind"] == "generate")].head(3)
    tokens = data.tokens[data.tokens["run_id"].isin(runs["run_id"])]
    found = run_values(tokens, runs, "ttft_ticks")
    assert list(found) == list(measure_runs(runs, tokens)["ttft_ticks"])
    assert (found > 0).all()


def test_tokens_are_not_given_as_if_they_were_independent():
    tokens, runs = tables()
    with pytest.raises(UsageError, match="not independent"):
        run_values(tokens, runs, "ticks")
    with pytest.raises(UsageError, match="decode_median_ticks"):
        run_values(tokens, runs, "decode_median_tick")
    with pytest.raises(NotComparableError, match="there twice"):
        run_values(tokens, pd.concat([runs, runs]))
    with pytest.raises(NotComparableError, match="choose tokens and runs together"):
        run_values(tokens, runs.iloc[1:])
