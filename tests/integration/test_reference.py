"""The clock is exact: the reference data, captured again on this Python and this wasmtime, are the same."""

import pytest

import edgeprof
from edgeprof import resources
from edgeprof.care import verify
from edgeprof.same import differences
from edgeprof.sweep import load_plan, run_sweep


@pytest.mark.slow
def test_recapture_equals_the_reference(tmp_path):
    run_sweep(load_plan(resources.path("data/reference/plan.toml")), tmp_path)
    assert verify(tmp_path) == []
    again, committed = edgeprof.open(tmp_path), edgeprof.open(edgeprof.reference())
    assert len(committed.runs) == 24
    assert len(committed.tokens) > 24_000
    assert differences(again, committed) == []


def test_the_reference_is_whole():
    assert verify(edgeprof.reference()) == []


def test_a_difference_is_seen():
    committed, changed = edgeprof.open(edgeprof.reference()), edgeprof.open(edgeprof.reference())
    changed.runs.loc[3, "ticks_total"] += 1
    (found,) = differences(committed, changed)
    assert found.startswith("runs.ticks_total: 1 of 24 differ")
