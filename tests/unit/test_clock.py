"""The device's clock on the host's, against simulated lines whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.clock import fit_clock, hull_points, lower_hull

HZ = 1e6


def simulated(seed, delay="usb", wander_ppm=0.3, seconds=600, ppm=50.0, per_second=100):
    """Return (ticks, arrivals in ns, true host ns) of messages over a line that delays, now and then a lot."""
    rng, n = np.random.default_rng(seed), seconds * per_second
    host = np.arange(n) / per_second
    wander = np.cumsum(rng.standard_normal(n)) * wander_ppm / np.sqrt(n)
    device = np.cumsum((1 + (ppm + wander) * 1e-6) / per_second)
    late = {
        "usb": lambda: rng.uniform(0, 1e-3, n), "ftdi": lambda: rng.uniform(0, 16e-3, n),
        "busy": lambda: rng.exponential(5e-3, n),
    }[delay]()  # fmt: skip
    late += (rng.random(n) < 0.02) * rng.uniform(0, 0.1, n)
    arrivals = np.maximum.accumulate(((host + late) * 1e9).astype(np.int64))
    return (device * HZ).astype(np.int64), arrivals, host * 1e9


def error_us(fit, ticks, truth):
    """Return the worst error around the smallest delay, which no fit can know."""
    difference = (fit.to_host_ns(ticks) - truth) / 1e3
    return float(np.abs(difference - np.median(difference)).max())


def least_squares_error_us(ticks, arrivals, truth):
    x = (ticks - ticks[0]).astype(float)
    y = (arrivals - arrivals[0]).astype(float)
    line = np.polyval(np.polyfit(x, y, 1), x) + arrivals[0]
    return float(np.abs(line - truth).max() / 1e3)


@pytest.mark.parametrize("delay", ["usb", "ftdi", "busy"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_steady_clock(delay, seed):
    ticks, arrivals, truth = simulated(seed, delay)
    fit = fit_clock(ticks, arrivals, HZ)
    assert error_us(fit, ticks, truth) < 100
    assert fit.rate_ppm == pytest.approx(50.0, abs=0.7)
    assert fit.n_points == len(ticks) and fit.span_s == pytest.approx(600, abs=0.2)


def test_least_squares_follows_the_unlucky():
    for seed in range(5):
        ticks, arrivals, truth = simulated(seed, "busy")
        fit = fit_clock(ticks, arrivals, HZ)
        assert np.abs(fit.to_host_ns(ticks) - truth).max() / 1e3 < 200
        assert least_squares_error_us(ticks, arrivals, truth) > 4000


def test_a_clock_that_wanders_is_followed():
    lines, windows = [], []
    for seed in range(4):
        ticks, arrivals, truth = simulated(seed, "usb", wander_ppm=20.0)
        fit = fit_clock(ticks, arrivals, HZ)
        assert fit.method == "windows" and len(fit.ticks) == 20
        windows.append(error_us(fit, ticks, truth))
        # One line through the same knots' ends.
        slope = (truth[-1] - truth[0]) / (ticks[-1] - ticks[0])
        straight = truth[0] + (ticks - ticks[0]) * slope - truth
        lines.append(np.abs(straight - np.median(straight)).max() / 1e3)
    assert max(windows) < 300 < min(lines)


def test_the_error_that_is_said_covers_the_one_that_is_there():
    covered = []
    for delay in ("usb", "ftdi", "busy"):
        for wander in (0.0, 0.3, 3.0):
            for seconds in (5, 60, 200):
                for seed in range(3):
                    ticks, arrivals, truth = simulated(seed, delay, wander, seconds)
                    fit = fit_clock(ticks, arrivals, HZ)
                    difference = (fit.to_host_ns(ticks) - truth) / 1e3
                    covered.append(fit.error_us >= (difference.max() - difference.min()) / 2)
    assert np.mean(covered) > 0.9


def test_a_last_window_that_is_nearly_empty_pulls_nothing_away():
    ticks, arrivals, truth = simulated(7, "ftdi", wander_ppm=20.0, seconds=121)
    arrivals[-90:] += 40_000_000  # the last second was unlucky throughout
    fit = fit_clock(ticks, arrivals, HZ)
    assert fit.method == "windows" and len(fit.ticks) == 4
    assert error_us(fit, ticks, truth) < 2000


def test_few_points_are_enough_for_any_fit():
    ticks, arrivals, truth = simulated(5, "usb")
    kept = hull_points(ticks, arrivals)
    assert len(kept) < 500 and (np.diff(kept) > 0).all()
    fit, of_few = fit_clock(ticks, arrivals, HZ), fit_clock(ticks[kept], arrivals[kept], HZ)
    assert fit.method == of_few.method == "hull"
    # The edge is chosen by where the middle is, which few points know less well: the next edge is as good.
    assert error_us(of_few, ticks, truth) < error_us(fit, ticks, truth) + 50


def test_how_the_arrivals_were_cut_makes_no_difference_to_the_hull():
    ticks, arrivals, _ = simulated(5, "usb", seconds=100)
    parts = [np.arange(0, 3700), np.arange(3700, 3701), np.arange(3701, 10000)]
    kept = np.concatenate([part[hull_points(ticks[part], arrivals[part])] for part in parts])
    whole = lower_hull(ticks.astype(float), arrivals.astype(float))
    assert set(whole) <= set(kept)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_points(n):
    assert fit_clock(np.arange(n) * 10**6, np.arange(n) * 10**9, HZ) is None
    assert len(hull_points(np.arange(n) * 10**6, np.arange(n) * 10**9)) == n


def test_less_than_a_second_and_a_clock_that_is_no_time():
    x = np.arange(10)
    assert fit_clock(x, x, HZ) is None
    assert fit_clock(x * 10**6, x * 10**9, 0.0) is None
    assert fit_clock(x * 10**6, x * 10**9, HZ) is not None


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=1, max_size=200))
def test_the_hull_is_below_all_points(points):
    x, y = (np.array(v, float) for v in zip(*points, strict=True))
    hull = lower_hull(x, y)
    assert (np.diff(x[hull]) > 0).all()
    assert x[hull[0]] == x.min() and x[hull[-1]] == x.max()
    assert (np.interp(x, x[hull], y[hull]) <= y + 1e-9).all()
    slopes = np.diff(y[hull]) / np.diff(x[hull])
    assert (np.diff(slopes) > 0).all()


def test_a_long_stream_is_thinned_in_time():
    rng = np.random.default_rng(1)
    n = 400_000
    ticks = np.arange(n) * 2500
    arrivals = np.maximum.accumulate(ticks * 1000 + rng.integers(0, 1_000_000, n))
    kept = hull_points(ticks, arrivals)
    assert len(kept) < 2000
