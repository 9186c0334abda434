"""The wasm board is worth waiting for: a ratio to the same C compiled natively, both in CPU time, in the same run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import speed


@pytest.mark.performance
def test_wasm_is_within_a_factor_of_native():
    figures = speed.measure(windows=2)
    slow = {quant: f for quant, f in figures.items() if f["native_over_wasm"] > 5}
    assert not slow
