"""A disk that fills up in the middle of a capture: a clear error, everything before it readable, and closed once there
is room. Real processes, on a small tmpfs of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.kill_many import Independent, kept, passes, sealed_wire, wait_for

import edgeprof
from edgeprof.care import verify

IS_LINUX = sys.platform == "linux"
IS_ROOT = IS_LINUX and os.geteuid() == 0
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    """Tell whether we are root, or a user namespace lets us be."""
    if IS_ROOT or not shutil.which("unshare"):
        return IS_ROOT
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.alone,
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_LINUX, reason="only on Linux"),
    pytest.mark.skipif(IS_LINUX and not _can_mount(), reason="needs root to mount a tmpfs"),
]
mounts = pytest.mark.skipif(not IS_ROOT, reason="only on a mount of one's own: test_in_a_namespace runs it there")


@pytest.mark.skipif(IS_ROOT, reason="only on an account that is not root's")
def test_in_a_namespace() -> None:
    command = [*NAMESPACE, sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


class Disk:
    """A mounted tmpfs, and a fake board to fill it."""

    def __init__(self, path: Path, options: str) -> None:
        self.path, self.data = path, path / "data"
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)

    def grow(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.path / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Any]:
    made: list[Disk] = []

    def make(options: str, name: str = "disk") -> Disk:
        made.append(Disk(tmp_path / name, options))
        return made[-1]

    yield make
    for one in made:
        one.unmount()


def edgeprof_(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeprof", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


def capture(board: Any, out: Path, tap: Path, *options: object, rate: int = 200_000, **more: Any) -> Any:
    """Capture a streaming board until the command ends by itself."""
    one = board("--stream", "100000", "--wait", "--bytes-per-second", str(rate), "--tap", str(tap))
    command = [sys.executable, "-m", "edgeprof", "capture", one.url, "--out", str(out), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more) as running:
        try:
            wait_for(lambda: list(out.glob("capture=*/journal/port-00/*.idx")), "the reader's journal")
            one.go()
            stdout, stderr = running.communicate(timeout=100)
        finally:
            running.kill()
    one.stop()
    return subprocess.CompletedProcess(command, running.returncode, stdout, stderr)


def failed_clearly(done: Any, *words: str) -> None:
    """One paragraph, no traceback, exit code 5."""
    assert done.returncode == 5, (done.returncode, done.stderr)
    *forecast, message = done.stderr.strip().split("\n")
    assert all("GB are free" in line for line in forecast) and len(forecast) < 2
    assert message.startswith("edgeprof: ") and "\n" not in message and "Traceback" not in message
    for word in ("No space left on device", "edgeprof recover", *words):
        assert word in message, (word, message)


def readable_then_closed(data: Path, tap: Path, make_room: Any, *, at_least: int) -> bytes:
    """Check that what came is there, before and after ``recover``, and return its bytes."""
    (folder,) = data.glob("capture=*")
    before = kept(folder)
    assert tap.read_bytes()[: len(before)] == before and len(before) >= at_least
    independent = Independent()
    independent.grow(before)
    assert len(independent.rows) > 0
    listed = edgeprof_("runs", data)
    assert listed.returncode == 0, listed.stderr
    with_passes = len({row[0] for row in independent.rows})
    # The last run may have begun, and no pass of it have come.
    assert len(listed.stdout.splitlines()) - 2 in (with_passes, with_passes + 1)
    assert passes(edgeprof.open(data)) == independent.rows
    # Without room there is no recovering either, and nothing is lost by trying.
    early = edgeprof_("recover", data)
    assert early.returncode == 5 and "Traceback" not in early.stderr and "\n" not in early.stderr.strip(), early.stderr
    assert kept(folder) == before
    make_room()
    closed = edgeprof_("recover", data)
    assert (closed.returncode, closed.stdout) == (0, f"closed {folder.name}\n"), closed.stderr
    assert verify(data) == []
    assert sealed_wire(folder) == before
    ds = edgeprof.open(data)
    assert passes(ds) == independent.rows
    assert not (folder / "journal").exists() and not list(folder.glob("*.lock"))
    assert set(ds.runs["status"][:-1]) <= {"ok"}
    return before


@mounts
def test_the_journal_fills_the_disk(disk: Any, board: Any, tmp_path: Path) -> None:
    one, tap = disk("size=1m"), tmp_path / "tap"
    done = capture(board, one.data, tap)
    failed_clearly(done)
    readable_then_closed(one.data, tap, lambda: one.grow("size=64m"), at_least=700_000)


@mounts
def test_somebody_else_fills_the_disk(disk: Any, board: Any, tmp_path: Path) -> None:
    """There are sealed segments already."""
    one, tap = disk("size=4m"), tmp_path / "tap"
    started = board("--stream", "100000", "--wait", "--bytes-per-second", "60000", "--tap", str(tap))
    command = [sys.executable, "-m", "edgeprof", "capture", started.url, "--out", str(one.data), "--seal-every", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            wait_for(lambda: list(one.data.glob("capture=*/journal/port-00/*.idx")), "the reader's journal")
            started.go()
            wait_for(lambda: len(list(one.data.glob("capture=*/segment=*/manifest.json"))) >= 2, "two segments")
            one.fill()
            stdout, stderr = running.communicate(timeout=60)
        finally:
            running.kill()
    failed_clearly(subprocess.CompletedProcess(command, running.returncode, stdout, stderr))
    readable_then_closed(one.data, tap, (one.path / "filler").unlink, at_least=30_000)


@mounts
def test_the_sealer_finds_no_room(disk: Any, board: Any, tmp_path: Path) -> None:
    """No new files, but room in those that are open: the reader goes on, so nothing of the capture's time is lost."""
    one, tap = disk("size=16m,nr_inodes=16"), tmp_path / "tap"
    done = capture(board, one.data, tap, "--seal-every", "0.5", "--seconds", "5", rate=40_000)
    failed_clearly(done, "sealer failed", "journal is untouched")
    before = readable_then_closed(one.data, tap, lambda: one.grow("nr_inodes=10000"), at_least=100_000)
    sent = tap.stat().st_size
    assert sent - len(before) < 100_000, "the reader stopped with the sealer"


