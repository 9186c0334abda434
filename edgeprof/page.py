"""A report's page: an executed notebook as one HTML file that opens offline.

It has no code cells, no widgets, no scripts and no address outside of itself, whatever the notebook put into it.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

from edgeprof._version import __version__

__all__ = ["offline", "to_html"]

NO_ALT = "No description"  # how nbconvert begins the alternative text that nobody gave
ALT = "Chart; the table and the sentence beside it say what it shows."


def to_html(executed: Path) -> str:
    """Return an executed notebook as one HTML page: text, tables and pictures, nothing from outside."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.HTMLExporter.template_name = "basic"
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = ("parameters", "injected-parameters", "report-hide")
    exporter = HTMLExporter(
        config=config, exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True,
        exclude_anchor_links=True, embed_images=True,
    )  # fmt: skip
    exporter.register_preprocessor("nbconvert.preprocessors.TagRemovePreprocessor", enabled=True)
    content = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
    for cell in content.cells:
        if cell.cell_type == "code":
            # Warnings on standard error are for whoever runs the notebook, not for whoever reads the report.
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                for kind in [k for k in output.get("data", {}) if k.startswith("application/")]:
                    del output["data"][kind]  # a program; its plain text stays
    body, _ = exporter.from_notebook_node(content)
    heading = re.search(
        r"^#\s+(.+)$", "\n".join(c.source for c in content.cells if c.cell_type == "markdown"), re.MULTILINE
    )
    title = html.escape(heading[1] if heading else executed.stem)
    return _PAGE.format(title=title, body=offline(body), version=__version__)


def offline(body: str) -> str:
    """Return HTML without scripts, frames and addresses outside of itself; every picture has a text."""
    filtered = _Offline()
    filtered.feed(body)
    filtered.close()
    return "".join(filtered.parts)


class _Offline(HTMLParser):
    """Copies HTML, but for what runs or loads something."""

    WITH_CONTENT = frozenset({"script", "style", "iframe", "object", "noscript", "template"})
    ALONE = frozenset(
        {"link", "meta", "base", "embed", "form", "input", "button", "applet", "frame", "frameset", "param"}
    )
    ADDRESSES = (
        "action", "background", "cite", "classid", "codebase", "data", "formaction", "href", "longdesc", "manifest",
        "ping", "poster", "src", "srcdoc", "srcset", "usemap", "xlink:href", "xml:base",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.within or tag in self.ALONE:
            return
        if tag in self.WITH_CONTENT:
            self.within = tag
            return
        kept = [(name, value) for name, value in attrs if self.harmless(name, value or "")]
        if tag == "img" and (dict(attrs).get("alt") or NO_ALT).startswith(NO_ALT):
            kept = [(name, value) for name, value in kept if name != "alt"] + [("alt", ALT)]
        written = "".join(f' {n}="{html.escape(v)}"' if v is not None else f" {n}" for n, v in kept)
        self.parts.append(str(self.get_starttag_text()) if kept == attrs else f"<{tag}{written}>")

    def harmless(self, name: str, value: str) -> bool:
        """Tell whether an attribute runs and loads nothing."""
        if name in self.ADDRESSES:
            return value.startswith("#") or (name == "src" and value.startswith("data:image/"))
        return not name.startswith("on") and not (
            name == "style" and re.search(r"url|import|expression|\\", value, re.IGNORECASE)
        )

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.within == tag:
            self.within = ""

    def handle_endtag(self, tag: str) -> None:
        if self.within:
            self.within = "" if tag == self.within else self.within
        elif tag not in self.ALONE and tag not in self.WITH_CONTENT:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self.within:
            self.parts.append(data.replace("<", "&lt;"))

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="edgeprof {version}">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1b1f24;
  background: #fff; max-width: 76rem; margin: 2rem auto 4rem; padding: 0 1.25rem; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .8rem; }}
h2 {{ font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #d8dee4; padding-bottom: .25rem; }}
table {{ border-collapse: collapse; font-size: .81rem; font-variant-numeric: tabular-nums; margin: .8rem 0; }}
p.caption {{ color: #57606a; font-size: .82rem; margin-top: .2rem; }}
th, td {{ padding: .3rem .42rem; border-bottom: 1px solid #e3e7eb; }}
td {{ white-space: nowrap; }}
thead th {{ border-bottom: 2px solid #57606a; vertical-align: bottom; }}
tbody tr:hover {{ background: #f3f6f9; }}
img {{ max-width: 100%; height: auto; }}
pre {{ font-size: .82rem; white-space: pre-wrap; background: #f6f8fa; padding: .6rem .8rem; border-radius: 4px; }}
code {{ font-size: .9em; background: #f6f8fa; padding: .1em .3em; border-radius: 3px; }}
footer {{ margin-top: 3rem; color: #57606a; font-size: .82rem; }}
</style>
</head>
<body>
<main>
{body}
</main>
<footer>Made by edgeprof {version}. The figures stand in results.json beside this page.</footer>
</body>
</html>
"""
