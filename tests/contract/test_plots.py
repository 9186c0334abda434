"""What every public plot keeps to: it takes tidy data and axes, draws, and returns the axes."""

from __future__ import annotations

import inspect
import io
import re
from pathlib import Path

import handmade
import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from edgeprof import plots
from edgeprof.plots import style

mpl.use("Agg")
# Every function of the package that is called so, whether or not somebody thought of making it public.
NAMES = sorted(
    name
    for path in Path(plots.__file__).parents[1].rglob("*.py")
    for name in re.findall(r"^def (plot_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
)
# Data for each plot and what else it needs; a new plot has to bring its own.
EXAMPLES = {
    "plot_battery": (
        {
            "group": ["a", "a", "b", "b"],
            "tokens_per_day": [10, 1000, 10, 1000],
            "days": [500.0, 40.0, 600.0, 70.0],
            "days_low": [490.0, 39.0, 590.0, 69.0],
            "days_high": [510.0, 41.0, 610.0, 71.0],
            "meter": "ppk2",
        },
        {},
    ),
    "plot_changes": (
        {
            "label": ["a", "b", "c", "d"],
            "group": ["x", "x", "y", "y"],
            "change": [0.05, -0.03, 0.001, None],
            "low": [0.03, None, -0.002, None],
            "high": [0.07, None, 0.004, None],
            "word": ["worse", "better", "same", None],
            "certain": [False, True, False, False],
        },
        {"smallest": 0.02},
    ),
    "plot_cost_by_position": ({"group": ["a", "a", "b"], "position": [0, 1, 0], "ticks": [1, 2, 3]}, {}),
    "plot_coverage": ({"part": ["all", "a", "b"], "percent": [79.9, 60.0, 95.5]}, {"least": 80.0}),
    "plot_energy": (
        {
            "group": ["a", "a", "b", "b"],
            "part": ["gross", "net", "gross", "net"],
            "energy_uj": [1500.0, 1400.0, 900.0, None],
            "energy_low_uj": [1490.0, 1390.0, 890.0, None],
            "energy_high_uj": [1510.0, 1410.0, 910.0, None],
            "meter": "ppk2",
        },
        {"of": "a generated token"},
    ),
    "plot_fleet": (
        {
            "group": ["a", "b", "a", "b"],
            "board": ["x", "x", "y", "y"],
            "clock": ["cycles", "cycles", "fuel", "fuel"],
            "model": "m",
            "quant": ["a", "b", "a", "b"],
            "bits_per_weight": [8.0, 4.0, 8.0, 4.0],
            "model_bytes": [2048, 1024, 2048, 1024],
            "perplexity": 2.0,
            "fits": [True, True, False, True],
            "short_bytes": [None, None, 512, None],
            "short_of": [None, None, "RAM", None],
            "cost_ratio": [1.0, 0.8, None, 1.0],
            "reference": "a of m",
        },
        {},
    ),
    "plot_front": (
        {
            "group": ["a", "b", "c", "d"],
            "model_bytes": [1000, 2000, 3000, 4000],
            "perplexity": [3.0, 2.0, 2.5, None],
            "on_front": pd.array([True, True, False, None], "boolean"),
            "dominated_by": [None, None, "b", None],
        },
        {"x": "model_bytes", "y": "perplexity", "xlabel": "size [byte]", "ylabel": "perplexity [1]"},
    ),
    "plot_itl": ({"group": ["a", "a", "b"], "itl_ticks": [1, 2, 3]}, {}),
    "plot_memory_budget": (
        {
            "group": ["a", "b", "b"],
            "region": "RAM",
            "part": ["weights", "KV cache", "over"],
            "how": "computed",
            "bytes": [1000, 3000, 952],
            "has_bytes": [2048, 2048, 2048],
        },
        {"region": "RAM"},
    ),
    "plot_pairs": (
        {"pair": ["a/1", "a/2", "a/3"], "ratio": [1.01, 0.99, 1.02]},
        {"estimate": 1.01, "low": 0.99, "high": 1.03},
    ),
    "plot_passes": ({"position": [0, 1], "phase": ["prefill", "decode"], "ticks": [1, 2]}, {}),
    "plot_sections": (
        {"name": ["f", "g", "2 smaller parts"], "kind": ["code", "bss", "all others"], "bytes": [30, 20, 500]},
        {"of": "flash"},
    ),
    "plot_power": (
        {"t_ns": [0.0, 1e6, 2e6, 3e6], "power_uw": [6e3, 1e5, None, 1.1e5], "meter": "ppk2"},
        {
            "passes": pd.DataFrame(
                {"position": [7, 8], "phase": ["prefill", "decode"], "begin_ns": [5e5, 2e6], "end_ns": [2e6, 3e6]}
            )
        },
    ),
    "plot_scaling": (
        {
            "board": "x",
            "clock": ["cycles"] * 4,
            "quant": ["a", "a", "b", "c"],
            "width": [1, 1, 1, 1],
            "n_params": [1000, 2000, 1000, 1000],
            "n_ctx": [64, 64, 64, 64],
            "decode_ticks_per_token": [1e6, 2e6, 3e6, None],
            "fits": [True, False, None, None],
            "inside": [True, False, True, True],
        },
        {},
    ),
    "plot_stages": (
        {
            "group": ["a", "a", "a", "b", "b"],
            "stage": ["attention", "head", "unattributed", "attention", "unattributed"],
            "ticks_per_pass": [600.0, 390.0, 10.0, 500.0, -1.0],
            "share": [0.6, 0.39, 0.01, 1.002, -0.002],
        },
        {},
    ),
    "plot_tests": (
        {
            "session": ["_a$b", "b"],
            "passed": [1200, 30],
            "failed": [0, 1],
            "not_run": [0, 2],
            "elsewhere": [4, 0],
        },
        {},
    ),
    "plot_token_energy": (
        {
            "group": ["a", "a", "b"],
            "position": [0, 1, 0],
            "energy_uj": [1000.0, 1100.0, None],
            "energy_low_uj": [990.0, 1090.0, None],
            "energy_high_uj": [1010.0, 1110.0, None],
            "meter": "ppk2",
        },
        {},
    ),
    "plot_tradeoff": (
        {"group": ["a", "b"], "perplexity": [2.0, 3.0], "model_bytes": [1, 2]},
        {"x": "model_bytes", "xlabel": "size [byte]"},
    ),
}

RATIOS = {"plot_battery", "plot_fleet", "plot_tests", "plot_token_energy"}  # show no ticks
IN_DATA = {"plot_scaling"}  # a column says of which clock

pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def example(name):
    data, more = EXAMPLES[name]
    return getattr(plots, name), pd.DataFrame(data), more


def test_it_composes_with_the_user_s_own_figure(name):
    plot, data, more = example(name)
    figure, (left, right) = plt.subplots(1, 2)
    before = data.copy(deep=True)
    assert plot(data, **more, ax=right) is right
    assert right.has_data() and not left.has_data()
    assert figure.axes == [left, right]
    pd.testing.assert_frame_equal(data, before)


def test_it_is_public(name):
    assert name in plots.__all__


@pytest.mark.parametrize("place", ["axes", "subfigure"])
def test_it_works_without_pyplot_and_leaves_nothing_behind(name, place, monkeypatch):
    """In a figure that pyplot has never heard of: a window, a web server, somebody's own report."""
    plot, data, more = example(name)
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("it shows figures"))
    others = plt.figure()
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    parent = figure if place == "axes" else figure.subfigures(1, 2)[1]
    ax, other = parent.subplots(1, 2)
    settings, size = dict(mpl.rcParams), tuple(figure.get_size_inches())
    assert plot(data, **more, ax=ax) is ax
    figure.savefig(io.BytesIO(), format="png")
    assert ax.has_data() and not other.has_data()
    assert figure.axes == [ax, other] and tuple(figure.get_size_inches()) == size
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == [others.number] and plt.gcf() is others and others.axes == []


