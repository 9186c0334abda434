"""A capture that goes on, seen from outside: whom a signal reaches, and who is taken for running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from edgeprof.capture import Source, prepare
from edgeprof.errors import UsageError
from edgeprof.layout import LOCK
from edgeprof.own_process import lives, this_process
from edgeprof.running import find_running, is_running, stop

CHILD = """
import sys, pathlib
from filelock import FileLock
from edgeprof.capture import Source, prepare
from edgeprof.layout import LOCK
from edgeprof.own_process import this_process
process = this_process(ends_by_signal=True)
folder = prepare(pathlib.Path(sys.argv[1]), [Source("loop://", "b")], [], host_label=None, capture_id="c",
                 extra={"process": process})
lock = FileLock(folder / LOCK)
lock.acquire()
print(process["pid"], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def capturing(out: Path, *before: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Have a process that holds a capture's lock, as the capturing one does; give it, and its number for itself."""
    command = [*before, sys.executable, "-c", CHILD, str(out)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process, int(process.stdout.readline() or -1)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def written(out: Path, process: dict[str, Any] | None) -> Path:
    return prepare(
        out,
        [Source("loop://", "b")],
        [],
        host_label=None,
        capture_id="c",
        extra={"process": process} if process else {},
    )


def test_a_capture_of_its_own_is_ended(tmp_path):
    with capturing(tmp_path) as (process, _):
        assert is_running(tmp_path / "capture=c") and stop(tmp_path / "capture=c")
        assert process.wait(10) == (-signal.SIGTERM if os.name == "posix" else signal.SIGTERM)
    assert stop(tmp_path / "capture=c") is False


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"host": "0" * 16}, "another machine"),
        ({"pid_namespace": "pid:[1]"}, "another container"),
        ({"start": 1}, "is gone"),
        ({"ends_by_signal": False}, "part of another program"),
        (None, "does not say"),
    ],
)
def test_nobody_else_is_signalled(tmp_path, change, match):
    with subprocess.Popen(["sleep", "60"]) as other:
        start = int(Path(f"/proc/{other.pid}/stat").read_text(encoding="utf-8").split()[21])
        exact = this_process(ends_by_signal=True) | {"pid": other.pid, "start": start}
        folder = written(tmp_path, None if change is None else exact | change)
        assert lives(exact)
        with FileLock(folder / LOCK):
            with pytest.raises(UsageError, match=match):
                stop(folder)
            assert other.poll() is None
        other.kill()


def test_a_number_of_another_namespace_is_not_ours(tmp_path):
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
    with contextlib.suppress(OSError):
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            with capturing(tmp_path, *unshare) as (process, number):
                assert number == 1  # there; here it is the first process of the machine
                with pytest.raises(UsageError, match="another container"):
                    stop(tmp_path / "capture=c")
                assert process.poll() is None
            return
    pytest.skip("only on Linux where a process may have a namespace of its own")


def test_who_asks_is_not_taken_for_the_capture(tmp_path):
    folder = written(tmp_path, None)
    (folder / LOCK).touch()  # as one leaves it that was killed
    said: list[bool] = []

    def ask() -> None:
        said.extend(is_running(folder) for _ in range(2000))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 8000 and (not any(said) or os.name != "posix")
    assert find_running(tmp_path) is None
    with FileLock(folder / LOCK):
        assert is_running(folder) and find_running(tmp_path) == folder


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="only on systems where tests are not root's"
)
def test_another_user_s_capture_is_not_called_dead(tmp_path):
    folder = written(tmp_path, None)
    (folder / LOCK).touch(mode=0)
    assert is_running(folder)
