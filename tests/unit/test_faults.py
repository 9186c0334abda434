"""Whatever happens between a board and its capture: no wrong row, none twice, none missing that came, losses counted.

What cannot be known of what was lost is listed in tests/oracle.py.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from injector import KINDS, Fault, Injector, Item, traffic
from integration.fault_many import Harmed, check, decoded, differences, run, through_parquet
from oracle import Expected, TooLateError

from edgeprof import wire

FAULTS = st.lists(
    st.builds(
        Fault,
        st.sampled_from(KINDS),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 1000),
        st.integers(0, 2**32 - 1),
    ),
    max_size=40,
)


def harmed(*faults: Fault, seed: int = 3, n_runs: int = 4) -> Harmed:
    return Harmed(random.Random(seed), faults, n_runs)


def only(table: Counter[str]) -> str:
    (row,) = table
    return row


def test_the_injector_knows_what_arrives_whole() -> None:
    items = traffic(random.Random(1), 6)
    frames = [i.frame for i in items if i.frame is not None]
    untouched = Injector(list(items))
    assert [a.frame for a in untouched.arrivals(untouched.stream())] == frames
    for kind, change in (("drop frame", -1), ("flip", -1), ("break", -1), ("duplicate", 1), ("delay", 0), ("split", 0)):
        one = Injector([Item(i.data, i.frame) for i in items if i.frame is not None])
        at = next(n for n, i in enumerate(one.items) if len(i.data) > 300)
        one.inject([Fault(kind, (at + 0.5) / len(one.items), 2, 100)])
        got = Counter(a.frame.seq for a in one.arrivals(one.stream()))
        assert sum(got.values()) == len(frames) + change, kind
        assert got[frames[at].seq] == 1 + change, kind
    # Zeros may be shared: a frame whose own opening zero is gone is whole.
    shared = Injector([Item(i.data, i.frame) for i in items if i.frame is not None])
    assert len(shared.arrivals(shared.stream().replace(b"\0\0", b"\0"))) == len(frames)


def test_no_fault_at_all() -> None:
    one = harmed(n_runs=12)
    assert (one.expected.lost, one.expected.unknown_losses, one.expected.duplicates) == (0, 0, 0)
    assert len(one.expected.rows["runs"]) == 12 and len(one.expected.rows["tokens"]) > 500
    check(one, *decoded(one, random.Random(5)))
    check(one, through_parquet(one), None)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), FAULTS)
def test_any_faults(seed: int, faults: list[Fault]) -> None:
    one = harmed(*faults, seed=seed)
    check(one, *decoded(one, random.Random(seed)))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fault_alone(kind: str) -> None:
    rng = random.Random(kind)
    damaged = 0
    for seed in range(12):
        faults = [Fault(kind, rng.random(), rng.randint(1, 1000), rng.getrandbits(32)) for _ in range(6)]
        one = harmed(*faults, seed=seed, n_runs=6)
        check(one, *decoded(one, rng))
        want = one.expected
        taken = want.frames - want.late
        damaged += want.duplicates + want.resets + want.late + len(one.injector.sent) - taken
    # A split read and a silence do no harm; every other kind does something that shows.
    shows = kind not in ("split", "silence", "delay")
    assert (damaged > 0) >= shows


@pytest.mark.slow
@pytest.mark.parametrize("end", ["first", "last"])
def test_the_first_and_the_last_frame_of_a_run_are_counted(end: str) -> None:
    for seed in range(20):
        items = traffic(random.Random(seed), 3)
        frames = [i.frame for i in items]
        mine = [n for n, f in enumerate(frames) if f is not None and f.run == 2]
        run_end = mine[-1]
        assert frames[run_end].type == wire.Type.RUN_END
        lost = mine[0] if end == "first" else run_end
        one = harmed(seed=seed, n_runs=3)
        one.injector.items = [i for n, i in enumerate(items) if n != lost]
        one.injector._bodies = Injector(items)._bodies
        one.stream = one.injector.stream()
        one.arrivals = one.injector.arrivals(one.stream)
        one.expected = Expected(one.arrivals, read=101)
        found, state = decoded(one, random.Random(seed))
        check(one, found, state)
        assert state.lost == 1  # the next run's numbers say so
        (row,) = [r for r in found["runs"] if '"run_id": "c/0-0002"' in r]
        assert f'"frames_lost": {1 if end == "first" else "null"},' in row


def test_a_silence_of_three_clock_periods_is_counted_in_full() -> None:
    one = harmed(*(Fault("silence", (8 * r + s) / 32 + 0.001) for r in range(4) for s in (1, 2)), n_runs=4)
    found, state = decoded(one, random.Random(1))
    check(one, found, state)
    starts = [int(r.split('"ticks_start": ')[1].split(",")[0]) for r in found["tokens"]]
    assert max(starts) > 2 * 3 * 2**32


def test_the_checks_would_notice() -> None:
    one = harmed(n_runs=3)
    found, state = decoded(one, random.Random(5))
    row = next(iter(found["tokens"]))
    for harm, what in ((Counter({row: 1}), "twice"), (Counter({row: -1}), "missing")):
        bad = found | {"tokens": Counter(found["tokens"])}
        bad["tokens"].update(harm)
        assert [k for k, v in differences(one, bad).items() if +v] == [what]
    changed = found | {
        "tokens": found["tokens"] - Counter([row]) + Counter([row.replace('"source": "d', '"source": "e')])
    }
    assert only(differences(one, changed)["missing"]) == row
    assert sum(differences(one, changed)["wrong"].values()) == 1
    state.lost += 1
    with pytest.raises(AssertionError, match="counted"):
        check(one, found, state)


def _late(older: int, *, reboot: bool) -> tuple[Harmed, bytes]:
    """Return a stream in which one TOKENS frame comes last, behind two other runs or behind a reset."""
    faults = [Fault("reboot", 0.5)] if reboot else []
    items = traffic(random.Random(older), 4, faults)
    first = next(n for n, i in enumerate(items) if i.frame is not None and i.frame.type == wire.Type.TOKENS)
    stream = b"".join(i.data for n, i in enumerate(items) if n != first)
    one = harmed(*faults, seed=older)
    one.injector._bodies = Injector(items)._bodies
    one.stream = stream
    one.arrivals = one.injector.arrivals(stream)
    one.expected = Expected(one.arrivals, read=101)
    return one, items[first].data


@pytest.mark.parametrize("reboot", [False, True], ids=["behind two runs", "behind a reset"])
def test_a_frame_that_comes_much_too_late_makes_no_run_and_no_reset(reboot: bool) -> None:
    one, late = _late(2, reboot=reboot)
    assert one.expected.resets == reboot
    n_runs = sum(one.expected.rows["runs"].values())
    one.stream += late
    found, _ = decoded(one, random.Random(0))
    resets = sum('"kind": "reset"' in row for row in found["events"])
    assert (sum(found["runs"].values()), resets) == (n_runs, one.expected.resets)


def test_the_oracle_refuses_what_it_cannot_say() -> None:
    one, late = _late(2, reboot=False)
    with pytest.raises(TooLateError):
        Expected(one.injector.arrivals(one.stream + late), read=101)


@pytest.mark.slow
def test_five_thousand_faults() -> None:
    done = run(5000, 20)
    assert sum(done["faults"].values()) == 5000
    assert all(done["faults"][kind] > 30 for kind in KINDS), done["faults"]
    assert done["totals"]["frames lost by seq"] > 1000
    assert done["totals"]["frames taken"] > 10_000
    assert done["totals"]["streams through Parquet"] >= 10


@pytest.mark.nightly
def test_a_hundred_thousand_faults() -> None:
    done = run(100_000, 21, go_on=True)
    assert done["failures"] == []
