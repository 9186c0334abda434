"""A capture: boards, the reader, the sealer and the conversation, held together.

This process moves no data: it starts the others, follows the journal like any client to know what the boards
answered, and hands the reader what is to be sent. If it dies, the reader and the sealer end cleanly by themselves.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import queue
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from edgeprof._version import __version__
from edgeprof.conversation import Conversation, Progress
from edgeprof.driver import Job, converse, prompt_row
from edgeprof.errors import DeviceError, EdgeprofError, LockedError, StorageError, UsageError
from edgeprof.keepwire import kept_days
from edgeprof.layout import CAPTURE_JSON, LOCK, write_json
from edgeprof.line_conversation import LineConversation, LineDriver
from edgeprof.open_files import raise_limit
from edgeprof.own_process import this_process
from edgeprof.reader import REQUEST
from edgeprof.schema import FORMAT_VERSION
from edgeprof.sealer_process import SealerProcess
from edgeprof.transports import PortSettings, redact

__all__ = ["CaptureResult", "Progress", "Source", "capture"]

END_SECONDS = 60.0
_CAPTURE_ID = re.compile(r"[\w.+=,@-]{1,120}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """A port to capture.

    Attributes
    ----------
    url
        A pyserial URL.
    name
        What messages call it.
    facts
        Columns of ``runs`` that the host knows (``emulator``, ``model_sha256``, …), and ``tags``.
    vocab
        Digest of a model file to its pieces.
    sections
        Digest of a firmware image to its parts, as :func:`edgeprof.sections.as_columns` has them.
    opened
        Called when the port is open: from now on nothing that the board sends is lost.
    emulated
        It was started for this capture: its line loses nothing, and it remembers no request. So nothing is asked twice,
        and requests are numbered from 1; other bytes would cost it other ticks, in a clock that is exact.
    last_words
        Returns what is known of why the board went away, as for an emulated one.
    """

    url: str
    name: str
    settings: PortSettings = field(default_factory=PortSettings)
    facts: dict[str, Any] = field(default_factory=dict)
    vocab: dict[str, list[str]] = field(default_factory=dict)
    sections: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    opened: Callable[[], None] | None = None
    emulated: bool = False
    last_words: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """What a capture came to.

    ``outcomes`` has what each board's driver returned: :class:`edgeprof.driver.Outcome`, or what a foreign protocol's
    does. ``failed`` names the boards that stopped answering, with the reason.
    """

    capture_id: str
    path: Path
    outcomes: dict[str, Any]
    failed: dict[str, str]


def new_capture_id() -> str:
    """Return a name that sorts by time and meets no other: UTC and six random digits."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def prepare(
    out: Path, sources: Sequence[Source], jobs: Sequence[Job], *, host_label: str | None, capture_id: str,
    extra: dict[str, Any],
) -> Path:  # fmt: skip
    """Make a capture's folder and write what it is told at its start."""
    if not _CAPTURE_ID.fullmatch(capture_id):
        raise UsageError(
            f"A capture cannot be called {capture_id!r}: letters, digits and . _ + = , @ - only, at most 120."
        )
    folder = out / f"capture={capture_id}"
    try:
        (folder / "journal").mkdir(parents=True)
    except FileExistsError as error:
        raise LockedError(f"{folder} exists already; a capture never writes into another one.") from error
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written ({error.strerror}). Choose another folder with --out, or make this one writable."
        ) from error
    vocab = {sha: pieces for s in sources for sha, pieces in s.vocab.items()}
    header = extra | {
        "format_version": FORMAT_VERSION,
        "edgeprof_version": __version__,
        "capture_id": capture_id,
        "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        "monotonic_start_ns": time.monotonic_ns(),
        "host_label": host_label,
        "ports": [
            {"name": s.name, "url": redact(s.url), "settings": asdict(s.settings), "facts": s.facts} for s in sources
        ],
        "prompts": [prompt_row(job) for job in jobs],
        "vocab": vocab,
        "sections": {sha: parts for s in sources for sha, parts in s.sections.items()},
    }
    write_json(folder / CAPTURE_JSON, header)
    return folder


