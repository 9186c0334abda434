"""A run's energy out of a data set, whichever meter it was: what is stated holds the truth, and what cannot be is said.

The board and its meters are Python, the current is a closed form, and the captures are real ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakeboard import PAIRS, FakeBoard, make_capture, token_record
from meter_files import lines

import edgeprof
from edgeprof import journal, wire
from edgeprof.energy.align_edges import MOST_PPM
from edgeprof.energy.align_runs import board_runs
from edgeprof.energy.baseline import idle_baseline
from edgeprof.energy.certainty import StatedEnergy, stated_energy
from edgeprof.energy.kernels import interval_energy
from edgeprof.energy.measured import meter_of, recording_of
from edgeprof.energy.synthetic import Steps, truth_uj
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.meters.file import MeterOptions
from edgeprof.meters.importing import import_meters
from edgeprof.seal import seal

RNG = np.random.default_rng(4)
BEGINS_NS = (1.0e9, 3.1e9)
EDGES_NS = [begin + np.append(0.0, np.cumsum(1e7 * RNG.uniform(0.8, 1.2, 120))) for begin in BEGINS_NS]
"""Of the two runs' passes in true time, which is the host's."""
END_NS = 5e9
CURRENT = Steps(
    np.concatenate([[0.0], *EDGES_NS]),
    np.concatenate([[500.0], *[np.append(RNG.uniform(2000, 6000, 120), 500.0) for _ in EDGES_NS]]),
)
STARTED_NS, METER_PPM, BOARD_PPM = 0.7e9, -60.0, 80.0
PERIOD_NS = 1e5
FRAME = 100
Moments = list[tuple[float, Callable[[], Any]]]


def tick(t_ns: float) -> int:
    """Return the board's microseconds at a true time; it booted 0.3 s before the capture began."""
    return round((t_ns + 3e8) * 1e-3 * (1 + BOARD_PPM * 1e-6))


def run_frames(board: FakeBoard, *, said_edges: bool = False) -> Moments:
    """Return what the board sends of its runs, and when."""
    moments: Moments = []
    for number, edges in enumerate(EDGES_NS):
        ticks = [tick(t) for t in edges]

        def begin(number: int = number, at: int = ticks[0]) -> None:
            board.now = at
            board.begin(kind="generate", prompt_id=f"p{number}")

        moments.append((edges[0], begin))
        for k, (first, last) in enumerate(pairwise(ticks)):

            def passed(k: int = k, first: int = first, last: int = last) -> None:
                board.passes += 1
                board.frame(wire.Type.TOKENS, token_record(0, last - first, k, int(k > 9)), 1, t0=first, dt=1)

            moments.append((edges[k + 1], passed))
        if said_edges:
            moments += [(t, lambda t=t: board.event(tick(t) - board.t_begin, 2, 0)) for t in edges + 1e3]

        def end(at: int = ticks[-1]) -> None:
            board.now = at
            board.end(0, 10, 110)

        moments.append((edges[-1] + 4e5, end))
    return moments


def power_frames(
    board: FakeBoard, *, in_runs: bool, voltage_mv: int = 3300, meter: int = 0, beyond_ns: float = 2e5
) -> Moments:
    """Return frames of 100 samples, a sample each 100 us of the board's clock, and when each is sent.

    In runs the last sample is so long behind the last pass.
    """
    moments: Moments = []
    spans = [(e[0], e[-1] + beyond_ns) for e in EDGES_NS] if in_runs else [(0.0, END_NS)]
    for begin, end in spans:
        for first in range(tick(begin) + 10, tick(end), 100 * FRAME):
            ticks = first + 100 * np.arange(FRAME)
            t_ns = ticks * 1e3 / (1 + BOARD_PPM * 1e-6) - 3e8
            t_ns = t_ns[t_ns < end] if in_runs else t_ns
            counts = CURRENT.at(t_ns).round().astype("<u2")
            body = wire.POWER.pack(1000, voltage_mv, meter) + counts.tobytes()

            def send(body: bytes = body, n: int = len(counts), first: int = first) -> None:
                board.frame(wire.Type.POWER, body, n, in_run=in_runs, t0=first, dt=100)

            moments.append((t_ns[-1] + 1e3, send))
    return moments


