"""Where a board's ticks lie on a meter's time: found within what is stated, or refused; never a token beside it."""

from __future__ import annotations

import numpy as np
import pytest
from align_cases import PERIOD_NS, found, off_ns, seen

from edgeprof.clock import ClockFit
from edgeprof.energy.align import by_device, by_edges, by_host
from edgeprof.energy.align_edges import match_edges
from edgeprof.energy.align_host import fit_arrivals, stream_index
from edgeprof.energy.align_lines import EdgeFit, judged
from edgeprof.errors import NotComparableError, UsageError

TOKEN_NS = 1e7
BEGIN_NS = 1.234e9


def passes(count: int, seed: int = 1, spread: float = 0.2) -> np.ndarray:
    """Return the edges of a run in nanoseconds: its begin, and the end of each pass of about 10 ms."""
    lengths = TOKEN_NS * np.random.default_rng(seed).uniform(1 - spread, 1 + spread, count)
    return np.append(0.0, np.cumsum(lengths))


def right(fit: EdgeFit, board: np.ndarray, begin: float = BEGIN_NS, rate: float = 1.0) -> bool:
    return off_ns(fit, board, begin, rate) <= fit.error_ns < 3 * PERIOD_NS


BOARD = passes(120)
TRUE = BEGIN_NS + BOARD
NEAR = np.random.default_rng(5)
MANY = np.concatenate([BEGIN_NS - 3e9 + passes(100, 2), TRUE, TRUE[-1] + 1.7e8 + passes(150, 3)])


@pytest.mark.parametrize(
    ("meter", "rate"),
    [
        (TRUE, 1.0),
        (np.delete(TRUE, np.arange(5, 120, 3)), 1.0),
        (np.sort(np.append(TRUE, NEAR.uniform(TRUE[0], TRUE[-1], 60))), 1.0),
        (np.sort(np.concatenate([TRUE, TRUE[::2] + 8e4, TRUE[::3] + 3e5])), 1.0),
        (BEGIN_NS + BOARD * (1 + 2e-4), 1 + 2e-4),
        (BEGIN_NS + BOARD * (1 - 2e-4), 1 - 2e-4),
        (MANY, 1.0),
        (np.sort(np.append(TRUE, NEAR.uniform(0, BEGIN_NS + 5e9, 40))), 1.0),
        (TRUE[20:90], 1.0),
        (TRUE[::2], 1.0),
    ],
    ids=[
        "all", "third-missing", "half-spurious", "bounce", "slow-200-ppm", "fast-200-ppm", "three-runs", "noise-around",
        "began-late-ended-early", "rising-only",
    ],
)  # fmt: skip
def test_a_run_is_found_among_a_meters_edges(meter, rate):
    fit = match_edges(BOARD, seen(meter), PERIOD_NS)
    assert right(fit, BOARD, rate=rate)
    assert abs(fit.rate - rate) < 5e-6


def test_an_edge_lies_before_the_sample_that_shows_it_by_half_a_sample_on_average():
    assert off_ns(match_edges(BOARD, seen(TRUE), PERIOD_NS), BOARD, BEGIN_NS, 1.0) < 0.15 * PERIOD_NS


def test_each_of_three_runs_is_found_at_its_place():
    meter = seen(MANY)
    for count, seed, begin in ((100, 2, BEGIN_NS - 3e9), (120, 1, BEGIN_NS), (150, 3, TRUE[-1] + 1.7e8)):
        fit = match_edges(passes(count, seed), meter, PERIOD_NS)
        assert right(fit, passes(count, seed), begin)


def test_a_run_that_the_meter_did_not_see_is_not_found_in_another():
    with pytest.raises(NotComparableError, match="are found nowhere among the meter's 121"):
        match_edges(passes(120, 9), seen(TRUE), PERIOD_NS)


def test_a_place_by_chance_is_none():
    """A meter whose input chatters has an edge near every moment: that is no match."""
    chatter = np.arange(BEGIN_NS, TRUE[-1], 1e5)
    assert judged(BOARD, chatter, BEGIN_NS, 1.0, PERIOD_NS, 6e4) is None
    assert judged(BOARD, seen(TRUE), BEGIN_NS, 1.0, PERIOD_NS, 6e4).matched == len(BOARD)


@pytest.mark.parametrize("count", [0, 1, 5], ids=["none", "one", "five"])
def test_too_few_edges_are_refused(count):
    for board, meter in ((BOARD, seen(TRUE)[:count]), (BOARD[:count], seen(TRUE))):
        said = rf"The board says {len(board)} edges and the meter saw {len(meter)}; 6 are needed"
        with pytest.raises(NotComparableError, match=said):
            match_edges(board, meter, PERIOD_NS)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(1.33, "1.33 times"), (1 / 1.33, r"0.751\d times"), (2.0, "2 times"), (0.5, "0.5 times")],
    ids=["1.33", "1/1.33", "2", "half"],
)
def test_a_rate_that_is_wrong_is_refused_with_the_ratio(ratio, said):
    with pytest.raises(UsageError, match=f"{said} as fast as the board's: .* energy would be off by as much"):
        match_edges(BOARD, seen(BEGIN_NS + ratio * BOARD), PERIOD_NS)


