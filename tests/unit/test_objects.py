"""Objects that show themselves: the same facts as text and as HTML; one run of many; their plots; what TAB offers."""

from __future__ import annotations

import inspect
import re

import handmade
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from handmade import HOSTILE, Tags, generated, harmful, run
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot as plt

import edgeprof
from edgeprof import object_plots, resources
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.one_run import Run

mpl.use("Agg")
QUANTS = {"F16": 20, "Q8_0": 25, "Q4_0": 30}
BITS = {"F16": 16.0, "Q8_0": 8.5}


def dataset(board="toy", quants=QUANTS):
    """Return a data set with a prompt of each quantization, a decode pass costing so many ticks, and a scored text."""
    ids = {quant: f"20260101T00000{n}Z-abc/0-0001" for n, quant in enumerate(quants)}
    runs = [
        run(
            ids[q],
            quant=q,
            board=board,
            ram_bytes=2000,
            flash_bytes=9000,
            static_ram_bytes=900,
            passes_received=12,
            bits_per_weight=BITS.get(q, 4.5),
        )
        for q in quants
    ]
    tokens = [row for q, ticks in quants.items() for row in generated(ids[q], ticks=[ticks] * 9)]
    stages = [
        row | {"stage": "attention", "ticks": row["ticks"] // 2}
        for row in ({k: t[k] for k in ("capture_id", "run_id", "position", "ticks")} for t in tokens)
    ]
    scores = {quant: f"score-{n}/0-0001" for n, quant in enumerate(quants)}
    runs += [
        run(name, quant=q, board=board, kind="score", prompt_id="text", bits_per_weight=BITS.get(q, 4.5))
        for q, name in scores.items()
    ]
    tokens += [row for name in scores.values() for row in handmade.scored(name, [[1.0, 1.2, 0.8]])]
    return handmade.dataset(runs, tokens, stages=stages)


@pytest.fixture(scope="module")
def ds():
    return dataset()


@pytest.fixture(scope="module")
def prediction():
    return edgeprof.predict(resources.path("data/models/fable-0.5m-F16.gguf"), "stm32f405", quant="Q4_0")


@pytest.fixture(scope="module")
def objects(ds, prediction):
    """Return every object that shows itself."""
    return {
        "Dataset": ds,
        "Run": ds.run(0),
        "Comparison": ds.compare(),
        "all pairs": ds.compare(all_pairs=True),
        "GateResult": dataset(quants={"F16": 30, "Q8_0": 25}).gate(against=ds),
        "Board": edgeprof.board("stm32f405"),
        "Prediction": prediction,
        "Recommendation": edgeprof.recommend(ds, max_ticks=26),
    }


NAMES = [
    "Dataset", "Run", "Comparison", "all pairs", "GateResult", "Board", "Prediction", "Recommendation",
]  # fmt: skip


def words(text):
    return {w.strip(",:<>") for w in re.sub(r"^note: ", "", text, flags=re.MULTILINE).split()} - {""}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_text_and_html_state_the_same_facts(objects, name):
    shown = objects[name]
    text, page = repr(shown), Tags(shown._repr_html_())
    missing = {w for w in words(text) if w.strip("-")} ^ words(" ".join(page.texts))
    assert {w for w in missing if w.strip("-")} == set()
    assert "table" in page.tags
    assert len(text) < 8000
    assert harmful(text.replace("\n", "")) == []


def test_a_run_says_what_it_is_of_and_what_was_measured(ds):
    text = repr(ds.run(quant="Q4_0"))
    for said in ("Q4_0", "4,000 bytes", "decode_ticks_per_token [tick/token]", "30.0", "ttft_ticks [tick]"):
        assert said in text
    assert "metrics are not known" in text
    assert repr(ds.run(quant="F16")) != text


def test_a_board_says_what_the_listing_does():
    text = repr(edgeprof.board("rp2040"))
    for said in ("Cortex-M0+", "cycles", "125 MHz", "264 KiB", "2.00 MiB", "yes, by rp2040js"):
        assert said in text
    assert repr(edgeprof.board("host")).split("\n")[2].endswith("no")
    with pytest.raises(UsageError, match="Did you mean 'rp2040'"):
        edgeprof.board("rp204")


@pytest.mark.slow
def test_a_gate_says_its_verdict_first(ds):
    gated = dataset(quants={"F16": 30, "Q8_0": 25, "Q4_0": 30}).gate(against=ds)
    assert gated.verdict == "fail"
    assert repr(gated).startswith("Gate: fail. ")
    assert "+50.00 %" in repr(gated)
    assert ds.gate(against=ds).verdict != "fail"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_and_nothing_else(name):
    shown = dataset(name, {name: 20, "F16": 10}).run(0)
    assert harmful(repr(shown).replace("\n", "")) == []
    page = Tags(shown._repr_html_())
    assert set(page.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert harmful("".join(page.texts).replace("\n", "")) == []


# ---- one run of many ----


def test_a_run_is_found_by_id_by_part_by_number_and_by_what_it_is_of(ds):
    wanted = ds.runs["run_id"][1]
    assert {
        r.run_id
        for r in (ds.run(wanted), ds.run("000001Z"), ds.run(1), ds.run(np.int64(1)), ds.run(-5), ds.run(quant="Q8_0"))
    } == {wanted}
    assert isinstance(ds.run(), Run) and ds.run(model="m").row["quant"] == "Q8_0"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("20260101T000009Z-abc/0-0001",), r"Did you mean '20260101T00000\dZ-abc/0-0001'.*`ds.runs` lists them"),
        (("?",), "no run '?' among 6.*ds.run(board="),
        (("abc",), "3 runs have 'abc'.*Give more of it"),
        ((6,), "no run number 6 among 6"),
        (("abc", "board"), "named or described"),
    ],
)
def test_a_run_that_is_not_there_says_what_is(ds, asked, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?").replace("(", r"\(")):
        ds.run(asked[0], **({"board": "toy"} if len(asked) > 1 else {}))


def test_a_run_has_its_own_rows_and_metrics(ds):
    one = ds.run(quant="Q4_0")
    assert set(one.tokens["run_id"]) == set(one.stages["run_id"]) == {one.run_id}
    assert list(one.tokens["position"]) == list(range(12)) and len(one.events) == 0
    measured = edgeprof.measure(ds).set_index("run_id").loc[one.run_id]
    whole = one.metrics
    assert whole["value"].notna().sum() > 8
    for name, value in whole["value"].items():
        assert value == measured[name] or (pd.isna(value) and pd.isna(measured[name])), name
    assert whole.loc["decode_ticks_per_token", ["value", "unit"]].tolist() == [30, "tick/token"]
    assert (whole["value"].isna() == whole["missing"].notna()).all()
    reasons = edgeprof.missing(ds).query("run_id == @one.run_id").set_index("metric")["reason"]
    assert whole["missing"].dropna().to_dict() == reasons.to_dict()


def test_a_run_s_text_needs_the_vocabulary(ds):
    with pytest.raises(NotComparableError, match="capture with --model"):
        _ = ds.run(0).text


# ---- plots ----

PLOTS = {cls.__name__: cls for cls in vars(object_plots).values() if inspect.isclass(cls) and cls.__name__[0] != "_"}
METHODS = [(kind, name) for kind, cls in PLOTS.items() for name in dir(cls) if not name.startswith("_")]
OWNERS = {
    "RunPlots": "Run", "DatasetPlots": "Dataset", "ComparisonPlots": "Comparison", "GatePlots": "GateResult",
    "PredictionPlots": "Prediction",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), METHODS)
def test_each_plot_of_an_object_draws_into_the_user_s_axes(objects, kind, name):
    access = objects[OWNERS[kind]].plot
    assert isinstance(access, PLOTS[kind]) and f"{name}()" in repr(access)
    method = getattr(access, name)
    ax = inspect.signature(method).parameters["ax"]
    assert ax.kind is inspect.Parameter.KEYWORD_ONLY and ax.default is None
    figure, (left, right) = plt.subplots(1, 2)
    try:
        assert method(ax=right) is right
        assert right.has_data() and not left.has_data() and plt.get_fignums() == [figure.number]
        assert right.get_xlabel()
    finally:
        plt.close("all")


@pytest.mark.slow
def test_wrong_words_for_a_plot_name_the_right_ones(ds):
    with pytest.raises(UsageError, match="Did you mean 'RAM'"):
        ds.run(0).plot.memory("RAMM")
    with pytest.raises(UsageError, match="Did you mean 'toy'"):
        ds.compare().plot.tradeoff("tois")
    with pytest.raises(UsageError, match="Did you mean 'toy'"):
        ds.plot.latency("tois")
    with pytest.raises(NotComparableError, match="no inter-token latencies"):
        ds.run("score-0").plot.distribution()
    with pytest.raises(NotComparableError, match="capture --eval"):
        handmade.dataset([run()], generated()).compare().plot.tradeoff()


# ---- what TAB offers ----


@pytest.fixture(scope="module")
def shell(ds):
    shell = InteractiveShell.instance()
    shell.push({"ds": ds, "run": ds.run(0), "comparison": ds.compare(), "edgeprof": edgeprof})
    yield shell
    InteractiveShell.clear_instance()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("edgeprof.", {"open", "compare", "gate", "board", "Run", "plots"}),
        ("ds.", {"run", "runs", "compare", "gate", "plot", "tokens"}),
        ("run.", {"tokens", "text", "prompt", "metrics", "stages", "memory", "events", "facts", "plot"}),
        ("run.plot.", {"latency", "distribution", "stages", "memory"}),
        ("ds.run(0).plot.", {"latency", "distribution", "stages", "memory"}),
        ("ds.plot.", {"latency", "distribution", "memory", "fleet"}),
        ("comparison.plot.", {"changes", "tradeoff"}),
        ("edgeprof.open('x').run(0).", {"tokens", "metrics"}),
        ("ds.runs.qua", {"quant"}),
    ],
)
def test_tab_leads_from_one_thing_to_the_next(shell, text, offered):
    with provisionalcompleter():
        found = {c.text.lstrip(".") for c in shell.Completer.completions(text, len(text))}
    assert offered <= found
