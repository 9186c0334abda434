"""The monitor's memory: what a second held, and no more than a minute and a half of it."""

from __future__ import annotations

import numpy as np

from edgeprof.monitor.bins import BINS, Bins


def test_a_bin_has_count_mean_least_and_most():
    bins = Bins()
    bins.add([10.1, 10.9, 11.5], [1.0, 3.0, 7.0])
    bins.add([10.5], 8.0)
    at, count, mean, least, most = bins.series(12.0)
    assert at[-2:].tolist() == [-1.5, -0.5]
    assert len(at) == BINS
    assert count[-2:].tolist() == [3, 1]
    assert mean[-2:].tolist() == [4.0, 7.0]
    assert (least[-2], most[-2]) == (1.0, 8.0)
    assert np.isnan(mean[:-2]).all()


def test_a_second_that_goes_on_is_not_shown_yet():
    bins = Bins()
    bins.add([5.0] * 10, 1.0)
    assert bins.series(5.9)[1].sum() == 0
    assert bins.series(6.0)[1].sum() == 10
    assert bins.rate(6.0) == 2.0  # in the last five seconds


def test_what_is_older_makes_room_and_comes_no_more():
    bins = Bins()
    bins.add([0.5], 1.0)
    bins.add([BINS + 0.5], 2.0)  # the slot of the first one
    bins.add([0.5], 3.0)  # too late
    _, count, mean, *_ = bins.series(BINS + 1.0)
    assert (count.sum(), mean[-1]) == (1, 2.0)
    assert bins.series(3.0 * BINS)[1].sum() == 0


def test_what_is_unknown_is_left_out():
    bins = Bins()
    bins.add([np.nan, 1.0, 2.0], [1.0, np.nan, 5.0])
    assert bins.series(3.0)[1].sum() == 1
    assert Bins().any is False
