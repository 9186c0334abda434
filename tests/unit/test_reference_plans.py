"""Which of the reference data are captured anew: boards and quantizations by name."""

from __future__ import annotations

import pytest

from edgeprof.errors import UsageError
from edgeprof.reference_data import reference_plans


def test_a_quantization_leaves_only_its_captures() -> None:
    plans = reference_plans(only=("wasm", "rp2040"), quants=("TQ2_0", "F16"))
    found = {
        (board, model.stem, q) for plan in plans for board in plan.boards for model, of, _ in plan.models for q in of
    }
    names = {"fable-1.2m-F16": {"TQ2_0", "F16"}, "fable-1.2m-ternary-F16": {"TQ2_0"}, "fable-1.2m-control-F16": {"F16"}}
    assert found == {("wasm", m, q) for m, of in names.items() for q in of} | {
        ("rp2040", "fable-1.2m-F16", "TQ2_0"),
        ("rp2040", "fable-1.2m-ternary-F16", "TQ2_0"),
        ("rp2040", "fable-1.2m-F16", "F16"),  # it does not fit, and must say so
    }


def test_all_are_captured_by_default() -> None:
    assert sum(len(of) for plan in reference_plans() for _, of, _ in plan.models) > 20


def test_a_quantization_that_is_none_of_them_is_named_with_the_closest() -> None:
    with pytest.raises(UsageError, match="Q4_0"):
        reference_plans(quants=("Q4_O",))
