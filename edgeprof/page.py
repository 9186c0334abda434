"""A report's page: an executed notebook as one HTML file that opens offline.

It has no code cells, no widgets, no scripts and no address outside of itself, whatever the notebook put into it.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from edgeprof._version import __version__
from edgeprof.offline import offline

__all__ = ["document", "to_html"]


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
    title = heading[1] if heading else executed.stem
    return document(title, offline(body), "The figures stand in results.json beside this page.")


def document(title: str, body: str, footer: str) -> str:
    """Return a whole page in edgeprof's style: light or dark as the reader's system is, nothing from outside.

    Parameters
    ----------
    title
        Plain text.
    body
        HTML of the page's main part, harmless already.
    footer
        Plain text; the version stands before it.
    """
    return _PAGE.format(
        title=html.escape(" ".join(title.split())), body=body, footer=html.escape(footer), version=__version__
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="edgeprof {version}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: #1b1f24; --page: #fff; --quiet: #57606a; --rule: #d8dee4; --shade: #f3f6f9;
  --link: #0550ae; --good: #116329; --bad: #a40e26; }}
@media (prefers-color-scheme: dark) {{ :root {{ --text: #e6edf3; --page: #0d1117; --quiet: #9aa4af; --rule: #30363d;
  --shade: #161b22; --link: #79b8ff; --good: #56d364; --bad: #ff8e86; }} }}
body {{ font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: var(--text);
  background: var(--page); max-width: 76rem; margin: 2rem auto 4rem; padding: 0 1.25rem; }}
a {{ color: var(--link); }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .8rem; }}
h2 {{ font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--rule); padding-bottom: .25rem; }}
table {{ border-collapse: collapse; font-size: .81rem; font-variant-numeric: tabular-nums; margin: .8rem 0; }}
p.caption {{ color: var(--quiet); font-size: .82rem; margin-top: .2rem; }}
th, td {{ padding: .3rem .42rem; border-bottom: 1px solid var(--rule); }}
td {{ white-space: nowrap; }}
td.words {{ white-space: normal; overflow-wrap: break-word; }}
thead th {{ border-bottom: 2px solid var(--quiet); vertical-align: bottom; }}
tbody tr:hover {{ background: var(--shade); }}
.good {{ color: var(--good); }}
.bad {{ color: var(--bad); font-weight: 600; }}
img {{ max-width: 100%; height: auto; background: #fff; border-radius: 4px; }}
@media (prefers-color-scheme: dark) {{ img {{ padding: .6rem; box-sizing: border-box; }} }}
pre {{ font-size: .82rem; white-space: pre-wrap; background: var(--shade); padding: .6rem .8rem; border-radius: 4px; }}
code {{ font-size: .9em; background: var(--shade); padding: .1em .3em; border-radius: 3px; }}
footer {{ margin-top: 3rem; color: var(--quiet); font-size: .82rem; }}
</style>
</head>
<body>
<main>
{body}
</main>
<footer>Made by edgeprof {version}. {footer}</footer>
</body>
</html>
"""
