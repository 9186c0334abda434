"""What a data set says of the times of a board's runs: where passes end, when the host had them, where edges are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from edgeprof.clock import ClockFit
from edgeprof.energy.align_host import fit_arrivals
from edgeprof.energy.align_lines import FEWEST
from edgeprof.errors import NotComparableError

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["BoardRun", "board_run", "board_runs"]

Int = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BoardRun:
    """The times of one run, in ticks from its begin.

    Attributes
    ----------
    run_id, capture_id, port
        Which run.
    tick_hz
        Ticks a second.
    last_tick
        Where it ended; of a run without an end, the end of its last pass that arrived.
    sent, host_ns
        Frames of tokens: when each was sent at the earliest, and when the host had it.
    edges
        When the board toggled its pin: as it says in EVENT frames, else its begin, the end of each pass and its end.
    said
        It did say so.
    """

    run_id: str
    capture_id: str
    port: int
    tick_hz: float
    last_tick: int
    sent: Int
    host_ns: Int
    edges: Int
    said: bool

    def on_host(self) -> ClockFit:
        """Fit its ticks to the host's time; errors as of :func:`edgeprof.energy.align_host.fit_arrivals`."""
        return fit_arrivals(self.sent, self.host_ns, self.tick_hz)

    def ns(self, ticks: Int) -> npt.NDArray[np.float64]:
        """Return ticks as nanoseconds of the board's nominal clock."""
        return ticks.astype(np.float64) * (1e9 / self.tick_hz)


def board_run(ds: Dataset, run: str | int) -> BoardRun:
    """Return the times of one run.

    Raises
    ------
    UsageError
        There is no such run, or there are several.
    NotComparableError
        A tick of its board is no time, or none of its passes arrived.
    """
    return _of(ds, [ds.run(run).run_id])[0]


def board_runs(ds: Dataset, capture_id: str, port: int, *, timed: bool = False) -> list[BoardRun]:
    """Return the times of all runs of a board in a capture.

    Errors as of :func:`board_run`; or, where only those that are ``timed`` are asked for, the others are left out.
    """
    rows = ds.arrow("runs", ["run_id"], {"capture_id": capture_id, "port": port})
    return _of(ds, [str(name) for name in rows["run_id"].to_pylist()], timed=timed)


def _of(ds: Dataset, run_ids: Sequence[str], *, timed: bool = False) -> list[BoardRun]:
    columns = ["run_id", "capture_id", "port", "tick_hz", "ticks_total"]
    rows = ds.arrow("runs", columns, {"run_id": run_ids}).to_pylist()
    tokens = ds.arrow("tokens", ["run_id", "ticks_start", "ticks", "t_host_ns"], {"run_id": run_ids})
    events = ds.arrow("events", ["run_id", "ticks"], {"run_id": run_ids, "kind": "gpio edge"})
    passes, edges = _by_run(tokens), _by_run(events)
    nothing = {name: np.zeros(0, np.int64) for name in ("ticks_start", "ticks", "t_host_ns")}
    found = []
    for row in rows:
        try:
            found.append(_one(row, passes.get(row["run_id"], nothing), edges.get(row["run_id"], nothing)["ticks"]))
        except NotComparableError:
            if not timed:
                raise
    return found


def _by_run(table: pa.Table) -> dict[str, dict[str, Int]]:
    """Return each run's rows as arrays; rows with an unknown time are left out."""
    table = table.drop_null().combine_chunks()
    if not len(table):
        return {}
    coded = table["run_id"].combine_chunks().dictionary_encode()
    codes, names = coded.indices.to_numpy(), [str(name) for name in coded.dictionary.to_pylist()]
    arrays = {name: table[name].to_numpy() for name in table.column_names if name != "run_id"}
    return {name: {c: values[codes == k] for c, values in arrays.items()} for k, name in enumerate(names)}


def _one(row: dict[str, object], passes: dict[str, Int], said: Int) -> BoardRun:
    run_id, tick_hz = str(row["run_id"]), row["tick_hz"]
    if not isinstance(tick_hz, float) or not 0 < tick_hz < np.inf:
        raise NotComparableError(
            f"A tick of {run_id} is no time (it has no tick_hz), so there is no energy of its passes. Boards say "
            "tick_hz where their clock has a rate (docs/instrument.md); emulated ones count, and draw no current."
        )
    ends = np.unique(passes["ticks_start"] + passes["ticks"])
    if not len(ends):
        raise NotComparableError(
            f"None of the passes of {run_id} arrived with a time: it cannot be held against a meter."
        )
    total = row["ticks_total"]
    last = int(total) if isinstance(total, int) else int(ends[-1])
    # A frame's records arrive together; it was sent behind the last of them.
    order = np.lexsort((passes["ticks_start"], passes["t_host_ns"]))
    behind = order[np.append(np.diff(passes["t_host_ns"][order]) > 0, True)]
    sent = (passes["ticks_start"] + passes["ticks"])[behind]
    edges = np.unique(said) if len(said) >= FEWEST else np.unique(np.concatenate(([0], ends, [last])))
    return BoardRun(
        run_id, str(row["capture_id"]), int(str(row["port"])), tick_hz, last, sent, passes["t_host_ns"][behind], edges,
        len(said) >= FEWEST,
    )  # fmt: skip
