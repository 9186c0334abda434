"""A Jupyter server extension: ``/health`` for anybody, ``/metrics`` for Prometheus and behind the token.

The data set's folder is the setting ``edgeprof_data`` of the web application.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from tornado import web

from edgeprof._version import __version__
from edgeprof.errors import EdgeprofError
from edgeprof.server.state import State, read_state

__all__ = ["DATA", "Health", "Watch"]

DATA = "edgeprof_data"
_WATCH = "edgeprof_watch"
_log = logging.getLogger("edgeprof.server")
FRESH_SECONDS = 2.0
"""For how long an answer is given again."""
SLOW_SECONDS = 2.0
"""How long a disk may take to answer. A file system that hangs is one that cannot be read."""


class Watch:
    """A data set's state, looked at in a thread, one look at a time, however many ask."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._look: asyncio.Task[State | None] | None = None
        self._begun = 0.0

    async def state(self) -> State | None:
        """Return the state; None where the data set cannot be read now."""
        if self._look is None or (self._look.done() and time.monotonic() - self._begun >= FRESH_SECONDS):
            self._begun = time.monotonic()
            self._look = asyncio.create_task(self._read())
        try:
            return await asyncio.wait_for(asyncio.shield(self._look), SLOW_SECONDS)
        except TimeoutError:
            return None

    async def _read(self) -> State | None:
        try:
            return await asyncio.to_thread(read_state, self.path)
        except EdgeprofError:
            return None
        except Exception:  # whatever it is: it is a data set that cannot be read, and a monitor is to hear of that
            _log.exception("%s cannot be read", self.path)
            return None


class Health(web.RequestHandler):
    """Says ok or not, and nothing else."""

    def set_default_headers(self) -> None:
        """Let nobody keep or guess at the answer."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Server", "edgeprof")

    @allow_unauthenticated
    async def get(self) -> None:
        """Answer 200 where the data set can be read, else 503."""
        fine = await self.settings[_WATCH].state() is not None
        self.set_status(200 if fine else 503)
        self.finish(json.dumps({"status": "ok" if fine else "unavailable"}))

    @allow_unauthenticated
    async def head(self) -> None:
        """Answer without a body."""
        await self.get()


class Metrics(APIHandler):
    """Counts for Prometheus."""

    @web.authenticated
    async def get(self) -> None:
        """Answer in Prometheus' text format."""
        state = await self.settings[_WATCH].state()
        registry = CollectorRegistry()
        registry.register(_Gauges(state, len(self.kernel_manager)))
        ProcessCollector(registry=registry)
        self.finish(generate_latest(registry), set_content_type=CONTENT_TYPE_LATEST)

    head = get  # tornado leaves the body away


class _Gauges:
    """What /metrics says beside the process's own figures."""

    def __init__(self, state: State | None, kernels: int) -> None:
        self.state, self.kernels = state, kernels

    def collect(self) -> Iterator[Metric]:
        # The image's variable: which commit it was built of, so that a deployment can be told from the one before.
        about = {"version": __version__, "revision": os.environ.get("EDGEPROF_REVISION", "")}
        yield InfoMetricFamily("edgeprof", "The edgeprof that serves", about)
        yield GaugeMetricFamily("edgeprof_data_readable", "1 if the data set can be read", int(self.state is not None))
        yield GaugeMetricFamily("edgeprof_kernels", "Kernels that run, one for each page that is open", self.kernels)
        if self.state is None:
            return
        yield GaugeMetricFamily("edgeprof_captures", "Captures in the data set", self.state.captures)
        yield GaugeMetricFamily("edgeprof_runs", "Sealed rows of table runs", self.state.runs)
        yield GaugeMetricFamily("edgeprof_tokens", "Sealed rows of table tokens", self.state.tokens)
        yield GaugeMetricFamily("edgeprof_data_bytes", "Size of all files of its captures", self.state.size_bytes)
        if self.state.newest is not None:
            age = (datetime.now(UTC) - self.state.newest).total_seconds()
            yield GaugeMetricFamily("edgeprof_newest_capture_age_seconds", "Since the newest capture began", age)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "edgeprof.server.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    app: web.Application = server.web_app
    app.settings[_WATCH] = Watch(Path(app.settings[DATA]))
    base = app.settings["base_url"]
    app.add_handlers(".*$", [(url_path_join(base, "health"), Health), (url_path_join(base, "metrics"), Metrics)])
