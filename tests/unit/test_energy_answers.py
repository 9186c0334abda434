"""What energy is made into: net of idling, by phase and outcome, by stage, and days of a battery."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.energy.baseline import idle_baseline, idle_stretches, net_energy
from edgeprof.energy.battery import battery_life
from edgeprof.energy.per_run import energy_per_run, energy_per_stage, unigram_nll
from edgeprof.energy.resolution import resolves
from edgeprof.energy.samples import Samples
from edgeprof.energy.synthetic import Steps, sampled
from edgeprof.errors import NotComparableError, UsageError

IDLE_UA, RUN_UA, MV = 500.0, 5000.0, 3000.0


def capture(runs=((1e9, 2e9), (3e9, 4e9)), end_ns=5e9, noise_ua=5.0, seed=1):
    edges = np.array([0.0, *np.ravel(runs)])
    levels = np.array([IDLE_UA, *([RUN_UA, IDLE_UA] * len(runs))])
    return sampled([Steps(edges, levels)], begin_ns=0.0, end_ns=end_ns, period_ns=1e5, seed=seed, voltage_mv=MV,
                   noise_ua=noise_ua)[0]  # fmt: skip


BEGINS, ENDS = np.array([1e9, 3e9]), np.array([2e9, 4e9])


def test_idle_power_is_that_between_the_runs():
    found = idle_baseline(capture(), BEGINS, ENDS)
    assert found.power_uw == pytest.approx(IDLE_UA * MV / 1e3, rel=1e-3)
    assert 0 < found.error_uw < 0.01 * found.power_uw
    assert found.n_stretches == 3 and found.idle_ns == pytest.approx(3e9, rel=0.15)


@pytest.mark.slow
def test_the_idle_interval_holds_the_truth_as_often_as_it_says():
    truth = IDLE_UA * MV / 1e3
    found = [idle_baseline(capture(noise_ua=200.0, seed=seed), BEGINS, ENDS) for seed in range(200)]
    assert 0.90 <= np.mean([abs(f.power_uw - truth) <= f.error_uw for f in found]) <= 0.99


def test_net_is_gross_less_idling_and_less_certain():
    baseline = idle_baseline(capture(), BEGINS, ENDS)
    net, half = net_energy(np.array([15_000.0]), np.array([3.0]), np.array([1e9]), baseline)
    assert net[0] == pytest.approx(15_000 - IDLE_UA * MV / 1e3, rel=1e-3)
    assert half[0] == pytest.approx(np.hypot(3.0, baseline.error_uw))


def test_no_idle_stretch_no_net():
    with pytest.raises(NotComparableError, match=r"100 ms or more .* has 0 ms"):
        idle_baseline(capture(((0.0, 5e9),)), [0.0], [5e9])
    with pytest.raises(NotComparableError, match="50 ms"):
        idle_baseline(capture(((0.0, 1e9), (1.07e9, 5e9))), [0.0, 1.07e9], [1e9, 5e9])
    with pytest.raises(NotComparableError, match="voltage"):
        idle_baseline(Samples("m", np.ones(50_000), None, 0.0, 1e5), BEGINS, ENDS)


@given(st.lists(st.tuples(st.integers(-50, 150), st.integers(0, 60)), min_size=1, max_size=6), st.integers(0, 10))
def test_idle_stretches_are_what_no_run_is_near(runs, margin):
    begins = np.array([b for b, _ in runs], float)
    ends = begins + [length for _, length in runs]
    idle_from, idle_to = idle_stretches(0.0, 100.0, begins, ends, float(margin))
    t = np.arange(0.25, 100, 0.5)
    idle = np.any((t >= idle_from[:, None]) & (t < idle_to[:, None]), axis=0)
    near = np.any((t >= begins[:, None] - margin) & (t < ends[:, None] + margin), axis=0)
    np.testing.assert_array_equal(idle, ~near)


def passes():
    edges = 1e9 + np.array([0.0, 0.2e9, 0.6e9, 1e9])
    generated = pd.DataFrame({"run_id": "a", "begin_ns": edges[:-1], "end_ns": edges[1:],
                              "phase": ["prefill", "decode", "decode"]})  # fmt: skip
    scored = pd.DataFrame({"run_id": "b", "begin_ns": 3e9 + np.arange(4) * 0.25e9, "phase": "score",
                           "end_ns": 3.25e9 + np.arange(4) * 0.25e9, "scored": [False, True, True, True],
                           "correct": [True, True, False, True], "nll": [1.0, 1.0, 2.0, 0.5],
                           "unigram_nll": 3.0})  # fmt: skip
    return pd.concat([generated, scored], ignore_index=True)


def test_energy_of_a_run_its_phases_and_what_came_of_it():
    power_uw = RUN_UA * MV / 1e3
    idle = idle_baseline(capture(), BEGINS, ENDS)
    found = energy_per_run(capture(noise_ua=0.0), passes(), baseline=idle, error_ns=1e5)
    a, b = found.loc["a"], found.loc["b"]
    assert a["energy_uj"] == pytest.approx(power_uw, rel=1e-3) and a["duration_ns"] == 1e9
    assert a["charge_uc"] == pytest.approx(RUN_UA, rel=1e-3) and a["peak_power_uw"] == pytest.approx(power_uw)
    assert a["net_uj"] == pytest.approx(power_uw * 0.9, rel=1e-3)
    assert (a["prefill_uj"], a["decode_uj"]) == pytest.approx((0.2 * power_uw, 0.8 * power_uw), rel=2e-3)
    assert a["generated_token_uj"] == pytest.approx(0.4 * power_uw, rel=1e-3)
    assert b["correct_token_uj"] == pytest.approx(power_uw / 2, rel=1e-3)
    assert b["gained_bit_uj"] == pytest.approx(power_uw / ((2 + 1 + 2.5) / np.log(2)), rel=1e-3)
    for name in ("energy", "net", "decode", "generated_token", "correct_token", "gained_bit"):
        row = b if name in {"correct_token", "gained_bit"} else a
        assert row[f"{name}_low_uj"] < row[f"{name}_uj"] < row[f"{name}_high_uj"]
    assert np.isnan([a["score_uj"], a["correct_token_uj"], b["decode_uj"], b["generated_token_uj"]]).all()


def test_nothing_gained_and_nothing_right_cost_no_number():
    table = passes().assign(correct=False, unigram_nll=0.1)
    found = energy_per_run(capture(), table).loc["b"]
    assert np.isnan([found["correct_token_uj"], found["gained_bit_uj"], found["net_uj"]]).all()
    assert found["score_uj"] > 0


def test_a_phase_of_which_a_pass_is_unknown_is_unknown():
    samples = capture()
    samples.current_ua[17_000:18_000] = np.nan  # within the last decode pass
    found = energy_per_run(samples, passes()).loc["a"]
    assert found["prefill_uj"] > 0 and np.isnan([found["decode_uj"], found["generated_token_uj"]]).all()


def test_a_unigram_model_knows_how_often_each_token_is():
    np.testing.assert_allclose(np.exp(-unigram_nll([7, 7, 9, 7])), [0.75, 0.75, 0.25, 0.75])
    assert len(unigram_nll([])) == 0


def test_stages_that_are_too_short_are_refused_with_the_reason():
    begins = np.arange(1e9, 1.9e9, 1e8)
    stages = pd.concat([
        pd.DataFrame({"stage": "attention", "begin_ns": begins, "end_ns": begins + 9.99e7}),
        pd.DataFrame({"stage": "sampling", "begin_ns": begins + 9.99e7, "end_ns": begins + 1e8}),
    ])  # fmt: skip
    found = energy_per_stage(capture(), stages)
    assert pd.isna(found.loc["attention", "reason"])
    assert found.loc["attention", "energy_uj"] == pytest.approx(9 * 0.0999 * RUN_UA * MV / 1e3, rel=2e-3)
    assert np.isnan(found.loc["sampling", "energy_uj"])
    assert "last 100 us" in found.loc["sampling", "reason"] and "20,000 samples" in found.loc["sampling", "reason"]
    assert "alignment" in energy_per_stage(capture(), stages, error_ns=2e8).loc["attention", "reason"]


@pytest.mark.parametrize(
    ("duration_ns", "period_ns", "error_ns", "said"),
    [(2e4, 1e4, 0.0, None), (1.9e4, 1e4, 0.0, "2 samples"), (5e4, 1e4, 6e4, "GPIO"), (0.0, 1e4, 0.0, "duration")],
    ids=["long enough", "few samples", "badly aligned", "nothing"],
)
def test_what_a_meter_resolves(duration_ns, period_ns, error_ns, said):
    reason = resolves(duration_ns, period_ns, error_ns)
    assert (reason is None) if said is None else said in reason


BATTERY = {"capacity_mah": 240.0, "voltage_mv": 3000.0, "sleep_current_ua": 10.0, "tokens_per_day": 1000.0,
           "energy_per_token_uj": 10_800.0}  # fmt: skip


def test_days_of_a_battery():
    """10 uA are 0.24 mAh a day, and 1,000 tokens of 10.8 mJ at 3 V 3.6 C, which is 1 mAh."""
    found = battery_life(**BATTERY, energy_low_uj=9_000.0, energy_high_uj=12_000.0)
    assert found.days == pytest.approx(240 / 1.24)
    assert found.days_low == pytest.approx(240 / (0.24 + 12 / 10.8))
    assert found.days_high == pytest.approx(240 / (0.24 + 9 / 10.8))
    assert found.token_share == pytest.approx(1 / 1.24)


def test_self_discharge_is_what_a_simulation_of_days_says():
    charge, days = 240.0, 0
    while charge > 0:
        for _ in range(100):
            charge += (np.log(0.97) / (365.25 / 12) * charge - 1.24) / 100
        days += 1
    assert battery_life(**BATTERY, self_discharge_percent=3.0).days == pytest.approx(days, abs=1.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"capacity_mah": 0.0}, "capacity_mah"), ({"voltage_mv": -1.0}, "voltage_mv"),
     ({"tokens_per_day": np.nan}, "tokens_per_day"), ({"self_discharge_percent": 100.0}, "below 100"),
     ({"energy_low_uj": 20_000.0}, "not between"),
     ({"tokens_per_day": 0.0, "sleep_current_ua": 0.0}, "Nothing drains")],
    ids=["capacity", "voltage", "tokens", "self-discharge", "interval", "nothing"],
)  # fmt: skip
def test_impossible_batteries_are_refused(change, said):
    with pytest.raises(UsageError, match=said):
        battery_life(**BATTERY | change)
