"""Quantiles over ten million tokens are there as soon as the best tools have them."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("polars", reason="needs polars, to compare with")
pytest.importorskip("duckdb", reason="needs duckdb, to compare with")
sys.path.insert(0, str(Path(__file__).parent))
import quantiles


@pytest.fixture(scope="module")
def ten_million(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    assert quantiles.make(folder, 10_000_000) == 10_000_000
    return folder


@pytest.mark.performance
@pytest.mark.parametrize("by", ["quant", "prompt_id"])
def test_quantiles_take_no_longer_than_with_the_fastest(ten_million, by):
    figures = quantiles.measure(ten_million, by)
    assert figures["edgeprof_over_fastest"] <= 1.5, figures
    assert figures["pandas_over_edgeprof"] >= 3, figures
