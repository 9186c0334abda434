"""Running captures from tests: in a thread, with real processes behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgeprof.capture import Source, capture

DEADLINE = 60.0


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise TimeoutError(what)


@contextlib.contextmanager
def running(sources: list[Source], out: Path, **options: Any) -> Iterator[dict[str, Any]]:
    """Run a capture in a thread; what it came to is in the dictionary when the block is left."""
    result: dict[str, Any] = {}

    def work() -> None:
        try:
            result["result"] = capture(sources, out, capture_id="c", **options)
        except BaseException as error:
            result["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    opened = lambda: len(list(out.glob("capture=c/journal/port-*/*.wire"))) == len(sources)  # noqa: E731
    wait_for(lambda: opened() or not thread.is_alive(), "open ports")
    try:
        yield result
    finally:
        thread.join(DEADLINE)
    assert not thread.is_alive()
