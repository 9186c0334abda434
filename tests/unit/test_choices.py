"""What a notebook looks at where nobody said, in data of anybody."""

from __future__ import annotations

import handmade
import pytest

import edgeprof
from edgeprof import choices, runs
from edgeprof.errors import NotComparableError, UsageError


def made(*rows: dict) -> object:
    """Return a data set of runs; each says what is unlike the usual."""
    return handmade.dataset([handmade.run(f"c/0-{n:04d}", **row) for n, row in enumerate(rows)])


@pytest.mark.slow
def test_of_the_reference_data_it_takes_what_it_always_took():
    ds = edgeprof.open(edgeprof.reference())
    found = choices.choose(ds)
    assert (found.board, found.model, found.quant, found.prompt) == ("wasm", "fable-1.2m", "Q8_0", "lost-kite")
    assert choices.choose_board(ds) == ("stm32f405", "fable-1.2m")


def test_most_runs_then_most_bits_that_are_no_float():
    q, lost = {"quant": "Q8", "bits_per_weight": 8.5}, {"board": "a", "status": "timeout"}
    of_b = [{"quant": "F16"}, {"quant": "Q4", "bits_per_weight": 4.5}, *({**q, "prompt_id": p} for p in "zyz")]
    ds = made({"board": "a", "quant": "F16"}, *({"board": "b", **one} for one in of_b), *[{**q, **lost}] * 6)
    assert choices.choose(ds) == choices.Choice("b", "m", "Q8", "z", "c/0-0003")
    assert choices.choose(ds, prompt="y").run_id == "c/0-0004"
    assert choices.choose(ds, board="a").quant == "F16"  # floats, if there is no other
    assert choices.choose(ds, quant="Q4") == choices.Choice("b", "m", "Q4", "p", "c/0-0002")


def test_a_run_is_named_whatever_it_shares_with_others_and_however_it_ended():
    ds = made({}, {}, {"status": "timeout"}, {"quant": "Q4"})
    assert choices.choose(ds).run_id == "c/0-0000"
    assert choices.choose(ds, quant="F16", prompt="p", run="c/0-0001").run_id == "c/0-0001"
    assert choices.choose(ds, run="0002") == choices.Choice("toy", "m", "F16", "p", "c/0-0002")
    with pytest.raises(NotComparableError, match="c/0-0003.*'Q4', not 'F16'"):
        choices.choose(ds, quant="F16", run="c/0-0003")
    with pytest.raises(UsageError, match="no run 'c/0-0009'.*Did you mean"):
        choices.choose(ds, run="c/0-0009")


def test_what_nobody_says_is_empty():
    ds = made({"board": None, "model": None, "quant": None, "bits_per_weight": None, "prompt_id": None})
    assert choices.choose(ds) == choices.Choice("", "", "", "", "c/0-0000")
    assert choices.choose_board(ds) == ("", "")


def test_a_generation_comes_before_an_evaluation():
    score = {"kind": "score", "prompt_id": "eval"}
    ds = made(score, score, score, {"prompt_id": "p"}, {"prompt_id": "q", "passes_received": 0})
    assert choices.choose(ds).prompt == "p"
    assert choices.choose(made(score)).prompt == "eval"
    assert choices.choose(ds, prompt="eval").run_id == "c/0-0000"


def test_the_board_that_most_does_not_fit():
    no = {"status": "does_not_fit"}
    ds = made(
        {"board": "a"}, {"board": "a"}, {"board": "b", **no}, {"board": "b", **no, "model": "n"}, {"board": "c", **no}
    )
    assert choices.choose_board(ds) == ("b", "m")
    assert choices.choose_board(ds, "c") == ("c", "m")
    assert choices.choose_board(ds, "all", "all") == ("", "")
    assert choices.choose_board(ds, model="n") == ("b", "n")


def test_what_there_is_not_names_the_closest():
    ds = made({"board": "rp2040", "quant": "Q4"}, {"board": "wasm", "quant": "Q8"})
    with pytest.raises(UsageError, match=r"no run with board 'rp2400'. Did you mean 'rp2040'\?"):
        choices.choose(ds, board="rp2400")
    with pytest.raises(UsageError, match=r"Did you mean 'wasm'\?"):
        choices.choose_board(ds, "wsm")
    with pytest.raises(NotComparableError, match="No run in hand has board 'wasm', quant 'Q4' together"):
        choices.choose(ds, board="wasm", quant="Q4")
    with pytest.raises(NotComparableError, match="no finished run"):
        choices.choose(made({"status": "aborted"}))
    with pytest.raises(NotComparableError, match="no run in hand"):
        choices.choose_board(made())


def test_the_most_the_middle_and_the_fewest_bits_of_each_model():
    rows = [{"quant": f"Q{b}", "bits_per_weight": b} for b in (2, 3, 4, 5, 6)]
    ds = made(*rows, {"model": "a", "quant": "Q2", "bits_per_weight": 2}, {"prompt_id": "other"}, {"board": "else"})
    found = choices.spread(ds, choices.choose(ds, board="toy", prompt="p"))
    assert list(zip(found["model"], found["quant"], strict=True)) == [
        ("m", "Q6"), ("m", "Q4"), ("m", "Q2"), ("a", "Q2"),
    ]  # fmt: skip
    assert runs.texts(ds, found).startswith("m Q6:\n(The vocabulary of run 'c/0-0004' is not in hand")


@pytest.mark.slow
def test_the_best_file_is_that_of_the_lowest_perplexity():
    table = edgeprof.compare(edgeprof.open(edgeprof.reference()), board="wasm").table
    assert choices.best_file(table) == {"model": "fable-1.2m-control", "quant": "F16"}
    assert choices.best_file(table.assign(perplexity=float("nan"))) is None
