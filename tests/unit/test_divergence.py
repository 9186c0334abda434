"""KL divergence against known answers, scipy, and what has to hold of any; logits put together from their pieces."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from edgeprof import divergence
from edgeprof.divergence import assembled, kl_divergence
from edgeprof.errors import NotComparableError


def logits(*chances):
    return [math.log(c) if c else -math.inf for c in chances]


def test_known_answers():
    half, skew = logits(0.5, 0.5), logits(0.25, 0.75)
    assert kl_divergence([half, skew, half], [skew, half, half]) == pytest.approx(
        [0.5 * math.log(4 / 3), 0.25 * math.log(0.5) + 0.75 * math.log(1.5), 0], rel=1e-12, abs=1e-15
    )
    # The certain token against one of four: ln 4.
    assert kl_divergence([logits(1, 0, 0, 0)], [logits(0.25, 0.25, 0.25, 0.25)]) == pytest.approx([math.log(4)])
    assert kl_divergence([logits(0.5, 0.5)], [logits(1, 0)]).tolist() == [math.inf]
    assert kl_divergence([logits(1, 0)], [logits(1, 0)]).tolist() == [0]


@pytest.mark.parametrize("bad", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf], [math.inf, -math.inf]])
def test_what_is_no_distribution_has_no_divergence(bad):
    for pair in ((bad, [0.0, 0.0]), ([0.0, 0.0], bad)):
        found = kl_divergence([pair[0], [0.0, 0.0]], [pair[1], [0.0, 0.0]])
        assert math.isnan(found[0])
        assert found[1] == 0


ROWS = st.integers(2, 9).flatmap(
    lambda n: st.tuples(*[st.lists(st.floats(-60, 60, width=32), min_size=n, max_size=n)] * 2)
)


@settings(deadline=None)
@given(ROWS)
def test_it_is_what_scipy_makes_of_the_same(pair):
    p, q = (special.softmax(np.array(x, np.float64)) for x in pair)
    (found,) = kl_divergence([pair[0]], [pair[1]])
    assert found == pytest.approx(stats.entropy(p, q), rel=1e-6, abs=1e-9)
    assert found == pytest.approx(special.rel_entr(p, q).sum(), rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(ROWS, st.floats(-100, 100), st.randoms())
def test_what_holds_of_any(pair, offset, random):
    p, q = map(np.array, pair)
    (found,) = kl_divergence([p], [q])
    assert found >= 0
    assert kl_divergence([p], [p])[0] <= 1e-12
    assert kl_divergence([p + offset], [q - offset])[0] == pytest.approx(found, rel=1e-6, abs=1e-9)
    order = list(range(len(p)))
    random.shuffle(order)
    assert kl_divergence([p[order]], [q[order]])[0] == pytest.approx(found, rel=1e-9, abs=1e-12)
    # Pinsker: the distance of two distributions is no more than the root of half their divergence.
    distance = np.abs(special.softmax(p) - special.softmax(q)).sum() / 2
    assert distance <= math.sqrt(found / 2) + 1e-7


def test_large_logits_are_no_trouble():
    assert kl_divergence([[1e30, 0]], [[1e30, 0]]).tolist() == [0]
    assert kl_divergence(np.array([[1e4, 0.0]]), np.array([[0.0, 1e4]])).tolist() == [1e4]


def test_many_positions_are_taken_in_parts(monkeypatch):
    rng = np.random.default_rng(3)
    p, q = rng.normal(size=(2, 50, 16)).astype(np.float32)
    whole = kl_divergence(p, q)
    monkeypatch.setattr(divergence, "_AT_ONCE", 16 * 7)
    assert kl_divergence(p, q).tolist() == whole.tolist()


def test_other_shapes_are_refused():
    with pytest.raises(NotComparableError, match="1 x 3 and 1 x 2"):
        kl_divergence([[0, 0, 0]], [[0, 0]])
    assert kl_divergence(np.empty((0, 4)), np.empty((0, 4))).tolist() == []
    assert np.isnan(kl_divergence(np.empty((2, 0)), np.empty((2, 0)))).all()


def pieces(*rows):
    """Return rows of table ``logits``: (window, position, first_id, values)."""
    frame = pd.DataFrame(rows, columns=["window", "position", "first_id", "logits"])
    frame["logits"] = [None if v is None else np.array(v, np.float32) for v in frame["logits"]]
    return frame.astype({"window": "Int32", "position": "Int32", "first_id": "Int32"})


def test_pieces_are_put_together():
    rows = pieces(
        (1, 3, 2, [7, 8]), (0, 9, 0, [1, 2]), (1, 3, 0, [5, 6]), (0, 9, 2, [3, 4]), (None, 4, 0, [1, 2, 3, 4])
    )
    found = assembled(rows)
    assert found.places.to_numpy().tolist() == [[-1, 4], [0, 9], [1, 3]]
    assert found.logits.tolist() == [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert found.logits.dtype == np.float32
    assert found.incomplete == 0


@pytest.mark.parametrize(
    "lost",
    [
        [(0, 0, 2, [3, 4])],
        [(0, 0, 0, [1, 2])],
        [(0, 0, 0, [1]), (0, 0, 2, [3, 4])],
        [(0, 0, 0, [1, 2, 3]), (0, 0, 2, [3, 4])],
        [(0, 0, 0, [1, 2]), (0, 0, 2, [3, 4]), (0, 0, 2, [3, 4])],
        [(0, 0, 0, [1, 2]), (0, 0, 2, None)],
        [(0, 0, 0, [1, 2]), (0, 0, 2, [3, 4, 5])],
        [(0, 0, 0, [])],
    ],
    ids=["begin", "end", "middle", "overlap", "twice", "null", "beyond", "nothing"],
)
def test_a_position_with_a_piece_missing_is_left_out(lost):
    found = assembled(pieces(*lost, (0, 1, 0, [1, 2]), (0, 1, 2, [3, 4])), 4)
    assert found.places.to_numpy().tolist() == [[0, 1]]
    assert found.incomplete == 1


def test_nothing_is_put_together_from_nothing():
    found = assembled(pieces())
    assert found.places.empty
    assert found.logits.shape == (0, 0)
    assert assembled(pieces((0, 0, 0, [1, 2])), 3).logits.shape == (0, 3)


def test_without_the_vocabularys_size_most_positions_say_it():
    rows = [(0, n, 0, [1, 2]) for n in range(3)] + [(0, 7, 0, [1, 2, 3]), (0, 8, 2**31 - 9, [1, 2])]
    found = assembled(pieces(*rows))
    assert found.logits.shape == (3, 2)
    assert found.incomplete == 2


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_any_cutting_of_a_vocabulary_is_undone(data):
    n, vocabulary = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    values = np.arange(n * vocabulary, dtype=np.float32).reshape(n, vocabulary)
    rows = []
    for position, row in enumerate(values):
        cuts = sorted(data.draw(st.sets(st.integers(1, vocabulary), max_size=4)) - {vocabulary})
        rows += [(0, position, a, row[a:b]) for a, b in itertools.pairwise([0, *cuts, vocabulary])]
    found = assembled(pieces(*data.draw(st.permutations(rows))))
    assert found.logits.tolist() == values.tolist()
