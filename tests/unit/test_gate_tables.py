"""A gate's checks as a chart and its table."""

from __future__ import annotations

import pytest

import edgeprof
from edgeprof.gate_outputs import tables
from edgeprof.gating import gate_paths


@pytest.fixture(scope="module")
def gated():
    return gate_paths(edgeprof.reference("gate"))


@pytest.mark.slow
def test_what_changed_is_drawn_and_what_is_equal_is_not(gated):
    shown = tables.checks_for_plot(gated)
    assert set(shown["smallest"]) == {0.1}
    assert list(dict.fromkeys(shown["group"])) == [
        f"{m} (limit 10 %)"
        for m in (
            "prefill_ticks_per_token",
            "decode_ticks_per_token",
            "ttft_ticks",
            "itl_p95_ticks",
            "flash_needed_bytes",
        )
    ]
    assert (shown["change"] != 0).all()
    costs = shown["group"].str.contains("tick")
    assert set(shown.loc[costs, "word"]) == {"worse"} and set(shown.loc[~costs, "word"]) == {"same"}


@pytest.mark.slow
def test_the_table_has_every_check_when_asked(gated):
    few, every = tables.checks_table(gated), tables.checks_table(gated, everything=True)
    assert len(every) == len(gated.checks) > len(few)
    assert set(few["outcome"]) == {"fail"} and {"fail", "pass", "skipped"} == set(every["outcome"])


def test_the_verdict_says_what_was_not_judged(gated):
    found = tables.verdict_table(gated)
    assert found.iloc[0].tolist()[1].startswith("Gate: fail. 36 checks of 4 cells")
