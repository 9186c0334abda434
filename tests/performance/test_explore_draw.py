"""A change in the explorer is drawn within 5 times an empty redraw, of ten million tokens within 20 times."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import explore_draw
import quantiles


@pytest.mark.parametrize(
    ("tokens", "most"),
    [
        pytest.param(100_000, 5, marks=pytest.mark.performance, id="100 k"),
        pytest.param(10_000_000, 20, marks=[pytest.mark.nightly, pytest.mark.alone], id="10 M"),
    ],
)
def test_a_change_is_drawn_soon(tmp_path, tokens, most):
    quantiles.make(tmp_path / "data", tokens)
    found = explore_draw.measure(tmp_path / "data", tmp_path)
    for control in explore_draw.CONTROLS:
        assert found[f"{control}_over_empty"] < most, (control, found)
