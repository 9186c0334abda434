"""MLPerf Tiny's device under test: its windows of inferences, what it is called, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

from edgeprof.adapters.items import NUMBER, Claim, Item, Refused, Said
from edgeprof.mlperf_rules import Window, elapsed_us, inferences_s

__all__ = ["ENERGY", "MLPERFTINY"]

ENERGY = "it is in energy mode and moves a pin instead of printing its time stamps"

_LAP = re.compile(r"m-lap-us-([0-9]{1,15})")
_START = re.compile(r"m-infer-start-([0-9]{1,9})")
_RESULTS = re.compile(rf"m-results-\[(-?{NUMBER}(?:, ?-?{NUMBER}){{0,31}})\]")
_SAID = (
    re.compile(r"m-(name)-dut-\[([^]]{1,200})\]"),
    re.compile(r"m-(profile|model)-\[([^]]{1,200})\]"),
    re.compile(r"m-timestamp-(mode)-(performance|energy)"),
)
_REFUSED = (re.compile(r"e-\[(.{1,200})\]"), re.compile(r"(Supplied buffer size [0-9]+ exceeds maximum of [0-9]+)"))


class _MlperfTiny:
    """Two time stamps between ``m-infer-start`` and ``m-infer-done`` are a window; elsewhere one is only itself."""

    name = "mlperftiny"
    description = "MLPerf Tiny's DUT, also behind its interface board"
    example = (
        "m-timestamp-mode-performance\n"
        "m-name-dut-[ACME]\n"
        "m-profile-[ULPMark for tinyML Firmware V0.0.1]\n"
        "m-model-[kws01]\n"
        "m-infer-start-1200\n"
        "m-lap-us-1234567\n"
        "[dut]: m-lap-us-12345678\n"
        "m-infer-done\n"
        "m-results-[0.005,0.991]"
    )

    def feed(self, line: str, memory: dict[str, Any]) -> list[Item]:
        """Return what a line says; the window that is open is remembered."""
        line = line.removeprefix("[dut]: ")
        if not line.startswith(("m-", "e-[", "Supplied buffer size ")):
            return []
        if found := _START.fullmatch(line):
            memory["inferences"], memory["laps"] = int(found[1]), []
        elif found := _LAP.fullmatch(line):
            if "laps" in memory:
                memory["laps"] = [*memory["laps"], int(found[1])][:3]
            return [Claim("claimed_timestamp_us", float(found[1]))]
        elif line == "m-infer-done" and "laps" in memory:
            return _window(memory.pop("inferences"), memory.pop("laps"))
        elif found := _RESULTS.fullmatch(line):
            scores = [float(score) for score in found[1].split(",")]
            return [Claim(f"claimed_class_{number}_score", score) for number, score in enumerate(scores)]
        else:
            return _words(line)
        return []


def _window(inferences: int, laps: list[int]) -> list[Item]:
    """Return the claims of a window, or why it is none."""
    if not laps:
        return [Refused(f"a window without time stamps: {ENERGY}")]
    time_us = elapsed_us(*laps) if len(laps) == 2 else None
    if not time_us or not inferences:
        stamps = ", ".join(map(str, laps))
        return [Refused(f"a window of {inferences} inferences with the time stamps {stamps}: they tell no time")]
    window = Window(inferences, time_us)
    return [
        Claim("claimed_window_us", float(time_us)),
        Claim("claimed_window_inferences", float(inferences)),
        Claim("claimed_inferences_s", inferences_s(window)),
    ]


def _words(line: str) -> list[Item]:
    for pattern in _SAID:
        if found := pattern.fullmatch(line):
            return [Said(found[1], found[2])]
    for pattern in _REFUSED:
        if found := pattern.fullmatch(line):
            return [Refused(f"the device says: {found[1]}")]
    return []


MLPERFTINY = _MlperfTiny()
