"""Wire bytes that were kept, as a port: ``replay:FILE``, at once or at the pace at which they came.

FILE is a file of wire bytes, a ``wire-*.zst`` of a capture, a capture's folder, or a data set with one capture.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from edgeprof.errors import StorageError, UsageError, unknown_name
from edgeprof.journal import CHUNK

__all__ = ["Replay", "open_replay", "parse"]

Times = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Request:
    """What a URL asks for. ``speed`` 1 is the original pace, None is as fast as it goes."""

    path: Path
    speed: float | None = None
    port: int | None = None


def parse(url: str) -> Request:
    """Return what ``replay:FILE[?speed=X][&port=N]`` asks for.

    Raises
    ------
    UsageError
        There is no such option, file or speed.
    """
    path, query = url.removeprefix("replay:"), ""
    if "?" in path and not Path(path).exists():
        path, _, query = path.rpartition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in ("speed", "port"):
            raise unknown_name("option of a replay", key, ["speed", "port"])
    speed, port = options.get("speed"), options.get("port")
    try:
        request = Request(Path(path), None if speed is None else float(speed), None if port is None else int(port))
    except ValueError as error:
        raise UsageError(f"{url!r}: speed is a number (1 is the original pace), port a whole one from 0.") from error
    if request.speed is not None and not 0 < request.speed < float("inf"):
        raise UsageError(
            f"The speed of a replay must be more than 0, not {speed}; without one it is as fast as it goes."
        )
    if not path or not request.path.exists():
        raise UsageError(f"There is no file or folder {path!r} to replay. `replay:` takes wire bytes, or a capture.")
    return request


def open_replay(url: str) -> Replay:
    """Open what a URL names, as a port.

    Parameters
    ----------
    url
        ``replay:FILE[?speed=X][&port=N]``.

    Raises
    ------
    UsageError
        The URL is wrong, the data set has several captures, the capture several ports, or a pace is asked for and no
        read times were kept.
    StorageError
        The capture kept no wire bytes, or cannot be read.
    """
    request = parse(url)
    if request.path.is_dir():
        data, read_times = _of_capture(_only_capture(request.path), request.port)
    elif request.path.suffix == ".zst":
        data, read_times = _of_kept_file(request.path)
    else:
        data, read_times = _chunks(request.path), list
    if request.speed is None:
        return Replay(data)
    times = read_times()
    if not times:
        raise UsageError(f"{request.path} has no read times, so its pace is not known: leave out speed.")
    return Replay(_at_pace(data, times, request.speed))


class Replay:
    """A port that has all of its bytes already (:class:`edgeprof.transports.MessagePort`).

    Parameters
    ----------
    data
        Bytes and when they are due, in seconds from the first call of :meth:`take`.
    """

    def __init__(self, data: Iterable[bytes] | Iterable[tuple[bytes, float]]) -> None:
        self._data = iter(data)
        self._next: tuple[bytes, float] | None = None
        self._began: float | None = None

    def take(self, seconds: float) -> list[tuple[bytes, int]]:
        """Return bytes that are due, with the monotonic time in nanoseconds; wait up to so long for them.

        Raises
        ------
        EOFError
            All of them were taken.
        StorageError
            They cannot be read.
        """
        if self._began is None:
            self._began = time.monotonic()
        if self._next is None:
            self._next = self._read()
        data, due = self._next
        wait = self._began + due - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, seconds))
        if wait > seconds:
            return []
        self._next = None
        return [(data, time.monotonic_ns())]

    def _read(self) -> tuple[bytes, float]:
        import pyarrow as pa

        try:
            found = next(self._data, None)
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"What is replayed cannot be read to its end: {error}.") from error
        if found is None:
            raise EOFError
        return found if isinstance(found, tuple) else (found, 0.0)

    def rest(self) -> list[tuple[bytes, int]]:
        """Return nothing: nothing is held back."""
        return []

    def acknowledge(self) -> None:
        """Do nothing: what is replayed stays where it is."""

    def write(self, data: bytes) -> int | None:
        """Take nothing: nobody is there to be asked."""
        return 0

    def close(self) -> None:
        """Let go of the file."""
        self._data = iter(())

    def happened(self) -> list[tuple[str, int, int | None, str]]:
        """Return nothing: what happened then is not on the wire."""
        return []


def _chunks(path: Path) -> Iterator[bytes]:
    import pyarrow as pa

    with path.open("rb") if path.suffix != ".zst" else pa.CompressedInputStream(str(path), "zstd") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _at_pace(data: Iterable[bytes], times: Times, speed: float) -> Iterator[tuple[bytes, float]]:
    """Yield each read's bytes, and its distance from the first read in seconds divided by the speed."""
    first = times[0][1]
    chunks, held, at = iter(data), b"", times[0][0]
    for (_, t_ns), (end, _) in itertools.pairwise([*times, (1 << 63, 0)]):
        due = (t_ns - first) / 1e9 / speed
        while at < end:
            if not held and not (held := next(chunks, b"")):
                return
            part, held = held[: end - at], held[end - at :]
            at += len(part)
            yield part, due


def _of_kept_file(path: Path) -> tuple[Iterator[bytes], Callable[[], Times]]:
    import numpy as np

    from edgeprof.segment import index_name

    index = path.with_name(index_name(path.name))
    return _chunks(path), lambda: [(int(o), int(t)) for o, t in np.load(index)] if index.exists() else []


def _only_capture(path: Path) -> Path:
    from edgeprof.care import captures_in

    found = captures_in(path)
    if len(found) > 1:
        names = ", ".join(c.name for c in found[:8])
        raise UsageError(f"{path} holds {len(found)} captures; a replay is of one. Name its folder: {names}.")
    return found[0]


def _of_capture(capture: Path, port: int | None) -> tuple[Iterator[bytes], Callable[[], Times]]:
    """Return what sealed segments keep of a port and what the journal holds behind that; and what reads its times."""
    from edgeprof import journal
    from edgeprof.kept import KeptWire, spans
    from edgeprof.seal import load_capture, load_manifests

    n_ports = len(load_capture(capture)["ports"])
    if port is None and n_ports > 1:
        raise UsageError(f"{capture.name} has {n_ports} ports; a replay is of one. Name it: ?port=0 to {n_ports - 1}.")
    number = port or 0
    if not 0 <= number < n_ports:
        raise UsageError(f"{capture.name} has no port {number}: its ports are 0 to {n_ports - 1}.")
    manifests = load_manifests(capture)
    if not all("wire" in span for _, span in spans(manifests)):
        raise StorageError(f"{capture} did not keep its wire bytes (--keep-wire none), so there is nothing to replay.")
    sealed = max((span["end"] for _, span in spans(manifests) if span["port"] == number), default=0)
    kept = KeptWire(capture, manifests)
    behind = journal.stream_end(capture, number)

    def times() -> Times:
        found = [(o, t) for block in kept.index(number, 0, sealed) for o, t in block.tolist()] if sealed else []
        if behind > sealed:
            found += [(max(o, sealed), t) for o, t in journal.read_index(capture, number, sealed)]
        return found

    data = kept.read(number, 0, sealed)
    return itertools.chain(data, journal.read_from(capture, number, sealed) if behind > sealed else ()), times
