"""Which meters a data set has of a board, and their rows of ``power`` and ``events``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from edgeprof.energy.align_runs import BoardRun

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["MeterSource", "PowerRows", "lost_frames", "meter_edges", "meters_for", "power_rows", "started_ns"]

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MeterSource:
    """A meter that may have measured a board.

    Attributes
    ----------
    kind
        ``own`` (samples in the run itself), ``port`` (a board of its own in the capture), ``file`` (imported).
    capture_id, port, meter
        Which rows of ``power``.
    settings
        What ``captures.settings`` says of its port.
    """

    kind: str
    capture_id: str
    port: int
    meter: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the user can call it, and no other."""
        of = {"own": "", "port": f" on port {self.port}", "file": f" in {self.capture_id}, file {self.port}"}
        return self.meter + of[self.kind]


@dataclass(frozen=True, slots=True)
class PowerRows:
    """Rows of one meter in order of arrival, shape (n,): ticks (NaN outside of runs), times, and what was measured."""

    ticks: Float
    t_host_ns: Int
    current_ua: Float
    voltage_mv: Float


def meters_for(ds: Dataset, run: BoardRun) -> list[MeterSource]:
    """Return the meters that may have measured a run."""
    files = {
        (str(row["capture_id"]), port): said
        for row in ds.arrow("captures", ["capture_id", "settings"]).to_pylist()
        for port, said in enumerate(_settings(row["settings"]))
        if said.get("measures") == run.capture_id and said.get("measures_port", 0) == run.port
    }
    captures, found = {run.capture_id, *(capture for capture, _ in files)}, []
    for capture_id, run_id, port, meter in _combinations(ds, ["capture_id", "run_id", "port", "meter"], captures):
        if (capture_id, port) in files:
            found.append(MeterSource("file", capture_id, port, meter, files[capture_id, port]))
        elif run_id == run.run_id:
            found.append(MeterSource("own", capture_id, port, meter))
        elif capture_id == run.capture_id and port != run.port and run_id is None:
            found.append(MeterSource("port", capture_id, port, meter))
    return sorted(found, key=lambda source: (source.kind, source.name))


def power_rows(
    ds: Dataset, source: MeterSource, run_id: str | None = None, window_ns: tuple[float, float] = (-np.inf, np.inf)
) -> PowerRows:
    """Read the rows of a meter.

    Parameters
    ----------
    ds, source
        Which rows.
    run_id
        Only those of this run.
    window_ns
        Only those with ``t_host_ns`` in between: of a long file no more is kept in memory.
    """
    columns = ["capture_id", "port", "meter", "run_id", "ticks", "t_host_ns", "current_ua", "voltage_mv"]
    parts: list[list[Float]] = []
    times: list[Int] = []
    for batch in ds.batches("power", columns):
        mine = _equals(batch, "capture_id", source.capture_id) & _equals(batch, "meter", source.meter)
        mine &= batch["port"].to_numpy(zero_copy_only=False) == source.port
        if run_id is not None:
            mine &= _equals(batch, "run_id", run_id)
        if not mine.any():
            continue
        at = batch["t_host_ns"].fill_null(0).to_numpy(zero_copy_only=False)
        mine &= (at >= window_ns[0]) & (at <= window_ns[1])
        numbers = [batch[name].cast(pa.float64(), safe=False) for name in ("ticks", "current_ua", "voltage_mv")]
        parts.append([values.to_numpy(zero_copy_only=False)[mine] for values in numbers])
        times.append(at[mine])
    if not parts:
        return PowerRows(np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    ticks, current, voltage = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PowerRows(ticks, np.concatenate(times), current, voltage)


def meter_edges(ds: Dataset, source: MeterSource) -> dict[str, Float]:
    """Return the edges that a file has, in nanoseconds of its time and in order, channel by channel."""
    rows = ds.arrow(
        "events", ["start", "detail"], {"capture_id": source.capture_id, "port": source.port, "kind": "gpio edge"}
    )
    channels: dict[str, list[float]] = {}
    for start, detail in zip(rows["start"].to_pylist(), rows["detail"].to_pylist(), strict=True):
        if start is not None:
            channels.setdefault(str(detail).split(" ")[0], []).append(start)
    return {channel: np.unique(np.array(edges, np.float64)) for channel, edges in sorted(channels.items())}


def lost_frames(ds: Dataset, source: MeterSource) -> list[tuple[int, int]]:
    """Return a port's gaps: when the host had the frame behind it, and how many frames are missing."""
    rows = ds.arrow(
        "events", ["start", "detail"], {"capture_id": source.capture_id, "port": source.port, "kind": "gap"}
    )
    pairs = zip(rows["start"].to_pylist(), rows["detail"].to_pylist(), strict=True)
    counts = ((start, str(detail).split(" ")[0]) for start, detail in pairs if start is not None)
    return [(start, int(count)) for start, count in counts if count.isdecimal()]


def started_ns(ds: Dataset, run: BoardRun, source: MeterSource) -> float | None:
    """Return the file's time at the begin of the board's capture, by wall clocks; None where the file has none.

    Nanoseconds; what is below a microsecond is of no use and left out.
    """
    said = source.settings.get("started_at")
    began = ds.arrow("captures", ["started_at"], {"capture_id": run.capture_id})["started_at"].to_pylist()
    if not said or not began or not began[0]:
        return None
    try:
        file_began, capture_began = _when(str(said)), _when(str(began[0]))
        return (capture_began - file_began).total_seconds() * 1e9
    except (ValueError, TypeError):
        return None


def _when(text: str) -> datetime:
    """Read a time in UTC, of which a meter's may have nanoseconds."""
    return datetime.fromisoformat(text[:26].partition("+")[0].rstrip("Z")).replace(tzinfo=UTC)


def _settings(text: str | None) -> list[dict[str, Any]]:
    said = json.loads(text or "[]")
    return [entry if isinstance(entry, dict) else {} for entry in said] if isinstance(said, list) else []


def _equals(batch: pa.RecordBatch, name: str, value: str) -> npt.NDArray[np.bool_]:
    """Compare a column of coded text; null is unequal."""
    column: Any = batch[name]
    known = column.dictionary.to_pylist()
    if value not in known:
        return np.zeros(len(column), bool)
    codes: npt.NDArray[np.int32] = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(codes == known.index(value))


def _combinations(ds: Dataset, columns: list[str], captures: Iterable[str]) -> set[tuple[Any, ...]]:
    """Return the rows of ``power`` that differ in these columns, of some captures."""
    wanted = set(captures)
    found: set[tuple[Any, ...]] = set()
    for batch in ds.batches("power", columns):
        kinds = pa.Table.from_batches([batch]).group_by(columns).aggregate([]).to_pylist()
        found |= {tuple(kind[c] for c in columns) for kind in kinds if kind["capture_id"] in wanted}
    return found
