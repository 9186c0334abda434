"""All ports of one capture, and what the host noted, followed together."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from edgeprof.errors import StorageError
from edgeprof.host_events import host_events
from edgeprof.journal import events_path
from edgeprof.layout import segment_folder
from edgeprof.monitor.follow import COUNTED, PortFollower
from edgeprof.running import MARK
from edgeprof.seal import load_capture, load_manifests, states_after

__all__ = ["Watch"]

LOOK_BYTES = 8 << 20
"""So much at one look: what is far behind catches up without keeping others from the processor for long."""
_NOTES_KEPT = 5


class Watch:
    """What a capture's journal says, from its begin, or from behind what is sealed.

    Attributes
    ----------
    ports
        One a port, with figures and text.
    marks
        How many there are.
    notes
        The last things that the host noted, marks among them.
    """

    def __init__(self, capture: Path) -> None:
        self.capture, header = capture, load_capture(capture)
        self.ports = [PortFollower(capture, header, port) for port in range(len(header["ports"]))]
        self.process = header.get("process")
        self.marks, self.notes = 0, list[str]()
        self._start_ns: int = header["monotonic_start_ns"]
        self._events_read = 0
        self._breaks: dict[int, list[int]] = {}
        self._resume(range(len(self.ports)))

    def _resume(self, ports: Iterable[int]) -> None:
        """Go on behind the last sealed segment."""
        manifests, n_ports = load_manifests(self.capture), len(self.ports)
        states, rows = states_after(manifests, n_ports), _sealed_rows(self.capture, manifests, n_ports)
        for port in ports:
            self.ports[port].resume(states[port], rows[port])

    @property
    def now(self) -> float:
        """Seconds since the capture began."""
        return (time.monotonic_ns() - self._start_ns) / 1e9

    def look(self) -> bool:
        """Take what came since the last look, or a part of it; tell whether anything did."""
        changed = self._look_at_events()
        for number, port in enumerate(self.ports):
            taken = 0
            while taken < LOOK_BYTES:
                came = port.look(self._breaks.get(number, ()))
                if came is None:
                    self._resume([number])
                    came = 1
                if not came:
                    break
                taken += came
            changed |= taken > 0
        return changed

    def _look_at_events(self) -> bool:
        try:
            with events_path(self.capture).open("rb") as file:
                file.seek(self._events_read)
                new = file.read()
        except OSError:  # nothing was noted yet, or it is closed
            return False
        whole = new[: new.rfind(b"\n") + 1]
        self._events_read += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # torn, as by a crash
                self._note(json.loads(line))
        return bool(whole)

    def _note(self, event: Mapping[str, Any]) -> None:
        at = (event["t_ns"] - self._start_ns) / 1e9
        if event.get("kind") == MARK:
            self.marks += 1
        if event.get("kind") == "disconnected" and event.get("offset") is not None:
            self._breaks.setdefault(event.get("port", 0), []).append(event["offset"])
        self.notes = [*self.notes, f"{at:,.1f} s: {event.get('kind')}: {event.get('detail')}"][-_NOTES_KEPT:]

    def finish(self) -> None:
        """Take what the host noted from the closed capture: the end of its log may have gone between two looks."""
        with contextlib.suppress(StorageError, OSError):  # what is not whole is for the reader of the data set to say
            manifests = load_manifests(self.capture)
            if manifests and manifests[-1]["final"]:
                events = host_events(self.capture, manifests[-1], load_capture(self.capture))
                self.marks, self.notes, self._breaks = 0, [], {}
                for event in events:
                    self._note(event)

    def close(self) -> None:
        """Let go of all files."""
        for port in self.ports:
            port.close()


def _sealed_rows(capture: Path, manifests: Iterable[Mapping[str, Any]], n_ports: int) -> list[Counter[str]]:
    """Return how many rows of each counted table are sealed, port by port."""
    rows = [Counter[str]() for _ in range(n_ports)]
    for manifest in manifests:
        folder = capture / segment_folder(manifest["segment"], manifest.get("generation", 0))
        for entry in manifest["files"]:
            table = entry["table"]
            if table in COUNTED and n_ports == 1:
                rows[0][table] += entry["rows"]
            elif table in COUNTED:  # a file has the rows of all ports
                for port, count in _by_port(folder / entry["path"]).items():
                    rows[port][table] += count
    return rows


def _by_port(path: Path) -> dict[int, int]:
    """Count a file's rows by their port, which the table `tokens` has only in the run's name."""
    file = pq.ParquetFile(path)
    column = "port" if "port" in file.schema_arrow.names else "run_id"
    counts: Counter[int] = Counter()
    found: Any = file.read([column])[column].value_counts()
    for said in found.to_pylist():
        value = said["values"]
        counts[value if column == "port" else int(value.rpartition("/")[2].partition("-")[0])] += said["counts"]
    return counts