EVEN = np.arange(61) * TOKEN_NS
TWICE = seen(np.concatenate([BEGIN_NS + EVEN, BEGIN_NS + 3.3e9 + EVEN]))


@pytest.mark.slow
def test_passes_that_all_take_the_same_are_refused():
    for meter in (TWICE[:61], TWICE):
        with pytest.raises(NotComparableError, match=r"cannot be told from each other.*ep_edge"):
            match_edges(EVEN, meter, PERIOD_NS)


@pytest.mark.slow
def test_one_odd_edge_is_not_taken_for_proof_where_the_rest_fits_alike():
    odd = np.sort(np.append(EVEN, 3.37e8))
    near = (BEGIN_NS - 4e6, BEGIN_NS + 4e6)
    with pytest.raises(NotComparableError, match="cannot be told"):
        match_edges(odd, seen(BEGIN_NS + odd), PERIOD_NS)
    assert right(match_edges(odd, seen(BEGIN_NS + odd), PERIOD_NS, about=near), odd)


@pytest.mark.slow
def test_where_the_wall_clock_is_near_enough_it_tells_even_passes_apart():
    fit = match_edges(EVEN, TWICE, PERIOD_NS, about=(BEGIN_NS - 4e6, BEGIN_NS + 4e6))
    assert right(fit, EVEN)
    with pytest.raises(NotComparableError, match="cannot be told"):
        match_edges(EVEN, TWICE, PERIOD_NS, about=(BEGIN_NS - 1e9, BEGIN_NS + 1e9))


def test_a_wall_clock_that_is_wrong_moves_no_run_that_the_edges_place():
    assert right(match_edges(BOARD, seen(MANY), PERIOD_NS, about=(0.0, 1e8)), BOARD)


@pytest.mark.slow
def test_of_thousands_of_even_passes_the_place_by_the_wall_clock_is_tried():
    meter = seen(np.arange(BEGIN_NS, BEGIN_NS + 30e9, TOKEN_NS))
    begin = BEGIN_NS + 1400 * TOKEN_NS
    with pytest.raises(NotComparableError, match="cannot be told"):
        match_edges(EVEN, meter, PERIOD_NS)
    assert right(match_edges(EVEN, meter, PERIOD_NS, about=(begin - 4e6, begin + 4e6)), EVEN, begin)


@pytest.mark.slow
def test_other_runs_of_the_board_tell_even_passes_apart():
    """The host timed both runs to a millisecond; the other one's passes are no even ones."""
    other = passes(40, 8, 0.5)
    meter = seen(np.sort(np.concatenate([BEGIN_NS + EVEN, BEGIN_NS + 2e9 + other])))
    fit = match_edges(EVEN, meter, PERIOD_NS, others=lambda: (2e9 + other + 5e5, 1e6))
    assert right(fit, EVEN)
    with pytest.raises(NotComparableError, match="cannot be told"):
        match_edges(EVEN, meter, PERIOD_NS, others=lambda: (2e9 + other, 2e7))
    with pytest.raises(NotComparableError, match="cannot be told"):
        match_edges(EVEN, meter, PERIOD_NS, others=lambda: (np.zeros(0), 0.0))


# -- random cases ------------------------------------------------------------------------------------------------


def check(count: int) -> None:
    fits, refused = found(count, 0.2)
    assert refused <= 0.03 * count
    off = np.array([off_ns(fit, one.board, one.begin, one.rate) for one, fit in fits])
    stated = np.array([fit.error_ns for _, fit in fits])
    assert np.mean(off <= stated) >= 0.95
    assert all(error < one.token_ns / 4 for error, (one, _) in zip(off, fits, strict=True))
    # It is no wider than need be, either: a sample and what an interrupt is late.
    assert np.median(stated / [one.period_ns for one, _ in fits]) < 2


@pytest.mark.slow
def test_the_stated_error_covers_the_true_one_and_no_case_is_a_token_off():
    check(200)


@pytest.mark.nightly
def test_the_stated_error_covers_the_true_one_in_two_thousand_cases():
    check(2000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spread",
    [
        pytest.param(1e-2, id="1 %"),
        pytest.param(1e-3, id="0.1 %", marks=pytest.mark.nightly),
        pytest.param(1e-4, id="0.01 %", marks=pytest.mark.nightly),
        pytest.param(0.0, id="none"),
    ],
)
def test_passes_that_are_nearly_alike_are_placed_right_or_refused(spread):
    fits, refused = found(12, spread)
    assert len(fits) + refused == 12
    assert [
        (fit, one.begin) for one, fit in fits if off_ns(fit, one.board, one.begin, one.rate) > one.token_ns / 4
    ] == []
    if spread == 0.0:
        assert refused == 12


