"""Tables of strings as Markdown, every character shown as it is."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from edgeprof.display import terminal_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["markdown_table", "markdown_text"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~$!])")


def markdown_text(text: object) -> str:
    r"""Return text that Markdown shows as it is: no markup, no HTML, no link, nobody mentioned.

    Examples
    --------
    >>> print(markdown_text("a|b <i> @you Q8_0"))
    a\|b &lt;i&gt; &#64;you Q8\_0
    """
    marked = _SPECIAL.sub(r"\\\1", html.escape(terminal_text(text), quote=False).replace("&", "\0"))
    return marked.replace("\0", "&").replace("@", "&#64;").replace(":", "&#58;").replace("www.", "www&#46;")


def markdown_table(frame: pd.DataFrame) -> str:
    """Return a table of strings as a table of GitHub's Markdown, numbers to the right."""
    from edgeprof.display import numeric

    rows = [[markdown_text(value) for value in row] for row in frame.itertuples(index=False)]
    right = [numeric([str(name), *map(str, frame[name])]) for name in frame.columns]
    lines = [[markdown_text(name) for name in frame.columns], ["---:" if r else "---" for r in right], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
