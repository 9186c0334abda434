"""What every public plot keeps to: it takes tidy data and axes, draws, and returns the axes."""

from __future__ import annotations

import inspect

import handmade
import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from edgeprof import plots

mpl.use("Agg")
NAMES = [name for name in plots.__all__ if name.startswith("plot_")]
# Data for each plot and what else it needs; a new plot has to bring its own.
EXAMPLES = {
    "plot_cost_by_position": ({"group": ["a", "a", "b"], "position": [0, 1, 0], "ticks": [1, 2, 3]}, {}),
    "plot_fleet": (
        {
            "group": ["a", "b", "a", "b"],
            "board": ["x", "x", "y", "y"],
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
    "plot_passes": ({"position": [0, 1], "phase": ["prefill", "decode"], "ticks": [1, 2]}, {}),
    "plot_sections": (
        {"name": ["f", "g", "2 smaller parts"], "kind": ["code", "bss", "all others"], "bytes": [30, 20, 500]},
        {"of": "flash"},
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
    "plot_tradeoff": (
        {"group": ["a", "b"], "perplexity": [2.0, 3.0], "model_bytes": [1, 2]},
        {"x": "model_bytes", "xlabel": "size [byte]"},
    ),
}

RATIOS = {"plot_fleet"}  # shows no ticks
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


@pytest.mark.parametrize("text", handmade.HOSTILE)
def test_no_name_breaks_it(name, text):
    plot, data, more = example(name)
    if "group" in data:
        data["group"] = [text, *data["group"][1:]]
    if "name" in data:
        data[["name", "kind"]] = text
    ax = plot(data, **more | ({"clock": text} if "clock" in inspect.signature(plot).parameters else {}))
    ax.figure.canvas.draw()
