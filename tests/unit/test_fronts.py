"""Pareto fronts, against the definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.errors import NotComparableError, UsageError
from edgeprof.fronts import directions, pareto

BOTH = {"cost": "lower", "rate": "higher"}


def table(rows: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["cost", "rate"]).assign(group=[f"g{n}" for n in range(len(rows))])


def test_a_front() -> None:
    found = pareto(table([(1, 1), (2, 3), (3, 3), (4, 9), (5, 0)]), BOTH)
    assert list(found["on_front"]) == [True, True, False, True, False]
    assert list(found["dominated_by"].fillna("")) == ["", "", "g1", "", "g3"]


def test_equals_do_not_dominate_each_other() -> None:
    found = pareto(table([(1, 1), (1, 1)]), BOTH)
    assert list(found["on_front"]) == [True, True]


def test_what_has_no_metric_is_on_no_front_and_dominates_nothing() -> None:
    found = pareto(table([(0, np.nan), (1, 1), (2, 0)]), BOTH)
    assert found["on_front"].isna().tolist() == [True, False, False]
    assert list(found["dominated_by"].fillna("")) == ["", "", "g1"]


def test_who_dominates_is_decided_by_shares_of_each_range() -> None:
    # The first is better by a whole range and a tenth of one, the second by half of a range and a whole one.
    found = pareto(table([(0, 1), (500, 10), (1000, 0)]), BOTH)
    assert list(found["dominated_by"].fillna("")) == ["", "", "g1"]


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40))
def test_the_definition(rows: list[tuple[int, int]]) -> None:
    found = pareto(table([(float(a), float(b)) for a, b in rows]), BOTH)

    def dominates(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    for n, row in enumerate(rows):
        assert found["on_front"][n] == (not any(dominates(other, row) for other in rows))
        by = found["dominated_by"][n]
        if not pd.isna(by):
            other = int(str(by)[1:])
            assert dominates(rows[other], row) and found["on_front"][other]


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="perplexty.*Did you mean 'perplexity'"):
        directions(["perplexty"])
    with pytest.raises(UsageError, match="Neither more nor less of bits_per_weight"):
        directions(["bits_per_weight"])
    assert directions(["perplexity", "decode_tok_s"]) == {"perplexity": "lower", "decode_tok_s": "higher"}
    with pytest.raises(UsageError, match="column of the table"):
        pareto(table([(1, 1)]), {"costs": "lower"})
    with pytest.raises(UsageError, match="lower or higher"):
        pareto(table([(1, 1)]), {"cost": "less"})
    with pytest.raises(NotComparableError, match="No candidate has all of cost, rate"):
        pareto(table([(np.nan, 1)]), BOTH)


def test_differences_that_do_not_matter_do_not_count():
    table = pd.DataFrame(
        {"group": ["good", "ruined", "slow"], "model_bytes": [1000, 999, 1010], "perplexity": [1.2, 12.0, 1.2]}
    )
    exactly = pareto(table, ["model_bytes", "perplexity"])
    assert exactly["on_front"].tolist() == [True, True, False]
    within = pareto(table, ["model_bytes", "perplexity"], tolerance={"model_bytes": 0.02, "perplexity": 0.01})
    assert within["on_front"].tolist() == [True, False, True]
    assert within["dominated_by"].tolist()[1] == "good"