@mounts
def test_the_folder_for_temporary_files_is_full(disk: Any, board: Any, tmp_path: Path) -> None:
    """A capture needs none."""
    full, tap, data = disk("size=64k"), tmp_path / "tap", tmp_path / "data"
    full.fill()
    environment = os.environ | {"TMPDIR": str(full.path)}
    done = capture(board, data, tap, "--seconds", "3", "--seal-every", "0.5", env=environment)
    assert done.returncode == 0, done.stderr
    assert verify(data) == []
    independent = Independent()
    (folder,) = data.glob("capture=*")
    independent.grow(sealed_wire(folder))
    assert passes(edgeprof.open(data)) == independent.rows and independent.rows
    assert json.loads(edgeprof_("runs", data, "--json", env=environment).stdout)


@mounts
def test_a_report_that_finds_no_room(disk: Any) -> None:
    full = disk("size=128k")
    full.fill()
    reference = edgeprof.reference()
    done = edgeprof_("report", "inspect_run", reference, "--out", full.path / "report")
    assert done.returncode == 5, (done.returncode, done.stderr[-2000:])
    assert "No space left on device" in done.stderr and "\n" not in done.stderr.strip()


@mounts
def test_the_disk_is_full_before_the_capture_begins(disk: Any, tmp_path: Path) -> None:
    one = disk("size=64k")
    one.fill()
    began = time.monotonic()
    done = edgeprof_("capture", "loop://", "--out", one.data, "--seconds", "30")
    assert time.monotonic() - began < 20
    assert done.returncode == 5, done.stderr
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert "\n" not in done.stderr.strip()
