"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest
from docs_blocks import pages

from edgeprof import adapters, schema
from edgeprof.adapters.items import ENDINGS
from edgeprof.cli import VERBS

ROOT = Path(__file__).parents[2]


def test_data_model_lists_every_column():
    assert (ROOT / "docs/data-model.md").read_text(encoding="utf-8").endswith(schema.markdown())


def test_adapters_lists_every_line_and_unit():
    text = (ROOT / "docs/adapters.md").read_text(encoding="utf-8")
    assert text.endswith(adapters.markdown())
    named = set(re.findall(r"[a-z_]+", text.split("Lines of your own")[1].split("in lower case")[0]))
    assert set(ENDINGS) - {"perplexity_error"} <= named


def test_readme_names_every_verb():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [verb for verb in VERBS if f"`{verb}" not in text and f"edgeprof {verb}" not in text]
    assert not missing


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    lost = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not lost


def test_commands_in_the_readme_exist():
    commands = re.findall(r"^edgeprof (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands
    assert set(commands) <= set(VERBS)
