"""The explorer in a real browser, in JupyterLab and under Voilà: every control changes what is seen."""

from __future__ import annotations

import hashlib
import time

import browser
import lab
import pytest

from edgeprof.parameters import list_notebooks

pytestmark = [pytest.mark.once, pytest.mark.slow]
NOTEBOOK = "90_explore"
ROOT = ".edgeprof-explorer"
SECONDS = 60


class Page:
    """The explorer as a user sees it."""

    def __init__(self, tab, folder, name: str) -> None:
        self.tab, self.folder, self.name = tab, folder, name
        self.root = tab.locator(ROOT).first
        self.root.locator("canvas").first.wait_for(timeout=1000 * SECONDS)
        self.settle("")

    def pixels(self) -> str:
        """Return a digest of what the canvas shows."""
        url = self.tab.evaluate(f"document.querySelector('{ROOT} canvas').toDataURL()")
        return hashlib.sha256(url.encode()).hexdigest()

    def said(self) -> str:
        return "\n".join(self.root.locator(".widget-html-content").all_inner_texts())

    def settle(self, before: str) -> str:
        """Wait until the canvas shows something else, and then no longer changes; return its digest."""
        deadline, last, since = time.monotonic() + SECONDS, before, time.monotonic()
        while time.monotonic() < deadline:
            now = self.pixels()
            if now != last:
                last, since = now, time.monotonic()
            if last != before and time.monotonic() - since > 1.0:
                return last
            time.sleep(0.1)
        raise AssertionError(f"{self.name}: the canvas did not change")

    def change(self, what: str, act, *, words: str = "") -> None:
        """Do something; the canvas has to change, and these words to stand somewhere in the explorer."""
        before = self.pixels()
        act()
        self.settle(before)
        if words:
            self.tab.wait_for_function(
                "([root, words]) => document.querySelector(root).innerText.includes(words)", arg=[ROOT, words],
                timeout=1000 * SECONDS,
            )  # fmt: skip
        lab.screenshot(self.tab, f"explore-{self.name}-{what}", self.folder)
        assert self.root.locator("[role=alert]").count() == 0

    def dropdown(self, label: str):
        return self.root.get_by_label(label, exact=True)

    def choose(self, label: str, start: str) -> None:
        """Choose the first option of a dropdown that begins so."""
        box = self.dropdown(label)
        options = [text.replace("\xa0", " ") for text in box.locator("option").all_text_contents()]
        box.select_option(index=next(i for i, text in enumerate(options) if text.startswith(start)))

    def names(self, number: int):
        return self.root.locator(".widget-select-multiple select").nth(number)


