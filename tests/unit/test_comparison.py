"""Comparisons: baselines, pairing, verdicts, what is refused, and how it is shown."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import handmade
import pytest
from handmade import Tags, dataset, generated, harmful, run, scored

from edgeprof import compare, display
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
        runs.append(run(f"{capture}/0-0002", kind="score", **{"n_ctx": 128} | usual | {"prompt_id": "eval"}))
        tokens += scored(f"{capture}/0-0002", nll)
    return runs, tokens


def of(*groups) -> Any:
    return dataset([r for runs, _ in groups for r in runs], [t for _, tokens in groups for t in tokens])


def rows(result: Any, *by: str) -> dict[Any, dict[str, Any]]:
    names = by or ("quant",)
    return {tuple(r[n] for n in names) if len(names) > 1 else r[names[0]]: r for r in result.table.to_dict("records")}


NLL = [[1.0, 1.2], [0.8, 1.4], [1.1, 0.9], [1.3, 0.7]] * 4  # windows of 128 tokens: a block of the text each


def shifted(by: float, *more: float) -> list[list[float]]:
    offsets = [by, *more] * 16
    return [[v + offsets[i] for v in window] for i, window in enumerate(NLL)]


# ---- known answers ----


@pytest.mark.slow
def test_a_comparison_computed_by_hand():
    table = rows(compare(of(
        group("Q4_0", [25] * 8 + [35], shifted(0.1, 0.2)), group("F16", [20] * 9, NLL), group("Q8_0", [10] * 9, NLL)
    )))  # fmt: skip
    assert list(table) == ["F16", "Q8_0", "Q4_0"]  # by falling bits per weight
    assert [r["is_baseline"] for r in table.values()] == [True, False, False]
    assert [r["cost_ratio"] for r in table.values()] == [1, 0.5, pytest.approx(235 / 180)]
    assert [r["cost_verdict"] for r in table.values()] == ["baseline", "better", "worse"]
    assert [r["decode_ticks_per_token"] for r in table.values()] == [20, 10, pytest.approx(235 / 9)]
    assert [r["quality_verdict"] for r in table.values()] == ["baseline", "same", "worse"]
    # Blocks of 0.1 and 0.2 in turn: mean 0.15; of 16 such, Student's half-width is t(15) 2.131450 times 0.05 / 4.
    q4 = table["Q4_0"]
    assert q4["nll_difference"] == pytest.approx(0.15, rel=1e-5)
    half = 2.131450 * 0.05 / 4
    low, high = q4["nll_difference_low"], q4["nll_difference_high"]
    assert 0.15 - 1.1 * half < low <= 0.15 - half * 0.9999 and 0.15 + half * 0.9999 <= high < 0.15 + 1.1 * half
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
        "Δ perplexity [95 %]": ["baseline", "+16.18 % [+12.88, +19.59]"],
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
    [(1021, "worse"), (1020, "same"), (1000, "same"), (981, "same"), (980, "better")],
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
    assert table["Q8_0"]["cost_ratio"] == 1
    assert table["Q8_0"]["cost_verdict"] == "same"


@pytest.mark.slow
def test_other_prompts_are_refused():
    other = group("Q8_0", [30] * 9, prompt_id="other")
    nothing = compare(of(group("F16", [20] * 9), other))
    assert "no prompt in common (p; other)" in nothing.refused and "no prompt in common (p; other)" in repr(nothing)
    # One that cannot be compared does not keep the others from it.
    result = compare(of(group("F16", [20] * 9), other, group("Q4_0", [30] * 9)))
    table = rows(result)
    assert math.isnan(table["Q8_0"]["cost_ratio"]) and table["Q8_0"]["cost_verdict"] == "not comparable"
    assert result.refused == "" and table["Q4_0"]["cost_verdict"] == "worse"
    assert "no prompt in common (p; other)" in repr(result)


def test_repeats_on_an_exact_clock_count_once():
    again = group("F16", [20] * 9, capture="again")
    table = rows(compare(of(group("F16", [20] * 9), again, group("Q8_0", [30] * 9))))
    assert (table["Q8_0"]["cost_ratio"], table["F16"]["runs"]) == (1.5, 2)


def test_repeats_that_differ_on_an_exact_clock_are_not_judged():
    again = group("F16", [40] * 9, capture="again")
    result = compare(of(group("F16", [20] * 9), again, group("Q8_0", [30] * 9)))
    assert rows(result)["Q8_0"]["cost_verdict"] == "–"
    cost = result.changes.set_index("metric").loc["decode_ticks_per_token"]
    assert cost["method"] == "none" and "on an exact clock gave different numbers (20 to 40)" in cost["reason"]


def test_a_pass_of_unknown_cost_is_in_neither_sum():
    runs, tokens = group("Q8_0", [20] * 9)
    tokens[5]["ticks"] = None
    table = rows(compare(of(group("F16", [20, 20, 90, *[20] * 6]), (runs, tokens))))
    assert table["Q8_0"]["cost_ratio"] == 1


def test_a_baseline_that_costs_nothing_judges_nobody():
    table = rows(compare(of(group("F16", [0] * 9), group("Q8_0", [20] * 9))))
    assert math.isnan(table["Q8_0"]["cost_ratio"])
    assert table["Q8_0"]["cost_verdict"] == "–"


@pytest.mark.slow
def test_other_tokens_are_not_compared():
    runs, tokens = group("Q8_0", nll=shifted(3))
    tokens = [t | {"next_id": t["next_id"] + (t["position"] == 3)} for t in tokens]
    table = rows(compare(of(group("F16", nll=NLL), (runs, tokens))))
    assert table["Q8_0"]["quality_verdict"] == "–"
    assert math.isnan(table["Q8_0"]["nll_difference"])
    result = compare(of(group("F16", nll=NLL), (runs, tokens)))
    assert "The two scored other tokens" in repr(result)


def test_other_texts_are_not_compared():
    runs, tokens = group("Q8_0", nll=NLL)
    result = compare(of(group("F16", nll=NLL), ([runs[0] | {"prompt_id": "other"}], tokens)))
    assert "no prompt in common (eval; other)" in result.refused
    assert rows(result)["Q8_0"]["quality_verdict"] == "not comparable"


def test_without_an_evaluation_there_is_no_quality():
    table = rows(compare(of(group("F16", [20] * 9), group("Q8_0", [20] * 9, NLL))))
    assert table["Q8_0"]["quality_verdict"] == "–"
    assert math.isnan(table["F16"]["perplexity"])


def test_a_token_that_did_not_arrive_leaves_the_rest():
    runs, tokens = group("Q8_0", nll=shifted(0.1))
    table = rows(compare(of(group("F16", nll=NLL), (runs, tokens[:-1]))))
    assert table["Q8_0"]["nll_difference"] == pytest.approx(0.1, rel=1e-5)
    assert table["Q8_0"]["quality_verdict"] == "worse"


@pytest.mark.parametrize("bad", [None, math.nan])
def test_a_token_without_a_likelihood_is_not_left_out(bad):
    runs, tokens = group("Q8_0", nll=shifted(0.1))
    tokens[-1]["nll"] = bad
    result = compare(of(group("F16", nll=NLL), (runs, tokens)))
    assert rows(result)["Q8_0"]["quality_verdict"] == "–"
    assert "1 of 32 scored tokens of the candidate have no finite NLL" in repr(result)


def test_a_mixture_of_files_has_no_perplexity():
    groups = [group(q, [20] * 9, NLL, firmware=f, capture=q + f) for q in ("F16", "Q8_0") for f in ("1", "2")]
    result = compare(of(*groups), by="firmware", metrics=["perplexity"])
    assert result.table["perplexity"].isna().all()
    assert result.table["quality_verdict"].tolist() == ["baseline", "–"]
    assert "A perplexity is of one model: the base holds several of quant (F16, Q8_0)" in repr(result)


@pytest.mark.slow
def test_what_was_asked_for_is_what_the_note_says():
    ds = of(group("F16", [20] * 9), group("Q8_0", [10] * 9))
    assert "beyond 60 %" in repr(compare(ds, smallest=0.6)) and "beyond 2 %" not in repr(compare(ds, smallest=0.6))


# ---- baselines ----


@pytest.mark.slow
def test_the_default_baseline_has_the_most_bits():
    ds = of(group("Q4_0", [20] * 9), group("Q8_0", [20] * 9), group("F16", [20] * 9))
    assert compare(ds).baseline == {"toy": ("F16",)}
    assert compare(of(group("Q4_0", [20] * 9), group("Q8_0", [20] * 9))).baseline == {"toy": ("Q8_0",)}


@pytest.mark.slow
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


@pytest.mark.slow
def test_numbers_tell_groups_apart_too():
    ds = of(group("F16", [10] * 9, n_ctx=64, capture="a"), group("F16", [20] * 9, n_ctx=128, capture="b"),
            group("F16", [30] * 9, n_ctx=None, capture="c"))  # fmt: skip
    result = compare(ds, by="n_ctx", baseline="128")
    assert result.baseline == {"toy": ("128",)}
    assert result.formatted()["n_ctx"].tolist() == ["64", "128", "unknown"]
    assert result.table["cost_ratio"].tolist() == [0.5, 1, 1.5]
    with pytest.raises(UsageError, match="no baseline n_ctx '65'"):
        compare(ds, by="n_ctx", baseline="65")


@pytest.mark.slow
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


@pytest.mark.slow
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


# ---- other groupings ----


def test_days_are_told_apart():
    runs, tokens = zip(*(group("F16", [t] * 9, capture=c) for c, t in (("a", 20), ("b", 30))), strict=True)
    captures = [{"capture_id": c, "started_at": f"2026-11-2{d}T23:30:00Z"} for c, d in (("a", 1), ("b", 2))]
    ds = dataset([*runs[0], *runs[1]], [*tokens[0], *tokens[1]], captures=captures)
    result = compare(ds, by="day")
    assert result.table["day"].tolist() == ["2026-11-21", "2026-11-22"]
    assert result.table["cost_ratio"].tolist() == [1, 1.5]


def test_tags_are_told_apart():
    ds = of(
        group("F16", [20] * 9, tags='{"sdk": "5.1"}', capture="a"),
        group("F16", [30] * 9, tags='{"sdk": "5.2"}', capture="b"),
    )
    assert rows(compare(ds, by="sdk"), "sdk")["5.2"]["cost_ratio"] == 1.5
    with pytest.raises(UsageError, match="no column of runs 'sdkk'. Did you mean 'sdk'"):
        compare(ds, by="sdkk")


@pytest.mark.parametrize("tags", ["no JSON", "[1]", "{", "null", '{"pair": 3}', "[" * 100_000])
def test_tags_that_are_none_are_nobodys_concern(tags):
    compare(of(group("F16", [20] * 9, tags=tags), group("Q8_0", [20] * 9)))


@pytest.mark.slow
def test_all_pairs():
    ds = of(group("F16", [20] * 9), group("Q8_0", [10] * 9), group("Q4_0", [40] * 9))
    result = compare(ds, all_pairs=True, metrics=["decode_ticks_per_token"])
    found = [(r["base"], r["candidate"], r["change"], r["word"]) for r in result.changes.to_dict("records")]
    assert found == [("F16", "Q8_0", -0.5, "better"), ("F16", "Q4_0", 1, "worse"), ("Q8_0", "Q4_0", 3, "worse")]
    assert result.baseline == {} and not result.table["is_baseline"].any()
    assert "cost" not in result.formatted().columns
    shown = result.formatted_changes()
    assert shown["change"].tolist() == ["-50.00 %", "+100 %", "+300 %"]
    assert shown["by"].tolist() == ["exact"] * 3
    assert "+300 %" in repr(result) and Tags(result._repr_html_()).tags.count("table") == 2


def test_all_pairs_stay_within_a_board():
    ds = of(*(group(q, [20] * 9, board=b) for b in ("x", "y") for q in ("F16", "Q8_0")))
    result = compare(ds, all_pairs=True, metrics=["decode_ticks_per_token"])
    assert result.changes[["base", "candidate"]].agg(" against ".join, axis=1).tolist() == [
        "x · F16 against x · Q8_0", "y · F16 against y · Q8_0"
    ]  # fmt: skip


def test_what_could_not_be_judged_says_so():
    again = group("F16", [40] * 9, capture="again")
    result = compare(of(group("F16", [20] * 9), again, group("Q8_0", [30] * 9)), metrics=["decode_ticks_per_token"])
    assert result.formatted_changes()["verdict"].tolist() == ["not judged"]


@pytest.mark.parametrize("columns", [{"kind": "llama-bench"}, {"clock": "host", "boot": None}])
def test_what_was_imported_or_printed_is_no_run_of_a_device(columns):
    said = group("Q4_0", [20] * 9, **columns)
    assert rows(compare(of(group("F16", [20] * 9), group("Q8_0", [10] * 9), said))).keys() == {"F16", "Q8_0"}
    with pytest.raises(NotComparableError, match="no finished run"):
        compare(of(said))


def test_boards_of_one_clock_are_compared_when_asked():
    ds = of(group("F16", [20] * 9, board="x"), group("F16", [30] * 9, board="y"))
    result = compare(ds, by="board", baseline="x", allow=["emulator"])
    assert rows(result, "board")["y"]["cost_ratio"] == 1.5
    assert result.baseline == {"x": ()}


def test_boards_of_other_clocks_are_refused():
    ds = of(group("F16", [20] * 9, board="x"), group("F16", [30] * 9, board="y", clock="cycles"))
    refused = compare(ds, by="board").refused
    assert "clocks count different things (cycles, fuel)" in refused and "--allow-unlike clock" in refused
    # Told to, it shows what a clock has nothing to do with, and judges no cost.
    result = compare(ds, by="board", allow=["clock"], metrics=["decode_ticks_per_token", "model_bytes"])
    assert result.changes["method"].tolist() == ["none", "exact"]


@pytest.mark.slow
def test_two_files_of_one_name_are_refused_unless_told():
    ds = of(
        group("F16", [20] * 9, model_sha256="aa", firmware="1"),
        group("F16", [30] * 9, model_sha256="bb", firmware="2", capture="b"),
    )
    assert "2 different files of m at F16" in compare(ds, by="firmware").refused
    assert rows(compare(ds, by="firmware", allow=["model"]), "firmware")["2"]["cost_ratio"] == 1.5
    with pytest.raises(UsageError, match="no way to be unlike 'modl'. Did you mean 'model'"):
        compare(ds, by="firmware", allow=["modl"])


def test_prompts_of_one_name_and_other_texts_are_refused():
    groups = [group(q, [20] * 9) for q in ("F16", "Q8_0")]
    prompts = [{"capture_id": f"toy-m-{q}", "prompt_id": "p", "text": q, "sha256": q} for q in ("F16", "Q8_0")]
    ds = dataset([r for runs, _ in groups for r in runs], [t for _, tokens in groups for t in tokens], prompts=prompts)
    assert "prompt 'p' is not the same text in both" in compare(ds).refused
    assert (
        "prompt 'p' was cut into other numbers of tokens"
        in compare(of(group("F16", [20] * 9), group("Q8_0", [20] * 9, n_prompt=4))).refused
    )
    assert (
        "prompt 'p' was sampled in other ways"
        in compare(of(group("F16", [20] * 9, sampler="greedy"), group("Q8_0", [20] * 9, sampler="temperature"))).refused
    )


def test_metrics_are_chosen():
    ds = of(group("F16", [20] * 9), group("Q8_0", [10] * 9))
    assert compare(ds, metrics=["ttft_ticks", "fits"]).changes["metric"].tolist() == ["ttft_ticks", "fits"]
    with pytest.raises(UsageError, match="no metric 'ttft_tick'. Did you mean 'ttft_ticks'"):
        compare(ds, metrics=["ttft_tick"])
    with pytest.raises(UsageError, match="bits_per_weight is neither better when lower"):
        compare(ds, metrics=["bits_per_weight"])


# ---- what is refused, and what is said ----


@pytest.mark.parametrize("column", ["emulator", "emulator_version", "emulator_flags", "clock"])
def test_unlike_emulators_are_refused(column):
    what = "their clocks count different things" if column == "clock" else f"{column} differs"
    with pytest.raises(NotComparableError, match=f"board 'toy' cannot be compared: {what}") as error:
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


@pytest.mark.slow
def test_a_group_that_does_not_fit():
    usual = {"quant": "F32", "bits_per_weight": 32.0, "frames_lost": None, "n_prompt": 0}
    big = ([run("big/0-0001", status="does_not_fit", **usual)], [])
    result = compare(of(big, group("F16", [20] * 9)))
    table = rows(result)
    assert result.baseline == {"toy": ("F16",)}  # what does not fit is nobody's baseline
    assert (table["F32"]["status"], table["F32"]["runs"], table["F32"]["cost_verdict"]) == ("does not fit", 0, "–")
    assert math.isnan(table["F32"]["frames_lost"])  # unknown, not zero
    assert table["F32"]["ram_needed_bytes"] == 900
    shown = result.formatted()
    assert shown["status"].tolist() == ["does not fit", "ok"]
    assert shown["decode [tick/token]"].tolist() == ["–", "20.0"]
    with pytest.raises(NotComparableError, match="of board 'toy' does not fit"):
        compare(of(big, group("F16", [20] * 9)), baseline="F32")
    assert "does not fit" in repr(compare(of(big)))


def test_a_group_that_fits_at_times_says_so():
    runs, tokens = group("F16", [20] * 9)
    result = compare(of((runs, tokens), ([run("c/0-0009", status="does_not_fit")], [])))
    assert rows(result)["F16"]["status"] == "1 of 2 ok"


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["host", "device_timer", "a new kind"])
def test_one_run_on_a_noisy_clock_is_not_enough(clock):
    result = compare(of(group("F16", [20] * 9, clock=clock), group("Q8_0", [40] * 9, clock=clock)))
    table = rows(result)
    assert table["Q8_0"]["cost_ratio"] == pytest.approx(2)
    assert table["Q8_0"]["cost_verdict"] == "not enough data"
    assert "1 runs a side are too few for an interval" in repr(result)


@pytest.mark.slow
def test_lost_frames_are_said():
    result = compare(of(group("F16", [20] * 9, frames_lost=3), group("Q8_0", [20] * 9)))
    assert "3 frames of these runs were sent and did not arrive" in repr(result)
    more = of(group("F16", [20] * 9, frames_lost=3), group("F16", [20] * 9, frames_lost=2, capture="b"))
    assert rows(compare(more))["F16"]["frames_lost"] == 5
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
