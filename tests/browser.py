"""A headless Chromium without a network, and axe-core in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Seen", "axe", "browser", "seen"]

_SYSTEM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_LONGEST = 60
"""Characters of a temporary folder: an address has 107, and the browser adds some forty."""


@dataclass
class Seen:
    """What a page did: which addresses it asked for beyond itself, what it complained of, and what axe found."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium: the system's if there is one, else playwright's own; skip if there is neither."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, _SYSTEM)), None)
    with sync_api.sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("needs a browser: apt-get install chromium, or playwright install chromium")
        # Without the sandbox, which does not start as root or in a container; only our own pages are opened.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], env=_environment())
        yield started
        started.close()


def _environment() -> dict[str, str]:
    """Return what the browser is started with: its socket's address has no room for a folder deep in a clone."""
    if len(tempfile.gettempdir()) < _LONGEST or not Path("/tmp").is_dir():
        return dict(os.environ)
    return os.environ | {"TMPDIR": "/tmp"}


def axe() -> str:
    """Return axe-core's source."""
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-core: pip install axe-playwright-python")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def seen(started: Any, page: Path, scheme: str, script: str, *, preload: bool = True) -> Seen:
    """Open a page from disk with the network off, light or dark, and let axe look at it.

    Without ``preload`` axe itself asks for no stylesheet again, which a page on disk that has some must not.
    """
    context = started.new_context(color_scheme=scheme, offline=True)
    found = Seen()
    own = page.absolute().as_uri()
    try:
        tab = context.new_page()
        tab.on("request", lambda request: found.requests.append(request.url) if request.url != own else None)
        tab.on("console", lambda message: found.complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: found.complaints.append(str(error)))
        tab.goto(own)
        tab.evaluate(script)
        result = tab.evaluate("p => axe.run({resultTypes: ['violations', 'passes'], preload: p})", preload)
    finally:
        context.close()
    found.requests = [url for url in found.requests if not url.startswith("data:")]
    found.violations = {v["id"]: [node["html"] for node in v["nodes"]] for v in result["violations"]}
    found.passed = {rule["id"] for rule in result["passes"]}
    return found
