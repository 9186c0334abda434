"""The explorer without a browser: every control driven in Python, and what each view says."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

import fakeboard
import numpy as np
import pandas as pd
import pytest
from handmade import HOSTILE, Tags, dataset, harmful, run, token
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure

import edgeprof
from edgeprof import journal, seal
from edgeprof.errors import StorageError, UsageError
from edgeprof.explorer import View, figure
from edgeprof.explorer.canvas import new_canvas
from edgeprof.explorer.coloured import MOST_TOKENS, coloured_text
from edgeprof.explorer.extremes import extremes
from edgeprof.explorer.painter import Painter, front_points
from edgeprof.explorer.source import Source
from edgeprof.explorer.statistics import range_statistics, statistics_table
from edgeprof.explorer.summary import summarize
from edgeprof.explorer.view import changed
from edgeprof.plots.style import contrast

NUMBERS = st.floats(-1e6, 1e6) | st.just(float("nan")) | st.sampled_from([0.0, 1.0, np.inf, -np.inf])


# ---- fewer points ----


@given(st.data(), st.integers(0, 300), st.integers(1, 40))
def test_extremes_stay_and_their_order_does(data, n, buckets):
    x = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1000)))
    y = data.draw(hnp.arrays(np.float64, n, elements=NUMBERS))
    kept = extremes(x, y, buckets)
    assert list(kept) == sorted(set(kept.tolist()))
    assert len(kept) <= 2 * buckets
    known = ~np.isnan(y)
    if not known.any():
        assert len(kept) == 0
        return
    assert not np.isnan(y[kept]).any()
    assert y[kept].min() == y[known].min() and y[kept].max() == y[known].max()
    low, span = x[known].min(), np.ptp(x[known]) + 1
    bucket = (x - low) * buckets // span if span > buckets else x - low
    for number in set(bucket[known].tolist()):
        mine, drawn = known & (bucket == number), kept[bucket[kept] == number]
        assert {y[drawn].min(), y[drawn].max()} == {y[mine].min(), y[mine].max()}


def test_one_slow_token_among_a_million_is_drawn():
    position = np.tile(np.arange(1000), 1000)
    value = np.full(position.size, 100.0)
    value[123_456] = 9999.0
    drawn = summarize(position, value)
    assert drawn.tokens == 1_000_000 and len(drawn.x) < 5000
    assert drawn.y.max() == 9999.0 and drawn.x[drawn.y.argmax()] == 456
    assert drawn.quantiles[-1] == 9999.0
    assert drawn.mean[456] == pytest.approx(100 + 9899 / 1000)


def test_a_position_that_no_context_has_takes_no_memory():
    drawn = summarize(np.array([1, 4_000_000_000]), np.array([2.0, np.nan]))
    assert drawn.tokens == 1
    assert summarize(np.array([1, 4_000_000_000]), np.array([2.0, 3.0])).position.tolist() == [1, 4_000_000_000]


@pytest.mark.slow
@pytest.mark.parametrize("n", [1280, 1281, 30_000, 2_000_000])
def test_a_mean_line_of_very_many_positions_has_no_more_points_than_can_be_seen(n):
    position = np.arange(10, 10 + n)
    value = 5.0 + 3.0 * position
    drawn = summarize(np.append(position, 10), np.append(value, 35.0))
    assert drawn.reach == (10, 9 + n) and drawn.tokens == n + 1
    assert len(drawn.position) == len(drawn.mean) <= 1280
    assert np.allclose(drawn.mean, 5 + 3 * drawn.position), "the line bends"
    assert (np.diff(drawn.position) > 0).all()
    assert drawn.position[0] - 10 <= n / 640 and 9 + n - drawn.position[-1] <= n / 640


# ---- a range of tokens ----


def test_a_range_s_figures_are_those_of_its_tokens():
    passes = pd.DataFrame(
        {"position": range(10), "phase": ["prefill"] * 2 + ["decode"] * 8, "ticks": range(10, 110, 10)}
    )
    found = range_statistics([("A", passes)], "decode", "ticks", 4, 6).iloc[0]
    assert found["tokens"] == 3 and found["p50"] == 60 and found["mean"] == 60
    assert found["p95"] == pytest.approx(np.quantile([50, 60, 70], 0.95))
    assert found["share"] == pytest.approx(180 / 550)
    late = passes.astype({"ticks": "Int64"})
    late.loc[8:, "ticks"] = pd.NA
    assert np.isnan(range_statistics([("A", late)], "decode", "ticks", 8, None)["share"].iloc[0])
    assert range_statistics([("A", late)], "decode", "ticks", 7, None)["share"].iloc[0] == pytest.approx(80 / 360)
    empty = range_statistics([("A", passes)], "decode", "ticks", 40, 60).iloc[0]
    assert empty["tokens"] == 0 and np.isnan(empty["p50"]) and empty["share"] == 0


def test_the_difference_of_two_runs_is_said_only_where_their_clocks_are_alike():
    figures = pd.DataFrame(
        {"run": ["A", "B"], "tokens": [4, 4], "p50": [100.0, 150.0], "p95": [1.0, 1.0], "p99": [1.0, 1.0],
         "mean": [1.0, 1.0], "share": [0.5, 0.25]}
    )  # fmt: skip
    last = statistics_table(figures, "tick").iloc[-1]
    assert last["p50 [tick]"] == "+50.0 %" and last["share of the run [%]"] == "-25.0 points"
    assert statistics_table(figures, "tick", alike=False).iloc[-1]["p50 [tick]"] == "–"
    unknown = statistics_table(figures.assign(share=[0.5, np.nan]), "tick")
    assert unknown["share of the run [%]"].tolist() == ["50.0", "–", "–"]


# ---- the text ----


def rows(n: int) -> pd.DataFrame:
    return pd.DataFrame({"position": range(n), "next_id": range(n), "ticks": range(100, 100 + n), "nll": 0.5})


def test_what_a_model_calls_its_tokens_is_only_text():
    page = coloured_text(rows(len(HOSTILE)), "ticks", dict(enumerate(HOSTILE)), (100.0, 110.0), "tick")
    found = Tags(page)
    assert set(found.tags) <= {"div", "span"} and found.attributes <= {"style", "title", "class"}
    assert harmful(page) == []
    assert "&lt;script&gt;" in page


def test_every_colour_of_a_token_can_be_read():
    page = coloured_text(rows(200), "ticks", {}, (100.0, 299.0), "tick")
    pairs = re.findall(r"background:(#\w+);color:(\w+);", page)
    assert len(pairs) == 200 and len(set(pairs)) > 30
    assert min(contrast(back, text) for back, text in pairs) >= 4.5


def test_a_long_text_says_that_it_is_cut():
    page = coloured_text(rows(MOST_TOKENS + 50), "ticks", {}, (100.0, 300.0), "tick")
    assert page.count("ep-token") == MOST_TOKENS
    assert f"The first {MOST_TOKENS} of {MOST_TOKENS + 50} tokens" in page


def test_unknown_values_have_no_colour_and_no_number():
    page = coloured_text(rows(1).assign(ticks=pd.array([None], "Int64")), "ticks", {0: "a"}, (0.0, 1.0), "tick")
    assert "background" not in page and "position 0: –" in page


# ---- the canvas ----


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        {"type": "resize", "width": 9000, "height": 9000},
        *(
            {"type": f"set_{name}", name: ratio}
            for name in ("device_pixel_ratio", "dpi_ratio")
            for ratio in (64, 1e9, -3, float("inf"), float("nan"))
        ),
    ],
)
def test_no_message_of_a_page_makes_the_figure_huge(content):
    canvas = new_canvas(lambda low, high: None)
    full = canvas.get_width_height()
    canvas._handle_message(canvas, content, [])
    canvas.draw()
    assert canvas.get_width_height() == full
    height, width = np.asarray(canvas.buffer_rgba()).shape[:2]
    assert full[0] / 2 <= width <= 4 * full[0] and full[1] / 2 <= height <= 4 * full[1]


def test_a_fine_screen_gets_a_fine_picture():
    canvas = new_canvas(lambda low, high: None)
    width = canvas.get_width_height()[0]
    canvas._handle_message(canvas, {"type": "set_device_pixel_ratio", "device_pixel_ratio": 2}, [])
    canvas.draw()
    assert np.asarray(canvas.buffer_rgba()).shape[1] == 2 * width


# ---- the whole, headless ----


@pytest.fixture(scope="module")
def reference():
    return edgeprof.open(edgeprof.reference())


@pytest.fixture(scope="module")
def made(reference):
    explorer = edgeprof.explore(reference)
    return explorer, explorer.view


@pytest.fixture
def explorer(made, tmp_path):
    """Return an explorer as it is at first."""
    explorer, first = made
    explorer._output_dir = tmp_path
    explorer._show(first)
    return explorer


def picture(explorer) -> bytes:
    return bytes(explorer.canvas.buffer_rgba())


def some(reference, board: str, **columns: str) -> str:
    runs = reference.runs[(reference.runs["board"] == board) & (reference.runs["status"] == "ok")]
    for column, value in columns.items():
        runs = runs[runs[column] == value]
    return str(runs["run_id"].iloc[0])


@pytest.mark.slow
def test_every_control_changes_what_is_seen_and_draws_once(explorer, reference):
    b = some(reference, "wasm", quant="Q4_0", prompt_id="lost-kite")
    steps = [
        ("quants", ("Q8_0", "Q4_0", "Q2_K")), ("prompts", ("lost-kite", "market-day")), ("run_b", b),
        ("positions", (30, 50)), ("value", "nll"), ("y", "perplexity"), ("x", "decode_ticks_per_token"),
        ("detail", "memory"), ("look", "dark"), ("detail", "stages"), ("phase", "prefill"),
        ("run_a", some(reference, "wasm", quant="Q2_K", prompt_id="lost-kite")), ("prompts", ()),
        ("boards", ("wasm", "rp2040")), ("phase", "score"),
    ]  # fmt: skip
    assert {name for name, _ in steps} == set(explorer._by_name), "a control that nobody tries"
    for name, value in steps:
        before, drawn, shown = picture(explorer), explorer.draws, (explorer.statistics.value, explorer.texts.value)
        getattr(explorer, name).value = value
        assert explorer.draws == drawn + 1, name
        if name != "positions":
            assert getattr(explorer.view, name) == value
        assert picture(explorer) != before, name
        if name in ("run_b", "positions", "value", "phase", "run_a"):
            assert (explorer.statistics.value, explorer.texts.value) != shown, name
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == [], "pyplot knows of a figure"


@pytest.mark.slow
def test_a_brush_is_the_slider(explorer):
    explorer.positions.value = (30, 50)
    by_slider = (explorer.view, explorer.statistics.value, picture(explorer))
    explorer._all_positions()
    explorer.canvas._span.onselect(30.2, 49.8)  # what a drag over the axes calls
    assert (explorer.view, explorer.statistics.value, picture(explorer)) == by_slider
    assert explorer.positions.value == (30, 50)
    assert "positions 30 to 50" in explorer.statistics.value
    n_artists = len(explorer._painter.axes["cost"].get_children())
    for first in range(20, 40):
        explorer.update(first=first)
    assert len(explorer._painter.axes["cost"].get_children()) == n_artists, "brushing leaves something behind"


@pytest.mark.slow
def test_pinned_runs_stand_side_by_side(explorer, reference):
    explorer.update(run_b=some(reference, "wasm", quant="Q4_0", prompt_id="lost-kite"), detail="stages")
    table = explorer.statistics_table()
    assert [name[:2] for name in table["run"]] == ["A:", "B:", "B "]
    a, b = explorer.range_statistics()["p50"]
    assert table["p50 [tick]"].iloc[2] == f"{100 * (b / a - 1):+.1f} %"
    assert explorer.texts.value.count("<b>") == 2
    below = explorer._painter.axes["detail"]
    assert [label.get_text() for label in below.get_yticklabels()] == [
        "A · prefill", "A · decode", "B · prefill", "B · decode",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_axis_fits_what_is_drawn_now_whatever_was_before(explorer, reference):
    explorer.update(value="nll")
    fresh = figure(reference, explorer.view)
    assert [ax.get_ylim() for ax in explorer.figure.axes] == [ax.get_ylim() for ax in fresh.axes]


@pytest.mark.slow
def test_every_word_has_room_whatever_was_seen_before_and_room_is_laid_out_once(explorer):
    changes = [
        {"boards": ("wasm", "rp2040")}, {"detail": "memory"}, {"boards": ("rp2040",)},
        {"detail": "pareto", "y": "perplexity"},
        {"boards": ("wasm",), "quants": ("Q4_0",)}, {"value": "nll"}, {"value": "ticks", "quants": ()},
    ]  # fmt: skip
    for change in changes * 2:
        explorer.update(**change)
        whole = explorer.figure.bbox
        for ax in explorer.figure.axes:
            box = ax.get_tightbbox()
            assert whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1 and whole.y0 - 1 <= box.y0, change
    known = len(explorer._painter._layouts)
    explorer.update(quants=("Q8_0", "Q4_0"))
    explorer.update(quants=())
    explorer.update(quants=("Q8_0", "Q4_0"))
    assert known <= len(explorer._painter._layouts) <= known + 1


@pytest.mark.slow
def test_filters_leave_only_runs_that_match(explorer):
    explorer.update(quants=("Q4_0",), prompts=("lost-kite",))
    assert all("Q4_0" in name and "lost-kite" in name for name, value in explorer.run_a.options if value)
    assert "Q4_0" in {v: n for n, v in explorer.run_a.options}[explorer.view.run_a]
    assert len(explorer._painter.axes["distribution"].lines) == 3  # one group, two lines of quantiles


@pytest.mark.slow
def test_ticks_of_several_boards_share_no_axis(explorer):
    explorer.update(boards=("wasm", "rp2040"))
    assert "median of its board" in explorer._painter.axes["cost"].get_ylabel()
    assert "not the same thing" in explorer.message.value


def counted_unlike(**second):
    """Return two groups of runs of one board, of which the second was counted in another way: 1000 times as much."""
    runs = [run(f"c/0-000{n}", board="toy", quant="F16", **(second if n > 2 else {})) for n in (1, 2, 3, 4)]
    tokens = [
        token(row["run_id"], p, "decode", 100_000 * p, (100 + p) * (1000 if row in runs[2:] else 1))
        for row in runs
        for p in range(3, 9)
    ]
    return dataset(runs, tokens)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"clock": "cycles"}, ("clock", "fuel", "cycles")),
        ({"emulator_version": "2"}, ("emulator version", "toy, 1", "toy, 2")),
        ({"emulator": None, "emulator_version": None, "emulator_flags": None}, ("emulator", "emu", "none")),
    ],
)
def test_runs_of_one_board_that_were_counted_in_two_ways_share_no_line_and_no_point(second, said):
    word, *names = said
    explorer = edgeprof.explore(counted_unlike(**second), run_a="c/0-0003")
    painter = explorer._painter
    assert f"Ticks of several {word}s" in explorer.message.value and "not the same thing" in explorer.message.value
    assert f"median of its {word}" in painter.axes["cost"].get_ylabel()
    groups = explorer._source.selected(explorer.view)["group"].unique()
    assert len(groups) == 2 and all(any(name in group for group in groups) for name in names)
    means = [line.get_ydata() for line in painter.axes["cost"].lines if line.get_linewidth() == 1.6]
    assert len(means) == 2 and all(0.8 < y.min() and y.max() < 1.3 for y in means)
    points, _ = front_points(explorer._source, explorer.view, explorer.pinned())
    assert points["decode_ticks_per_token"].tolist() == [pytest.approx(105_500)], "a point of both clocks"
    explorer.update(run_b="c/0-0001")
    assert explorer.statistics_table()["p50 [tick]"].iloc[2] == "–"


@pytest.mark.slow
def test_a_run_whose_clock_is_unknown_is_not_of_another_clock():
    assert edgeprof.explore(counted_unlike(clock=None))._source.runs["counted"].unique().tolist() == ["toy"]


@pytest.mark.slow
def test_a_pinned_run_is_drawn_where_its_tokens_are_though_its_board_is_unknown():
    one = run(board=None)
    explorer = edgeprof.explore(dataset([one], [token(one["run_id"], p, "decode", 0, 2_000_000) for p in (5, 6)]))
    assert explorer.view.run_a == one["run_id"]
    drawn = [line.get_ydata() for line in explorer._painter.axes["cost"].lines]
    assert len(drawn) >= 3 and all(np.allclose(y, 2.0) for y in drawn)
    assert len(front_points(explorer._source, explorer.view, explorer.pinned())[0]) == 1


@pytest.mark.slow
def test_a_pinned_run_that_nothing_chosen_is_alike_to_is_not_drawn(reference):
    painter = Painter(Source(reference), Figure())
    painter.paint(View(boards=("wasm",), run_a=some(reference, "rp2040")))
    assert "counted by none of what is chosen" in painter.notes[0]
    assert painter.axes["cost"].get_legend() is None


@pytest.mark.slow
def test_what_is_not_there_is_said_in_words(explorer, reference):
    explorer.update(phase="score", prompts=("lost-kite",))
    assert "No score pass has a latency here" in explorer._painter.axes["cost"].texts[0].get_text()
    assert "There is no score pass in this run" in explorer.texts.value
    explorer.update(phase="decode", boards=("rp2040",), quants=("F32",), prompts=())
    assert "No decode pass" in explorer._painter.axes["cost"].texts[0].get_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"boards": ["wsam"]}, "wasm"), ({"phase": "decod"}, "decode"), ({"run_a": "nobody"}, "nobody"),
        ({"x": "model_bits"}, "model_bytes"), ({"first": 9, "last": 3}, "smaller"), ({"quant": ["F16"]}, "quants"),
        ({"look": "drak"}, "dark"), ({"x": "bits_per_weight"}, "Pareto"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_shown_and_raised_and_the_view_stays(explorer, change, said):
    before = explorer.view
    with pytest.raises(UsageError, match=said):
        explorer.update(**change)
    assert 'role="alert"' in explorer.message.value and said in explorer.message.value
    assert explorer.view == before
    explorer.update(detail="memory")
    assert "alert" not in explorer.message.value


@pytest.mark.slow
def test_an_unwritable_folder_is_said(explorer, tmp_path):
    (tmp_path / "file").write_text("x")
    explorer._output_dir = tmp_path / "file"
    with pytest.raises(StorageError, match="output_dir"):
        explorer.save_figure()
    assert "alert" in explorer.message.value


# ---- odd data sets ----


def test_an_empty_data_set():
    explorer = edgeprof.explore(dataset([], []))
    assert "No run" in explorer._painter.axes["cost"].texts[0].get_text()
    assert "Pin a run" in explorer.statistics.value
    for detail in ("memory", "stages"):
        explorer.update(detail=detail)


@pytest.mark.slow
def test_one_run_that_says_little():
    one = run(model_sha256=None, clock=None, quant=None, board=None, prompt_id=None, model=None)
    explorer = edgeprof.explore(dataset([one], [token("c/0-0001", 5, "decode", 0, 100)]))
    assert explorer.range_statistics()["tokens"].tolist() == [1]
    assert "spelling of tokens is not in this data set" in explorer.texts.value and "[6]" in explorer.texts.value
    explorer.update(value="nll")
    assert "No decode pass has an NLL" in explorer._painter.axes["cost"].texts[0].get_text()
    assert "No token of this run has an NLL" in explorer.texts.value
    explorer.update(value="ticks", detail="stages")
    assert "No stages were received" in explorer._painter.axes["detail"].texts[0].get_text()
    explorer.update(detail="memory")


def test_a_run_without_passes():
    explorer = edgeprof.explore(dataset([run()], []))
    assert "No decode pass has a latency" in explorer._painter.axes["cost"].texts[0].get_text()
    assert "There is no decode pass in this run" in explorer.texts.value


@pytest.mark.slow
@pytest.mark.parametrize("detail", ["pareto", "memory", "stages"])
def test_names_are_only_text(detail):
    runs, tokens = [], []
    for number, name in enumerate(HOSTILE):
        run_id = f"c/0-{number:04}"
        runs.append(run(run_id, quant=name, prompt_id=name, model=name, board="toy"))
        tokens += [token(run_id, p, "decode", 100 * p, 100 + number + p) for p in range(3, 6)]
    explorer = edgeprof.explore(dataset(runs, tokens), detail=detail)
    for row in runs[:3]:
        explorer.update(run_a=row["run_id"], run_b=runs[4]["run_id"])
        for shown in (explorer.texts, explorer.statistics, explorer.message):
            assert {"script", "img"}.isdisjoint(Tags(shown.value).tags)
            assert harmful(shown.value.replace("\n", "")) == []


@pytest.mark.slow
def test_reload_shows_what_a_capture_that_still_runs_has_sealed_by_now(tmp_path):
    sent = bytearray()
    board = fakeboard.FakeBoard(sent.extend)
    board.hello()
    board.generate("first", 4, 8)
    capture = fakeboard.make_capture(tmp_path, "c", [b""])
    with contextlib.closing(journal.PortWriter(capture, 0)) as port:
        port.append(bytes(sent), 1000)
        seal.seal(capture)
        explorer = edgeprof.explore(tmp_path)
        first, before = explorer.view.run_a, picture(explorer)
        assert [name for name, _ in explorer.prompts.options] == ["first"]
        sent.clear()
        board.generate("second", 4, 30)
        port.append(bytes(sent), 2000)
        seal.seal(capture)
        explorer.reload.click()
        assert "alert" not in explorer.message.value
        assert [name for name, _ in explorer.prompts.options] == ["first", "second"]
        assert explorer.view.run_a == first and picture(explorer) != before
        assert explorer.positions.max == 4 + 30 - 2
        explorer.update(prompts=["second"])
        assert explorer.range_statistics()["tokens"].tolist() == [29]


@pytest.mark.slow
def test_a_view_is_a_figure_without_widgets(reference):
    made = figure(reference, View(boards=("wasm",), quants=("Q4_0", "Q8_0")))
    assert len(made.axes) == 3 and made.axes[0].get_xlabel() == "position in the context [token]"


@pytest.mark.slow
def test_other_figures_keep_their_backend():
    code = (
        "import matplotlib as mpl; import edgeprof.explorer; from matplotlib import pyplot as plt; "
        "plt.figure(); print(mpl.get_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"MPLBACKEND": ""},
    )  # fmt: skip
    assert done.stdout.strip().lower() == "agg"


def test_an_empty_word_is_nothing_chosen() -> None:
    assert changed(View(boards=("wasm",)), {"boards": ""}) == View()
    assert changed(View(), {"boards": "wasm"}) == View(boards=("wasm",))
