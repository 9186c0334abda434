"""Comparisons: baselines, pairing, verdicts, what is refused, and how it is shown."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import handmade
import pytest
from handmade import Tags, dataset, generated, harmful, run, scored

from edgeprof import compare, comparison, display
from edgeprof.errors import NotComparableError, UsageError

BITS = {"F16": 16.0, "Q8_0": 8.5, "Q4_0": 4.5}


def group(quant: str, ticks: list[int] | None = None, nll: list[list[float]] | None = None, **columns: Any):
    """Return the runs and tokens of one quantization: a generation, an evaluation, or both."""
    capture = columns.pop("capture", f"{columns.get('board', 'toy')}-{columns.get('model', 'm')}-{quant}")
    usual = {"quant": quant, "bits_per_weight": BITS.get(quant, 2.0)} | columns
    runs, tokens = [], []
    if ticks is not None:
        runs.append(run(f"{capture}/0-0001", **usual))
        tokens += generated(f"{capture}/0-0001", ticks=ticks)
    if nll is not None:
        runs.append(run(f"{capture}/0-0002", kind="score", **usual | {"prompt_id": "eval"}))
        tokens += scored(f"{capture}/0-0002", nll)
    return runs, tokens


def of(*groups) -> Any:
    return dataset([r for runs, _ in groups for r in runs], [t for _, tokens in groups for t in tokens])


def rows(result: Any, *by: str) -> dict[Any, dict[str, Any]]:
    names = by or ("quant",)
    return {tuple(r[n] for n in names) if len(names) > 1 else r[names[0]]: r for r in result.table.to_dict("records")}


NLL = [[1.0, 1.2], [0.8, 1.4], [1.1, 0.9], [1.3, 0.7]]


def shifted(by: float, *more: float) -> list[list[float]]:
    offsets = [by, *more] * 4
    return [[v + offsets[i] for v in window] for i, window in enumerate(NLL)]


# ---- known answers ----


def test_a_comparison_computed_by_hand():
    table = rows(compare(of(
        group("Q4_0", [25] * 8 + [35], shifted(0.1, 0.2)), group("F16", [20] * 9, NLL), group("Q8_0", [10] * 9, NLL)
    )))  # fmt: skip
    assert list(table) == ["F16", "Q8_0", "Q4_0"]  # by falling bits per weight
    assert [r["is_baseline"] for r in table.values()] == [True, False, False]
    assert [r["cost_ratio"] for r in table.values()] == [1, 0.5, pytest.approx(235 / 180)]
    assert [r["cost_passes"] for r in table.values()] == [9, 9, 9]
    assert [r["cost_verdict"] for r in table.values()] == ["baseline", "better", "worse"]
    assert [r["decode_ticks_per_token"] for r in table.values()] == [20, 10, pytest.approx(235 / 9)]
    assert [r["quality_verdict"] for r in table.values()] == ["baseline", "same", "worse"]
    # Window differences 0.1 0.2 0.1 0.2: mean 0.15, deviation 0.0577350 / 2, t(3) 3.182446.
    q4 = table["Q4_0"]
    assert q4["nll_difference"] == pytest.approx(0.15, rel=1e-5)
    half = 3.182446 * 0.0577350 / 2
    assert (q4["nll_difference_low"], q4["nll_difference_high"]) == pytest.approx((0.15 - half, 0.15 + half), rel=1e-4)
    assert table["F16"]["perplexity"] == pytest.approx(math.exp(1.05), rel=1e-6)
    assert q4["perplexity"] == pytest.approx(math.exp(1.2), rel=1e-6)
    assert (table["F16"]["runs"], table["F16"]["status"], table["F16"]["frames_lost"]) == (2, "ok", 0)
    assert (table["F16"]["ram_needed_bytes"], table["F16"]["model_bytes"]) == (900, 4000)


def test_formatted_as_people_read_it():
    result = compare(of(group("Q4_0", [25] * 9, shifted(0.1, 0.2)), group("F16", [20] * 9, NLL)))
    assert result.formatted().to_dict("list") == {
        "quant": ["F16", "Q4_0"],
        "bits / weight": ["16.0", "4.50"],
        "size": ["3.91 KiB", "3.91 KiB"],
        "RAM needed": ["900 B", "900 B"],
        "decode [tick/token]": ["20.0", "25.0"],
        "cost": ["baseline", "1.25× worse"],
        "TTFT [tick]": ["30.0", "30.0"],
        "perplexity": ["2.8577", "3.3201"],
        "Δ perplexity [95 %]": ["baseline", "+16.18 % [+5.99, +27.36]"],
        "quality": ["baseline", "worse"],
    }
    text = repr(result)
    assert (
        "Board toy (emulated by emu 1): a tick counts executed WebAssembly instructions (fuel). Baseline: F16." in text
    )
    assert "beyond 2 %" in text and "beyond 1 %" in text
    assert Tags(result._repr_html_()).tags.count("tr") == 3


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [(1021, "worse"), (1020, "same"), (1000, "same"), (980, "same"), (979, "better")],
)  # fmt: skip
def test_cost_is_judged_beyond_two_percent(ticks, expected):
    table = rows(compare(of(group("F16", [1000] * 9), group("Q8_0", [ticks] * 9))))
    assert table["Q8_0"]["cost_verdict"] == expected


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0.0101, "worse"), (0.0098, "same"), (0.0, "same"), (-0.0098, "same"), (-0.0101, "better")],
)
def test_quality_is_judged_beyond_one_percent_of_perplexity(shift, expected):
    table = rows(compare(of(group("F16", nll=NLL), group("Q8_0", nll=shifted(shift)))))
    assert table["Q8_0"]["quality_verdict"] == expected


def test_one_window_is_not_enough_data():
    table = rows(compare(of(group("F16", nll=NLL[:1]), group("Q8_0", nll=shifted(5)[:1]))))
    assert table["Q8_0"]["quality_verdict"] == "not enough data"
    assert math.isnan(table["Q8_0"]["nll_difference"])


def test_scattered_windows_are_not_enough_data():
    table = rows(compare(of(group("F16", nll=NLL), group("Q8_0", nll=shifted(0.5, -0.4)))))
    assert table["Q8_0"]["quality_verdict"] == "not enough data"


# ---- pairing ----


def test_cost_is_paired_by_prompt_and_position():
    growing = list(range(20, 40))
    short = group("Q8_0", growing[:9])  # ended early: its mean is lower, the same passes cost the same
    table = rows(compare(of(group("F16", growing), short)))
    assert table["Q8_0"]["decode_ticks_per_token"] < table["F16"]["decode_ticks_per_token"]
    assert (table["Q8_0"]["cost_ratio"], table["Q8_0"]["cost_passes"]) == (1, 9)
    assert table["Q8_0"]["cost_verdict"] == "same"


def test_other_prompts_are_not_paired():
    table = rows(compare(of(group("F16", [20] * 9), group("Q8_0", [30] * 9, prompt_id="other"))))
    assert math.isnan(table["Q8_0"]["cost_ratio"])
    assert (table["Q8_0"]["cost_passes"], table["Q8_0"]["cost_verdict"]) == (0, "–")


def test_repeats_count_once_a_position():
    again = group("F16", [40] * 9, capture="again")
    table = rows(compare(of(group("F16", [20] * 9), again, group("Q8_0", [30] * 9))))
    assert (table["Q8_0"]["cost_ratio"], table["Q8_0"]["cost_passes"]) == (1, 9)
    assert table["F16"]["runs"] == 2


def test_a_pass_of_unknown_cost_is_in_neither_sum():
    runs, tokens = group("Q8_0", [20] * 9)
    tokens[5]["ticks"] = None
    table = rows(compare(of(group("F16", [20] * 9), (runs, tokens))))
    assert (table["Q8_0"]["cost_ratio"], table["Q8_0"]["cost_passes"]) == (1, 8)


def test_a_baseline_that_costs_nothing_judges_nobody():
    table = rows(compare(of(group("F16", [0] * 9), group("Q8_0", [20] * 9))))
    assert math.isnan(table["Q8_0"]["cost_ratio"])
    assert table["Q8_0"]["cost_verdict"] == "–"


def test_other_tokens_are_not_compared():
    runs, tokens = group("Q8_0", nll=shifted(3))
    tokens = [t | {"next_id": t["next_id"] + (t["position"] == 3)} for t in tokens]
    table = rows(compare(of(group("F16", nll=NLL), (runs, tokens))))
    assert table["Q8_0"]["quality_verdict"] == "not comparable: other tokens"
    assert math.isnan(table["Q8_0"]["nll_difference"])
    assert "not comparable: other tokens" in repr(compare(of(group("F16", nll=NLL), (runs, tokens))))


def test_other_texts_are_not_compared():
    runs, tokens = group("Q8_0", nll=NLL)
    table = rows(compare(of(group("F16", nll=NLL), ([runs[0] | {"prompt_id": "other"}], tokens))))
    assert table["Q8_0"]["quality_verdict"] == "not comparable: other tokens"


def test_without_an_evaluation_there_is_no_quality():
    table = rows(compare(of(group("F16", [20] * 9), group("Q8_0", [20] * 9, NLL))))
    assert table["Q8_0"]["quality_verdict"] == "–"
    assert math.isnan(table["F16"]["perplexity"])


def test_a_lost_nll_leaves_the_rest():
    runs, tokens = group("Q8_0", nll=shifted(0.1))
    tokens[-1]["nll"] = None
    table = rows(compare(of(group("F16", nll=NLL), (runs, tokens))))
    assert table["Q8_0"]["nll_difference"] == pytest.approx(0.1, rel=1e-5)
    assert table["Q8_0"]["quality_verdict"] == "worse"


# ---- baselines ----


def test_the_default_baseline_has_the_most_bits():
    ds = of(group("Q4_0", [20] * 9), group("Q8_0", [20] * 9), group("F16", [20] * 9))
    assert compare(ds).baseline == {"toy": ("F16",)}
    assert compare(of(group("Q4_0", [20] * 9), group("Q8_0", [20] * 9))).baseline == {"toy": ("Q8_0",)}


def test_a_named_baseline():
    ds = of(group("Q4_0", [10] * 9), group("F16", [20] * 9))
    result = compare(ds, baseline="Q4_0")
    assert result.baseline == {"toy": ("Q4_0",)}
    assert rows(result)["F16"]["cost_ratio"] == 2
    assert compare(ds, baseline={"quant": "Q4_0"}).table.equals(result.table)


def test_an_unknown_baseline_names_the_closest():
    ds = of(group("Q4_0", [10] * 9), group("F16", [20] * 9))
    with pytest.raises(UsageError, match=r"no baseline quant 'Q4_1'. Did you mean 'Q4_0'\?"):
        compare(ds, baseline="Q4_1")
    with pytest.raises(UsageError, match=r"no column of the comparison 'qant'. Did you mean 'quant'\?"):
        compare(ds, baseline={"qant": "Q4_0"})
    with pytest.raises(UsageError, match=r"no column of runs 'qant'. Did you mean 'quant'\?"):
        compare(ds, by="qant")


def test_a_baseline_of_the_first_column_that_is_not_the_model():
    ds = of(group("Q4_0", [10] * 9), group("F16", [20] * 9))
    assert compare(ds, by=["quant", "prompt_id"], baseline="Q4_0").baseline == {"toy": ("Q4_0", "p")}


@pytest.mark.parametrize("column", ["prompt_id", "kind", "run_id", "board", "model", "firmware"])
def test_any_column_of_runs_may_tell_groups_apart(column):
    table = compare(of(group("F16", [20] * 9, NLL), group("Q8_0", [10] * 9)), by=column).table
    assert table["runs"].sum() == 3
    assert table["is_baseline"].sum() == 1


def test_numbers_tell_groups_apart_too():
    ds = of(group("F16", [10] * 9, n_ctx=64, capture="a"), group("F16", [20] * 9, n_ctx=128, capture="b"),
            group("F16", [30] * 9, n_ctx=None, capture="c"))  # fmt: skip
    result = compare(ds, by="n_ctx", baseline="128")
    assert result.baseline == {"toy": ("128",)}
    assert result.formatted()["n_ctx"].tolist() == ["64", "128", "unknown"]
    assert result.table["cost_ratio"].tolist() == [0.5, 1, 1.5]
    with pytest.raises(UsageError, match="no baseline n_ctx '65'"):
        compare(ds, by="n_ctx", baseline="65")


def test_two_models():
    ds = of(*(group(q, [t] * 9, model=m) for m, q, t in (("a", "F16", 20), ("a", "Q8_0", 10), ("b", "Q8_0", 5))))
    result = compare(ds)
    assert result.by == ("model", "quant")
    assert result.baseline == {"toy": ("a", "F16")}
    assert rows(result, "model", "quant")["b", "Q8_0"]["cost_ratio"] == 0.25
    other = compare(ds, baseline={"model": "b", "quant": "Q8_0"})
    assert rows(other, "model", "quant")["a", "F16"]["cost_ratio"] == 4
    with pytest.raises(UsageError, match="No group of board 'toy' has"):
        compare(ds, baseline={"model": "b", "quant": "F16"})


def test_two_boards_have_a_baseline_each():
    ds = of(
        *(
            group(q, [t] * 9, board=b)
            for b, q, t in (("x", "F16", 20), ("x", "Q4_0", 10), ("y", "Q4_0", 7), ("y", "Q8_0", 14))
        )
    )
    result = compare(ds)
    assert list(result.baseline.items()) == [("x", ("F16",)), ("y", ("Q8_0",))]
    assert result.by == ("board", "quant")
    table = rows(result, "board", "quant")
    assert table["x", "Q4_0"]["cost_ratio"] == table["y", "Q4_0"]["cost_ratio"] == 0.5
    assert [n.split(" ")[1] for n in result.notes[:2]] == ["x", "y"]


# ---- what is refused, and what is said ----


@pytest.mark.parametrize("column", ["emulator", "emulator_version", "emulator_flags", "clock"])
def test_unlike_emulators_are_refused(column):
    with pytest.raises(NotComparableError, match=f"board 'toy' cannot be compared: {column} differs") as error:
        compare(of(group("F16", [20] * 9), group("Q8_0", [20] * 9, **{column: "other"})))
    assert error.value.exit_code == 2


def test_an_emulated_board_is_not_compared_with_a_real_one():
    real = group("Q8_0", [20] * 9, emulator=None, emulator_version=None, emulator_flags=None)
    with pytest.raises(NotComparableError, match=r"emulator differs \(emu, none\)"):
        compare(of(group("F16", [20] * 9), real))


def test_boards_may_differ():
    compare(of(group("F16", [20] * 9, board="x"), group("F16", [20] * 9, board="y", emulator_version="2")))


@pytest.mark.parametrize("status", ["aborted", "timeout", "reset", None])
def test_unfinished_runs_are_nothing_to_compare(status):
    with pytest.raises(NotComparableError, match=f"no finished run \\(1 {status or 'unfinished'}\\)"):
        compare(of(group("F16", [20] * 9, status=status)))
    table = rows(compare(of(group("F16", [20] * 9), group("F16", [90] * 9, status=status, capture="cut"))))
    assert (table["F16"]["runs"], table["F16"]["decode_ticks_per_token"]) == (1, 20)


def test_an_empty_data_set():
    with pytest.raises(NotComparableError, match="no finished run \\(the data set is empty\\)"):
        compare(dataset([]))


def test_a_group_that_does_not_fit():
    big = ([run("big/0-0001", quant="F32", bits_per_weight=32.0, status="does_not_fit", frames_lost=None)], [])
    result = compare(of(big, group("F16", [20] * 9)))
    table = rows(result)
    assert result.baseline == {"toy": ("F16",)}  # what does not fit is nobody's baseline
    assert (table["F32"]["status"], table["F32"]["runs"], table["F32"]["cost_verdict"]) == ("does not fit", 0, "–")
    assert math.isnan(table["F32"]["frames_lost"])  # unknown, not zero
    assert table["F32"]["ram_needed_bytes"] == 900
    shown = result.formatted()
    assert shown["status"].tolist() == ["does not fit", "ok"]
    assert shown["decode [tick/token]"].tolist() == ["–", "20.0"]
    with pytest.raises(NotComparableError, match="does not fit on board 'toy'"):
        compare(of(big, group("F16", [20] * 9)), baseline="F32")
    assert "does not fit" in repr(compare(of(big)))


def test_a_group_that_fits_at_times_says_so():
    runs, tokens = group("F16", [20] * 9)
    result = compare(of((runs, tokens), ([run("c/0-0009", status="does_not_fit")], [])))
    assert rows(result)["F16"]["status"] == "1 of 2 ok"


@pytest.mark.parametrize("clock", ["host", "device_timer", "a new kind"])
def test_a_noisy_clock_is_not_judged(clock):
    table = rows(compare(of(group("F16", [20] * 9, clock=clock), group("Q8_0", [40] * 9, clock=clock))))
    assert table["Q8_0"]["cost_ratio"] == 2
    assert table["Q8_0"]["cost_verdict"] == "not judged (noisy clock)"


def test_lost_frames_are_said():
    result = compare(of(group("F16", [20] * 9, frames_lost=3), group("Q8_0", [20] * 9)))
    assert "3 frames of these runs were sent and did not arrive" in repr(result)
    assert "did not arrive" not in repr(compare(of(group("F16", [20] * 9))))


# ---- what a device may call itself ----


@pytest.mark.parametrize("name", handmade.HOSTILE)
def test_hostile_names_reach_neither_terminal_nor_page(name):
    result = compare(of(*(group(q, [20] * 9, NLL, board=name, model=name) for q in (name, "F16"))), baseline="F16")
    text = repr(result)
    assert harmful(text.replace("\n", "")) == []
    assert len(text.split("\n")) == 2 + 2 + 2
    assert all(len(line) < 1100 for line in text.split("\n"))
    assert display.terminal_text(name) in text or len(name) > display.LONGEST
    page = result._repr_html_()
    tags = Tags(page)
    assert set(tags.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert tags.attributes <= {"style", "class"}
    assert not {c for c in page if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}


# ---- mutants ----

MUTANTS = [
    ('verdict(quality,', 'verdict(None,'),
    ('return "worse" if cost > 1 else "better"', 'return "worse" if cost < 1 else "better"'),
    ('<= cost <= 1 + SMALLEST_COST_EFFECT', '<= cost < 1 + SMALLEST_COST_EFFECT'),
    ('both["nll_candidate"] - both["nll_baseline"]', 'both["nll_baseline"] - both["nll_candidate"]'),
    ('float(both["candidate"].sum()) / total', 'total / float(both["candidate"].sum())'),
    ('index = ["prompt_id", "position"]', 'index = ["prompt_id"]'),
    ('join="inner").dropna()', 'join="outer")'),
    ('groupby(["prompt_id", "window"])', 'groupby(["prompt_id", "window", "position"])'),
    ('key=lambda n: (-bits(n), n)', 'key=lambda n: (bits(n), n)'),
    ('if clock not in EXACT_CLOCKS:', 'if False:'),
    ('isin(["ok", "does_not_fit"])', 'isin(["ok", "does_not_fit", "aborted"])'),
    ('_refuse_unlike(done)', 'None'),
    ('np.log1p(SMALLEST_PERPLEXITY_EFFECT)', 'SMALLEST_COST_EFFECT'),
    ('(np.expm1(v) for v in', '(np.exp(v) for v in'),
    ('part[part["phase"] == "decode"]', 'part[part["phase"] != "score"]'),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), MUTANTS)
def test_a_mutant_is_caught(old, new, monkeypatch):
    import inspect
    import sys
    import types

    source = inspect.getsource(comparison)
    assert old in source, "the source has changed: change this mutant too"
    mutant = types.ModuleType("edgeprof_mutant")
    monkeypatch.setitem(sys.modules, "edgeprof_mutant", mutant)
    exec(compile(source.replace(old, new), "mutant", "exec"), mutant.__dict__)
    monkeypatch.setitem(globals(), "compare", mutant.compare)

    def known_answers() -> None:
        test_a_comparison_computed_by_hand()
        test_formatted_as_people_read_it()
        test_cost_is_judged_beyond_two_percent(1020, "same")
        test_quality_is_judged_beyond_one_percent_of_perplexity(0.0101, "worse")
        test_cost_is_paired_by_prompt_and_position()
        test_a_pass_of_unknown_cost_is_in_neither_sum()
        test_unfinished_runs_are_nothing_to_compare("aborted")
        test_unlike_emulators_are_refused("emulator_version")
        test_a_noisy_clock_is_not_judged("host")

    with pytest.raises((Exception, pytest.fail.Exception)):
        known_answers()
