"""A run on the time of an imported file: by a digital input that saw the board's pin, else by wall clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgeprof.energy.align import WALL_CLOCK_US, Alignment, by_edges, by_host
from edgeprof.energy.align_edges import match_edges
from edgeprof.energy.align_lines import EdgeFit
from edgeprof.energy.align_runs import BoardRun, board_runs
from edgeprof.energy.align_sources import MeterSource, meter_edges, power_rows, started_ns
from edgeprof.errors import NotComparableError, UsageError

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["align_file"]

Float = npt.NDArray[np.float64]


def align_file(ds: Dataset, run: BoardRun, source: MeterSource) -> Alignment:
    """Align a run with an imported file: by edges, else by wall clocks."""
    offset = started_ns(ds, run, source)
    host = run.on_host() if offset is not None and len(run.sent) else None
    about = None
    if host is not None and offset is not None:
        near = float(host.to_host_ns(0)) + offset
        wide = (WALL_CLOCK_US + host.error_us) * 1e3
        about = (near - wide, near + wide)
    try:
        fit, channel = _edges(ds, run, source, about)
    except NotComparableError as error:
        if host is None or offset is None:
            raise NotComparableError(
                f"{source.name} cannot be aligned with {run.run_id}. By edges: {error} By the clock: the file does not "
                "say when it began; give it with --started at import, to a second at best, or share an edge "
                "(docs/instrument.md)."
            ) from error
        words = f"by wall clocks, which two computers keep within {WALL_CLOCK_US / 1e6:g} s; by no edges: {error}"
        return by_host(host, offset, WALL_CLOCK_US, words)
    whose = "the board's own EVENT records" if run.said else "begin, end of each pass, and end"
    return by_edges(fit, run.tick_hz, run.last_tick, f"{channel} against {whose}")


def _edges(ds: Dataset, run: BoardRun, source: MeterSource, about: tuple[float, float] | None) -> tuple[EdgeFit, str]:
    """Return the fit of that digital input on which most edges match."""
    channels = meter_edges(ds, source)
    if not channels:
        raise NotComparableError("the file has no digital input that changed.")
    period_ns = 1e9 / float(source.settings.get("rate_hz") or 0) if source.settings.get("rate_hz") else None
    if period_ns is None:
        first = power_rows(ds, source, None, (0.0, 1e9)).t_host_ns
        period_ns = float(np.median(np.diff(first))) if len(first) > 1 else 1e6
    fits: list[tuple[EdgeFit, str]] = []
    reasons: list[NotComparableError | UsageError] = []
    for channel, edges in channels.items():
        try:
            fit = match_edges(run.ns(run.edges), edges, period_ns, about=about, others=lambda: _others(ds, run))
            fits.append((fit, channel))
        except (NotComparableError, UsageError) as error:
            reasons.append(error)
    if fits:
        return max(fits, key=lambda found: found[0].matched)
    # That a rate is wrong says more than that another input shows nothing.
    raise next((error for error in reasons if isinstance(error, UsageError)), reasons[0])


def _others(ds: Dataset, run: BoardRun) -> tuple[Float, float]:
    """Return the edges of the board's other runs on this run's axis, as the host timed both, and its error."""
    here, parts = run.on_host(), []
    error_us = here.error_us
    for other in board_runs(ds, run.capture_id, run.port, timed=True):
        if other.run_id != run.run_id and len(other.sent):
            fit = other.on_host()
            parts.append(fit.to_host_ns(other.edges) - float(here.to_host_ns(0)))
            error_us = max(error_us, here.error_us + fit.error_us)
    return (np.concatenate(parts) if parts else np.zeros(0)), error_us * 1e3