def drive(page: Page, *, every: bool = True) -> None:
    """Use the controls as a user does."""
    assert "A: Q8_0 · lost-kite · wasm" in page.said()
    page.change("pinned", lambda: page.choose("run B", "Q4_0 · lost-kite"), words="B against A")
    page.change("nll", lambda: page.dropdown("token").select_option(label="NLL"), words="p50 [nat]")

    box = page.root.locator("canvas").first.bounding_box()

    def drag() -> None:
        page.tab.mouse.move(box["x"] + 0.22 * box["width"], box["y"] + 150)
        page.tab.mouse.down()
        for step in range(1, 6):
            page.tab.mouse.move(box["x"] + (0.22 + 0.04 * step) * box["width"], box["y"] + 150)
        page.tab.mouse.up()

    page.change("brushed", drag, words=", decode passes")
    assert "all positions, decode" not in page.said()
    page.change("memory", lambda: page.root.get_by_role("button", name="memory budget").click())
    page.tab.mouse.move(box["x"] + box["width"] - 6, box["y"] + box["height"] - 6)  # no grip there
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + box["width"] - 200, box["y"] + box["height"] - 100)
    page.tab.mouse.up()
    after = page.root.locator("canvas").first.bounding_box()
    assert (after["width"], after["height"]) == (box["width"], box["height"])
    if not every:
        return
    before = page.said()
    page.change(
        "whole", lambda: page.root.get_by_role("button", name="all positions").click(), words="all positions, decode"
    )
    handle = page.root.locator(".noUi-handle").first
    handle.focus()
    page.change(
        "keyboard", lambda: [page.tab.keyboard.press("ArrowRight") for _ in range(3)], words="to 88, decode passes"
    )
    assert page.said() != before
    page.change("stages", lambda: page.root.get_by_role("button", name="stage profile").click())
    page.change("pareto", lambda: page.root.get_by_role("button", name="Pareto front").click())
    page.change("up", lambda: page.dropdown("up").select_option("perplexity"))
    page.change("across", lambda: page.dropdown("across").select_option("decode_ticks_per_token"))
    page.change("latency", lambda: page.dropdown("token").select_option(label="latency"), words="p50 [tick]")
    page.change("quantizations", lambda: page.names(1).select_option(["Q8_0", "Q4_0", "Q2_K"]))
    page.change("prompts", lambda: page.names(2).select_option(["lost-kite"]))
    page.change("run-a", lambda: page.choose("run A", "Q2_K"), words="A: Q2_K")
    page.change("dark", lambda: page.dropdown("theme").select_option("dark"))
    page.change("prefill", lambda: page.dropdown("phase").select_option("prefill"), words="prefill passes")
    page.change("all-prompts", lambda: page.names(2).select_option([]))
    page.change("boards", lambda: page.names(0).select_option(["wasm", "rp2040"]), words="in medians of their board")
    page.root.get_by_role("button", name="code cell").click()
    page.root.get_by_text("figure(ds, view)").wait_for()
    assert "'rp2040'" in page.said() and "run_b=" in page.said()
    page.root.get_by_role("button", name="save figure").click()
    page.root.get_by_text("explore.svg").wait_for()
    page.root.get_by_role("button", name="report parameters").click()
    page.root.get_by_text("edgeprof report --matrix").wait_for()


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as started:
        yield started


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "notebooks"
    lab.copies(folder, {NOTEBOOK: list_notebooks()[NOTEBOOK]})
    return folder / f"{NOTEBOOK}.ipynb"


@pytest.mark.nightly
def test_in_jupyterlab(chromium, copy, tmp_path):
    with lab.server(copy.parent, tmp_path / "jupyter") as server, lab.tab(chromium, server) as tab:
        tab.set_viewport_size({"width": 1400, "height": 1500})
        notebook = lab.Notebook.open(tab, server, copy.name)
        notebook.run_all()
        assert notebook.errors() == []
        tab.locator(ROOT).first.scroll_into_view_if_needed()
        page = Page(tab, tmp_path, "lab")
        drive(page)
        assert {path.name for path in copy.parent.glob("explore*")} == {
            "explore.png", "explore.svg", "explore.pdf", "explore-reports.yaml",
        }  # fmt: skip
        # An error that a click makes is shown, and goes away with the next good change.
        notebook.run_code("explorer._output_dir = '/dev/null/no'")
        page.root.get_by_role("button", name="save figure").click()
        page.root.locator("[role=alert]").wait_for()
        lab.screenshot(tab, "explore-lab-error", tmp_path)
        page.change("after-error", lambda: page.root.get_by_role("button", name="memory budget").click())
        # What a cell asks for is raised in the cell.
        with pytest.raises(AssertionError, match="UsageError"):
            notebook.run_code("explorer.update(phase='decod')")
        page.root.locator("[role=alert]").wait_for()
        assert notebook.errors() == [] and tab.refused == []


@pytest.mark.nightly  # the browser tests of edgeprof serve see it there, too
def test_under_voila(chromium, copy, tmp_path):
    with lab.voila(copy, tmp_path / "jupyter") as server, lab.tab(chromium, server) as tab:
        tab.set_viewport_size({"width": 1400, "height": 1700})
        tab.goto(server.address(""), timeout=1000 * SECONDS)
        tab.locator(ROOT).first.wait_for(timeout=1000 * SECONDS)
        drive(Page(tab, tmp_path, "voila"), every=False)
        assert tab.complaints == []
