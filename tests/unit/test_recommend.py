"""What to ship where: limits, ranks, and what is missed by how much."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import edgeprof
from edgeprof import recommendation
from edgeprof.cli import main
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.recommendation import candidates, ranked, recommend


@pytest.fixture(scope="module")
def measured() -> Any:
    return edgeprof.measure(edgeprof.open(edgeprof.reference()))


@pytest.fixture
def data(measured: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Open the reference data, measured once: it takes some seconds."""
    monkeypatch.setattr(recommendation, "measure", lambda dataset: measured.copy())
    return edgeprof.open(edgeprof.reference())


@pytest.mark.slow
def test_the_limits_of_a_board_count_without_being_asked_for(data: Any) -> None:
    found = recommend(data, board="stm32f405").table
    meets = dict(zip(found["quant"] + " " + found["model"], found["meets"], strict=True))
    assert meets["Q4_0 fable-1.2m"] and not meets["Q8_0 fable-1.2m"]
    short = found.loc[found["quant"] == "F32", "misses"].iloc[0]
    runs = data.runs[(data.runs["board"] == "stm32f405") & (data.runs["quant"] == "F32")].iloc[0]
    over = (runs["flash_needed_bytes"] - runs["flash_bytes"]) / 2**20
    assert short == f"the board's flash by {over:.2f} MiB"


@pytest.mark.slow
def test_ranked_by_quality_then_cost(data: Any) -> None:
    found = recommend(data, board="stm32f405", max_perplexity=1.25).table
    good = found[found["meets"]]
    assert list(good["rank"]) == list(range(1, len(good) + 1))
    assert good["perplexity"].is_monotonic_increasing
    assert found["rank"].isna().sum() == (~found["meets"]).sum() > 0
    assert set(recommend(data).best["board"]) == set(data.runs["board"].dropna())


@pytest.mark.parametrize(
    ("limit", "column", "factor"),
    [("max_ticks", "decode_ticks_per_token", 1), ("max_itl_ms", "itl_p95_ms", 1),
     ("max_ram_kib", "ram_needed_bytes", 1024), ("max_flash_kib", "flash_needed_bytes", 1024),
     ("max_perplexity", "perplexity", 1)],
)  # fmt: skip
def test_a_limit_lets_through_what_is_at_it_and_nothing_beyond(data: Any, limit: str, column: str, factor: int) -> None:
    everything = recommend(data, board="rp2040").table
    values = sorted(everything.loc[everything["meets"], column].dropna())
    middle = values[len(values) // 2]
    found = recommend(data, board="rp2040", **{limit: middle / factor}).table
    good = found[found["meets"]]
    assert good[column].max() == middle
    missed = found[~found["meets"] & everything["meets"].reindex(found.index) & (found[column] > middle)]
    for row in missed.to_dict("records"):
        assert f"({100 * (row[column] / middle - 1):.1f} %)" in row["misses"]


def test_what_is_not_known_is_said_and_misses(measured: Any) -> None:
    runs = measured
    runs = runs[runs["kind"] == "generate"].assign(perplexity=float("nan"))

    table = candidates(runs)
    assert table["perplexity"].isna().all()
    found = ranked(table[table["board"] == "stm32f405"], {"max_perplexity": 2.0})
    assert not found["meets"].any()
    fits = found[found["fits"]]
    assert set(fits["misses"]) == {"perplexity is not known: it takes an evaluation text (capture --eval)"}


@pytest.mark.slow
def test_nominal_times_are_called_so(data: Any, measured: Any) -> None:
    found = recommend(data, board="wasm", max_itl_ms=50)
    assert "(nominal)" in repr(found)
    assert "one instruction or cycle" in " ".join(found.notes)
    row = data.runs[(data.runs["board"] == "wasm")].iloc[0]
    one = found.table[found.table["quant"] == "Q4_0"].iloc[0]
    mine = measured[(measured["board"] == "wasm") & (measured["quant"] == "Q4_0") & (measured["model"] == one["model"])]
    assert one["itl_p95_ms"] == pytest.approx(1000 * mine["itl_p95_ticks"].max() / row["board_clock_hz"])


def test_the_front_is_of_what_meets_the_limits(data: Any) -> None:
    found = recommend(data, board="stm32f405", max_perplexity=1.25).table
    assert found.loc[~found["meets"], "on_front"].isna().all()
    good = found[found["meets"]]
    assert good["on_front"].any()
    assert set(good["dominated_by"].dropna()) <= set(good.loc[good["on_front"], "quant"] + " of " + good["model"])


def test_bad_input(data: Any) -> None:
    with pytest.raises(UsageError, match="board in this data set 'stm32f4'. Did you mean 'stm32f405'"):
        recommend(data, board="stm32f4")
    with pytest.raises(UsageError, match="max_ticks needs one board"):
        recommend(data, max_ticks=1e6)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="positive number"):
            recommend(data, max_ram_kib=wrong)


def test_an_empty_data_set(tmp_path: Any) -> None:
    with pytest.raises(NotComparableError, match="nothing to recommend"):
        recommend(edgeprof.open(tmp_path))


def test_the_command(data: Any, capsys: Any) -> None:
    path = edgeprof.reference()
    assert main(["recommend", path, "--board", "stm32f405", "--max-perplexity", "1.25"]) == 0
    assert "no better than" in capsys.readouterr().out
    assert main(["recommend", path, "--board", "stm32f405", "--max-perplexity", "1.01"]) == 1
    assert main(["recommend", path, "--max-ram-kib", "-1"]) == 3
    capsys.readouterr()
    assert main(["recommend", path, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"rank", "misses", "dominated_by"} <= set(rows[0])
    assert pd.DataFrame(rows)["board"].nunique() == 5