def port(make: Callable[[FakeBoard], Moments], seed: int) -> Iterator[tuple[int, bytes]]:
    """Return what a board sends, with when the host has it: half a millisecond late at least, and up to three."""
    sent: list[bytes] = []
    board = FakeBoard(sent.append, pairs=PAIRS | {"tick_hz": "1000000"})
    rng, last = np.random.default_rng(seed), 0
    for t_ns, act in [(0.0, board.hello), *sorted(make(board), key=lambda moment: moment[0])]:
        act()
        last = max(last, int(t_ns + rng.uniform(5e5, 3e6)))
        yield last, sent.pop()


def captured(out: Path, *ports: Callable[[FakeBoard], Moments], lost: Callable[[int], bool] = lambda k: False) -> Any:
    """Make a capture of boards; of the last one's frames those that are ``lost``, by number, do not arrive."""
    folder = make_capture(out, "run", [b""] * len(ports))
    for number, make in enumerate(ports):
        writer = journal.PortWriter(folder, number)
        for k, (at, data) in enumerate(port(make, number)):
            if not (number == len(ports) - 1 and lost(k)):
                writer.append(data, at)
        writer.close()
    seal(folder, final=True)
    return edgeprof.open(out)


def meter_file(path: Path, *, edges: bool = True, began_ns: float = STARTED_NS, until_ns: float = END_NS) -> Path:
    """Write a PPK2's CSV of 10,000 samples a second, by a clock that is slow; D0 toggles with the passes."""
    count = int((until_ns - began_ns) / PERIOD_NS)
    true = began_ns + np.arange(count) * PERIOD_NS / (1 + METER_PPM * 1e-6)
    toggles = np.concatenate(EDGES_NS)
    level = np.searchsorted(toggles, true, side="right") % 2
    stamps = [f"{k / 10:.1f}" for k in range(count)]
    current = [f"{value:.3f}" for value in CURRENT.at(true)]
    if edges:
        path.write_bytes(lines("Timestamp(ms),Current(uA),D0-D7", stamps, current, [f"{d}-------" for d in level]))
    else:
        path.write_bytes(lines("Timestamp(ms),Current(uA)", stamps, current))
    return path


def take(out: Path, path: Path, **options: Any) -> None:
    import_meters([path], out, measures="run", port=0, options=MeterOptions(**{"voltage_mv": 3300.0} | options))


def stated(ds: Any, run: int, **more: Any) -> tuple[StatedEnergy, Any, np.ndarray]:
    """Return the energy of a run's passes, the alignment, and the true energy."""
    samples, alignment = meter_of(ds, f"run/0-{run + 1:04d}", **more)
    rows = ds.table("tokens", where={"run_id": f"run/0-{run + 1:04d}"}).sort_values("ticks_start")
    begins = alignment.to_meter_ns(rows["ticks_start"])
    ends = alignment.to_meter_ns(rows["ticks_start"] + rows["ticks"])
    error_ns = alignment.error_us * 1e3
    found = stated_energy(samples, begins, ends, error_ns=error_ns, edge_error_ns=1e3, rate_ppm=MOST_PPM)
    return found, alignment, truth_uj([CURRENT], 3300.0, EDGES_NS[run][:-1], EDGES_NS[run][1:])


def check(ds: Any, method: str, most_us: float, most_off: float, **more: Any) -> None:
    """Check both runs: how they were aligned, how well that is known, and that the truth is in what is stated."""
    for run in (0, 1):
        found, alignment, truth = stated(ds, run, **more)
        assert alignment.method == method
        assert alignment.error_us <= most_us
        assert len(truth) == 120
        inside = np.abs(found.energy_uj - truth) <= found.error_uj
        assert inside.mean() >= 0.93
        assert np.median(found.error_uj / truth) < most_off
        assert abs(found.energy_uj.sum() / truth.sum() - 1) < most_off / 5
        assert found.intervals.n_missing.sum() == 0


