"""The sealer as its capture sees it: a process that may die and is started again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from edgeprof.errors import StorageError

__all__ = ["SealerProcess"]

RESTART_SECONDS = 30.0


class SealerProcess:
    """The sealer process; it may be started again, for it only reads the journal."""

    def __init__(self, folder: Path, every: float, keep_wire: str) -> None:
        program = [sys.executable, "-m", "edgeprof.sealer", str(folder)]
        self.command = [*program, "--every", str(every), "--keep-wire", keep_wire]
        self.pause = 0.25
        self.start()

    def start(self) -> None:
        """Start it."""
        self.again = time.monotonic() + self.pause
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    def keep_alive(self) -> None:
        """Start it again if it died; less often each time, for a full disk stays full for a while."""
        if self.process.poll() is not None and time.monotonic() >= self.again:
            self.process.communicate()
            self.pause = min(2 * self.pause, RESTART_SECONDS)
            self.start()

    def finish(self) -> None:
        """Let it seal the rest."""
        if self.process.poll() is not None:
            self.process.communicate()
            self.start()
        # At the end of a week all wire bytes are read once more, which takes what it takes. A second Ctrl-C ends this.
        _, said = self.process.communicate()
        if self.process.returncode:
            text = said.decode(errors="replace").strip().rstrip(".") or str(self.process.returncode)
            cure = "The wire bytes are whole in the journal, and `edgeprof recover` makes tables of them."
            raise StorageError(f"The sealer failed: {text}." + ("" if "edgeprof recover" in text else f" {cure}"))
