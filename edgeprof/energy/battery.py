"""How long a battery lasts at a duty cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeprof.errors import UsageError

__all__ = ["BatteryLife", "battery_life"]

MONTH_DAYS = 365.25 / 12
UJ_A_MAH = 3.6e3
"""Microjoules of a milliampere-hour at a millivolt: 3.6 coulombs times a thousandth of a volt."""


@dataclass(frozen=True, slots=True)
class BatteryLife:
    """Days until the battery is empty, between which two values, and the share of the drain that tokens are."""

    days: float
    days_low: float
    days_high: float
    token_share: float


def battery_life(
    *, capacity_mah: float, voltage_mv: float, sleep_current_ua: float, tokens_per_day: float,
    energy_per_token_uj: float, energy_low_uj: float | None = None, energy_high_uj: float | None = None,
    self_discharge_percent: float = 0.0,
) -> BatteryLife:  # fmt: skip
    """Return how long a battery lasts.

    Parameters
    ----------
    capacity_mah
        What the battery holds and the board can use.
    voltage_mv
        The battery's mean voltage, at which the energy was measured.
    sleep_current_ua
        What the board takes all day, tokens or not.
    tokens_per_day
        How many are generated.
    energy_per_token_uj, energy_low_uj, energy_high_uj
        Of a token, net of what the board takes anyway, with its interval; without one the days have none either.
    self_discharge_percent
        How much of its charge the battery loses by itself, per month.

    Raises
    ------
    UsageError
        A number is impossible, or nothing drains the battery.

    Notes
    -----
    Each day q = 24 I_sleep + n E / V is taken. The charge Q obeys dQ/dt = -q - k Q, with k = -ln(1 - s) a month, so
    that it is used up at t = ln(1 + k Q_0 / q) / k, which is Q_0 / q without self-discharge. Assumed: voltage, capacity
    and self-discharge stay what they are as the battery ages, cools and empties.
    """
    for name, value, zero in (
        ("capacity_mah", capacity_mah, False), ("voltage_mv", voltage_mv, False),
        ("sleep_current_ua", sleep_current_ua, True), ("tokens_per_day", tokens_per_day, True),
        ("energy_per_token_uj", energy_per_token_uj, True), ("self_discharge_percent", self_discharge_percent, True),
    ):  # fmt: skip
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise UsageError(f"{name} must be {'zero or more' if zero else 'more than zero'}; it is {value}.")
    if self_discharge_percent >= 100:
        raise UsageError(f"self_discharge_percent is of a month, below 100; it is {self_discharge_percent}.")
    low = energy_per_token_uj if energy_low_uj is None else energy_low_uj
    high = energy_per_token_uj if energy_high_uj is None else energy_high_uj
    if not low <= energy_per_token_uj <= high < math.inf:
        raise UsageError(
            f"The energy of a token, {energy_per_token_uj} uJ, is not between its ends, {low} and {high} uJ."
        )
    decay = -math.log1p(-self_discharge_percent / 100) / MONTH_DAYS
    sleeping_mah = sleep_current_ua * 24e-3

    def days(token_uj: float) -> float:
        drain = sleeping_mah + tokens_per_day * max(token_uj, 0.0) / (UJ_A_MAH * voltage_mv)
        if drain == 0:
            return math.inf
        return math.log1p(decay * capacity_mah / drain) / decay if decay else capacity_mah / drain

    found = days(energy_per_token_uj)
    if math.isinf(found):
        raise UsageError("Nothing drains this battery: there are no tokens, and no current in sleep. Say one of them.")
    tokens = tokens_per_day * energy_per_token_uj / (UJ_A_MAH * voltage_mv)
    return BatteryLife(found, days(high), days(low), tokens / (tokens + sleeping_mah))
