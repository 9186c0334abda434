"""MLPerf Tiny's device under test, in its performance mode: two of its timestamps embrace the inferences."""

from __future__ import annotations

from edgeprof.adapters.patterns import Patterns

__all__ = ["MLPERFTINY"]

# The same line answers `timestamp` and stands at both ends of `infer`, so it is a timestamp and no duration. 32 bits of
# microseconds begin anew after 71.6 minutes.
MLPERFTINY = Patterns(
    "mlperftiny",
    "MLPerf Tiny's DUT, also behind its interface board",
    "m-lap-us-1234567\n[dut]: m-lap-us-2345678",
    (r"(?:\[dut\]: )?m-lap-us-{timestamp_us}",),
)
