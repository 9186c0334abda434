"""The page over all reports in a folder, made by hand here."""

from __future__ import annotations

import json
from pathlib import Path

import handmade
import pytest
from handmade import Tags, harmful
from nbformat import v4, write

from edgeprof import report_index
from edgeprof.errors import NotComparableError, StorageError


def made(folder: Path, name: str = "inspect", **results: object) -> Path:
    folder.mkdir(parents=True)
    content = {"results_version": 1, "notebook": {"name": name}, "parameters": {"n": 3}, "results": results}
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "report.html").write_text("<html></html>", encoding="utf-8")
    return folder


def failed(folder: Path, ename: str = "ValueError", evalue: str = "no\nway") -> Path:
    folder.mkdir(parents=True)
    output = v4.new_output("error", ename=ename, evalue=evalue, traceback=[])
    cells = [v4.new_code_cell("1", execution_count=1), v4.new_code_cell("x", outputs=[output], execution_count=2)]
    run = {"input_path": "a/b.ipynb", "parameters": {"n": 1, "output_dir": "x"}}
    write(v4.new_notebook(cells=cells, metadata={"papermill": run}), folder / "notebook.ipynb")
    return folder


def test_what_was_made_and_what_failed(tmp_path):
    run = {"decode_ticks_per_token": 1.5e6, "perplexity": None, "ram_needed_bytes": 2048, "ttft_ticks": True}
    made(tmp_path / "b" / "c", run=[run], table=[{}, {}], words="x")
    failed(tmp_path / "a")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "results.json").write_text("[]", encoding="utf-8")
    write(v4.new_notebook(), tmp_path / "foreign.ipynb")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notebook.ipynb").write_text("", encoding="utf-8")
    page = report_index.write_index(tmp_path)
    found = {e["folder"]: e for e in json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))["reports"]}
    assert list(found) == ["a", "b/c", "empty"]
    assert found["a"]["status"] == "failed in cell [2]" and found["a"]["parameters"] == {"n": 1}
    assert (found["a"]["notebook"], found["a"]["headlines"]) == ("b", {"error": "ValueError: no way"})
    assert found["b/c"]["headlines"] == {"decode": "1.50 Mtick/token", "RAM needed": "2.00 KiB", "table": "2 rows"}
    assert found["empty"]["status"] == "failed"
    text = page.read_text(encoding="utf-8")
    assert 'href="b/c/report.html"' in text and 'href="a/notebook.ipynb"' in text and "a/report.html" not in text
    assert "1 of 3 reports were made" in text


def test_a_notebook_may_name_its_own_headline(tmp_path):
    made(tmp_path / "a", headline={f"k{n}": n for n in range(9)}, run=[{"perplexity": 2.0}])
    (entry,) = report_index.find_reports(tmp_path)
    assert entry.headlines == {f"k{n}": str(n) for n in range(6)}


def test_hostile_words_are_text(tmp_path):
    for number, name in enumerate(handmade.HOSTILE):
        made(tmp_path / f"m{number}", name, headline={name: name})
        failed(tmp_path / f"f{number}", name, name)
    made(tmp_path / 'a"b<i>&#?', "x")
    tags = Tags(report_index.write_index(tmp_path).read_text(encoding="utf-8"))
    assert {"script", "img", "i", "q"}.isdisjoint(tags.tags)
    assert harmful("".join(tags.texts).replace("\n", "")) == []
    assert 'href="a%22b%3Ci%3E%26%23%3F/report.html"' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_the_leaderboard_comes_first(tmp_path):
    row = {"board": "toy", "clock": "fuel", "quant": "Q8", "model": "m", "cost_ratio": 1.0}
    made(tmp_path / "a", comparison=[row | {"decode_ticks_per_token": 5.0}])
    text = report_index.write_index(tmp_path, str(tmp_path)).read_text(encoding="utf-8")
    assert text.index("<h2>Leaderboard</h2>") < text.index("<h3>toy</h3>") < text.index("<h2>All reports</h2>")


def test_a_leaderboard_that_cannot_be_made(tmp_path):
    made(tmp_path / "a")
    with pytest.raises(NotComparableError):
        report_index.write_index(tmp_path, str(tmp_path), strict=True)
    assert "There is none: None of 1 reports" in report_index.write_index(tmp_path, str(tmp_path)).read_text("utf-8")
    with pytest.raises(StorageError, match="There is no folder"):
        report_index.write_index(tmp_path / "none")


def test_an_empty_folder_has_an_empty_index(tmp_path):
    assert "There is none in this folder" in report_index.write_index(tmp_path).read_text(encoding="utf-8")
