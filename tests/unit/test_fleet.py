"""Every model file on every board: what fits, ratios within a board, perplexity of the file."""

from __future__ import annotations

import math
from typing import Any

import pytest
from handmade import dataset, generated, run, scored

from edgeprof import compare
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.fleet import common_reference, fleet, fleet_table

BITS = {"F16": 16.0, "Q8_0": 8.5, "Q4_0": 4.5}
SIZES = {"ram_bytes": 1000, "flash_bytes": 5000}


def on(board: str, quant: str, cost: int | None, nll: float | None = None, **columns: Any):
    """Return runs and tokens of a file on a board; without a cost it does not fit."""
    capture = f"{board}-{quant}"
    usual = SIZES | {"board": board, "quant": quant, "bits_per_weight": BITS[quant]} | columns
    if cost is None:
        return [run(f"{capture}/0-0001", status="does_not_fit", **usual)], []
    runs, tokens = [run(f"{capture}/0-0001", **usual)], generated(f"{capture}/0-0001", ticks=[cost] * 9)
    if nll is not None:
        runs.append(run(f"{capture}/0-0002", kind="score", **usual | {"prompt_id": "eval"}))
        tokens += scored(f"{capture}/0-0002", [[nll, nll], [nll + 0.1, nll]])
    return runs, tokens


def of(*parts) -> Any:
    return dataset([r for runs, _ in parts for r in runs], [t for _, tokens in parts for t in tokens])


@pytest.fixture
def data():
    return of(
        on("big", "F16", 40, 1.0), on("big", "Q8_0", 10, 1.1), on("big", "Q4_0", 30, 1.5),
        on("small", "F16", None, flash_needed_bytes=7048, ram_needed_bytes=1500), on("small", "Q8_0", 100),
        on("small", "Q4_0", 80),
    )  # fmt: skip


def rows(table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["board"], r["quant"]): r for r in table.to_dict("records")}


@pytest.mark.slow
def test_ratios_are_to_the_same_board_s_own_reference(data):
    assert common_reference(data) == ("m", "Q8_0")  # F16 has more bits, and does not fit on both
    found = rows(fleet(data))
    assert {k: r["cost_ratio"] for k, r in found.items() if r["fits"]} == {
        ("big", "F16"): 4.0, ("big", "Q8_0"): 1.0, ("big", "Q4_0"): 3.0, ("small", "Q8_0"): 1.0, ("small", "Q4_0"): 0.8,
    }  # fmt: skip
    assert {r["reference"] for r in found.values()} == {"Q8_0 of m"}
    other = rows(fleet(data, reference="Q4_0"))
    assert other["small", "Q8_0"]["cost_ratio"] == 1.25
    assert other["big", "F16"]["cost_ratio"] == pytest.approx(4 / 3)


@pytest.mark.slow
def test_what_does_not_fit_says_by_how_much(data):
    row = rows(fleet(data))["small", "F16"]
    assert not row["fits"] and math.isnan(row["cost_ratio"])
    assert (row["short_of"], row["short_bytes"]) == ("flash", 2048)  # RAM misses 500
    only_ram = of(on("a", "Q8_0", 1), on("a", "F16", None, flash_needed_bytes=4000, ram_needed_bytes=1512))
    row = rows(fleet(only_ram))["a", "F16"]
    assert (row["short_of"], row["short_bytes"]) == ("RAM", 512)
    unknown = of(on("a", "Q8_0", 1), on("a", "F16", None, flash_needed_bytes=None, ram_needed_bytes=None))
    assert fleet_table(fleet(unknown))["a"].tolist() == ["does not fit", "1.00×"]


@pytest.mark.slow
def test_perplexity_belongs_to_the_file(data):
    found = rows(fleet(data))
    assert found["small", "Q4_0"]["perplexity"] == found["big", "Q4_0"]["perplexity"] == pytest.approx(math.exp(1.525))
    assert {r["perplexity_board"] for r in found.values()} == {"big"}


@pytest.mark.slow
def test_the_table_is_one_page(data):
    table = fleet_table(fleet(data))
    assert list(table.columns) == ["file", "bits / weight", "size", "perplexity", "big", "small"]
    assert table["file"].tolist() == ["F16", "Q8_0", "Q4_0"]
    assert table["small"].tolist() == ["flash +2.00 KiB", "1.00×", "0.800×"]
    alone = fleet_table(fleet(of(on("big", "F16", 4), on("big", "Q8_0", 2), on("small", "Q8_0", 2))))
    assert alone["small"].tolist() == ["not run", "1.00×"]


def test_without_a_common_file_there_is_no_reference():
    apart = of(on("big", "F16", 4), on("small", "Q8_0", 4))
    with pytest.raises(NotComparableError, match=r"No model file ran on all boards of hand \(big, small\)"):
        fleet(apart)
    with pytest.raises(UsageError, match="no quantization in this data set 'Q8'. Did you mean 'Q8_0'"):
        fleet(apart, reference="Q8")
    with pytest.raises(UsageError, match="baseline quant"):
        fleet(apart, reference="Q8_0")


@pytest.mark.slow
def test_a_comparison_of_one_board(data):
    table = compare(data, board="small").table
    assert set(table["board"]) == {"small"} and table["quant"].tolist() == ["F16", "Q8_0", "Q4_0"]
    assert compare(data, baseline="F16", board="big").baseline == {"big": ("F16",)}
    with pytest.raises(UsageError, match="Did you mean 'small'"):
        compare(data, board="small_")
