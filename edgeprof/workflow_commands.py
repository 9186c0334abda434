"""GitHub's annotations: workflow commands that a step prints, of text that cannot break out of them.

See https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from __future__ import annotations

import os
from typing import Literal

from edgeprof.display import terminal_text

__all__ = ["annotation", "wanted"]

_LONGEST = 2000


def wanted() -> bool:
    """Tell whether this runs as a step of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation(level: Literal["error", "warning", "notice"], message: str, **properties: str) -> str:
    """Return the line that makes an annotation.

    Parameters
    ----------
    level
        How bad it is.
    message
        What is said; its line ends are kept.
    properties
        ``file``, ``title``, ``line``; empty ones are left out.

    Examples
    --------
    >>> annotation("error", "50 % lost", file="a,b.ipynb", title="cell: 4")
    '::error file=a%2Cb.ipynb,title=cell%3A 4::50 %25 lost'
    """
    said = "\n".join(terminal_text(line, _LONGEST) for line in message.splitlines())
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{level}{' ' * bool(given)}{given}::{_data(said)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
