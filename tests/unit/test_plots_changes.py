"""Forest plots, pairs and Pareto fronts: each value, interval and verdict is where and what it was given as."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import edgeprof
from edgeprof import plots
from edgeprof.plots import labels, reach, style

mpl.use("Agg")
NAN = float("nan")
LIGHT = style.LOOKS["light"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def changes(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "group", "change", "low", "high", "word", "certain"])


def markers(ax) -> list[tuple[float, float, str, str]]:
    """Return (x, y, marker, colour) of each point."""
    lines = [line for line in ax.lines if line.get_marker() not in ("None", None, "")]
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line.get_marker(), to_hex(line.get_color()).upper())
        for line in lines
    ]


def intervals(ax) -> list[tuple[float, float]]:
    lines = [line for line in ax.lines if line.get_marker() in ("None", None, "") and line.get_linewidth() == 1.5]
    return [tuple(np.round(line.get_xdata(), 9)) for line in lines]


def texts(ax) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_a_change_is_drawn_in_percent_with_its_interval_and_verdict():
    ax = plots.plot_changes(changes(("Q4_0", "latency", 0.05, 0.03, 0.07, "worse", False)), smallest=0.02)
    assert markers(ax) == [(5, 1, "s", LIGHT.colours[1])]
    assert intervals(ax) == [(3, 7)]
    assert texts(ax) == ["worse  +5.00 %"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["latency", "Q4_0"]


def test_each_verdict_has_a_shape_and_fill_of_its_own():
    words = ("worse", "better", "same", "not enough data", "close to the smallest effect")
    ax = plots.plot_changes(changes(*((w, "m", 0.01, 0.0, 0.02, w, False) for w in words)), smallest=0.02)
    points = [line for line in ax.lines if line.get_marker() not in ("None", None, "")]
    seen = {(p.get_marker(), to_hex(p.get_markerfacecolor()).upper() != LIGHT.background) for p in points}
    assert len(seen) == len(words)
    assert [t.split("  ")[0] for t in texts(ax)] == list(words)


def test_what_is_certain_has_no_interval():
    ax = plots.plot_changes(changes(("a", "m", 0.05, 0.05, 0.05, "worse", True)), smallest=0.02)
    assert intervals(ax) == [] and len(markers(ax)) == 1


def test_below_the_smallest_effect_is_shaded_by_the_same_factor_in_both_directions():
    data = changes(("a", "m", 0.0, -0.1, 0.1, "same", False), ("b", "m", 0.0, -0.1, 0.1, "same", False))
    ax = plots.plot_changes(data.assign(smallest=[0.25, NAN]), smallest=0.02)
    bands = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches]
    assert bands == [pytest.approx((-20, 25)), pytest.approx((100 / 1.02 - 100, 2))]


def test_what_is_not_judged_is_grey_and_says_why():
    data = changes(("a", "m", NAN, NAN, NAN, None, None), ("b", "m", NAN, NAN, NAN, "not enough data", False))
    ax = plots.plot_changes(data.assign(reason=["no text on both sides", None]), smallest=0.02)
    assert markers(ax) == []
    assert texts(ax) == ["not judged: no text on both sides", "not enough data"]
    assert {to_hex(t.get_color()) for t in ax.get_yticklabels()[1:]} == {LIGHT.muted}


def test_rows_stand_below_their_group_however_they_are_ordered():
    rows = [(label, group, 0.0, NAN, NAN, "same", True) for label, group in (("a", "x"), ("b", "y"), ("c", "x"))]
    ax = plots.plot_changes(changes(*rows), smallest=0.02)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["x", "a", "c", "y", "b"]
    places = ax.get_yticks()
    assert sorted(places) == list(places)
    assert [t.get_text() for t in plots.plot_changes(changes(("a", "", 0, 0, 0, "same", True)), smallest=0.1)
            .get_yticklabels()] == ["a"]  # fmt: skip


def test_an_arrow_leads_to_what_lies_beyond_the_axis():
    rows = [(f"{i}", "m", 0.01 * i, 0.01 * i - 0.01, 0.01 * i + 0.01, "same", False) for i in range(8)]
    far = [("wide", "m", 0.0, -0.9, 30.0, "not enough data", False), ("far", "m", 9.0, 8.0, 10.0, "worse", False)]
    ax = plots.plot_changes(changes(*rows, *far), smallest=0.02)
    low, high = ax.get_xlim()
    assert high < 200
    arrows = [(x, m) for x, _, m, _ in markers(ax) if m in "<>"]
    assert arrows == [pytest.approx((low, "<")), pytest.approx((high, ">")), pytest.approx((high, ">"))]
    assert all(low - 1e-6 <= end <= high + 1e-6 for interval in intervals(ax) for end in interval)
    assert "worse  +900.0 %" in texts(ax)


@pytest.mark.slow
def test_many_rows_make_a_taller_picture_and_long_words_a_wider():
    def size(n: int, word: str):
        rows = [(f"row {i}", "m", 0.0, NAN, NAN, word, True) for i in range(n)]
        return plots.plot_changes(changes(*rows), smallest=0.02).figure.get_size_inches()

    assert size(60, "same")[1] > 4 * size(8, "same")[1]
    assert size(2, "n" * 40)[0] > size(2, "same")[0] == style.SIZE[0]


def test_pairs_are_drawn_in_their_order_with_the_centre():
    data = pd.DataFrame({"pair": ["s/9", "s/1", "s/5"], "ratio": [1.03, 1.01, 1.02]})
    ax = plots.plot_pairs(data, estimate=1.02, low=1.01, high=1.03)
    (points,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert list(points.get_xdata()) == [1, 2, 3] and list(points.get_ydata()) == [1.03, 1.01, 1.02]
    assert {float(line.get_ydata()[0]) for line in ax.lines if line is not points} == {1.0, 1.02}
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((1.01, 1.03))
    assert set(texts(ax)) == {"no change", "centre 1.0200  [1.0100, 1.0300]"}


def test_a_pair_far_off_is_an_arrow_with_its_ratio():
    ratios = [1.0, 1.01, 0.99, 1.02, 0.98, 5.3, 0.2, NAN]
    data = pd.DataFrame({"pair": range(8), "ratio": pd.array(ratios, "Float64")})
    ax = plots.plot_pairs(data, estimate=NAN, low=NAN, high=NAN)
    assert [(x, m) for x, _, m, _ in markers(ax) if m in "^v"] == [(6, "^"), (7, "v")]
    assert {"5.30×", "0.200×", "no change"} == set(texts(ax))
    assert not ax.patches
    inside = next(line for line in ax.lines if line.get_marker() == "o")
    assert list(inside.get_xdata()) == [1, 2, 3, 4, 5]


FRONT = pd.DataFrame(
    {"group": ["small", "good", "bad", "unknown"], "model_bytes": [1024, 4096, 5120, 2048],
     "perplexity": [3.0, 2.0, 2.5, NAN]}
)  # fmt: skip
AXES = {"xlabel": "size [KiB]", "ylabel": "perplexity [1]", "scales": (1024, 1)}


def front(data=FRONT, **more):
    found = edgeprof.pareto(data, ["model_bytes", "perplexity"])
    return plots.plot_front(found, "model_bytes", "perplexity", **AXES, **more)


def test_a_front_is_coloured_and_what_it_dominates_grey_with_a_line_to_it():
    ax = front()
    assert [(x, y, colour == LIGHT.grey) for x, y, _, colour in markers(ax)] == [
        (1, 3, False), (4, 2, False), (5, 2.5, True),
    ]  # fmt: skip
    (to,) = [line for line in ax.lines if line.get_linewidth() == 0.5]
    assert list(to.get_xdata()) == [5, 4] and list(to.get_ydata()) == [2.5, 2]
    assert {"small", "good", "bad"} == set(texts(ax))
    assert "missing: unknown" in ax.get_xlabel() and "better: left and down" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("better", "corner", "toward"),
    [
        ({"a": "lower", "b": "lower"}, (3, 2), "left and down"),
        ({"a": "lower", "b": "higher"}, (3, 1), "left and up"),
        ({"a": "higher", "b": "lower"}, (1, 2), "right and down"),
        ({"a": "higher", "b": "higher"}, (1, 1), "right and up"),
    ],
)  # fmt: skip
def test_the_steps_are_the_border_of_what_the_front_dominates(better, corner, toward):
    """The corner between two points of the front is worse than the one in a, and than the other in b."""
    falls = better["a"] == better["b"]
    data = edgeprof.pareto(pd.DataFrame({"group": ["p", "q"], "a": [1, 3], "b": [2, 1] if falls else [1, 2]}), better)
    assert data["on_front"].all()
    ax = plots.plot_front(data, "a", "b", xlabel="a [1]", ylabel="b [1]", better=better)
    (steps,) = [line for line in ax.lines if line.get_linewidth() == 1.2]
    (x0, x1), (y0, y1) = steps.get_xdata(), steps.get_ydata()
    assert corner == ((x1, y0) if steps.get_drawstyle() == "steps-post" else (x0, y1))
    assert f"better: {toward}" in ax.get_xlabel()


def test_the_registry_says_which_way_is_better():
    data = edgeprof.pareto(pd.DataFrame({"group": ["p"], "model_bytes": [1.0], "decode_tok_s": [2.0]}),
                           ["model_bytes", "decode_tok_s"])  # fmt: skip
    ax = plots.plot_front(data, "model_bytes", "decode_tok_s", xlabel="a [1]", ylabel="b [1]")
    assert "better: left and up" in ax.get_xlabel()


def test_an_axis_over_decades_is_logarithmic():
    assert front().get_xscale() == "linear"
    assert front(FRONT.assign(model_bytes=[1024, 1 << 20, 1 << 21, 1])).get_xscale() == "log"


def test_of_many_only_the_front_is_named():
    n = 40
    data = pd.DataFrame(
        {"group": [f"g{i}" for i in range(n)], "model_bytes": 1024 * (1 + np.arange(n)), "perplexity": 2.0}
    )
    ax = front(data)
    assert texts(ax) == ["g0"] and len(markers(ax)) == n
    assert not [line for line in ax.lines if line.get_linewidth() == 0.5]


@pytest.mark.slow
def test_names_beside_points_do_not_cover_each_other():
    data = FRONT.iloc[[0] * 6].assign(
        group=[f"a long name {i}" for i in range(6)], model_bytes=[1000, 1010, 1020, 1030, 1040, 9000]
    )
    ax = front(data)
    ax.figure.canvas.draw()
    boxes = [t.get_tightbbox() if t.arrow_patch is None else t.get_bbox_patch().get_window_extent() for t in ax.texts]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            wide = min(one.x1, other.x1) - max(one.x0, other.x0)
            high = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(wide, high) <= 3  # no more than the margin around a name


def test_names_at_ends_give_way_to_both_sides():
    assert labels.apart([], 1) == []
    assert labels.apart([0, 5], 1) == [0, 5]
    assert labels.apart([0, 0], 1) == pytest.approx([-0.5, 0.5])
    assert labels.apart([0, 0, 0, 9], 2) == pytest.approx([-2, 0, 2, 9])


def test_an_axis_reaches_to_all_but_what_is_far_off():
    assert reach.limits([], [1, 2, 3, 4, 5]) == pytest.approx((1 - 0.24, 5 + 0.24))
    low, high = reach.limits([0], [1, 2, 3, 4, 5, 1e6])
    assert low < 0 and 5 < high < 60
    low, high = reach.limits([-1, 1], [0], [-50, 50])
    assert -5 < low < -1 and 1 < high < 5
    assert reach.limits([], [NAN]) == pytest.approx((-0.56, 0.56))
    assert [reach.within(v, (0, 1)) for v in (-1, 0.5, 2)] == [0, 0.5, 1]
