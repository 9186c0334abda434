"""``python -m edgeprof``."""

from edgeprof.cli import entry

entry()
