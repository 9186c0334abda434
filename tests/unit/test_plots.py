"""Plots: what is drawn is what was given, and a name is drawn as it is."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import handmade
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from edgeprof import display, plots
from edgeprof.plots import style

mpl.use("Agg")
SVG = "{http://www.w3.org/2000/svg}text"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(ax) -> list[str]:
    """Return the texts that a reader of the picture sees."""
    file = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        ax.figure.savefig(file, format="svg")
    texts = [" ".join("".join(node.itertext()).split()) for node in ET.fromstring(file.getvalue()).iter(SVG)]
    ax.figure.canvas.draw()
    return texts


def costs(*groups: str) -> pd.DataFrame:
    return pd.DataFrame(
        [{"group": g, "position": p, "ticks": (k + 1) * 1e6 + p} for k, g in enumerate(groups) for p in range(5)]
    )


def latencies(*groups: str) -> pd.DataFrame:
    return pd.DataFrame([{"group": g, "itl_ticks": (k + 1) * 1e6 + i} for k, g in enumerate(groups) for i in range(20)])


def points(*groups: str) -> pd.DataFrame:
    return pd.DataFrame(
        [{"group": g, "perplexity": 2.0 + k, "model_bytes": 1024.0 * (k + 1)} for k, g in enumerate(groups)]
    )


PLOTS = {
    "cost": lambda *g: plots.plot_cost_by_position(costs(*g)),
    "itl": lambda *g: plots.plot_itl(latencies(*g)),
    "budget": lambda *g: plots.plot_memory_budget(budgets(*g)),
    "tradeoff": lambda *g: plots.plot_tradeoff(points(*g), "model_bytes", xlabel="size [KiB]", scale=1024),
}


@pytest.mark.parametrize("kind", PLOTS)
@pytest.mark.parametrize("name", handmade.HOSTILE)
def test_a_name_is_drawn_as_it_is(kind, name):
    if name == "two\nlines\r\ttabs":
        name = "two lines"
    texts = drawn(PLOTS[kind](name, "F16"))
    assert "F16" in texts
    assert " ".join(display.terminal_text(name, 40).split()) in [t.lstrip("\u200a") for t in texts]


def budgets(*groups: str, has: float | None = 4096, region: str = "RAM") -> pd.DataFrame:
    sizes = {"static data": 512, "stack": 256, "stack reserve": 256, "KV cache": 1024}
    how = {"stack": "measured", "stack reserve": "reserved"}
    rows = [
        {"group": g, "part": p, "how": how.get(p, "computed"), "bytes": n * (k + 1), "has_bytes": has}
        for k, g in enumerate(groups)
        for p, n in sizes.items()
    ]
    rows += [{"group": g, "part": "unused", "how": "computed", "bytes": 1, "has_bytes": has} for g in groups]
    return pd.DataFrame(rows, columns=["group", "part", "how", "bytes", "has_bytes"]).assign(region=region)


def bars(ax, row: int) -> list[tuple[float, float]]:
    """Return (left, width) of the bars of a row, in the order in which they were drawn."""
    return [(p.get_x(), p.get_width()) for p in ax.patches if abs(p.get_y() + p.get_height() / 2 - row) < 1e-9]


def test_the_budget_is_stacked_up_to_its_sum():
    ax = plots.plot_memory_budget(budgets("F16"))
    assert bars(ax, 0) == [(0, 0.5), (0.5, 0.25), (0.75, 0.25), (1, 1)]
    (limit,) = ax.lines
    assert set(limit.get_xdata()) == {4}
    assert "2.00 of 4.00 KiB" in drawn(ax)
    assert ax.get_xlabel().startswith("RAM [KiB]")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "static data (computed)", "stack (measured)", "stack reserve (reserved)", "KV cache (computed)",
    ]  # fmt: skip


def test_what_does_not_fit_is_hatched_beyond_the_limit_and_labelled():
    ax = plots.plot_memory_budget(budgets("fits", "too large", has=3072))
    hatched = [p for p in ax.patches if p.get_hatch()]
    assert [(p.get_x(), p.get_width(), round(p.get_y() + p.get_height() / 2)) for p in hatched] == [(3, 1, 1)]
    texts = drawn(ax)
    assert "1.00 KiB over 3.00 KiB" in texts and "2.00 of 3.00 KiB" in texts
    assert hatched[0].get_x() + hatched[0].get_width() < ax.get_xlim()[1]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["fits", "too large"]


def test_a_budget_without_a_limit_has_no_line():
    ax = plots.plot_memory_budget(budgets("F16", has=None).astype({"bytes": "Int64", "has_bytes": "Int64"}))
    assert not ax.lines
    assert "2.00 KiB" in drawn(ax)


def test_what_is_not_known_in_full_says_so():
    data = budgets("F16")
    assert "≥ 2.00 of 4.00 KiB" in drawn(plots.plot_memory_budget(data[data["part"] != "unused"]))


def test_large_memories_are_drawn_in_mebibytes():
    ax = plots.plot_memory_budget(budgets("F16", has=8 << 20, region="flash"), region="flash")
    assert ax.get_xlabel().startswith("flash [MiB]")
    assert set(ax.lines[0].get_xdata()) == {8}


def test_another_region_s_parts_are_not_drawn():
    both = pd.concat([budgets("F16"), budgets("Q8_0", region="flash")])
    assert [t.get_text() for t in plots.plot_memory_budget(both).get_yticklabels()] == ["F16"]


@pytest.mark.slow
def test_many_budgets_make_a_taller_picture():
    few, many = (plots.plot_memory_budget(budgets(*map(str, range(n)))).figure.get_figheight() for n in (2, 30))
    assert few == style.SIZE[1] and many > 10
    figure, ax = plt.subplots(figsize=(5, 3))
    plots.plot_memory_budget(budgets(*map(str, range(30))), ax=ax)
    assert figure.get_figheight() == 3  # the user's own


def test_the_parts_of_an_image_are_bars_but_for_the_others():
    data = pd.DataFrame(
        {"name": ["f", "g", "9 smaller parts"], "kind": ["code", "bss", "all others"], "bytes": [3000, 20, 90_000]}
    )
    ax = plots.plot_sections(data, of="RAM")
    assert [p.get_width() for p in ax.patches] == [3000, 20]
    texts = drawn(ax)
    assert {"3,000", "20", "90,000 in all", "f", "9 smaller parts", "code", "bss"} <= set(texts)
    assert ax.get_xlim()[1] < 4000
    assert ax.get_xlabel() == "RAM [byte]"


def test_a_hostile_clock_is_drawn_as_it_is():
    ax = plots.plot_cost_by_position(costs("F16"), clock=r"$\frac{")
    assert any(r"ticks of $\frac{" in t for t in drawn(ax))


@pytest.mark.slow
@pytest.mark.parametrize(("clock", "unit"), [("fuel", "WebAssembly instructions"), ("host", "ns of host time")])
def test_the_axis_names_the_clock(clock, unit):
    passes = pd.DataFrame({"position": [0, 1], "phase": ["prefill", "decode"], "ticks": [1, 2]})
    assert unit in plots.plot_cost_by_position(costs("F16"), clock=clock).get_ylabel()
    assert unit in plots.plot_itl(latencies("F16"), clock=clock).get_xlabel()
    assert unit in plots.plot_passes(passes, clock=clock).get_ylabel()


def test_costs_are_drawn_in_millions_the_mean_of_repeats():
    data = pd.concat([costs("F16"), costs("F16").assign(ticks=lambda d: d["ticks"] + 2e6)])
    (line,) = plots.plot_cost_by_position(data).lines
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert line.get_ydata() == pytest.approx(2 + np.arange(5) / 1e6)


def test_latencies_are_drawn_with_median_and_p95():
    ax = plots.plot_itl(latencies("F16", "Q8_0"))
    cloud, median, p95 = ax.lines[3:6]  # the first group is drawn on top, after the last
    assert len(cloud.get_xdata()) == 20
    assert median.get_xdata()[0] == pytest.approx(1 + 9.5e-6)
    assert p95.get_xdata()[0] == pytest.approx(1 + 18.05e-6)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Q8_0", "F16"]


def test_passes_are_drawn_by_phase():
    data = pd.DataFrame({"position": [0, 1, 2], "phase": ["prefill", "decode", "decode"], "ticks": [1e6, 2e6, 3e6]})
    ax = plots.plot_passes(data)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["prefill", "decode"]
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1], [2, 3]]


def test_the_tradeoff_is_above_the_best_in_percent():
    ax = plots.plot_tradeoff(points("F16", "Q8_0", "Q4_0"), "model_bytes", xlabel="size [KiB]", scale=1024)
    assert [line.get_xdata()[0] for line in ax.lines] == [1, 2, 3]
    assert [line.get_ydata()[0] for line in ax.lines] == pytest.approx([0, 50, 100])
    assert ax.get_xlabel() == "size [KiB]"


def test_what_has_no_figures_is_not_drawn():
    data = points("F16", "Q8_0", "broken", "unknown").assign(perplexity=[2.0, 3.0, np.inf, np.nan])
    ax = plots.plot_tradeoff(data, "model_bytes", xlabel="size")
    assert len(ax.lines) == 2
    assert {"broken", "unknown"}.isdisjoint(drawn(ax))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 8, 30])
def test_many_groups_have_a_colour_and_a_name_each(n):
    names = [f"group {i}" for i in range(n)]
    for draw in PLOTS.values():
        assert set(names) <= set(drawn(draw(*names)))
    assert list(style.colours(names)) == names


@pytest.mark.slow
def test_unknown_costs_are_gaps():
    data = costs("F16", "Q8_0").assign(ticks=lambda d: d["ticks"].astype("Int64"))
    data.loc[2, "ticks"] = pd.NA
    ax = plots.plot_cost_by_position(data)
    drawn(ax)
    assert np.isnan(ax.lines[0].get_ydata()[2])
    passes = pd.DataFrame({"position": [0, 1], "phase": "decode", "ticks": pd.array([None, 3], "Int64")})
    drawn(plots.plot_passes(passes))


@pytest.mark.slow
def test_nothing_to_draw_is_an_empty_picture():
    for ax in (
        plots.plot_cost_by_position(costs("F16").iloc[:0]),
        plots.plot_itl(latencies("F16").iloc[:0]),
        plots.plot_tradeoff(points("F16").iloc[:0], "model_bytes", xlabel="size"),
        plots.plot_memory_budget(budgets()),
        plots.plot_sections(pd.DataFrame({"name": [], "kind": [], "bytes": pd.array([], "Int64")})),
    ):
        drawn(ax)