def its_own(board: FakeBoard) -> Moments:
    return run_frames(board) + power_frames(board, in_runs=True)


def a_meter(board: FakeBoard) -> Moments:
    return power_frames(board, in_runs=False, meter=3)


@pytest.fixture(scope="module")
def file_ds(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a data set of a board and a meter's file with edges, of which nobody said when it began."""
    folder = tmp_path_factory.mktemp("file")
    captured(folder / "data", run_frames)
    take(folder / "data", meter_file(folder / "ppk2.csv"))
    return edgeprof.open(folder / "data")


# -- four ways -----------------------------------------------------------------------------------------------------


def test_a_board_that_samples_itself(tmp_path):
    check(captured(tmp_path, its_own), "device", 100.001, 0.02)


def test_a_board_that_stops_sampling_before_the_last_pass_is_over_leaves_it_unknown(tmp_path):
    ds = captured(tmp_path, lambda board: run_frames(board) + power_frames(board, in_runs=True, beyond_ns=-2e6))
    found, alignment, truth = stated(ds, 0)
    assert "; the samples cover 99.8" in alignment.words
    assert np.flatnonzero(np.isnan(found.energy_uj)).tolist() == [119]
    assert (np.abs(found.energy_uj - truth) <= found.error_uj)[:119].mean() >= 0.93


def test_a_meter_board_on_a_port_of_its_own(tmp_path):
    ds = captured(tmp_path, run_frames, a_meter)
    check(ds, "host", 8e3, 0.5)
    _, alignment, _ = stated(ds, 0)
    assert alignment.error_us >= 2000  # a millisecond on either side, which nobody saw
    assert "the host timed both" in alignment.words


@pytest.mark.slow
def test_a_meters_file_with_the_boards_edges(file_ds):
    check(file_ds, "edges", 150, 0.03)
    for run in (0, 1):
        _, alignment, _ = stated(file_ds, run)
        true = (EDGES_NS[run][[0, -1]] - STARTED_NS) * (1 + METER_PPM * 1e-6)
        last = tick(EDGES_NS[run][-1]) - tick(EDGES_NS[run][0])
        assert np.abs(alignment.to_meter_ns([0, last]) - true).max() <= alignment.error_us * 1e3
        assert alignment.rate_ppm == pytest.approx(BOARD_PPM - METER_PPM, abs=20)
        assert "121 of 121 edges match, D0 against begin, end of each pass, and end" in alignment.words


@pytest.mark.slow
def test_edges_that_the_board_noted_are_what_is_matched(tmp_path):
    captured(tmp_path / "data", lambda board: run_frames(board, said_edges=True))
    take(tmp_path / "data", meter_file(tmp_path / "ppk2.csv"))
    ds = edgeprof.open(tmp_path / "data")
    check(ds, "edges", 150, 0.03)
    assert "against the board's own EVENT records" in stated(ds, 0)[1].words


def test_a_file_that_saw_the_end_of_a_run_only_says_how_much_that_is(tmp_path):
    captured(tmp_path / "data", run_frames)
    half = float(EDGES_NS[0][60])
    take(tmp_path / "data", meter_file(tmp_path / "ppk2.csv", began_ns=half))
    found, alignment, truth = stated(edgeprof.open(tmp_path / "data"), 0)
    assert re.search("; the samples cover 49.[0-9]* % of the run", alignment.words)
    assert np.isnan(found.energy_uj[:60]).all()
    assert (np.abs(found.energy_uj - truth) <= found.error_uj)[61:].mean() >= 0.93


@pytest.mark.parametrize("wrong_by_ns", [-4e8, 0.0, 4e8], ids=["early", "right", "late"])
def test_a_file_without_edges_and_when_it_began(tmp_path, wrong_by_ns):
    """The wall clocks are apart; the run's energy is known badly, and said to be."""
    captured(tmp_path / "data", run_frames)
    path = meter_file(tmp_path / "ppk2.csv", edges=False, began_ns=0.0, until_ns=3.0e9)
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=wrong_by_ns / 1e3)
    take(tmp_path / "data", path, started_at=at.isoformat())
    ds = edgeprof.open(tmp_path / "data")
    samples, alignment = meter_of(ds, "run/0-0001")
    assert (alignment.method, alignment.error_us >= 1e6) == ("host", True)
    assert "wall clocks" in alignment.words and "no digital input that changed" in alignment.words
    last = tick(EDGES_NS[0][-1]) - tick(EDGES_NS[0][0])
    begin, end = alignment.to_meter_ns([[0], [last]])
    found = stated_energy(samples, begin, end, error_ns=alignment.error_us * 1e3, rate_ppm=MOST_PPM)
    truth = truth_uj([CURRENT], 3300.0, EDGES_NS[0][:1], EDGES_NS[0][-1:])
    assert abs(found.energy_uj - truth) <= found.error_uj
    assert found.error_uj > 0.3 * truth


