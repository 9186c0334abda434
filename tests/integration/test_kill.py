"""Nothing that was acknowledged is lost, whoever is killed and when."""

from __future__ import annotations

import pytest
from fakeboard import FakeBoard
from integration.kill_many import Independent, run, uncobs

from edgeprof import wire

pytestmark = pytest.mark.alone


def test_the_independent_decoder() -> None:
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.generate("a", 130, 120)
    board.generate("b")
    data = b"text" + b"".join(parts)
    one = Independent()
    for end in (10, len(data) // 2, len(data)):
        one.grow(data[:end])
    assert [row[:2] for row in one.rows] == [(1, p) for p in range(249)] + [(2, p) for p in range(11)]
    assert one.before(len(data)) == one.rows
    assert one.before(len(data) - 1)[-1][:2] == (2, 10)
    assert one.before(0) == []
    damaged = Independent()
    damaged.grow(data.replace(parts[1], parts[1][:9] + b"\x05" + parts[1][10:]))
    assert [row[0] for row in damaged.rows] == [1] * 119 + [2] * 11
    assert uncobs(b"\x05abc") is None
    assert uncobs(wire.cobs.encode(bytes(range(256)) * 3)) == bytes(range(256)) * 3


@pytest.mark.once
@pytest.mark.slow
def test_eighty_kills_lose_nothing() -> None:
    done = run(80, 20)
    assert sum(done["kills"].values()) >= 80
    assert done["kills"]["reader"] >= 5
    assert done["kills"]["sealer"] >= 25
    assert done["in_the_middle_of_a_segment"] >= 1  # it is some twelfth of them
    assert done["segments"] >= 30
    assert done["passes_compared"] > 10_000


@pytest.mark.nightly
def test_a_thousand_kills_lose_nothing() -> None:
    done = run(1000, 21, go_on=True)
    assert done["failures"] == []
    assert done["kills"]["reader"] >= 100
