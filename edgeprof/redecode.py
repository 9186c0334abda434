"""Tables anew from the wire bytes that were kept: what the board said, as this version of edgeprof understands it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from edgeprof.care import verify_wire
from edgeprof.decode_state import PortState, Rows
from edgeprof.errors import StorageError
from edgeprof.host_events import host_events
from edgeprof.kept import KeptWire, spans
from edgeprof.rewrite import Outcome, capture_id, choose, closed, each, next_generation, rewriting
from edgeprof.seal import decode_from, load_capture, states_after, write_segment

__all__ = ["redecode"]


def redecode(path: str | Path, captures: Iterable[str] = ()) -> list[Outcome]:
    """Decode the kept wire bytes of closed captures again, segment by segment.

    Tables may be damaged, wire bytes may not. Whatever ends this leaves a capture's old tables or its new ones.

    Parameters
    ----------
    path
        The data set, or one capture in it.
    captures
        Names of captures; all by default.

    Returns
    -------
    list of Outcome
        One a capture. Code 2: it is not closed, or kept no wire bytes; 5: it is still going on, is damaged, or cannot
        be written. In all of these it is as it was.
    """
    return each(choose(Path(path), captures), _redecode)


def _redecode(capture: Path) -> Outcome:
    name = capture_id(capture)
    with rewriting(capture) as manifests:
        if not closed(manifests):
            return Outcome(name, "left alone: it is not closed; `edgeprof recover` closes it", 2)
        if not all("wire" in span for _, span in spans(manifests)):
            return Outcome(name, "left alone: its wire bytes were not kept", 2)
        for folder, span in spans(manifests):
            for finding in verify_wire(capture / folder, span):
                raise StorageError(f"{finding.where}: {finding.what}; it was left as it was.")
        header = load_capture(capture)
        source, events = KeptWire(capture, manifests), host_events(capture, manifests[-1], header)
        states, written = states_after([], len(header["ports"])), list[dict[str, Any]]()
        for old in manifests:
            ends = {span["port"]: span["end"] for span in old["ranges"]}
            decode = partial(_decode, source, header, states, ends, events, final=old["final"])
            new = write_segment(
                capture, header, old["segment"], source, states, decode,
                earlier=written, final=old["final"], generation=next_generation(manifests),
            )  # fmt: skip
            assert new is not None  # it is written even if it is empty, as the old one was
            written.append(new)
            states = states_after([new], len(states))
    changed = sorted({table for table, *_ in _tables(manifests) ^ _tables(written)})
    return Outcome(name, f"redecoded: {', '.join(changed)} changed" if changed else "redecoded: the same tables")


def _decode(
    source: KeptWire, header: dict[str, Any], states: list[PortState], ends: dict[int, int],
    events: list[dict[str, Any]], take: Callable[[Rows], None], *, final: bool,
) -> list[PortState]:  # fmt: skip
    return decode_from(source, header, states, ends.__getitem__, events, final=final, take=take)[1]


def _tables(manifests: list[dict[str, Any]]) -> set[tuple[str, int, str, str]]:
    return {(e["table"], m["segment"], e["path"], e["sha256"]) for m in manifests for e in m["files"]}
