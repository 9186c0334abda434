"""How Sphinx makes the site (`nox -s docs`). No page loads anything from elsewhere: it opens with the network off."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeprof import __version__
from edgeprof.cli import VERBS, parser_of

HERE = Path(__file__).parent
ROOT = HERE.parent
MADE = HERE / "made"
"""Pages that are copied or generated here for each build; git does not know them."""

project = "edgeprof"
author = "The edgeprof authors"
copyright = author  # noqa: A001
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "IPython.sphinxext.ipython_console_highlighting",
]
exclude_patterns = ["_build"]
nitpicky = True
# What has no page here: other projects' names, whose inventories would have to be fetched, and edgeprof's own modules.
nitpick_ignore_regex = [("py:.*", r"(?!edgeprof\.(plots\.|errors\.)?\w+$).*")]

myst_heading_anchors = 4
smartquotes = False  # it would make one dash of the two in --help
nb_execution_mode = "off"  # the outputs are those that are stored, which `nox -s notebooks` compares

autodoc_typehints = "signature"
autodoc_member_order = "alphabetical"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"edgeprof {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["readable.js"]
html_copy_source = False
html_show_sphinx = False
copybutton_selector = "div.highlight-sh pre, div.highlight-python pre, div.highlight-toml pre, div.highlight-yaml pre"


def described(text: str) -> str:
    """Return a verb's description as Markdown: its indented paragraphs are examples."""
    parts = re.split(r"\n\s*\n", text.strip("\n"))
    prose = [re.sub(r"([*_<\[])", r"\\\1", part) for part in parts]
    return "\n\n".join(fenced(p) if p.startswith("  ") else said for p, said in zip(parts, prose, strict=True))


def fenced(text: str) -> str:
    """Return text as it is, for Markdown."""
    return f"```text\n{text}\n```"


def commands() -> str:
    """Return the reference of the command line: what `edgeprof VERB --help` says, verb by verb."""
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "94", "1"
    overview = subprocess.run([sys.executable, "-m", "edgeprof", "--help"], capture_output=True, text=True, check=True)
    parts = ["# Commands", fenced(overview.stdout)]
    for verb in VERBS:
        parser = parser_of(verb)
        description, parser.description = parser.description or "", None
        parts += [f"## {verb}", described(description), fenced(parser.format_help())]
    return "\n\n".join(parts) + "\n"


COPIED = {
    "firmware.md": "edgeprof/firmware/README.md",
    "firmware-examples.md": "edgeprof/firmware/examples/README.md",
}
"""Pages of the site that live beside what they are of, by their names here."""

LINKS = {
    "../edgeprof/firmware/README.md": "made/firmware.md",
    "../README.md#commands": "made/commands.md",
    "../notebooks/": "made/notebooks/",
}


def copied(name: str) -> str:
    """Return such a page, with its links as they are here."""
    text = (ROOT / COPIED[name]).read_text(encoding="utf-8")
    return re.sub(r"\]\((?:\.\./)+docs/", "](../", text).replace("](examples/README.md", "](firmware-examples.md")


def linked(app: Any, name: str, source: list[str]) -> None:
    """Let links to what is copied or generated, and to folders of examples, lead there."""
    examples = r"\]\(\.\./edgeprof/firmware/examples/(?:README\.md|[\w-]+)\)"
    text = re.sub(examples, "](made/firmware-examples.md)", source[0])
    for there, here in LINKS.items():
        text = text.replace(f"]({there}", f"]({here}")
    source[0] = text


def setup(app: Any) -> None:
    """Put beside the pages what the site has besides them."""
    shutil.rmtree(MADE, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", MADE / "notebooks", ignore=shutil.ignore_patterns(".*", "*.txt"))
    (MADE / "commands.md").write_text(commands(), encoding="utf-8")
    for name in COPIED:
        (MADE / name).write_text(copied(name), encoding="utf-8")
    app.connect("source-read", linked)
