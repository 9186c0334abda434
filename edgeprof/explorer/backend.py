"""ipympl's canvas without ipympl as the backend of everybody's figures, which importing it makes it."""

from __future__ import annotations

from typing import Any

__all__ = ["Canvas", "FigureManager"]


def _imported() -> tuple[Any, Any]:
    import matplotlib as mpl

    use = mpl.use
    mpl.use = lambda *_, **__: None
    try:
        from ipympl.backend_nbagg import Canvas, FigureManager
    finally:
        mpl.use = use
    return Canvas, FigureManager


Canvas, FigureManager = _imported()
