"""A log without secrets: no token, and no address beyond its path."""

from __future__ import annotations

import logging
import re

from tornado import web

from edgeprof.display import terminal_text

__all__ = ["Formatter", "log_request"]

_QUERY = re.compile(r"\?[^\s'\"]+")
_log = logging.getLogger("edgeprof.server")


class Formatter(logging.Formatter):
    """Takes the token and all queries out of whatever is logged, by whomever, tracebacks included."""

    def __init__(self, token: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        return _QUERY.sub("?…", super().format(record).replace(self._token, "[token]"))


def log_request(handler: web.RequestHandler) -> None:
    """Log one request: faults as errors, refusals as warnings, the rest for those who want it."""
    status, request = handler.get_status(), handler.request
    level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO
    path = terminal_text(request.path, 200)
    _log.log(level, "%d %s %s %.0f ms", status, request.method, path, 1000 * request.request_time())