def test_idling_is_what_lies_between_the_runs(tmp_path, file_ds):
    for ds in (file_ds, captured(tmp_path, run_frames, a_meter)):
        found = recording_of(ds, "run/0-0001")
        lengths = found.ends_ns - found.begins_ns
        np.testing.assert_allclose(lengths, [e[-1] - e[0] for e in EDGES_NS], rtol=3e-4)
        assert np.diff(found.begins_ns) == pytest.approx(np.diff(BEGINS_NS), abs=found.margin_ns)
        idle = idle_baseline(found.samples, found.begins_ns - found.margin_ns, found.ends_ns + found.margin_ns)
        assert idle.power_uw == pytest.approx(500 * 3.3, rel=1e-6)


def test_idling_of_a_board_that_samples_itself(tmp_path):
    def always(board: FakeBoard) -> Moments:
        outside = [m for m in power_frames(board, in_runs=False) if all(abs(m[0] - e[60]) > 6.5e8 for e in EDGES_NS)]
        return its_own(board) + outside

    found = recording_of(captured(tmp_path, always), "run/0-0002")
    assert found.begins_ns == pytest.approx(BEGINS_NS, abs=found.margin_ns)
    idle = idle_baseline(found.samples, found.begins_ns - found.margin_ns, found.ends_ns + found.margin_ns)
    assert idle.power_uw == pytest.approx(500 * 3.3, rel=1e-3)


# -- what is missing -------------------------------------------------------------------------------------------------


def test_frames_that_were_lost_are_missing_and_counted(tmp_path):
    whole = captured(tmp_path / "whole", run_frames, a_meter)
    ds = captured(tmp_path / "lost", run_frames, a_meter, lost=lambda k: k in (150, 151))
    samples, _ = meter_of(ds, 0)
    before, _ = meter_of(whole, 0)
    gap = np.isnan(samples.current_ua)
    assert gap.sum() == 2 * FRAME
    assert np.ptp(np.flatnonzero(gap)) == 2 * FRAME - 1
    # All that came is where it would have been.
    assert samples.start_ns == pytest.approx(before.start_ns, abs=2e5)
    np.testing.assert_array_equal(samples.current_ua[~gap][-2000:], before.current_ua[-2000:])
    found, _, truth = stated(ds, 0)
    assert found.intervals.n_missing.sum() == pytest.approx(2 * FRAME, abs=2)
    unknown = np.isnan(found.energy_uj)
    assert 1 <= unknown.sum() <= 4
    assert (np.abs(found.energy_uj - truth) <= found.error_uj)[~unknown].mean() >= 0.93


def test_a_boards_own_frames_that_were_lost_are_missing_and_counted(tmp_path):
    sent = [data for _, data in port(its_own, 0)]
    (one, *_) = (k for k, data in enumerate(sent) if k > 100 and len(data) > 200)
    samples, _ = meter_of(captured(tmp_path, its_own, lost=lambda k: k == one), 0)
    assert np.isnan(samples.current_ua).sum() == FRAME


