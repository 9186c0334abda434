"""Budgets: parts add up, what does not fit says by how much, and unknown is never zero."""

from __future__ import annotations

import handmade
import pandas as pd
import pytest

import edgeprof
from edgeprof import budget
from edgeprof.errors import NotComparableError, UsageError

KNOWN = {
    "ram_bytes": 100_000, "flash_bytes": 50_000, "static_ram_bytes": 6000, "stack_reserved_bytes": 8000,
    "kv_cache_bytes": 30_000, "activation_bytes": 5000, "ram_needed_bytes": 49_000, "model_bytes": 20_000,
    "image_bytes": 9000, "flash_needed_bytes": 29_000,
}  # fmt: skip


def run(run_id: str = "c/0-0001", **columns):
    return handmade.run(run_id, **KNOWN | columns)


def sample(run_id: str = "c/0-0001", stack: int | None = 3000, heap: int | None = None):
    return {
        "capture_id": run_id.split("/")[0], "run_id": run_id, "ticks": 0, "stack_peak_bytes": stack,
        "heap_peak_bytes": heap,
    }  # fmt: skip


def budget_of(*runs, memory=()):
    return edgeprof.memory_budget(handmade.frame("runs", runs), handmade.frame("memory", memory))


def parts(frame: pd.DataFrame, region: str = "RAM") -> dict[str, tuple[str, int]]:
    mine = frame[frame["region"] == region]
    return {r.part: (r.how, r.bytes) for r in mine.itertuples()}


def test_every_part_and_what_kind_of_figure_it_is():
    found = budget_of(run(), memory=[sample(stack=2000), sample(stack=3000), sample(stack=None)])
    assert parts(found) == {
        "static data": ("computed", 6000), "stack": ("measured", 3000), "stack reserve": ("reserved", 5000),
        "KV cache": ("computed", 30_000), "activations": ("computed", 5000), "unused": ("computed", 51_000),
    }  # fmt: skip
    assert parts(found, "flash") == {
        "weights": ("computed", 20_000), "code and constants": ("computed", 9000), "unused": ("computed", 21_000),
    }  # fmt: skip
    assert found.groupby("region")["bytes"].sum().to_dict() == {"RAM": 100_000, "flash": 50_000}
    assert set(found["has_bytes"]) == {100_000, 50_000}
    assert set(found["part"]) - {"unused"} <= set(budget.PARTS)


def test_without_a_measurement_all_of_the_stack_is_reserve():
    found = parts(budget_of(run()))
    assert found["stack reserve"] == ("reserved", 8000)
    assert "stack" not in found
    assert found["unused"] == ("computed", 51_000)


def test_a_stack_beyond_its_reserve_is_told_as_it_was():
    found = parts(budget_of(run(), memory=[sample(stack=9000)]))
    assert found["stack"] == ("measured", 9000)
    assert "stack reserve" not in found
    assert found["unused"] == ("computed", 50_000)


def test_what_does_not_fit_says_by_how_much():
    found = budget_of(run(ram_bytes=40_000, flash_bytes=29_000, status="does_not_fit"))
    ram, flash = parts(found), parts(found, "flash")
    assert ram["over"] == ("computed", 9000) and "unused" not in ram
    assert flash["unused"] == ("computed", 0) and "over" not in flash  # just fits
    assert set(found["status"]) == {"does_not_fit"}
    table = budget.missing_table(budget.largest(found))
    assert table.to_dict("records") == [
        {"group": "toy · F16", "memory": "RAM", "needed [byte]": "49,000", "there is [byte]": "40,000",
         "over [byte]": "9,000", "over": "+22.5 %"}
    ]  # fmt: skip


def test_what_is_not_told_is_not_zero():
    unknown = dict.fromkeys(KNOWN)
    assert budget_of(run(**unknown)).empty
    found = parts(budget_of(run(**unknown | {"ram_needed_bytes": 900, "ram_bytes": 1000})))
    assert found == {"not told apart": ("computed", 900), "unused": ("computed", 100)}
    found = parts(budget_of(run(kv_cache_bytes=None)))
    assert found["not told apart"] == ("computed", 30_000)
    assert "over" not in parts(budget_of(run(ram_bytes=None))) and "unused" not in parts(budget_of(run(ram_bytes=None)))


def test_nothing_is_unused_where_something_is_unknown():
    unreadable = {"kv_cache_bytes": None, "activation_bytes": None, "ram_needed_bytes": None, "flash_bytes": 20_000}
    found = budget_of(run(**unreadable, status="does_not_fit"))
    assert parts(found) == {"static data": ("computed", 6000), "stack reserve": ("reserved", 8000)}
    assert parts(found, "flash")["over"] == ("computed", 9000)
    table = budget.budget_table(budget.largest(found), "RAM")
    assert table[["needed", "verdict"]].to_numpy().tolist() == [["≥ 13.7 KiB", "–"]]
    over = parts(budget_of(run(**unreadable, ram_bytes=10_000)))  # whatever the rest is
    assert over["over"] == ("computed", 4000)
    assert "unused" not in parts(budget_of(run(image_bytes=None, flash_needed_bytes=None)), "flash")


