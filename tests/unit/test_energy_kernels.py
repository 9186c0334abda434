"""Energy of intervals: what holds of any samples, and what is unknown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.energy import stretches as cutting
from edgeprof.energy.certainty import stated_energy
from edgeprof.energy.kernels import interval_energy, peak_power
from edgeprof.energy.samples import Samples
from edgeprof.errors import NotComparableError, UsageError

PERIOD = 1e4
currents = st.lists(st.floats(0, 1e6), min_size=8, max_size=60).map(np.array)
shares = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted)


def even(current, voltage=3300.0):
    return Samples("m", np.asarray(current, float), voltage, 0.0, PERIOD)


def uneven(current, seed=1):
    t = np.cumsum(np.random.default_rng(seed).uniform(0.8, 1.2, len(current))) * PERIOD
    return Samples("m", np.asarray(current, float), 3300.0, float(t[0]), None, t)


def ends_of(samples):
    if samples.t_ns is not None:
        return samples.t_ns[0], samples.t_ns[-1]
    return samples.start_ns - PERIOD / 2, samples.start_ns + (len(samples) - 0.5) * PERIOD


def split(samples, at):
    """Return what reads the samples as partitions that end at these places."""
    parts = []
    for i, j in zip([0, *at], [*at, len(samples)], strict=True):
        t = None if samples.t_ns is None else samples.t_ns[i:j]
        voltage = samples.voltage_mv[i:j] if isinstance(samples.voltage_mv, np.ndarray) else samples.voltage_mv
        start = samples.start_ns + i * PERIOD
        parts.append(Samples("m", samples.current_ua[i:j], voltage, start, samples.period_ns, t))
    return lambda: parts


@given(currents, shares, st.sampled_from([even, uneven]))
def test_an_interval_is_the_sum_of_its_parts(current, where, make):
    samples = make(current)
    low, high = ends_of(samples)
    a, b, c = (low + share * (high - low) for share in where)
    whole, first, second = interval_energy(samples, [a, a, b], [c, b, c]).energy_uj
    assert first + second == pytest.approx(whole, rel=1e-9, abs=1e-6)


@pytest.mark.slow
@given(currents, shares, st.floats(0.001, 1000), st.sampled_from([even, uneven]))
def test_energy_is_in_proportion_to_current(current, where, factor, make):
    samples, more = make(current), make(current * factor)
    low, high = ends_of(samples)
    a, b, _ = (low + share * (high - low) for share in where)
    one, other = (stated_energy(s, [a], [b], error_ns=PERIOD, rate_ppm=50) for s in (samples, more))
    assert other.energy_uj[0] == pytest.approx(factor * one.energy_uj[0], rel=1e-9, abs=1e-9)
    assert other.error_uj[0] == pytest.approx(factor * one.error_uj[0], rel=1e-6, abs=1e-6)


@pytest.mark.slow
@given(st.data())
def test_partitions_and_stretches_do_not_matter(data):
    current = data.draw(st.lists(st.one_of(st.floats(0, 1e6), st.just(np.nan)), min_size=8, max_size=60).map(np.array))
    current[[0, -1]] = 5.0
    at = sorted(data.draw(st.sets(st.integers(1, len(current) - 1), max_size=4)))
    make = data.draw(st.sampled_from([even, uneven]))
    samples = make(current)
    low, high = ends_of(samples)
    edges = np.array(data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=12))) * (high - low) + low
    begins, ends = np.sort(edges[: len(edges) // 2 * 2].reshape(-1, 2), axis=1).T
    wanted = stated_energy(samples, begins, ends, error_ns=PERIOD)
    peaks = peak_power(samples, begins, ends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "STRETCH_SAMPLES", data.draw(st.integers(1, 20)))
        source = split(samples, at) if make is even else samples
        found = stated_energy(source, begins, ends, error_ns=PERIOD)
        np.testing.assert_allclose(found.energy_uj, wanted.energy_uj, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.intervals.n_missing, wanted.intervals.n_missing, atol=1e-9)
        np.testing.assert_allclose(found.error_uj, wanted.error_uj, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(peak_power(source, begins, ends), peaks, rtol=1e-12)


def test_a_sum_over_many_samples_loses_no_digit():
    """A token of a microampere after an hour of an ampere."""
    current = np.full(3_000_000, 1e6)
    current[-40:] = 1.0
    samples = even(current)
    end = ends_of(samples)[1]
    found = interval_energy(samples, [end - 30 * PERIOD], [end - 10 * PERIOD])
    assert found.charge_uc[0] == pytest.approx(20 * PERIOD * 1e-9, rel=1e-11)


def test_units():
    """A milliampere at 3 V for a second: 3 mJ, 1 mC, 3 mW."""
    samples = Samples("m", np.full(1200, 1000.0), 3000.0, 0.0, 1e6)
    found = interval_energy(samples, [100e6], [1100e6])
    assert found.energy_uj[0] == pytest.approx(3000)
    assert found.charge_uc[0] == pytest.approx(1000)
    assert found.mean_power_uw[0] == pytest.approx(3000)
    assert found.n_samples[0] == pytest.approx(1000)
    assert peak_power(samples, [100e6], [1100e6])[0] == pytest.approx(3000)


def test_a_voltage_for_each_sample_counts_for_it():
    current, voltage = np.array([1000.0, 2000.0, 4000.0]), np.array([3000.0, 1000.0, 2000.0])
    found = interval_energy(Samples("m", current, voltage, 0.0, 1e6), [-0.5e6], [2.5e6])
    assert found.energy_uj[0] == pytest.approx(3 + 2 + 8)
    assert peak_power(Samples("m", current, voltage, 0.0, 1e6), [0.6e6, 0.6e6], [1.4e6, 1.6e6]) == pytest.approx(
        [2e3, 8e3]
    )


def test_partitions_of_unlike_voltage():
    parts = [Samples("m", np.ones(4), v, 4 * i * 1e6, 1e6) for i, v in enumerate((1000.0, np.full(4, 3000.0), 2000.0))]
    for order in ([0, 1, 2], [1, 0, 2]):
        some = [Samples("m", np.ones(4), parts[k].voltage_mv, 4 * i * 1e6, 1e6) for i, k in enumerate(order)]
        found = interval_energy(lambda some=some: some, [-0.5e6], [11.5e6])
        assert found.energy_uj[0] == pytest.approx(4 * (1 + 3 + 2) * 1e-3)


def test_without_voltage_there_is_charge_and_no_energy():
    found = stated_energy(even(np.ones(10), None), [0.0], [5e4])
    assert np.isnan([found.energy_uj[0], found.error_uj[0]]).all() and found.intervals.charge_uc[0] > 0
    assert np.isnan(peak_power(even(np.ones(10), None), [0.0], [5e4])[0])


@pytest.mark.parametrize(
    ("begin", "end"),
    [(-1e5, 1e4), (8e4, 2e5), (-2e5, -1e5), (np.nan, 1e4)],
    ids=["before", "after", "elsewhere", "unknown"],
)
def test_an_interval_that_is_not_within_the_samples_is_unknown(begin, end):
    samples = even(np.ones(10))
    found = stated_energy(samples, [1e4, begin, 2e4], [2e4, end, 3e4], error_ns=10.0)
    assert np.isnan(found.energy_uj).tolist() == [False, True, False]
    assert np.isnan(found.error_uj).tolist() == [False, True, False]
    assert np.isnan(peak_power(samples, [1e4, begin, 2e4], [2e4, end, 3e4])).tolist() == [False, True, False]


def test_missing_samples_are_counted_and_where_many_are_energy_is_unknown():
    current = np.full(1000, 10.0)
    current[100:103] = np.nan
    current[500:510] = np.nan
    found = interval_energy(even(current), np.array([50, 450, 700]) * PERIOD, np.array([150, 550, 800]) * PERIOD)
    np.testing.assert_allclose(found.n_missing, [3, 10, 0])
    np.testing.assert_allclose(found.n_samples, [97, 90, 100])
    assert np.isnan(found.energy_uj).tolist() == [False, True, False]
    assert found.energy_uj[0] == pytest.approx(found.energy_uj[2])


def test_uneven_samples_that_are_far_apart_have_missing_ones_between():
    t = np.delete(np.arange(200), [50, 51]) * PERIOD
    samples = Samples("m", np.full(len(t), 10.0), 3300.0, 0.0, None, t)
    found = interval_energy(samples, np.array([20, 40, 100]) * PERIOD, np.array([90, 60, 150]) * PERIOD)
    np.testing.assert_allclose(found.n_missing, [2, 2, 0], atol=1e-9)
    assert np.isnan(found.energy_uj).tolist() == [False, True, False]


def test_a_partition_that_is_not_there_is_missing():
    parts = split(even(np.full(1000, 10.0)), [500])()
    late = Samples("m", parts[1].current_ua, 3300.0, parts[1].start_ns + 5 * PERIOD, PERIOD)
    found = interval_energy(lambda: [parts[0], late], [400 * PERIOD], [600 * PERIOD])
    assert found.n_missing[0] == pytest.approx(5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: [even(np.ones(9)), even(np.ones(9))], "before the one before it ends"),
        (lambda: [even(np.ones(9)), uneven(np.ones(9))], "some are not"),
        (lambda: [even(np.ones(9)), even(np.ones(9), None)], "say it for all"),
        (lambda: [Samples("m", np.ones(3), 1.0, 0.0, None)], "period_ns"),
        (lambda: [Samples("m", np.ones(3), 1.0, 0.0, 0.0)], "period above 0"),
        (lambda: [Samples("m", np.ones(3), 1.0, 0.0, None, np.array([0.0, 2.0, 2.0]))], "increase"),
        (lambda: [even(np.ones(9)), Samples("m", np.ones(9), 1.0, 1e15, PERIOD)], "missing"),
    ],
    ids=["overlap", "mixed", "no voltage", "no time", "no period", "backwards", "another recording"],
)
def test_samples_that_are_out_of_order_are_refused(make, said):
    with pytest.raises(UsageError, match=said):
        interval_energy(make, [0.0], [1e4])


def test_intervals_that_are_none_are_refused():
    with pytest.raises(UsageError, match="Interval 1 ends"):
        interval_energy(even(np.ones(9)), [0.0, 2e4], [1e4, 1e4])
    with pytest.raises(UsageError, match="shapes"):
        interval_energy(even(np.ones(9)), [0.0, 2e4], [1e4])


def test_no_samples():
    found = stated_energy(even([]), [0.0], [1e4], error_ns=5.0)
    assert np.isnan(found.energy_uj).all() and np.isnan(found.error_uj).all()
    with pytest.raises(NotComparableError, match="none here"):
        cutting.first_period_ns(even([np.nan, np.nan]))