def test_without_a_voltage_there_is_charge_and_no_energy(tmp_path):
    def unsaid(board: FakeBoard) -> Moments:
        return run_frames(board) + power_frames(board, in_runs=True, voltage_mv=0xFFFF)

    ds = captured(tmp_path, unsaid)
    found, alignment, truth = stated(ds, 0)
    assert np.isnan(found.energy_uj).all()
    assert "the voltage is not known, so there is charge and no energy" in alignment.words
    assert found.intervals.charge_uc.sum() * 3.3 == pytest.approx(truth.sum(), rel=2e-3)
    check(ds, "device", 100.001, 0.02, voltage_mv=3300.0)
    with pytest.raises(UsageError, match="is no supply"):
        meter_of(ds, 0, voltage_mv=-1.0)


def test_a_voltage_that_the_meter_says_is_not_said_again(tmp_path):
    with pytest.raises(UsageError, match=r"says the voltage itself \(3300 mV on average\)"):
        meter_of(captured(tmp_path, its_own), 0, voltage_mv=3000.0)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_no_meter(tmp_path):
    ds = captured(tmp_path, run_frames)
    with pytest.raises(NotComparableError, match=r"No meter measured run/0-0001.*edgeprof import FILE --measures run"):
        meter_of(ds, 0)


@pytest.mark.slow
def test_two_meters_of_one_board(tmp_path):
    ds = captured(tmp_path, its_own, a_meter)
    with pytest.raises(NotComparableError, match=r"2 meters may have measured .*'board', 'meter 3 on port 1'"):
        meter_of(ds, 0)
    check(ds, "device", 100.001, 0.02, meter="board")
    check(ds, "host", 8e3, 0.5, meter="meter 3 on port 1")
    with pytest.raises(UsageError, match=r"meter of this run .*'meter 4'"):
        meter_of(ds, 0, meter="meter 4")


def test_a_meter_beside_two_boards_is_of_none_until_it_is_said(tmp_path):
    ds = captured(tmp_path, run_frames, run_frames, a_meter)
    with pytest.raises(NotComparableError, match=r"boards on ports 0, 1, and nothing says which"):
        meter_of(ds, "run/0-0001")
    check(ds, "host", 8e3, 0.5, meter="meter 3 on port 2")


def test_a_file_of_the_other_board_is_no_meter_of_this_one(tmp_path):
    captured(tmp_path / "data", run_frames, run_frames)
    take(tmp_path / "data", meter_file(tmp_path / "ppk2.csv"))
    ds = edgeprof.open(tmp_path / "data")
    assert meter_of(ds, "run/0-0001")[1].method == "edges"
    with pytest.raises(NotComparableError, match="No meter measured run/1-0001"):
        meter_of(ds, "run/1-0001")


def test_of_two_files_the_one_of_that_time_is_taken(tmp_path):
    captured(tmp_path / "data", run_frames)
    first = meter_file(tmp_path / "a.csv", edges=False, until_ns=2.6e9)
    take(tmp_path / "data", first, started_at="2026-01-01T00:00:00.7Z")
    take(tmp_path / "data", meter_file(tmp_path / "b.csv", edges=False), started_at="2026-01-01T02:00:00Z")
    samples, _ = meter_of(edgeprof.open(tmp_path / "data"), "run/0-0001")
    assert len(samples) == 19_000


def test_a_file_of_another_time(tmp_path):
    captured(tmp_path / "data", run_frames)
    path = meter_file(tmp_path / "ppk2.csv", edges=False)
    take(tmp_path / "data", path, started_at="2026-01-01T02:00:00.7Z")
    with pytest.raises(NotComparableError, match=r"no samples of run/0-0001.*Whole hours between the two are a local"):
        meter_of(edgeprof.open(tmp_path / "data"), "run/0-0001")


def test_a_file_that_nothing_aligns(tmp_path):
    captured(tmp_path / "data", run_frames)
    take(tmp_path / "data", meter_file(tmp_path / "ppk2.csv", edges=False))
    with pytest.raises(NotComparableError, match=r"no digital input that changed.*--started at import"):
        meter_of(edgeprof.open(tmp_path / "data"), "run/0-0001")


