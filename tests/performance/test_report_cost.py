"""Checking parameters, exporting the page and taking digests add little to running the notebook."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import report_cost

MOST = 1.3


@pytest.mark.performance
def test_a_report_costs_little_more_than_papermill_alone():
    figures = report_cost.measured("02_inspect_run", rounds=3)
    assert figures["wall_ratio"] <= MOST, figures
    assert figures["cpu_ratio"] <= MOST, figures
