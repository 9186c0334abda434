"""A run's samples and how they lie on its time, out of a data set: whichever meter it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgeprof.energy.align import WALL_CLOCK_US, Alignment, by_device, by_host
from edgeprof.energy.align_files import align_file
from edgeprof.energy.align_runs import BoardRun, board_run, board_runs
from edgeprof.energy.align_samples import cut
from edgeprof.energy.align_sources import MeterSource, meters_for, power_rows, started_ns
from edgeprof.energy.align_streams import as_samples, board_samples, file_samples, host_samples, period_of
from edgeprof.energy.samples import Samples
from edgeprof.errors import NotComparableError, unknown_name

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["Recording", "meter_of", "recording_of"]

AROUND_NS = 1e9
"""Samples are kept from so long before a run to so long behind it."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recording:
    """All that a meter has of a board, for what it takes between runs.

    Attributes
    ----------
    samples
        Of the whole capture, in and between runs.
    begins_ns, ends_ns
        Of the board's runs, on the samples' clock, shape (m,).
    margin_ns
        By how much these may be off.
    """

    samples: Samples
    begins_ns: Float
    ends_ns: Float
    margin_ns: float


def meter_of(
    ds: Dataset, run: str | int, *, meter: str = "", voltage_mv: float | None = None
) -> tuple[Samples, Alignment]:
    """Return the samples around a run, and where its ticks lie on their time.

    Parameters
    ----------
    ds
        The data set.
    run
        The run, as ``ds.run`` takes it.
    meter
        Which meter, where there are several: its name, or what the error calls it.
    voltage_mv
        Millivolts of the supply, where the meter does not say it. Without any there is charge, and no energy.

    Returns
    -------
    Samples, Alignment
        The alignment is the best that there is; its ``words`` say why.

    Raises
    ------
    UsageError
        There is no such run or meter, a clock does not tick as it says, or two voltages contradict each other.
    NotComparableError
        No meter measured the run, several did, their samples are of another time, or nothing aligns them.
    """
    of = board_run(ds, run)
    source = _chosen(ds, of, meter)
    if source.kind == "own":
        rows = power_rows(ds, source, of.run_id)
        kept = ~np.isnan(rows.ticks)
        samples = as_samples(source, rows.ticks[kept] * (1e9 / of.tick_hz), rows, kept, voltage_mv)
        return _covered(samples, by_device(of.tick_hz, period_of(samples)), of)
    if source.kind == "port":
        samples, fit = host_samples(ds, source, voltage_mv)
        words = f"{source.name} has a clock of its own, and no edges: the host timed both"
        alignment = by_host(of.on_host(), 0.0, fit.error_us, words)
    else:
        alignment = align_file(ds, of, source)
        begin, end = alignment.to_meter_ns([0, of.last_tick])
        around = AROUND_NS + alignment.error_us * 1e3
        rows = power_rows(ds, source, None, (begin - around, end + around))
        if len(rows.t_host_ns) < 2:
            raise _apart(alignment, of, source.name)
        samples = file_samples(source, rows, voltage_mv)
    begin, end = alignment.to_meter_ns([0, of.last_tick])
    around = AROUND_NS + alignment.error_us * 1e3
    near = cut(samples, begin - around, end + around)
    if near is None:
        raise _apart(alignment, of, source.name)
    return _covered(near, alignment, of)


def recording_of(ds: Dataset, run: str | int, *, meter: str = "", voltage_mv: float | None = None) -> Recording:
    """Return all samples of the meter of a run, and where all runs of its board lie; parameters as of :func:`meter_of`.

    Raises
    ------
    UsageError, NotComparableError
        As :func:`meter_of`; and where the host did not see the board's runs arrive.
    """
    of = board_run(ds, run)
    source = _chosen(ds, of, meter)
    runs = board_runs(ds, of.capture_id, of.port)
    fits = [each.on_host() for each in runs]
    spans = np.array([fit.to_host_ns([0, each.last_tick]) for fit, each in zip(fits, runs, strict=True)])
    margin_us = max(fit.error_us for fit in fits)
    if source.kind == "file":
        samples, alignment = file_samples(source, power_rows(ds, source), voltage_mv), align_file(ds, of, source)
        here = next(span for span, each in zip(spans, runs, strict=True) if each.run_id == of.run_id)
        spans = spans + (float(alignment.to_meter_ns(0)) - here[0])
        margin_us = 2 * margin_us + alignment.error_us
    elif source.kind == "port":
        samples, fit = host_samples(ds, source, voltage_mv)
        margin_us += fit.error_us
    else:
        samples = board_samples(ds, source, runs, fits, voltage_mv)
    return Recording(samples, spans[:, 0], spans[:, 1], margin_us * 1e3)