# -- by the host, by the device ------------------------------------------------------------------------------------


def arrivals(
    seconds: float, drift_ppm: float, seed: int, least_ns: float = 4e5
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return ticks of a microsecond, when the host had them, and the true nanoseconds of a tick."""
    rng = np.random.default_rng(seed)
    ticks = np.sort(rng.integers(0, int(seconds * 1e6), int(40 * seconds) + 5)).astype(np.int64)
    tick_ns = 1e3 / (1 + drift_ppm * 1e-6)
    host = BEGIN_NS + ticks * tick_ns + least_ns + rng.exponential(8e5, len(ticks))
    return ticks, np.maximum.accumulate(host.astype(np.int64)), tick_ns


@pytest.mark.parametrize("seconds", [0.2, 3.0, 100.0], ids=["0.2 s", "3 s", "100 s"])
def test_arrivals_place_a_run_within_what_is_stated(seconds):
    for seed, drift in enumerate(np.linspace(-200, 200, 21)):
        ticks, host, tick_ns = arrivals(seconds, drift, seed)
        fit = fit_arrivals(ticks, host, 1e6)
        off_us = np.abs(fit.to_host_ns([0, ticks[-1]]) - BEGIN_NS - np.array([0, ticks[-1]]) * tick_ns).max() / 1e3
        assert off_us <= fit.error_us < 1e4
        assert (fit.method == "nominal") == (seconds < 1)


def test_the_smallest_delay_is_in_the_error_though_arrivals_do_not_show_it():
    ticks = np.arange(0, 10_000_000, 10_000, dtype=np.int64)
    fit = fit_arrivals(ticks, BEGIN_NS + ticks * 1000 + 900_000, 1e6)
    assert fit.error_us >= 900


def test_arrivals_that_contradict_the_rate_are_refused():
    ticks, host, _ = arrivals(3.0, 0.0, 1)
    with pytest.raises(NotComparableError, match=r"\(1.33e\+06 Hz\) it took 2.197 s, and by the host's 2.923 s"):
        fit_arrivals(ticks, host, 1.33e6)
    with pytest.raises(NotComparableError, match="saw none of the run's tokens arrive"):
        fit_arrivals(ticks[:0], host[:0], 1e6)


def test_samples_are_numbered_as_they_were_taken():
    """Frames of 250 samples, two of them in one read, a short one last; three were lost."""
    host = np.repeat([10, 20, 30, 60, 70], [250, 500, 250, 250, 90]).astype(np.int64)
    np.testing.assert_array_equal(stream_index(host, []), np.arange(1340))
    index = stream_index(host, [(60, 3)])
    np.testing.assert_array_equal(index, np.r_[0:1000, 1750:2090])
    # What was lost before the first frame moves nothing.
    np.testing.assert_array_equal(stream_index(host, [(10, 5), (60, 3)]), index)


def test_by_device_the_boards_time_is_the_meters():
    alignment = by_device(170e6, 1e4)
    np.testing.assert_allclose(alignment.to_meter_ns([0, 17, 170_000_000, 2**40]), [0, 100, 1e9, 2**40 / 0.17])
    assert (alignment.method, alignment.error_us, alignment.rate_ppm) == ("device", 10, 0)


def test_by_edges_the_rate_and_the_error_are_those_of_the_fit():
    fit = EdgeFit(BEGIN_NS, 1 + 1e-4, 7e3, 2e3, 50, 60)
    alignment = by_edges(fit, 1e6, 3_000_000, "D0 against something")
    np.testing.assert_allclose(alignment.to_meter_ns([0, 3_000_000]), [BEGIN_NS, BEGIN_NS + 3e9 * (1 + 1e-4)])
    assert alignment.rate_ppm == pytest.approx(-100, rel=1e-3)
    assert (alignment.error_us, alignment.n_points) == (7, 50)
    assert alignment.words == "50 of 60 edges match, D0 against something; residuals of 2 us rms"


def test_by_host_both_sides_errors_add_up():
    run = ClockFit("hull", (0, 1000), (5e6, 6e6), 3.0, 1200.0, 40, 2.0)
    alignment = by_host(run, -2e6, 800.0, "why")
    np.testing.assert_allclose(alignment.to_meter_ns([0, 500, 2000]), [3e6, 3.5e6, 5e6])
    assert (alignment.method, alignment.error_us, alignment.rate_ppm) == ("host", 2000, 3)
