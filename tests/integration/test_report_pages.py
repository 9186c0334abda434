"""Pages in a browser without a network: nothing is asked for, nothing complains, and everybody can read them."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest

import edgeprof
from edgeprof.leaderboard_page import write_leaderboard
from edgeprof.page import document
from edgeprof.parameters import list_notebooks
from edgeprof.report import make_report
from edgeprof.report_index import write_index

pytestmark = [pytest.mark.slow, pytest.mark.once]
MAX_BYTES = 2_000_000
PAGES = ("report", "comparison", "index", "leaderboard")


@pytest.fixture(scope="module")
def started():
    with browser.browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def chromium(started):
    script = browser.axe()
    return lambda page, scheme: browser.seen(started, page, scheme, script)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Make one page of each kind of the reference data; of reports the one with most text, and the largest."""
    out = tmp_path_factory.mktemp("pages")
    known, data = list_notebooks(), edgeprof.reference()
    run = make_report(known["02_inspect_run"], out / "a report & more", {"data": data})
    comparison = make_report(known["03_compare_quantizations"], out / "comparison", {"data": data})
    return {
        "report": run.html,
        "comparison": comparison.html,
        "leaderboard": write_leaderboard(data, out)[0],
        "index": write_index(out, data),
    }


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [
        *((kind, "light") for kind in PAGES),
        ("report", "dark"),
        *(pytest.param(kind, "dark", marks=pytest.mark.nightly) for kind in PAGES[1:]),  # of the same style sheet
    ],
)
def test_a_page_can_be_read_by_everybody_without_a_network(chromium, pages, kind, scheme):
    found = chromium(pages[kind], scheme)
    assert found.requests == []
    assert found.complaints == []
    assert found.violations == {}
    assert "color-contrast" in found.passed
    assert ("image-alt" in found.passed) == (kind in ("report", "comparison"))


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_is_small(pages, kind):
    assert pages[kind].stat().st_size < MAX_BYTES


def test_the_links_of_an_index_lead_to_its_reports(started, pages):
    tab = started.new_page()
    tab.goto(pages["index"].as_uri())
    links = tab.eval_on_selector_all("a", "found => found.map(link => link.href)")
    root = pages["index"].parent
    files = [file.as_uri() for name in ("a report & more", "comparison") for file in (root / name).iterdir()]
    assert sorted(links) == sorted(files)
    for link in (link for link in links if link.endswith(".html")):
        tab.goto(link)
        assert tab.title() and tab.query_selector("main h1")
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_is_dark(started, pages, scheme):
    context = started.new_context(color_scheme=scheme)
    tab = context.new_page()
    tab.goto(pages["index"].as_uri())
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    assert (sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) < 100) == (scheme == "dark")


def test_what_is_wrong_would_be_noticed(chromium, tmp_path):
    """Without this the tests above could pass by seeing nothing."""
    page = tmp_path / "bad.html"
    bad = (
        '<h1>x</h1><p style="color:#ccc;background:#fff">pale</p><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'
    )
    text = document("bad", bad + '<img src="http://example.org/x.png" alt="x">', "")
    page.write_text(text, encoding="utf-8")
    found = chromium(page, "light")
    assert {"color-contrast", "image-alt"} <= set(found.violations)
    assert found.complaints  # the page's own policy forbids the picture from outside
    page.write_text(text.replace("default-src 'none'", "default-src *"), encoding="utf-8")
    assert chromium(page, "light").requests == ["http://example.org/x.png"]