def _chosen(ds: Dataset, run: BoardRun, meter: str) -> MeterSource:
    """Return the one meter of a run."""
    found = meters_for(ds, run)
    if not found:
        raise NotComparableError(
            f"No meter measured {run.run_id}: there is no power of it. Let the board or a meter board send its samples "
            f"(docs/howto-meter.md), or import a meter's file of it: edgeprof import FILE --measures {run.capture_id}."
        )
    if meter:
        named = [s for s in found if meter == s.name] or [s for s in found if meter in (s.meter, s.capture_id)]
        if not named:
            raise unknown_name("meter of this run", meter, [s.name for s in found])
        found = named
    else:
        _only_board(ds, run, found)
    found = _at_that_time(ds, run, found) if len(found) > 1 else found
    if len(found) > 1:
        names = ", ".join(repr(s.name) for s in found)
        raise NotComparableError(
            f"{len(found)} meters may have measured {run.run_id}: {names}. A board has one energy: choose with meter=."
        )
    return found[0]


def _only_board(ds: Dataset, run: BoardRun, found: Sequence[MeterSource]) -> None:
    """Raise if a meter board shares its capture with several boards, for then it is not known which it measured."""
    rows = ds.arrow("runs", ["port"], {"capture_id": run.capture_id})
    ports = np.unique(rows["port"].to_numpy()).tolist()
    shared = [s for s in found if s.kind == "port"]
    if shared and len(ports) > 1:
        raise NotComparableError(
            f"{shared[0].name} is in one capture with boards on ports {', '.join(map(str, ports))}, and nothing says "
            f"which of them it measured. If it was this one, say meter={shared[0].name!r}."
        )


def _at_that_time(ds: Dataset, run: BoardRun, found: list[MeterSource]) -> list[MeterSource]:
    """Leave out files of another time, where both their begin and their length are known."""
    kept = []
    for source in found:
        seconds, offset = source.settings.get("seconds"), started_ns(ds, run, source)
        if source.kind == "file" and seconds is not None and offset is not None and len(run.sent):
            fit = run.on_host()
            begin, end = fit.to_host_ns([0, run.last_tick]) + offset
            error = WALL_CLOCK_US * 1e3 + fit.error_us * 1e3
            if end + error < 0 or begin - error > float(seconds) * 1e9:
                continue
        kept.append(source)
    return kept or found


def _covered(samples: Samples, alignment: Alignment, run: BoardRun) -> tuple[Samples, Alignment]:
    """Say in the alignment's words how much of the run the samples cover, and whether there is a voltage."""
    begin, end = alignment.to_meter_ns([0, run.last_tick])
    if samples.t_ns is None:  # each sample stands for half a period before and behind it
        half = period_of(samples) / 2
        first, last = samples.start_ns - half, samples.start_ns + (2 * len(samples) - 1) * half
    else:
        first, last = float(samples.t_ns[0]), float(samples.t_ns[-1])
    inside = min(end, last) - max(begin, first)
    if inside <= 0:
        raise _apart(alignment, run, samples.meter)
    words = alignment.words
    if inside < end - begin:
        words += f"; the samples cover {min(100 * inside / (end - begin), 99.99):.4g} % of the run"
    if samples.voltage_mv is None:
        words += "; the voltage is not known, so there is charge and no energy: give voltage_mv="
    return samples, replace(alignment, words=words)


def _apart(alignment: Alignment, run: BoardRun, name: str) -> NotComparableError:
    begin, end = alignment.to_meter_ns([0, run.last_tick]) / 1e9
    hint = " Whole hours between the two are a local time that was taken for UTC." if alignment.method == "host" else ""
    return NotComparableError(
        f"{name} has no samples of {run.run_id}: by {alignment.method} the run is from {begin:.3f} to {end:.3f} s of "
        f"the meter's time, and the meter's samples are of another time.{hint} Is it the file of this capture?"
    )
