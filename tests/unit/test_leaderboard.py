"""Ranks stay within a board, a clock and a source; what is not known has none."""

from __future__ import annotations

import json

import handmade
import pandas as pd
import pytest
from handmade import Tags, harmful

import edgeprof
from edgeprof import leaderboard, leaderboard_page
from edgeprof.errors import NotComparableError, StorageError
from edgeprof.markdown import markdown_table, markdown_text


def row(quant: str, ratio: float | None, **columns: object) -> dict[str, object]:
    ticks = None if ratio is None else 100 * ratio
    usual = {"source": "s", "board": "b", "clock": "fuel", "model": "m", "quant": quant, "status": "ok"}
    return usual | {"cost_ratio": ratio, "decode_ticks_per_token": ticks} | columns


def ranks(*rows: dict[str, object]) -> list[tuple[object, ...]]:
    found = leaderboard.ranked(pd.DataFrame(rows))
    known = [None if pd.isna(rank) else rank for rank in found["rank"]]
    return list(zip(found["board"], found["quant"], known, strict=True))


def test_ties_share_a_rank_and_unknowns_stand_last():
    found = ranks(
        row("unknown", None), row("slow", 2.0),
        row("tie worse", 0.5001, perplexity=9.0), row("tie better", 0.5, perplexity=2.0),
        row("too large", 0.1, status="does not fit"), row("no ticks", 0.1, decode_ticks_per_token=None),
        row("infinite", float("inf")), row("claimed", 0.1, clock=None),
    )  # fmt: skip
    assert found[:3] == [("b", "tie better", 1), ("b", "tie worse", 1), ("b", "slow", 3)]
    assert {r for _, _, r in found[3:]} == {None} and len(found) == 8


@pytest.mark.parametrize("scope", ["source", "board", "clock"])
def test_nothing_is_ranked_across(scope):
    found = leaderboard.ranked(pd.DataFrame([row("a", 1.0), row("b", 9.0, **{scope: "other"}), row("c", 2.0)]))
    by = found.set_index("quant")["rank"]
    assert by.to_dict() == {"a": 1, "c": 2, "b": 1}


def test_perplexity_is_the_file_s_within_its_source():
    rows = [row("q", 1.0), row("q", 1.0, board="other", perplexity=3.0), row("q", 1.0, source="t")]
    found = leaderboard.ranked(pd.DataFrame(rows)).set_index(["source", "board"])
    assert found.loc[("s", "b"), "perplexity"] == 3.0 and found.loc[("s", "b"), "perplexity_board"] == "other"
    assert pd.isna(found.loc[("t", "b"), "perplexity"]) and pd.isna(found.loc[("t", "b"), "perplexity_board"])


@pytest.mark.slow
def test_a_data_set_s_ranks_are_its_costs():
    ds = edgeprof.open(edgeprof.reference())
    table, notes = leaderboard.dataset_table(ds)
    found = leaderboard.ranked(table)
    assert notes == () and set(found["board"]) == set(ds.runs["board"])
    for board, part in found.groupby("board"):
        known = part[part["rank"].notna()]
        costs = edgeprof.compare(ds, by=["model", "quant"], board=board).table.set_index(["model", "quant"])[
            "cost_ratio"
        ]
        in_order = [float(f"{costs[m, q]:.3g}") for m, q in zip(known["model"], known["quant"], strict=True)]
        assert in_order == sorted(in_order) and len(in_order) >= 7
        assert known["rank"].iloc[0] == 1
    assert found.loc[found["status"] == "does not fit", "rank"].isna().all()
    assert found["exact"].all()


def test_a_board_that_cannot_be_compared_is_named():
    rows = [
        handmade.run("c/0-0001"),
        handmade.run("c/0-0002", board="x"),
        handmade.run("c/0-0003", board="x", clock="us"),
    ]
    table, (note,) = leaderboard.dataset_table(handmade.dataset(rows))
    assert set(table["board"]) == {"toy"} and "Board x is not ranked" in note
    with pytest.raises(NotComparableError, match="clocks count different things"):
        leaderboard.dataset_table(handmade.dataset(rows[1:]))
    with pytest.raises(NotComparableError):
        leaderboard.dataset_table(handmade.dataset([handmade.run(board=None)]))


def results(*tables: list, digest: str | None = "d", **named: list) -> dict:
    found = {f"t{n}": table for n, table in enumerate(tables)} | named
    return {"results_version": 1, "inputs": {"sha256": digest}, "results": found}


def test_of_several_comparisons_of_the_same_data_one_counts():
    others = [row("a", 7.0), row("b", 8.0)]
    usual = [row("a", 1.0), row("b", 0.5)]
    for reports in (
        [("x", results(others, comparison=usual))],
        [("x", results(others)), ("y", results(comparison=usual))],
    ):
        found = leaderboard.ranked(leaderboard.results_table(reports))
        assert found["cost_ratio"].tolist() == [0.5, 1.0] and set(found["source"]) == {"x"}
    apart = leaderboard.results_table([("x", results(usual)), ("y", results(usual, digest="e"))])
    assert sorted(apart["source"]) == ["x", "x", "y", "y"]


@pytest.mark.parametrize(
    "content", [{}, {"results": 3}, {"results": {"comparison": [1, {"board": "b"}]}}, {"inputs": 1}]
)
def test_reports_without_a_comparison_are_said_so(content):
    with pytest.raises(NotComparableError, match="None of 1 reports holds a comparison"):
        leaderboard.results_table([("x", content)])


def test_files_of_hostile_names(tmp_path):
    rows = [row(name, 1.0, model=name, board=name, status={"a": [1]}) for name in handmade.HOSTILE]
    folder = tmp_path / "reports" / "r"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results(rows)), encoding="utf-8")
    (tmp_path / "reports" / "results.json").write_text("{}", encoding="utf-8")
    page, figures, text = leaderboard_page.write_leaderboard(str(tmp_path / "reports"), tmp_path / "out")
    tags = Tags(page.read_text(encoding="utf-8"))
    assert {"script", "img", "a"}.isdisjoint(tags.tags)
    assert harmful("".join(tags.texts).replace("\n", "")) == []
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert found["leaderboard_version"] == 1 and {r["model"] for r in found["rows"]} == set(handmade.HOSTILE)
    markdown = text.read_text(encoding="utf-8")
    assert "<" not in markdown and harmful(markdown.replace("\n", "")) == []
    for line in (line for line in markdown.splitlines() if line.startswith("|")):
        assert line.replace("\\|", "").count("|") == 11


def test_where_there_is_nothing_it_says_so(tmp_path):
    with pytest.raises(StorageError, match="no data set at"):
        leaderboard_page.write_leaderboard(str(tmp_path / "none"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_markdown_shows_text_as_it_is():
    assert markdown_text("a_b*c`d`[x](http://y) |@z\n#<b>&") == (
        "a\\_b\\*c\\`d\\`\\[x\\](http&#58;//y) \\|&#64;z�\\#&lt;b&gt;&amp;"
    )
    table = pd.DataFrame({"n": ["1", "–"], "w": ["x", "y"]})
    assert markdown_table(table) == "| n | w |\n| ---: | --- |\n| 1 | x |\n| – | y |\n"
