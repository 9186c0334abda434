"""The reference firmware: C sources, and images that were built from them.

``include/edgeprof.h`` is the telemetry library for anybody's firmware, ``llm/`` runs llama-architecture GGUF
models, ``app/`` is the main loop, ``ports/<board>/`` what differs between boards, ``prebuilt/`` the images.
README.md says more.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["image", "path"]


def path(*parts: str) -> Path:
    """Return where a file of the firmware lies, for instance ``path("include", "edgeprof.h")``."""
    return Path(str(files(__name__).joinpath(*parts)))


def image(board: str) -> Path:
    """Return the prebuilt image of a board.

    Parameters
    ----------
    board
        The board's name.
    """
    suffix = "wasm" if board == "wasm" else "elf"
    return path("prebuilt", f"{board}.{suffix}")
