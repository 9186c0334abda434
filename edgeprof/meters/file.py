"""What a meter's file holds, whatever its format, and what the user says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.energy.samples import Samples

__all__ = ["Edges", "Finding", "MeterFile", "MeterOptions", "Reading", "no_edges"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file that a reader of its numbers must know.

    Attributes
    ----------
    kind : str
        ``gap``, ``missing``, ``saturation`` and so on: docs/meters.md lists them.
    text : str
        In words.
    fatal : bool
        The file cannot be believed, so it is not imported.
    start_ns, end_ns : int or None
        From where to where, in nanoseconds from the file's first sample; None is all of it.
    """

    kind: str
    text: str
    fatal: bool = False
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges on the meter's digital inputs, in order of time.

    Attributes
    ----------
    at_ns : numpy.ndarray of int
        When the first sample showed each, in nanoseconds from the file's first sample; shape (n,).
    detail : numpy.ndarray of str
        Line and direction, as ``D0 rising``; shape (n,).
    """

    at_ns: npt.NDArray[np.int64]
    detail: npt.NDArray[np.str_]


def no_edges() -> Edges:
    """Return what a file without digital inputs has."""
    return Edges(np.zeros(0, np.int64), np.zeros(0, np.str_))


@dataclass(frozen=True, slots=True)
class MeterFile:
    """A meter's file.

    Attributes
    ----------
    form : str
        One of :data:`edgeprof.meters.read.FORMATS`.
    samples : Samples
        On the meter's own clock: ``start_ns`` is 0 at the file's first sample.
    edges : Edges
        On the same clock.
    findings : tuple of Finding
        None of them changed a number.
    rate_hz : float or None
        Samples a second; None where they are uneven.
    method : str
        Where the times come from: ``time stamps``, ``rate in the file`` or ``rate given``.
    started_at : str or None
        When the first sample was, in UTC, where the file says it.
    """

    form: str
    samples: Samples
    edges: Edges
    findings: tuple[Finding, ...]
    rate_hz: float | None
    method: str
    started_at: str | None = None


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """What the user says of a file, because the file does not.

    Attributes
    ----------
    voltage_mv : float or None
        The supply's voltage, where no column has it.
    rate_hz : float or None
        Samples a second, where no column has the time.
    columns : str
        Which columns are what, and in which unit: ``t=time_s:s,current=I:mA,voltage=U:V``.
    meter : str
        What the meter is called; by default its format says it.
    started_at : str
        When the first sample was, ISO 8601 with the offset from UTC.
    """

    voltage_mv: float | None = None
    rate_hz: float | None = None
    columns: str = ""
    meter: str = ""
    started_at: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what was said, to be kept with the capture."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MeterOptions:
        """Return the options that :meth:`to_json` wrote."""
        return cls(**data)


@dataclass(slots=True)
class Reading:
    """What a reader found, before times and samples are put together.

    Attributes
    ----------
    current_ua : numpy.ndarray of float
        Shape (n,), a row a sample.
    voltage_mv : numpy.ndarray of float or None
        Shape (n,), where the file has it.
    t_ns : numpy.ndarray or None
        Shape (n,), of any zero, where the file has it.
    states : dict
        By the line's name, its state at each row (:mod:`edgeprof.meters.bits`), as arrays of shape (n,).
    rate_hz : float or None
        Where the file says it.
    wall : bool
        The time stamps are of a clock on the wall, so they may jump where summer time begins or ends.
    resolution_ns : float
        What a time stamp can be off by, for it was written as a float.
    started_at : str or None
        When the first sample was, in UTC.
    edges : Edges or None
        Where they have a rate of their own, instead of ``states``.
    """

    current_ua: npt.NDArray[np.float64]
    voltage_mv: npt.NDArray[np.float64] | None = None
    t_ns: npt.NDArray[Any] | None = None
    states: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    rate_hz: float | None = None
    wall: bool = False
    resolution_ns: float = 0.0
    started_at: str | None = None
    edges: Edges | None = None
    findings: list[Finding] = field(default_factory=list)