def test_a_file_that_a_board_could_not_read_has_the_name_that_others_gave_it():
    nameless = {"model": None, "quant": None, "board": "small"}
    ds = handmade.dataset([run(), run("d/0-0001", **nameless), run("e/0-0001", model_sha256="01", **nameless)])
    assert set(budget.dataset_budget(ds)["group"]) == {"toy · F16", "small · F16", "small · unknown · unknown"}
    assert set(budget.dataset_budget(ds, "small")["group"]) == {"small · F16", "small · unknown · unknown"}


def test_a_firmware_that_only_measures_has_a_heap():
    columns = {"kv_cache_bytes": None, "activation_bytes": None, "ram_needed_bytes": None}
    found = parts(budget_of(run(**columns), memory=[sample(heap=1000), sample(heap=33_000)]))
    assert found["heap"] == ("measured", 33_000)
    assert found["unused"] == ("computed", 100_000 - 6000 - 8000 - 33_000)
    assert "heap" not in parts(budget_of(run(), memory=[sample(heap=35_000)]))  # its parts are told
    assert "heap" not in parts(budget_of(run(activation_bytes=None), memory=[sample(heap=35_000)]))  # one of them is


def test_one_budget_a_board_and_quantization():
    runs = [
        run("a/0-0001"),
        run("b/0-0001", prompt_id="deep"),
        run("c/0-0001", n_ctx=64, kv_cache_bytes=100, ram_needed_bytes=19_100),
        run("d/0-0001", quant="Q4_0", model_bytes=5000, flash_needed_bytes=14_000),
        run("e/0-0001", board="other"),
        run("f/0-0001", quant="Q4_0", model="second", model_bytes=1, flash_needed_bytes=9001),
    ]
    memory = [sample("a/0-0001", 1000), sample("b/0-0001", 4000), sample("c/0-0001", 7000)]
    found = budget.largest(budget_of(*runs, memory=memory))
    assert found.drop_duplicates("group")[["group", "run_id"]].to_numpy().tolist() == [
        ["other · F16", "e/0-0001"],
        ["toy · F16", "b/0-0001"],  # of those with the longest context, the deepest stack
        ["toy · Q4_0", "d/0-0001"],
        ["toy · Q4_0 · second", "f/0-0001"],
    ]
    assert parts(found[found["group"] == "toy · F16"])["stack"] == ("measured", 4000)


def test_the_table_of_a_region():
    found = budget.largest(budget_of(run(), run("d/0-0001", quant="Q4_0", ram_bytes=40_960), memory=[sample()]))
    table = budget.budget_table(found, "RAM").set_index("group")
    assert table.loc["toy · F16"].to_dict() == {
        "static data": "5.86 KiB", "stack": "2.93 KiB", "stack reserve": "4.88 KiB", "KV cache": "29.3 KiB",
        "activations": "4.88 KiB", "needed": "47.9 KiB", "there is": "97.7 KiB", "verdict": "49.8 KiB left",
    }  # fmt: skip
    assert table.loc["toy · Q4_0", "verdict"] == "does not fit: 7.85 KiB over"
    assert table.loc["toy · Q4_0", "stack"] == "–"
    assert list(budget.budget_table(found, "flash").columns) == [
        "group", "weights", "code and constants", "needed", "there is", "verdict",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no region of memory 'ram'. Known: RAM, flash"):
        budget.budget_table(found, "ram")


def test_the_table_of_stacks():
    found = budget.largest(budget_of(run(), run("d/0-0001", quant="Q4_0"), memory=[sample(stack=3210)]))
    assert budget.stack_table(found).to_numpy().tolist() == [
        ["toy · F16", "8,000", "3,210", "4,790"],
        ["toy · Q4_0", "8,000", "–", "–"],
    ]
    full = budget.largest(budget_of(run(), memory=[sample(stack=8000)]))
    assert budget.stack_table(full).to_numpy().tolist() == [["toy · F16", "8,000", "8,000", "0: full or overflowed"]]
    none = budget.largest(budget_of(run(stack_reserved_bytes=None)))
    assert budget.stack_table(none).empty
    measured = budget.largest(budget_of(run(stack_reserved_bytes=None), memory=[sample(stack=3210)]))
    assert budget.stack_table(measured).to_numpy().tolist() == [["toy · F16", "–", "3,210", "–"]]


def test_the_budget_of_a_data_set():
    ds = handmade.dataset([run(), run("d/0-0001", board="other", model="n")], memory=[sample()])
    assert set(budget.dataset_budget(ds)["board"]) == {"toy", "other"}
    assert set(budget.dataset_budget(ds, "toy")["group"]) == {"toy · F16"}
    assert set(budget.dataset_budget(ds, model="n")["board"]) == {"other"}
    with pytest.raises(UsageError, match=r"no board in this data set 'tox'. Did you mean 'toy'\?"):
        budget.dataset_budget(ds, "tox")
    with pytest.raises(UsageError, match="no model in these runs 'n'"):
        budget.dataset_budget(ds, "toy", "n")
    with pytest.raises(NotComparableError, match="no run in hand"):
        budget.dataset_budget(handmade.dataset([]))


def test_an_older_data_set_has_a_budget():
    found = budget.largest(budget_of(run(**dict.fromkeys(["image_bytes", "static_ram_bytes", "stack_reserved_bytes"]))))
    assert parts(found)["not told apart"] == ("computed", 14_000)
    assert parts(found, "flash")["not told apart"] == ("computed", 9000)