def capture(
    sources: Sequence[Source], out: Path, jobs: Sequence[Job] = (), *, capture_id: str | None = None,
    host_label: str | None = None, seconds: float | None = None, idle_seconds: float = 60.0, seal_every: float = 600.0,
    keep_wire: str = "all", on_progress: Callable[[list[Progress]], None] | None = None,
    header: dict[str, Any] | None = None, protocol: LineDriver | None = None,
) -> CaptureResult:  # fmt: skip
    """Capture ports into a data set until the jobs are done, or until interrupted where there are none.

    Parameters
    ----------
    sources
        The ports; all go into one capture.
    out
        The data set's folder; made if it does not exist.
    jobs
        What every board is asked to do. None: only listen.
    capture_id
        The capture's name; made of the time by default.
    host_label
        A name for this host, if the user wants one.
    seconds
        End after so long.
    idle_seconds
        How long a board may say nothing in the middle of a job.
    seal_every
        Seconds between segments.
    keep_wire
        ``all`` keeps the wire bytes beside the tables, ``none`` does not, a number keeps them for so many days.
    on_progress
        Called about ten times a second.
    header
        More facts for ``capture.json``.
    protocol
        Somebody else's protocol, in which each board is asked instead of in ours.

    Raises
    ------
    UsageError
        Jobs and a protocol: one driver owns the transmit side of a port.
    DeviceError
        No port could be opened, or the reader died.
    StorageError
        The folder cannot be written, or the disk is full. What was read before is whole.
    KeyboardInterrupt
        The user ended it; the capture was closed in good order before.
    """
    kept_days(keep_wire)
    if protocol is not None and jobs:
        raise UsageError(
            "Prompts and evaluation texts are asked for in edgeprof's own protocol, and a port has one driver: leave "
            "them out, or the other protocol."
        )
    raise_limit()
    name = capture_id or new_capture_id()
    extra = {"keep_wire": keep_wire, "process": this_process()} | (header or {})
    folder = prepare(out, sources, jobs, host_label=host_label, capture_id=name, extra=extra)
    running = FileLock(folder / LOCK)
    running.acquire()
    reader = subprocess.Popen(
        [sys.executable, "-m", "edgeprof.reader", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    sealer = SealerProcess(folder, seal_every, keep_wire)
    assert reader.stdin is not None and reader.stdout is not None
    pipe = reader.stdin

    def send(port: int, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the reader's end is noticed by its silence
            pipe.write(REQUEST.pack(port, len(data)) + data)
            pipe.flush()

    config = {"ports": [{"url": s.url, "settings": asdict(s.settings), "reconnect": not s.emulated} for s in sources]}
    with contextlib.suppress(OSError):
        pipe.write(json.dumps(config).encode() + b"\n")
        pipe.flush()
    progress = [Progress(s.name) for s in sources]
    talks = [
        _conversation(folder, n, s, jobs, send, progress[n], idle_seconds)
        if protocol is None
        else LineConversation(folder, n, protocol(name=s.name, advance=_advancing(progress[n])), send, progress[n])
        for n, s in enumerate(sources)
    ]
    try:
        error = _follow(reader, sealer, talks, [s.opened for s in sources], seconds, on_progress, idle_seconds)
    finally:
        running.release()  # before the reader ends: what was noted until now will be sealed
        with contextlib.suppress(OSError):
            pipe.close()
        try:
            reader.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            reader.kill()
            reader.wait()
        reader.stdout.close()
        for talk in talks:
            talk.tail.close()
        sealer.finish()
    if error is not None:
        if not isinstance(error, StorageError):
            _drop_if_empty(folder)
        raise error
    outcomes = {s.name: t.outcome for s, t in zip(sources, talks, strict=True) if t.outcome is not None}
    failed = {s.name: _why(s, t.error) for s, t in zip(sources, talks, strict=True) if t.error is not None}
    return CaptureResult(name, folder, outcomes, failed)


def _why(source: Source, error: str) -> str:
    said = source.last_words() if source.last_words else ""
    return f"{error}. {said}" if said else error


def _drop_if_empty(folder: Path) -> None:
    """Remove a capture of which no byte came, because no port could be opened: it would only be in the way."""
    from edgeprof.seal import load_manifests  # loads pyarrow, which this process otherwise does without

    if not any(state["offset"] for state in load_manifests(folder)[-1]["states"]):
        shutil.rmtree(folder)


def _advancing(progress: Progress) -> Callable[[int], None]:
    def advance(n: int) -> None:
        progress.jobs_done += n

    return advance


def _conversation(
    folder: Path, port: int, source: Source, jobs: Sequence[Job], send: Callable[[int, bytes], None],
    progress: Progress, idle_seconds: float,
) -> Conversation:  # fmt: skip
    talk = (
        converse(
            jobs,
            name=source.name,
            idle_seconds=idle_seconds,
            advance=_advancing(progress),
            last_request=0 if source.emulated else secrets.randbelow(0xFFFF),
        )
        if jobs
        else None
    )
    return Conversation(folder, port, talk, send, progress, lossless=source.emulated)


def _lines(stream: Any, lines: queue.Queue[str | None]) -> None:
    # When a capture ends, its pipe may be closed under the thread that reads it.
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            lines.put(line.decode(errors="replace").rstrip("\n"))
    lines.put(None)


def _messages(lines: queue.Queue[str | None]) -> Iterator[str | None]:
    """Yield what the reader said since the last call, waiting a little if that is nothing."""
    try:
        yield lines.get(timeout=0.1)
        while True:
            yield lines.get_nowait()
    except queue.Empty:
        return


def _follow(
    reader: subprocess.Popen[bytes], sealer: SealerProcess, talks: list[Conversation],
    opened: Sequence[Callable[[], None] | None], seconds: float | None,
    on_progress: Callable[[list[Progress]], None] | None, idle_seconds: float,
) -> EdgeprofError | None:  # fmt: skip
    """Go on until all conversations are over, the time is, or the reader ends; return what went wrong."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_lines, args=(reader.stdout, lines), daemon=True).start()
    passive = all(t.over for t in talks)
    end = time.monotonic() + seconds if seconds is not None else None
    shown = 0.0
    fresh: set[int] = set()
    away: dict[int, tuple[float, str]] = {}
    while True:
        for line in _messages(lines):
            if line is None:
                reader.wait()
                if reader.returncode == 0 and all(t.over for t in talks):
                    return None
                return DeviceError(f"The reader process ended (code {reader.returncode}); what it read is kept.")
            word, _, rest = line.partition(" ")
            if word == "error":
                kinds = (StorageError, UsageError)
                code = reader.wait()
                return next((kind(rest) for kind in kinds if kind.exit_code == code), DeviceError(rest))
            port = int(rest.split(" ", 1)[0])
            if word == "opened":
                talks[port].start()
                if (tell := opened[port]) is not None:
                    tell()
            elif word == "read":
                fresh.add(port)
            elif word == "lost":
                away[port] = (time.monotonic(), rest.partition(" ")[2])
                talks[port].away()
            elif word == "back":
                away.pop(port, None)
                talks[port].back()
            elif word in ("closed", "failed"):
                talks[port].gone(rest.partition(" ")[2], broken=word == "failed")
        for port in [port for port in fresh if talks[port].due]:
            talks[port].pump()
            fresh.discard(port)
        for port, talk in enumerate(talks):
            if port not in away:
                talk.tick()
            elif time.monotonic() - away[port][0] > idle_seconds:
                talk.gone(f"{away[port][1]}, and it did not come back for {idle_seconds:g} s")
        sealer.keep_alive()
        if on_progress and time.monotonic() - shown > 0.1:
            shown = time.monotonic()
            on_progress([t.progress for t in talks])
        if not passive and all(t.over for t in talks):
            return None
        if end is not None and time.monotonic() >= end:
            return None
