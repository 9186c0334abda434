"""A capture watched while it runs (docs/live.md). A client of the capturing processes: it reads what they write."""

from __future__ import annotations

from edgeprof.monitor.finding import live
from edgeprof.monitor.session import Live

__all__ = ["Live", "live"]
