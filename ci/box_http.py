"""One HTTP request as it stands: no redirect is followed, and a refusal is an answer."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["get", "wait_for_health"]


def get(url: str, headers: Mapping[str, str] | None = None, seconds: float = 10) -> tuple[int, str]:
    """Return the status and the body."""
    at = urlsplit(url)
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    connection = kind(at.hostname or "", at.port, timeout=seconds)
    try:
        path = f"{at.path or '/'}?{at.query}" if at.query else at.path or "/"
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def wait_for_health(url: str, retry_seconds: float, pause_seconds: float = 0.5) -> list[dict[str, object]]:
    """Ask for a server's /health until it is 200 or the time is over; return every attempt, the last one last."""
    begun = time.monotonic()
    attempts: list[dict[str, object]] = []
    while True:
        try:
            found: int | str = get(f"{url.rstrip('/')}/health")[0]
        except (OSError, http.client.HTTPException) as error:
            found = type(error).__name__
        after = time.monotonic() - begun
        attempts.append({"after_seconds": round(after, 2), "answer": found})
        if found == 200 or after + pause_seconds > retry_seconds:
            return attempts
        time.sleep(pause_seconds)
