"""A data set looked at from all sides: ``edgeprof.explore(path)``, and its views as figures without a browser."""

from __future__ import annotations

from edgeprof.explorer.painter import figure
from edgeprof.explorer.view import View
from edgeprof.explorer.widgets import Explorer, explore

__all__ = ["Explorer", "View", "explore", "figure"]
