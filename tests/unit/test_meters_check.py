"""Each defect that meters' programs were seen to write: planted, found and named; and what is sound is not accused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter_files import lines

from edgeprof.energy.samples import Samples
from edgeprof.errors import UsageError
from edgeprof.meters.check import check_samples, drift_ppm, rate_finding, rate_ratio
from edgeprof.meters.file import MeterFile, MeterOptions
from edgeprof.meters.read import believed, read_meter

N = 20_000
NOISE = np.random.default_rng(3).normal(20_000, 900, N)
SOUND = Samples("meter", NOISE, 3300.0, 0.0, 10_000.0)


def ppk2(ms: np.ndarray, ua: np.ndarray, options: MeterOptions | None = None) -> MeterFile:
    data = lines("Timestamp(ms),Current(uA)", [f"{t:.5f}" for t in ms], np.round(ua, 3))
    return read_meter(data, "ppk2-csv", options or MeterOptions(3300.0))


MS = np.arange(N) / 100
BLOCK = np.r_[0:9_000, 3_000:5_000, 9_000:N]  # samples 3,000 to 4,999 again, behind sample 9,000


def told(found: MeterFile) -> list[tuple[str, bool]]:
    return [(f.kind, f.fatal) for f in found.findings]


def test_what_is_sound_is_not_accused():
    assert check_samples(SOUND) == []
    assert ppk2(MS, NOISE).findings == ()


@pytest.mark.parametrize(
    ("ms", "ua", "kind", "said"),
    [
        (MS[BLOCK], NOISE[BLOCK], "backwards", "time goes backwards behind sample 9,000, by 59.99 ms"),
        (np.arange(N + 2000) / 100, NOISE[BLOCK], "repeated", "2,000 samples from sample 3,001 on come again"),
        (np.r_[MS[:50], MS[40], MS[51:]], NOISE, "backwards", "behind sample 50, by 0.09 ms"),
        (np.r_[MS[:50], MS[49], MS[51:]] ** 1.01, NOISE, "time", "have the time of the one before: 1"),
        (MS, np.r_[NOISE[:-1], np.inf], "impossible", "infinite currents: 1"),
        (MS, np.r_[NOISE[:-1], 3e6], "impossible", "3 A is beyond the meter"),
        (MS, np.full(N, np.nan), "missing", "no sample has a current"),
        (np.r_[MS[:50], np.nan, MS[51:]], NOISE, "time", "sample 51 has no time"),
    ],
    ids=["block-with-time", "block", "back", "still", "infinite", "too-much", "nothing", "no-time"],
)
def test_a_defect_is_found_and_the_file_is_not_believed(ms, ua, kind, said):
    found = ppk2(ms, ua)
    assert (kind, True) in told(found)
    with pytest.raises(UsageError, match=said):
        believed(found)


def test_missing_voltage_is_asked_for():
    with pytest.raises(UsageError, match="--voltage-mv"):
        believed(ppk2(MS, NOISE, MeterOptions()))
    with pytest.raises(UsageError, match="--rate-hz"):
        read_meter(lines("Current(uA)", NOISE), "ppk2-csv", MeterOptions(3300.0))
    with pytest.raises(UsageError, match="leave --voltage-mv out"):
        read_meter(b"I,U\n1,1\n2,1\n", "meter-csv", MeterOptions(3300.0, 10.0, "current=I:A,voltage=U:V"))


@pytest.mark.parametrize("data", [b"", b"Timestamp(ms),Current(uA)\n", b"Timestamp(ms),Current(uA)"])
def test_a_file_without_samples_is_refused(data):
    with pytest.raises(UsageError, match=r"empty|no sample below"):
        read_meter(data, "ppk2-csv", MeterOptions(3300.0))


@pytest.mark.parametrize(("said", "fatal"), [(75_000.0, True), (50_000.0, True), (133_000.0, True), (99_500.0, False)])
def test_a_rate_that_the_file_s_own_clock_denies(said, fatal):
    found = ppk2(MS, NOISE, MeterOptions(3300.0, said))
    assert told(found) == [("rate", fatal)]
    assert found.rate_hz == pytest.approx(100_000.0)  # not what was said wrongly


def test_missing_samples_become_nan_and_a_long_hole_stays_one():
    kept = np.delete(np.arange(N), [500, 501, 900])
    found = ppk2(MS[kept], NOISE[kept])
    assert np.flatnonzero(np.isnan(found.samples.current_ua)).tolist() == [500, 501, 900]
    np.testing.assert_array_equal(found.samples.current_ua[kept], np.round(NOISE[kept], 3))
    places = [(f.start_ns, f.end_ns, f.text) for f in found.findings if f.start_ns]
    assert places == [(4_990_000, 5_020_000, "missing here: 2"), (8_990_000, 9_010_000, "missing here: 1")]
    late = np.where(np.arange(N) < N // 2, MS, MS + 3_000.0)
    hole = ppk2(late, NOISE)
    assert hole.samples.period_ns is None
    assert len(hole.samples) == N
    assert hole.findings[0].text == "missing here: 300,000"


def test_a_gap_in_an_uneven_log_is_told():
    t = np.cumsum(np.random.default_rng(4).uniform(9, 12, 500))
    t[250:] += 400
    found = read_meter(lines("t,I", t, NOISE[:500]), "meter-csv", MeterOptions(3300.0, columns="t=t:ms,current=I:uA"))
    assert told(found) == [("gap", False)]
    assert found.findings[0].start_ns == pytest.approx((t[249] - t[0]) * 1e6, abs=1)


def test_saturation_is_told_with_its_share():
    cut = np.minimum(NOISE, 20_500)
    cut[5000:5100] = 20_500
    found = check_samples(dataclasses.replace(SOUND, current_ua=cut))
    assert [(f.kind, f.fatal) for f in found] == [("saturation", False)]
    assert "lower bounds" in found[0].text


def test_a_square_wave_without_noise_is_neither_saturated_nor_repeated():
    square = np.where((np.arange(N) // 200) % 2, 30_000.0, 5_000.0)
    assert check_samples(dataclasses.replace(SOUND, current_ua=square)) == []


def test_a_periodic_signal_without_noise_is_told_and_believed():
    one = np.random.default_rng(5).normal(5000, 100, 400)
    found = check_samples(dataclasses.replace(SOUND, current_ua=np.tile(one, 50)))
    assert [(f.kind, f.fatal) for f in found] == [("repeated", False)]
    assert "every 400 samples" in found[0].text


@pytest.mark.slow
@given(st.integers(100, 9_000), st.integers(400, 2_000), st.integers(0, 9_000))
def test_a_repeated_block_is_found_wherever_it_is(first, length, apart):
    second = min(first + length + apart, N)
    twice = np.concatenate([NOISE[:second], NOISE[first : first + length], NOISE[second:]])
    (found,) = check_samples(dataclasses.replace(SOUND, current_ua=twice))
    assert (found.kind, found.fatal) == ("repeated", True)
    assert found.text.startswith(
        f"{length:,} samples from sample {first + 1:,} on come again from sample {second + 1:,}"
    )


def walls(times: list[str]) -> bytes:
    return lines("when,I", times, NOISE[: len(times)])


def clock(start: str, n: int, jump_s: int) -> list[str]:
    first = np.datetime64(start, "ms")
    return [str(first + np.timedelta64(1000 * k + (1000 * jump_s if k >= n // 2 else 0), "ms")) for k in range(n)]


LOCAL = MeterOptions(3300.0, columns="t=when:iso,current=I:uA")


@pytest.mark.parametrize("jump_s", [-3600, 3600, -1800, 1800])
def test_a_clock_in_local_time_across_the_change_of_summer_time_is_refused(jump_s):
    with pytest.raises(UsageError, match=r"local time, and summer time began or ended"):
        believed(read_meter(walls(clock("2026-10-25T02:59:00", 120, jump_s)), "meter-csv", LOCAL))
    unix = [1_793_000_000 + k + (jump_s if k >= 60 else 0) for k in range(120)]
    seconds = dataclasses.replace(LOCAL, columns="t=when:s,current=I:uA")
    with pytest.raises(UsageError, match=r"summer time"):
        believed(read_meter(walls([str(t) for t in unix]), "meter-csv", seconds))


def test_a_clock_in_utc_may_pause_for_an_hour():
    found = believed(read_meter(walls([t + "Z" for t in clock("2026-10-25T02:59:00", 120, 3600)]), "meter-csv", LOCAL))
    assert {f.kind for f in found.findings} == {"missing"}
    assert found.started_at == "2026-10-25T02:59:00.000000000+00:00"


def test_local_time_says_no_begin():
    found = believed(read_meter(walls(clock("2026-05-25T02:59:00", 120, 0)), "meter-csv", LOCAL))
    assert (found.started_at, told(found)) == (None, [("local time", False)])


def test_a_voltage_that_no_supply_has_is_refused():
    with pytest.raises(UsageError, match="which no supply here has"):
        believed(
            read_meter(b"I,U\n1,3300\n2,3300\n", "meter-csv", MeterOptions(None, 10.0, "current=I:uA,voltage=U:V"))
        )


@given(st.floats(0.5, 2.1), st.integers(2, 50))
def test_the_ratio_of_two_clocks(ratio, n):
    board = np.cumsum(np.random.default_rng(n).uniform(1e6, 1e8, n))
    assert rate_ratio(board * ratio + 5e9, board) == pytest.approx(ratio, rel=1e-9)
    found = rate_finding(ratio, "the meter's rate", "the board's clock")
    assert (found is not None and found.fatal) == (abs(ratio - 1) > 0.05)


def test_a_count_of_samples_and_their_span_make_a_ratio():
    """A third too many samples in the time that the board took."""
    assert rate_ratio([0, 133_000 * 10_000], [0, 1e9]) == pytest.approx(1.33)
    with pytest.raises(ValueError, match="two moments"):
        rate_ratio([0.0], [0.0])


def test_a_clock_that_drifts():
    board = np.linspace(0, 60e9, 100)
    meter = np.where(board < 30e9, board * 1.0001, 30e9 * 1.0001 + (board - 30e9) * 1.0003)
    assert drift_ppm(meter, board) == pytest.approx(200, abs=5)
    with pytest.raises(ValueError, match="four moments"):
        drift_ppm([0.0, 1.0], [0.0, 1.0])
