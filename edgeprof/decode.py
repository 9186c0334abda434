"""Wire bytes to tables: a pure function of bytes, read times and what earlier bytes said.

The state that one call leaves (:class:`PortState`) is plain data and goes into a segment's manifest, so that
decoding can go on behind it, in another process and after any crash, as if it had never stopped.

Stretches of ordinary frames (:mod:`edgeprof.block`) are decoded as a whole; what is anything else goes piece by piece
through :mod:`edgeprof.decode_frames`. That one alone would give the same rows, some ten times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof import wire
from edgeprof.block import Headers, read_headers
from edgeprof.decode_frames import PortFrames
from edgeprof.decode_state import OpenRun, PortState, Rows
from edgeprof.read_times import Reads, ReadTimes

__all__ = ["decode_port"]

# RUN_BEGIN is repeated at least every second; a run of which this much came without one has none.
_WAIT_BYTES = 1 << 20
# So much is looked at together: what is made of it stays in the processor's cache.
_WINDOW_BYTES = 1 << 18
_FLUSH_BYTES = 1 << 20
# A shorter stretch is decoded sooner frame by frame.
_STRETCH = 3


class _Port:
    """One pass over one port's bytes. Kept private: the module's functions are the interface."""

    def __init__(self, frames: PortFrames) -> None:
        self.frames = frames
        self.splitter = wire.Splitter(frames.state.offset, in_text=frames.state.in_text)
        self.waiting: list[wire.Piece] = []

    def feed(self, window: bytes) -> None:
        """Decode what ends in what came so far."""
        found = None if self.waiting else self.splitter.whole(window)
        if found is None:
            for piece in self.splitter.feed(window):
                self.take(piece)
            return
        parts, start = found
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        ends = (start + np.cumsum(sizes + 1))[sizes > 0]
        pieces = list(filter(None, parts))
        if not pieces:
            return
        headers = read_headers(pieces)
        for first, behind in headers.stretches():
            at = first
            while at < behind:
                if headers.ordinary[at] and behind - at >= _STRETCH and self.runs_on(headers.fields[at]):
                    self.stretch(headers, ends, at, behind)
                    break
                end = int(ends[at])
                self.take(wire.judge(pieces[at], end - len(pieces[at]) - 1, end))
                at += 1

    def runs_on(self, header: npt.NDArray[Any]) -> bool:
        """Tell whether an ordinary frame is the next one, of no run or of the one that is open and known."""
        state = self.frames.state
        boot, number = int(header["boot"]), int(header["run"])
        if self.waiting or boot != state.boot or int(header["seq"]) != state.next_seq:
            return False
        run = state.run
        if not number:
            return True
        known = run is not None and (run.boot, run.run) == (boot, number)
        known = known and run is not None and run.t_begin is not None and run.group is not None
        return known and not state.is_over(boot, number)

    def stretch(self, headers: Headers, ends: npt.NDArray[np.int64], first: int, behind: int) -> None:
        """Decode frames that :meth:`runs_on` said yes to the first of; ``ends`` are the stream offsets behind each."""
        state, gathered = self.frames.state, self.frames.gathered
        run: OpenRun | None = state.run if headers.fields["run"][first] else None
        tokens = headers.block(wire.Type.TOKENS, first, behind, ends)
        power = headers.block(wire.Type.POWER, first, behind, ends)
        logits = headers.block(wire.Type.LOGITS, first, behind, ends)
        state.frames += behind - first
        state.next_seq += behind - first
        if run is not None:
            run.frames += behind - first
        if tokens is not None:
            gathered.tokens(tokens)
        if logits is not None:
            gathered.logits(logits)
        if power is not None:
            self.frames.power(run, power)

    def cut(self) -> None:
        """End what is under way: the port vanished here, and what follows is the middle of something else."""
        for piece in self.splitter.finish():
            self.take(piece)
        self.splitter.in_text = False
        self.frames.state.line = None

    def take(self, piece: wire.Piece) -> None:
        """Decode a piece. Where the first RUN_BEGIN was lost, what comes of the run waits for the next one.

        So a row does not depend on where a segment ends: what waits there is left to the next segment.
        """
        frame = piece.frame
        if not self.waiting:
            if frame is None or not self.must_wait(frame):
                self.frames.piece(piece)
                return
            self.waiting.append(piece)
            return
        first = self.waiting[0].frame
        assert first is not None
        if frame is not None and not wire.from_host(frame):
            if frame.boot != first.boot or frame.run not in (0, first.run):
                self.release(None)
                self.take(piece)
                return
            if frame.run and frame.type in (wire.Type.RUN_BEGIN, wire.Type.RUN_END):
                self.release(frame)
                self.frames.piece(piece)
                return
        self.waiting.append(piece)
        if piece.end - self.waiting[0].start > _WAIT_BYTES:
            self.release(None)

    def must_wait(self, frame: wire.Frame) -> bool:
        """Tell whether a frame belongs to a run whose begin has not come."""
        state, name = self.frames.state, (frame.boot, frame.run)
        if not frame.run or wire.from_host(frame) or frame.type in (wire.Type.RUN_BEGIN, wire.Type.RUN_END):
            return False
        if frame.boot == state.boot and frame.seq < state.next_seq and frame.seq not in state.missing:
            return False
        if frame.boot == state.old_boot and frame.seq in state.old_missing:
            return False
        run = state.run
        known = run is not None and (run.boot, run.run) == name and run.t_begin is not None
        return not known and not state.is_over(*name)

    def release(self, begun: wire.Frame | None) -> None:
        """Decode what waited; ``begun`` is the frame that says when the run began."""
        waiting, self.waiting, self.frames.begun = self.waiting, [], begun
        for piece in waiting:
            self.frames.piece(piece)
        self.frames.begun = None


def _windows(data: Iterable[bytes], offset: int, breaks: Iterable[int]) -> Iterator[tuple[bytes, bool]]:
    """Yield the bytes from a stream offset on in windows, and whether the port vanished behind each."""
    cuts = sorted(at for at in set(breaks) if at >= offset)
    if cuts and cuts[0] == offset:
        yield b"", True
        cuts.pop(0)
    for chunk in data:
        begin = 0
        while begin < len(chunk):
            end = min(begin + _WINDOW_BYTES, len(chunk))
            broken = bool(cuts) and offset + end - begin >= cuts[0]
            if broken:
                end = begin + cuts.pop(0) - offset
            yield chunk[begin:end], broken
            offset += end - begin
            begin = end


def decode_port(
    data: Iterable[bytes],
    state: PortState,
    *,
    capture_id: str,
    port: int,
    facts: Mapping[str, Any],
    reads: Reads | Iterable[Reads],
    final: bool = False,
    end_status: str | None = None,
    take: Callable[[Rows], None] | None = None,
    breaks: Iterable[int] = (),
) -> tuple[Rows, PortState]:
    """Decode what came over one port, going on from ``state``.

    Parameters
    ----------
    data
        The bytes from stream offset ``state.offset`` on, in chunks.
    state
        What earlier bytes left; it is not changed.
    capture_id, port
        Name the rows.
    facts
        What the host knows of every run of this port (columns of ``runs``, and ``tags``).
    reads
        Offsets (at which each read began) and host times in nanoseconds from the capture's begin, at once or, in
        order, a part after the other.
    final
        True if no byte will follow: a torn frame is counted, and a run that is still open ends.
    end_status
        Status of a run that ``final`` ends: ``aborted`` or ``timeout``; None says that it is still going on.
    take
        Is given the rows as they come, so that memory does not grow with the stream; else they are returned.
    breaks
        Stream offsets at which the port had vanished: nothing goes on from before them to behind them.

    Returns
    -------
    Rows, PortState
        The rows that nobody took, and the state behind the last whole piece.
    """
    times = ReadTimes([reads] if isinstance(reads, tuple) else reads)
    after = PortState.from_json(state.to_json())
    frames = PortFrames(after, capture_id=capture_id, port=port, facts=facts, times=times)
    decoder, since = _Port(frames), 0
    for window, broken in _windows(data, state.offset, breaks):
        decoder.feed(window)
        if broken:
            decoder.cut()
        since += len(window)
        if since >= _FLUSH_BYTES:
            frames.flush()
            times.forget(decoder.waiting[0].start if decoder.waiting else decoder.splitter.consumed)
            if take is not None:
                take(frames.gathered.take_rows())
            since = 0
    if final:
        for piece in decoder.splitter.finish():
            decoder.take(piece)
        decoder.release(None)
    after.offset, after.in_text = decoder.splitter.consumed, decoder.splitter.in_text
    if decoder.waiting:
        after.offset, after.in_text = decoder.waiting[0].start, False
    frames.flush()
    if final and after.run is not None:
        frames.close(after.run, end_status, None)
    frames.finish()
    rows = frames.gathered.take_rows()
    if take is not None:
        take(rows)
        rows = Rows()
    return rows, after
