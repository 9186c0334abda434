"""What a meter said of one run, in numbers, as metrics take it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["SYNTHETIC", "RunEnergy", "is_synthetic"]

SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class RunEnergy:
    """The energy of a run; NaN where it is unknown.

    Attributes
    ----------
    meter
        What measured it; empty where nothing did.
    energy_uj, charge_uc
        From the begin of its first pass to the end of its last, in microjoules and microcoulombs.
    mean_power_uw, peak_power_uw
        Over the same time, in microwatts; the peak is of a sample.
    idle_power_uw
        What its board draws between runs of the capture, in microwatts.
    correct_token_uj, gained_bit_uj
        As :func:`edgeprof.energy.per_run.energy_per_run` has them, in microjoules.
    reason, net_reason
        Why the energy, or the idle power, is unknown, in words; empty where it is known.
    """

    meter: str = ""
    energy_uj: float = math.nan
    charge_uc: float = math.nan
    mean_power_uw: float = math.nan
    peak_power_uw: float = math.nan
    idle_power_uw: float = math.nan
    correct_token_uj: float = math.nan
    gained_bit_uj: float = math.nan
    reason: str = ""
    net_reason: str = ""


def is_synthetic(meter: object) -> bool:
    """Tell whether a meter's name says that its samples were made, and not measured."""
    return isinstance(meter, str) and meter.startswith(SYNTHETIC)
