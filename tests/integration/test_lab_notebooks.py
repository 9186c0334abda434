"""Every notebook in JupyterLab, as a user runs it: opened in a browser, Run All, no error and nothing missing."""

from __future__ import annotations

import browser
import lab
import pytest

from edgeprof.parameters import list_notebooks

pytestmark = [pytest.mark.once, pytest.mark.slow]
NOTEBOOKS = list_notebooks()
OFTEN = ("90_explore",)
"""What is opened in CI, too: one with widgets. There, nbval runs all."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    lab.copies(folder, NOTEBOOKS)
    with lab.server(folder, tmp_path_factory.mktemp("jupyter")) as started:
        yield started


@pytest.fixture(scope="module")
def chromium():
    with browser.browser() as started:
        yield started


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.nightly) for name in NOTEBOOKS]
)
def test_a_notebook_runs_from_top_to_bottom(chromium, server, tmp_path, name):
    with lab.tab(chromium, server) as tab:
        notebook = lab.Notebook.open(tab, server, NOTEBOOKS[name].name)
        assert set(notebook.counts()) == {None}, "its outputs would be old ones"
        notebook.run_all()
        lab.screenshot(tab, name, tmp_path)
        assert notebook.errors() == []
        assert notebook.counts() == list(range(1, len(notebook.cells()) + 1))
        assert sum(1 for cell in notebook.cells() if cell["outputs"]) > 1
        assert tab.refused == [], "it asked for something beyond this machine"
        notebook.close()


def test_what_fails_would_be_noticed(chromium, server, tmp_path):
    """Without this the test above could pass by seeing nothing."""
    source = NOTEBOOKS["02_inspect_run"].read_text(encoding="utf-8")
    broken = server.folder / "broken.ipynb"
    broken.write_text(source.replace("tidy.run_facts(ds, run_id)", "tidy.run_facts(ds, 'none')"), encoding="utf-8")
    lab.copies(server.folder / "bad", {"broken": broken})
    with lab.tab(chromium, server) as tab:
        notebook = lab.Notebook.open(tab, server, "bad/broken.ipynb")
        notebook.run_all()
        lab.screenshot(tab, "broken", tmp_path)
        assert any("UsageError" in error for error in notebook.errors())
        assert notebook.counts()[-1] is None
        notebook.close()
