"""The documentation's site, built and opened in a browser without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import browser
import pytest
from docs_blocks import ROOT

import edgeprof
import edgeprof.errors
import edgeprof.plots
from edgeprof.cli import VERBS

if not (ROOT / "noxfile.py").exists():
    pytest.skip("only on a clone of the repository", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.once]

OPENED = ["index", "tutorial", "howto-ci", "api", "made/commands", "made/notebooks/03_compare_quantizations"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return the site that EDGEPROF_SITE names, or build it."""
    if made := os.environ.get("EDGEPROF_SITE"):
        return Path(made)
    pytest.importorskip("furo", reason="needs furo and the rest of the group docs: nox -s docs")
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        f"{out}-trees",
        str(ROOT / "docs"),
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as started:
        script = browser.axe()
        yield lambda page, scheme: browser.seen(started, page, scheme, script, preload=False)


@pytest.mark.parametrize(
    ("page", "scheme"),
    [
        *((page, "light") for page in OPENED),
        ("index", "dark"),
        *(pytest.param(page, "dark", marks=pytest.mark.nightly) for page in OPENED[1:]),  # of the same style sheet
    ],
)
def test_a_page_can_be_read_by_everybody_without_a_network(chromium, site, page, scheme):
    found = chromium(site / f"{page}.html", scheme)
    assert [url for url in found.requests if not url.startswith(site.absolute().as_uri())] == []
    assert found.complaints == []
    assert found.violations == {}
    assert "color-contrast" in found.passed


def test_every_public_name_is_documented(site):
    text = (site / "api.html").read_text(encoding="utf-8")
    for module in (edgeprof, edgeprof.plots, edgeprof.errors):
        for name in set(module.__all__) - {"__version__"}:
            if isinstance(getattr(module, name), ModuleType):
                assert f'id="module-{module.__name__}.{name}"' in text, name
                continue
            entry = re.search(rf'id="{module.__name__}\.{name}">(.*?)</dt>\s*<dd>\s*(?:<p>(.*?)</p>)?', text, re.DOTALL)
            assert entry, f"{module.__name__}.{name} is not there"
            assert entry[2], f"{module.__name__}.{name} has no description"
    assert "pandas" in text or "DataFrame" in text


def test_every_verb_is_documented(site):
    text = (site / "made" / "commands.html").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"usage: edgeprof {verb}" not in text] == []


def test_notebooks_have_their_outputs(site):
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = (site / "made" / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        # Those from 90 hold widgets, which are drawn in a page with a kernel only; one has tables alone.
        if not notebook.name.startswith("9") and notebook.stem != "deployment_report":
            assert "output_png" in text or "<img" in text, notebook.name
        assert "<table" in text, notebook.name


def test_nothing_is_loaded_from_elsewhere(site):
    """In no page: what a browser loads by itself."""
    loads = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"'](?:https?:)?//[^\"']*|<link\b[^>]*\brel=[\"'](?:stylesheet|preload|icon)[^>]*(?:https?:)?//[^>]*"
    )
    found = {
        f"{page.relative_to(site)}: {hit[0]}"
        for page in site.rglob("*.html")
        for hit in loads.finditer(page.read_text(encoding="utf-8"))
    }
    assert found == set()
