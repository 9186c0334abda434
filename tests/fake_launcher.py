"""The Python board as an emulated one, under the name ``fake``; how it behaves can be set."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from edgeprof import boards

TESTS = Path(__file__).parent

FAKE = """
import sys, json
sys.path.insert(0, {tests!r})
import fakeboard
plain = json.dumps
fakeboard.json.dumps = lambda said: plain(said | {{"facts": {{"emulator": "fake"}}}})
sys.argv = ["fakeboard", "--mode", {mode!r}]
fakeboard.main()
"""


class Fake:
    """``modes`` are how the next boards behave, one after the other."""

    def __init__(self):
        self.board = replace(boards.get("wasm"), name="fake", emulator="fake")
        self.modes: list[str] = []

    def why_not(self) -> str:
        return ""

    def command(self, model, options):
        mode = self.modes.pop(0) if self.modes else "normal"
        return [sys.executable, "-c", FAKE.format(tests=str(TESTS), mode=mode)]


def registered(monkeypatch):
    """Register the board for the length of a test, and return its launcher."""
    monkeypatch.setattr(boards, "_launchers", dict(boards._launchers))
    launcher = Fake()
    boards.register(launcher)
    return launcher
