"""Each finding where it should be made, and none where it should not."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprof.intervals import Interval
from edgeprof.stability import (
    Finding,
    advise,
    dependence,
    drift,
    outliers,
    too_few_runs,
    two_states,
    unpaired,
    warm_up,
)  # fmt: skip
from edgeprof.verdicts import judge, judge_exact

RNG = np.random.default_rng(8)
WHITE = 1000 * np.exp(0.005 * RNG.standard_normal(40))


def kinds(values, **options):
    return [finding.kind for finding in advise(values, 0.02, **options)]


def test_steady_runs_give_no_finding():
    assert kinds(WHITE) == []
    assert kinds(np.full(40, 1000.0), tick=1.0) == []
    assert kinds(np.round(WHITE / 5) * 5, tick=5.0) == []


def test_drift_is_said_with_its_size():
    found = drift(WHITE * np.linspace(1, 1.04, 40), 0.02)
    assert "+" in found.text
    assert 0.03 < float(found.text.split("by ")[1].split(" %")[0]) / 100 < 0.05
    assert drift(WHITE * np.linspace(1, 0.96, 40), 0.02).text.startswith("The runs drift: by -")
    assert "pairs" in found.next_step


def test_drift_below_half_of_the_smallest_effect_does_not_matter():
    values = 1000 * np.linspace(1, 1.009, 40)
    assert drift(values, 0.02) is None
    assert drift(values, 0.01).kind == "drift"


def test_runs_that_resemble_the_one_before_them():
    chain = np.zeros(60)
    for i in range(1, 60):
        chain[i] = 0.9 * chain[i - 1] + 0.01 * RNG.standard_normal()
    assert dependence(np.exp(chain)).kind == "dependence"
    assert dependence(np.exp(RNG.permutation(chain))) is None
    assert dependence(np.tile([1.0, 1.1], 20)) is None  # to alternate is not to resemble


def test_two_states_are_said_with_their_distance():
    states = WHITE * np.where(RNG.random(40) < 0.4, 1.1, 1.0)
    found = two_states(states)
    assert found.kind == "two states"
    assert "2 levels" in found.text
    assert 8 < float(found.text.split("levels, ")[1].split(" %")[0]) < 12
    # Two neighbouring ticks of the clock are no two states.
    ticks = np.where(np.arange(40) % 2, 1000.0, 1001.0)
    assert two_states(ticks) is not None
    assert two_states(ticks, tick=1.0) is None


def test_outliers_are_more_than_one_in_twenty():
    values = WHITE.copy()
    values[[5, 20]] *= 1.2
    assert outliers(values) is None  # 2 of 40 are 5 %
    values[30] *= 1.2
    found = outliers(values)
    assert found.text.startswith("3 of 40 runs")
    assert "20." in found.text or "19." in found.text or "21." in found.text


def test_outliers_of_a_calm_board_are_measured_in_ticks():
    values = np.full(20, 1000.0)
    values[:3] = 1008.0
    assert outliers(values).kind == "outliers"
    assert outliers(values, tick=2.0) is None


def test_warm_up_counts_the_runs_to_leave_out():
    values = WHITE.copy()
    values[:3] *= [1.3, 1.2, 1.1]
    found = warm_up(values)
    assert found.text.startswith("The first 3 runs")
    assert "first 3" in found.next_step
    assert warm_up(values[3:]) is None
    assert warm_up(values[::-1]) is None
    values[:3] = WHITE[:3] * 0.8  # a board that slows down as it heats up
    assert warm_up(values) is None


@pytest.mark.parametrize("n", [0, 1, 9])
def test_fewer_than_ten_runs_say_nothing_but_that(n):
    values = np.linspace(1, 2, n)
    assert kinds(values) == ["too few runs"]
    assert f"{10 - n} more" in too_few_runs(values).next_step
    assert too_few_runs(np.ones(10)) is None


def test_unknown_values_give_no_finding():
    assert kinds([*WHITE, np.nan]) == []
    assert kinds([*WHITE, 0.0]) == []


WORSE = judge(Interval(0.1, 0.08, 0.12, 0.085, 0.115, 30), 0.02)


@pytest.mark.parametrize("kind", ["drift", "dependence", "two states"])
def test_what_moves_one_group_takes_an_unpaired_verdict_back(kind):
    found = unpaired(WORSE, [Finding(kind, "", "")], apart=False)
    assert found.word == "not enough data"
    assert found.more_runs is None
    assert found.reason.startswith("Pair the runs")
    assert kind in found.reason
    assert "would say worse" in found.reason
    assert found.change == WORSE.change


def test_groups_measured_apart_take_it_back_without_any_finding():
    assert unpaired(WORSE, [], apart=True).word == "not enough data"
    assert unpaired(WORSE, [], apart=False) == WORSE


@pytest.mark.parametrize("kind", ["outliers", "warm-up", "too few runs"])
def test_other_findings_are_advice_only(kind):
    assert unpaired(WORSE, [Finding(kind, "", "")], apart=False) == WORSE


def test_an_exact_clock_needs_no_pairs():
    exact = judge_exact(100, 200, 0.02)
    assert unpaired(exact, [Finding("drift", "", "")], apart=True) == exact
