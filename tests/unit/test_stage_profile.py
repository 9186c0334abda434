"""Where a pass goes: sums, shares and what is left, from tables made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

import edgeprof
from edgeprof import plots
from edgeprof.schema import empty_frame
from edgeprof.stage_profile import UNATTRIBUTED, stage_shares, stage_table


def tables(*passes):
    """Return tokens and stages of ``(run, phase, position, ticks, {stage: ticks})``."""
    tokens = [{"run_id": r, "phase": f, "position": p, "ticks": t} for r, f, p, t, _ in passes]
    stages = [
        {"run_id": r, "position": p, "stage": s, "ticks": t} for r, _, p, _, parts in passes for s, t in parts.items()
    ]
    integers = {"position": "Int64", "ticks": "Int64"}
    columns = ["run_id", "position", "stage", "ticks"]
    return pd.DataFrame(tokens).astype(integers), pd.DataFrame(stages, columns=columns).astype(integers)


def shares_of(result, run="r", phase="decode"):
    part = result[(result["run_id"] == run) & (result["phase"] == phase)]
    return dict(zip(part["stage"], part["share"], strict=True))


def test_it_is_what_edgeprof_exports():
    assert edgeprof.stage_shares is stage_shares


def test_each_stage_has_its_share_and_the_rest_is_a_row():
    result = stage_shares(*tables(("r", "decode", 4, 200, {"head": 40, "attention": 150})))
    assert list(result["stage"]) == ["attention", "head", UNATTRIBUTED]
    assert list(result["ticks_per_pass"]) == [150.0, 40.0, 10.0]
    assert list(result["share"]) == [0.75, 0.2, 0.05]
    assert list(result["passes"]) == [1, 1, 1]
    assert result["ticks_per_pass"].dtype == result["share"].dtype == "float64"


def test_a_stage_of_some_passes_counts_with_its_average():
    result = stage_shares(
        *tables(
            ("r", "prefill", 0, 100, {"attention": 100}),
            ("r", "prefill", 1, 100, {"attention": 100}),
            ("r", "prefill", 2, 160, {"attention": 100, "head": 60}),
        )
    )
    assert list(result["ticks_per_pass"]) == [100.0, 20.0, 0.0]
    assert shares_of(result, phase="prefill")["head"] == pytest.approx(60 / 360)


def test_phases_and_runs_are_apart():
    result = stage_shares(
        *tables(
            ("r", "prefill", 0, 10, {"attention": 10}),
            ("r", "decode", 1, 20, {"attention": 15}),
            ("s", "decode", 1, 40, {"attention": 10}),
        )
    )
    assert shares_of(result, phase="prefill") == {"attention": 1.0, UNATTRIBUTED: 0.0}
    assert shares_of(result) == {"attention": 0.75, UNATTRIBUTED: 0.25}
    assert shares_of(result, "s") == {"attention": 0.25, UNATTRIBUTED: 0.75}
    totals = result.groupby(["run_id", "phase"])["share"].sum()
    assert (totals == 1.0).all()


def test_stages_that_exceed_the_pass_are_not_hidden():
    assert shares_of(stage_shares(*tables(("r", "decode", 0, 100, {"head": 103}))))[UNATTRIBUTED] == pytest.approx(
        -0.03
    )


def test_several_records_of_one_stage_are_added():
    tokens, stages = tables(("r", "decode", 0, 100, {"attention": 30}))
    assert shares_of(stage_shares(tokens, pd.concat([stages, stages])))["attention"] == 0.6


def test_passes_that_cannot_be_told_are_left_out():
    tokens, stages = tables(
        ("r", "decode", 0, 100, {"head": 50}),
        ("r", "decode", 1, 100, {}),  # its stages were lost
        ("r", "decode", 2, None, {"head": 50}),
        ("r", "decode", 3, 100, {"head": 50}),
        ("r", "decode", 3, 100, {}),  # which of the two?
        ("r", None, 4, 100, {"head": 50}),
    )
    result = stage_shares(tokens, stages)
    assert list(result["passes"]) == [1, 1]
    assert shares_of(result) == {"head": 0.5, UNATTRIBUTED: 0.5}


def test_stages_of_passes_that_nobody_saw_do_not_count():
    tokens, stages = tables(("r", "decode", 0, 100, {"head": 50}), ("r", "decode", 9, 100, {"head": 100}))
    assert shares_of(stage_shares(tokens[tokens["position"] == 0], stages))["head"] == 0.5


def test_a_pass_that_took_no_tick_has_no_shares():
    result = stage_shares(*tables(("r", "decode", 0, 0, {"head": 0})))
    assert result["share"].isna().all()
    assert list(stage_table(result)["share [%]"]) == ["–", "–", "100"]


def test_without_stages_there_are_no_rows():
    tokens, stages = tables(("r", "decode", 0, 100, {}))
    for some in (stages, empty_frame("stages")):
        result = stage_shares(tokens, some)
        assert result.empty
        assert list(result.columns) == ["run_id", "phase", "stage", "passes", "ticks_per_pass", "share"]
        assert stage_table(result).empty
    assert stage_shares(empty_frame("tokens"), stages).empty


def test_it_leaves_its_input_alone():
    tokens, stages = tables(("r", "decode", 0, 100, {"head": 50, "attention": 20}))
    before = tokens.copy(deep=True), stages.copy(deep=True)
    stage_shares(tokens, stages)
    pd.testing.assert_frame_equal(tokens, before[0])
    pd.testing.assert_frame_equal(stages, before[1])


def test_the_table_ends_each_phase_with_the_whole():
    data = stage_shares(
        *tables(("r", "prefill", 0, 2_000_000, {"attention": 2_000_000}), ("r", "decode", 1, 4000, {"attention": 3000}))
    )
    table = stage_table(data)
    assert list(table.columns) == ["phase", "stage", "passes", "per pass [tick]", "share [%]"]
    assert list(table["stage"]) == ["attention", UNATTRIBUTED, "all of it"] * 2
    assert list(table["per pass [tick]"]) == ["2.000 M", "0", "2.000 M", "3.000 k", "1.000 k", "4.000 k"]
    assert list(table["share [%]"]) == ["100", "0", "100", "75.0", "25.0", "100"]
    assert next(iter(stage_table(data.rename(columns={"phase": "group"})).columns)) == "group"


def test_the_plot_draws_each_share_and_says_the_whole():
    from matplotlib import pyplot as plt

    data = stage_shares(
        *tables(("r", "prefill", 0, 2_000_000, {"attention": 2_020_000}), ("r", "decode", 1, 4000, {"head": 3000}))
    )
    ax = plots.plot_stages(data.rename(columns={"phase": "group"}), clock="cycles")
    assert [round(bar.get_width(), 6) for bar in ax.patches] == [101.0, 75.0, 25.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["prefill", "decode"]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["101", "2.00", "75", "25", "0.00400"]
    assert "million emulated cycles" in ax.get_xlabel()
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["attention", "head", "unattributed"]
    plt.close("all")


def test_the_plot_of_nothing_is_a_plot():
    from matplotlib import pyplot as plt

    ax = plots.plot_stages(
        stage_shares(empty_frame("tokens"), empty_frame("stages")).rename(columns={"phase": "group"})
    )
    assert ax.get_legend() is None
    assert [text.get_text() for text in ax.texts] == ["not known"]
    ax.figure.canvas.draw()
    plt.close("all")
