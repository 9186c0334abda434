"""Tidy frames and their tables: known answers, order, and what is asked for in vain."""

from __future__ import annotations

import pytest
from handmade import dataset, frame, generated, run, scored

from edgeprof import compare, tidy
from edgeprof.errors import NotComparableError, UsageError


@pytest.fixture
def ds():
    runs = [
        run("a/0-0001", quant="Q4_0", bits_per_weight=4.5),
        run("b/0-0001", quant="F16"),
        run("b/0-0002", quant="F16", prompt_id="q"),
        run("c/0-0001", quant="F16", status="aborted"),
        run("d/0-0001", quant="Q4_0", model="other", bits_per_weight=4.5),
        run("e/0-0001", quant="F16", kind="score", prompt_id="eval"),
        run("f/0-0001", board="lost", status="aborted", clock=None),
    ]
    tokens = generated("a/0-0001", ticks=[30, 31, 32]) + generated("b/0-0001", ticks=[20, 22, 24])
    tokens += generated("b/0-0002", ticks=[40, 42, 44]) + generated("c/0-0001", ticks=[99] * 3)
    tokens += generated("d/0-0001", ticks=[50] * 3) + scored("e/0-0001", [[1.0, 2.0], [3.0, 4.0]])
    return dataset(runs, tokens)


def test_costs_of_finished_runs_most_bits_first(ds):
    costs = tidy.costs(ds, "toy")
    assert costs["group"].drop_duplicates().tolist() == ["F16", "Q4_0", "Q4_0 · other"]
    assert costs[costs["group"] == "F16"].sort_values(["position", "ticks"])["ticks"].tolist() == [
        20,
        40,
        22,
        42,
        24,
        44,
    ]
    assert set(costs["position"]) == {3, 4, 5}  # decode passes only


def test_the_table_of_costs(ds):
    table = tidy.cost_table(tidy.costs(ds, "toy"))
    assert table.to_dict("records")[0] == {
        "group": "F16", "passes": "6", "positions": "3–5", "first [tick]": "30.00", "last [tick]": "34.00",
        "growth [tick/position]": "2.00",
    }  # fmt: skip


def test_a_pass_of_unknown_cost_is_left_out():
    tokens = generated(ticks=[20, 22, 24])
    tokens[-1]["ticks"] = None
    assert tidy.costs(dataset([run()], tokens), "toy")["ticks"].tolist() == [20, 22]


def test_inter_token_latencies(ds):
    itl = tidy.itl(ds, "toy")
    assert itl[itl["group"] == "Q4_0"]["itl_ticks"].tolist() == [30, 31, 32]
    table = tidy.itl_table(itl).set_index("group")
    assert table.loc["Q4_0"].to_dict() == {
        "intervals": "3", "p50 [tick]": "31.00", "p95 [tick]": "31.90", "p99 [tick]": "31.98", "p99 over p50": "1.03×",
    }  # fmt: skip
    assert tidy.itl(dataset([run(kind="score")], scored("c/0-0001", [[1.0]])), "toy").empty


def test_a_run_s_passes_and_their_table(ds):
    passes = tidy.passes(ds, "e/0-0001")
    assert passes[["window", "position"]].to_numpy().tolist() == [[w, p] for w in (0, 1) for p in range(4)]
    assert tidy.passes_table(passes).to_dict("records") == [
        {"phase": "score", "passes": "8", "total [tick]": "80.00", "mean [tick]": "10.00", "least [tick]": "10.00",
         "most [tick]": "10.00", "mean NLL [nat]": "26.25"}
    ]  # fmt: skip
    table = tidy.passes_table(tidy.passes(ds, "b/0-0001"))
    assert table["phase"].tolist() == ["prefill", "decode"]
    assert table["total [tick]"].tolist() == ["30.00", "66.00"]
    assert table["mean NLL [nat]"].tolist() == ["–", "–"]


def test_a_table_of_unknown_costs_has_dashes():
    tokens = [t | {"ticks": None} for t in generated(ticks=[20])]
    table = tidy.passes_table(tidy.passes(dataset([run()], tokens), "c/0-0001"))
    assert table["mean [tick]"].tolist() == ["–", "–"]


@pytest.mark.slow
def test_the_tradeoff_of_a_comparison(ds):
    points = tidy.tradeoff(compare(ds), "toy")
    assert points["group"].tolist() == ["F16", "Q4_0", "Q4_0 · other"]
    assert points["decode_ticks_per_token"].tolist() == [32, 31, 50]
    assert points["perplexity"].notna().tolist() == [True, False, False]
    by_prompt = tidy.tradeoff(compare(ds, by=["board", "prompt_id"]), "toy")
    assert sorted(by_prompt["group"]) == ["m · eval", "m · p", "m · q", "other · p"]
    assert tidy.tradeoff(compare(ds), "none").empty


def test_one_model_is_named_by_its_quantization():
    runs = frame("runs", [run("a/0"), run("b/0", quant="Q4_0"), run("c/0", model=None, quant=None)])
    assert tidy.labels(runs).tolist() == ["F16", "Q4_0", "unknown · unknown"]


def test_pick_run(ds):
    assert tidy.pick_run(ds) == "e/0-0001"  # first by board, model, quantization, prompt
    assert tidy.pick_run(ds, quant="Q4_0", model="") == "a/0-0001"
    assert tidy.pick_run(ds, quant="F16", prompt_id="q") == "b/0-0002"
    with pytest.raises(UsageError, match=r"no run with quant 'Q4_1'. Did you mean 'Q4_0'\?"):
        tidy.pick_run(ds, quant="Q4_1")
    with pytest.raises(UsageError, match=r"no column of runs 'qant'. Did you mean 'quant'\?"):
        tidy.pick_run(ds, qant="F16")
    with pytest.raises(NotComparableError, match="no finished run"):
        tidy.pick_run(dataset([run(status="aborted")]))


def test_facts_leave_out_what_is_unknown(ds):
    facts = dict(tidy.run_facts(ds, "a/0-0001").to_numpy().tolist())
    assert facts["quant"] == "Q4_0"
    assert facts["model_bytes"] == "4,000 bytes (3.91 KiB)"
    assert facts["bits_per_weight"] == "4.500"
    assert facts["frames_lost"] == "0"
    assert "compiler" not in facts
    with pytest.raises(UsageError, match=r"no run in this data set 'a/0-1'. Did you mean 'a/0-0001'\?"):
        tidy.run_facts(ds, "a/0-1")


@pytest.mark.parametrize("function", [tidy.costs, tidy.itl, tidy.clock])
def test_an_unknown_board_names_the_closest(ds, function):
    with pytest.raises(UsageError, match=r"no board in this data set 'tox'. Did you mean 'toy'\?"):
        function(ds, "tox")


def test_a_board_without_a_finished_run(ds):
    with pytest.raises(NotComparableError, match="'lost' has no finished run"):
        tidy.costs(ds, "lost")


def test_the_clock_of_a_board(ds):
    assert tidy.clock(ds, "toy") == "fuel"
    assert tidy.clock(ds, "lost") == "an unknown clock"
