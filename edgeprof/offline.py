"""HTML that runs and loads nothing, whatever a notebook or a device put into it."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

__all__ = ["ALT", "SCROLLING", "offline"]

NO_ALT = "No description"  # how nbconvert begins the alternative text that nobody gave
_SCROLLS = {"tabindex": "0", "role": "group", "aria-label": "Table; it scrolls where it is wider than the page."}
"""What lets keys, too, scroll a wide table."""
SCROLLING = '<div style="overflow-x:auto"' + "".join(f' {k}="{v}"' for k, v in _SCROLLS.items()) + ">"
ALT = "Chart; the table and the sentence beside it say what it shows."


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
        style = re.sub(r"\s", "", dict(attrs).get("style") or "")
        if tag == "div" and "overflow-x:auto" in style and "tabindex" not in dict(attrs):
            kept = [*kept, *_SCROLLS.items()]
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
