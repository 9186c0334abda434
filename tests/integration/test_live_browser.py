"""The live monitor as a user has it: in JupyterLab and under Voilà, in a browser, with a real kernel."""

from __future__ import annotations

import json
import time
from pathlib import Path

import browser
import lab
import pytest
from capturing import wait_for

import edgeprof
from edgeprof.running import find_running, is_running, stop

pytestmark = [pytest.mark.alone, pytest.mark.once, pytest.mark.slow]
MODEL = Path(__file__).parents[2] / "data/models/fable-0.5m-F16.gguf"


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as started:
        yield started


@pytest.fixture
def data(tmp_path):
    """Give the folder that notebooks capture into, and end what goes on there."""
    folder = tmp_path / "notebooks" / "data"
    yield folder
    if (left := find_running(folder)) is not None:
        stop(left)
        wait_for(lambda: not (left / "journal").is_dir(), "the capture's end")


def write_notebook(data: Path, prompts: int) -> str:
    """Write a notebook of one cell, the monitor of an emulated board."""
    import nbformat

    code = f"""
import edgeprof
live = edgeprof.live("wasm", out="data", model={str(MODEL)!r}, prompt=["Once upon a time"] * {prompts}, tokens=200)
live
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    data.parent.mkdir(parents=True)
    nbformat.write(notebook, data.parent / "live.ipynb")
    return "live.ipynb"


def test_a_board_is_watched_in_jupyterlab(chromium, data, tmp_path):
    name = write_notebook(data, 200)
    with lab.server(data.parent, tmp_path / "jupyter") as server, lab.tab(chromium, server) as tab:
        notebook = lab.Notebook.open(tab, server, name)
        notebook.run_all()
        cell = notebook.cell(0)
        button = lambda text: cell.get_by_role("button", name=text, exact=True)  # noqa: E731
        assert button("Stop").is_disabled() and button("Mark").is_disabled()
        button("Start").click()
        cell.get_by_text("Capturing.").wait_for(timeout=60_000)
        cell.get_by_text("Daisy").first.wait_for(timeout=60_000)  # the text as it comes
        cell.locator("img").first.wait_for(timeout=20_000)
        shown = passes(cell)
        wait_for(lambda: passes(cell) > shown, "more tokens in the view")
        took = []
        for _ in range(3):  # the kernel answers while it watches; what else the machine does may delay one answer
            asked = time.monotonic()
            assert notebook.run_code("print(1 + 1)").strip() == "2"
            took.append(time.monotonic() - asked)
        assert min(took) < 2, took
        lab.screenshot(tab, "live-running", tmp_path)
        ends = tab.evaluate(
            """() => { const text = document.querySelector('.jp-CodeCell pre[style*=flex]');
                return [text, text.parentElement].map(e => e.getBoundingClientRect().bottom); }"""
        )
        assert ends[0] <= ends[1], "the newest text is hidden"

        # A cell that runs for long: the view goes on, and so do its buttons.
        tab.evaluate(
            """() => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                window.long = kernel.requestExecute({code: 'import time; time.sleep(8)'}).done; }"""
        )
        shown, began = passes(cell), time.monotonic()
        wait_for(lambda: passes(cell) > shown, "more tokens beside a cell that runs")
        cell.get_by_placeholder("what happens now").fill("the <b>fan</b> began")
        button("Mark").click()
        cell.get_by_text("mark: the <b>fan</b> began").wait_for(timeout=6_000)
        assert time.monotonic() - began < 8, "the mark came only when the cell had ended"
        tab.evaluate("window.long")

        button("Stop").click()
        cell.get_by_text("Finished.").wait_for(timeout=60_000)
        button("Open the capture").click()
        cell.get_by_text("The runs of this capture").wait_for(timeout=20_000)
        lab.screenshot(tab, "live-finished", tmp_path)
        total = passes(cell)
        assert notebook.errors() == [] and tab.refused == []
        notebook.close()
    ds = edgeprof.open(data)
    assert len(ds.tokens) == total
    assert "the <b>fan</b> began" in ds.table("events")["detail"].tolist()


def passes(cell) -> int:
    """Return the passes that the view shows."""
    row = cell.locator("table", has_text="runs done").locator("tbody tr").first.locator("td")
    return int(row.nth(3).inner_text().replace(",", "")) if row.count() > 3 else 0


def test_a_board_is_watched_under_voila(chromium, data, tmp_path):
    name = write_notebook(data, 60)
    with (
        lab.voila(data.parent / name, tmp_path / "jupyter") as server,
        lab.tab(chromium, server) as tab,
    ):
        tab.goto(server.address(""))
        tab.get_by_role("button", name="Start", exact=True).click(timeout=60_000)
        tab.get_by_text("Daisy").first.wait_for(timeout=60_000)
        lab.screenshot(tab, "live-voila", tmp_path)
    capture = find_running(data)  # page and server are closed, and it goes on
    assert capture is not None and is_running(capture)
    assert json.loads((capture / "capture.json").read_text(encoding="utf-8"))["ports"][0]["name"] == "wasm"