def test_a_file_of_other_edges_falls_back_to_the_clock_and_says_why(tmp_path):
    captured(tmp_path / "data", run_frames)
    path = meter_file(tmp_path / "ppk2.csv", until_ns=float(EDGES_NS[0][3]) + 1e6)
    take(tmp_path / "data", path, started_at="2026-01-01T00:00:00.7Z")
    _, alignment = meter_of(edgeprof.open(tmp_path / "data"), "run/0-0001")
    assert alignment.method == "host"
    assert "by no edges: The board says 121 edges and the meter saw 4" in alignment.words


@pytest.mark.slow
def test_a_file_whose_rate_is_wrong_is_refused_even_where_a_clock_would_do(tmp_path):
    captured(tmp_path / "data", run_frames)
    path = meter_file(tmp_path / "ppk2.csv")
    rows = [row.partition(",")[2] for row in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    take(tmp_path / "data", path, rate_hz=7_500.0, started_at="2026-01-01T00:00:00.7Z")
    with pytest.raises(UsageError, match=r"The meter's time runs 1.33\d* times as fast as the board's"):
        meter_of(edgeprof.open(tmp_path / "data"), "run/0-0001")


@pytest.mark.slow
def test_a_run_of_which_nothing_arrived_is_no_evidence_and_no_idling(tmp_path):
    def make(board: FakeBoard) -> Moments:
        def begin() -> None:
            board.now = tick(4.6e9)
            board.begin(kind="generate", prompt_id="nothing")

        return [*run_frames(board), (4.6e9, begin), (4.65e9, lambda: board.end(0, 10, 0))]

    ds = captured(tmp_path, make)
    assert len(ds.runs) == 3
    assert len(board_runs(ds, "run", 0, timed=True)) == 2
    take(tmp_path, meter_file(tmp_path / "ppk2.csv"))
    ds = edgeprof.open(tmp_path)
    check(ds, "edges", 150, 0.03)
    with pytest.raises(NotComparableError, match="None of the passes of run/"):
        recording_of(ds, 0)


def test_a_clock_that_counts_instructions_is_no_time(tmp_path):
    sent: list[bytes] = []
    board = FakeBoard(sent.append)
    for _, act in sorted(its_own(board), key=lambda moment: moment[0]):
        act()
    seal(make_capture(tmp_path, "run", [b"".join(sent)]), final=True)
    with pytest.raises(NotComparableError, match="A tick of run/0-0001 is no time"):
        meter_of(edgeprof.open(tmp_path), 0)


def test_local_time_that_jumps_and_an_empty_file_leave_nothing_behind(tmp_path):
    captured(tmp_path / "data", run_frames)
    before = sorted(tmp_path.joinpath("data").rglob("*"))
    autumn = [f"2026-10-25T02:{(30 + k) % 60:02d}:00" for k in range(60)]  # 02:59 and then 02:00 again
    (tmp_path / "autumn.csv").write_bytes(lines("t,I", autumn, 1000 + np.arange(60)))
    spring = [f"2026-03-29T0{1 if k < 30 else 3}:{(30 + k) % 60:02d}:00" for k in range(60)]
    (tmp_path / "spring.csv").write_bytes(lines("t,I", spring, 1000 + np.arange(60)))
    for name in ("autumn.csv", "spring.csv"):
        with pytest.raises(UsageError, match="summer time began or ended"):
            take(tmp_path / "data", tmp_path / name, columns="t=t:iso,current=I:uA")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(UsageError, match=r"empty.csv.*Nothing was imported"):
        take(tmp_path / "data", tmp_path / "empty.csv")
    assert sorted(tmp_path.joinpath("data").rglob("*")) == before


def test_a_whole_interval_is_the_sum_of_its_passes(file_ds):
    samples, alignment = meter_of(file_ds, "run/0-0002")
    rows = file_ds.table("tokens", where={"run_id": "run/0-0002"}).sort_values("ticks_start")
    at = alignment.to_meter_ns(np.append(rows["ticks_start"], rows["ticks_start"].iloc[-1] + rows["ticks"].iloc[-1]))
    parts = interval_energy(samples, at[:-1], at[1:]).energy_uj
    assert interval_energy(samples, at[:1], at[-1:]).energy_uj[0] == pytest.approx(parts.sum(), rel=1e-11)