def test_alone_it_makes_a_figure_with_units(name):
    plot, data, more = example(name)
    ax = plot(data, **more)
    assert isinstance(ax, Axes)
    labels = [label for label in (ax.get_xlabel(), ax.get_ylabel()) if label]
    assert labels and all("[" in label and "]" in label for label in labels)
    ax.figure.canvas.draw()


def test_its_signature_is_that_of_all(name):
    plot, _, more = example(name)
    parameters = inspect.signature(plot).parameters
    assert next(iter(parameters)) == "data"
    assert parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY and parameters["ax"].default is None
    assert inspect.signature(plot).return_annotation == "Axes"
    assert "clock" in parameters or more or name in RATIOS | IN_DATA, "ticks need to say of which clock"


@pytest.mark.parametrize("look", style.LOOKS)
def test_every_text_can_be_read_on_what_is_behind_it(name, look):
    """Also where the figure is drawn later, in another look."""
    plot, data, more = example(name)
    with plots.use(look) as used:
        ax = plot(data, **more)
    ax.figure.canvas.draw()
    assert to_hex(ax.figure.get_facecolor()).upper() == to_hex(ax.get_facecolor()).upper() == used.background
    written = [t for t in ax.figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert len(written) > 3
    cells = [p for p in ax.patches if p.get_facecolor()[3] == 1]
    for text in written:
        box = text.get_window_extent()
        middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        grounds = [p.get_facecolor() for p in cells if p.get_window_extent().contains(*middle)]
        if text.get_bbox_patch() is not None:
            grounds.append(text.get_bbox_patch().get_facecolor())
        behind = grounds[-1][:3] if grounds else used.background
        assert style.contrast(text.get_color(), behind) >= 4.5, text.get_text()


@pytest.mark.parametrize("text", handmade.HOSTILE)
def test_no_name_breaks_it(name, text):
    plot, data, more = example(name)
    if "group" in data:
        data["group"] = [text, *data["group"][1:]]
    for column in {"name", "kind", "label", "word", "pair", "clock"} & set(data):
        data[column] = text
    ax = plot(data, **more | ({"clock": text} if "clock" in inspect.signature(plot).parameters else {}))
    ax.figure.canvas.draw()
