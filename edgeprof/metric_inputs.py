"""What each metric takes, and the plain reason where a run does not have it: what is missing, and where it comes from.

A metric without a value has a reason, and one with a value has none; the tests hold both to that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from edgeprof import metric_values as values
from edgeprof.display import terminal_text
from edgeprof.passes import Passes

__all__ = [
    "Lack", "cache", "core_clock", "decode_passes", "idle_power", "intervals", "measured_passes", "metered",
    "model_work", "outcome", "prefill_passes", "prints", "said_by_firmware", "said_by_host", "scored",
    "slope_positions", "some_ticks", "stage", "steps", "time_clock", "whole_prompt",
]  # fmt: skip

Lack = Callable[[Any, Passes], str | None]
"""A run's row and its passes to what is missing, in words; None if it is there."""

_GENERATE = "have a prompt continued, `edgeprof capture --prompt TEXT`"
_SCORE = "have a text scored, `edgeprof capture --eval FILE --model FILE`"


def _not_run(run: Any) -> str | None:
    """Return why there can be no passes at all."""
    if run.status == "does_not_fit":
        return "; the model does not fit this board: choose fewer bits a weight, a shorter context or a larger board"
    if run.kind == "llama-bench":
        return ", and an imported benchmark holds none"
    return None


def _needs(run: Any, what: str, how: str) -> str:
    return f"needs {what}{_not_run(run) or f': {how}'}"


def prefill_passes(run: Any, passes: Passes) -> str | None:
    """Miss the passes of a prompt."""
    if values.prefill(run, passes) is not None:
        return None
    if passes.prefill.any():
        return _needs(run, "ticks and n_batch of prefill passes", "the board sent passes without them")
    return _needs(run, "prefill passes", _GENERATE)


def decode_passes(run: Any, passes: Passes) -> str | None:
    """Miss the passes of a generation."""
    if len(passes.decode_ticks):
        return None
    if passes.decode.any():
        return _needs(run, "ticks of decode passes", "the board sent passes without them")
    return _needs(run, "decode passes", _GENERATE)


def whole_prompt(run: Any, passes: Passes) -> str | None:
    """Miss the end of the prompt."""
    if values.ttft(run, passes) is not None:
        return None
    if not passes.prefill.any():
        return _needs(run, "prefill passes", _GENERATE)
    if not values.whole_prompt(run, passes):
        return "needs the end of the prompt: its last pass did not arrive; `runs.frames_lost` counts what was lost"
    return "needs ticks_start and ticks of the last prefill pass: the board sent it without them"


def intervals(run: Any, passes: Passes) -> str | None:
    """Miss two tokens in succession."""
    if len(passes.itl_ticks):
        return None
    return _needs(run, "two tokens in succession, and ticks_start and ticks of their passes", _GENERATE)


def steps(run: Any, passes: Passes) -> str | None:
    """Miss three tokens in succession."""
    if len(passes.itl_steps_ticks):
        return None
    return _needs(run, "three tokens in succession, and ticks_start and ticks of their passes", _GENERATE)


def slope_positions(run: Any, passes: Passes) -> str | None:
    """Miss positions to fit a line to."""
    if values.slope(run, passes) is not None:
        return None
    what = f"ticks of decode passes at {values.MIN_SLOPE_POSITIONS} positions"
    return _needs(run, what, "generate more, `edgeprof capture --tokens N`")


def some_ticks(per_token: values.Value) -> Lack:
    """Miss a cost that is more than nothing: a rate divides by it."""

    def lack(run: Any, passes: Passes) -> str | None:
        return None if per_token(run, passes) else "needs passes that took at least one tick: the board said 0 of all"

    return lack


def time_clock(run: Any, passes: Passes) -> str | None:
    """Miss a clock whose tick is time."""
    if values.hz(run, nominal=False) is not None:
        return None
    found = "what its clock counts is not known" if pd.isna(run.clock) else f"its clock is {_said(run.clock)!r}"
    if run.clock in values.EXACT_CLOCKS:
        return f"needs a clock that is time (`runs.tick_hz`): {found}, a count: use the nominal figure"
    return f"needs a clock that is time (`runs.tick_hz`): {found}, and the board did not say the rate of its ticks"


def core_clock(run: Any, passes: Passes) -> str | None:
    """Miss an exact clock, or the core's rate."""
    if values.hz(run, nominal=True) is not None:
        return None
    if run.clock not in values.EXACT_CLOCKS:
        return f"needs an exact clock ({', '.join(values.EXACT_CLOCKS)}): only of a count is there a nominal figure"
    return "needs the core's clock (`runs.board_clock_hz`), which the board did not say"


def prints(run: Any, passes: Passes) -> str | None:
    """Miss prints that the host timed."""
    if len(values.between_prints_s(run, passes)):
        return None
    if run.clock != "host":
        return (
            "needs prints that the host saw (`runs.clock` is host): this run was timed otherwise, use what it timed; "
            "`edgeprof capture` sees the prints of firmware that sends text alone"
        )
    return "needs two prints that the host saw and `runs.tick_hz`: capture for longer"


def apart(run: Any, passes: Passes) -> str | None:
    """Miss time between prints."""
    if values.between_prints_s(run, passes).sum():
        return None
    return "needs prints at different times: the host had all of them within one read"


def scored(run: Any, passes: Passes) -> str | None:
    """Miss an evaluation."""
    value = values.nll(run, passes)
    if value is None and run.kind == "score" and len(passes.scored):
        return (
            "needs nll of scored tokens: of each window of n_ctx tokens the second half counts, and this text ended "
            "before, or it was lost; score a longer text, or capture with a shorter context"
        )
    if value is None:
        return _needs(run, "nll of scored tokens", _SCORE)
    if np.isnan(value):
        return (
            "needs nll that add up to a number: the board said that of some tokens it is infinite, in both directions"
        )
    return None


def said_by_host(name: str) -> Lack:
    """Miss what the host reads from the model's file."""

    def lack(run: Any, passes: Passes) -> str | None:
        if not pd.isna(getattr(run, name)):
            return None
        return f"needs `runs.{name}`, which the host reads from the model: `edgeprof capture --model FILE`"

    return lack


def said_by_firmware(name: str) -> Lack:
    """Miss what firmware says of itself."""

    def lack(run: Any, passes: Passes) -> str | None:
        if not pd.isna(getattr(run, name)):
            return None
        return f"needs `runs.{name}`, which this firmware does not say: build it in with edgeprof.h"

    return lack


def stage(name: str) -> Lack:
    """Miss what a stage took of the decode passes."""

    def lack(run: Any, passes: Passes) -> str | None:
        share = passes.stage_shares.get(name)
        if share is not None and not np.isnan(share):
            return None
        if (missing := decode_passes(run, passes)) is not None:
            return missing
        if not passes.stage_shares:
            return "needs table `stages`: this firmware did not time the stages of its decode passes (`ep_stage`)"
        if share is not None:
            return "needs passes that took at least one tick: the board said 0 of all"
        return f"needs stage {name} in table `stages`: this firmware times others, but not that one"

    return lack


def model_work(run: Any, passes: Passes) -> str | None:
    """Miss the model's shape, or a decode pass."""
    if not passes.decode.any():
        return _needs(run, "decode passes", _GENERATE)
    if passes.work is not None:
        return None
    return (
        "needs the model's shape, which a data set does not hold: put the GGUF into its folder models, or name it "
        "(`models=`); it counts if name, quantization, parameters and bits per weight are the run's, of which "
        "`edgeprof capture --model FILE` makes known what the board does not say"
    )


def cache(run: Any, passes: Passes) -> str | None:
    """Miss the positions of decode passes."""
    if (passes.decode & passes.position_known).any():
        return None
    return "needs positions of decode passes: the board sent passes without them"


def metered(name: str) -> Lack:
    """Miss what a meter says of the whole run: a field of :class:`edgeprof.energy.run_energy.RunEnergy`."""

    def lack(run: Any, passes: Passes) -> str | None:
        if values.energy(name)(run, passes) is not None:
            return None
        if passes.energy is not None:
            return f"needs a meter's samples of all of the run, with a voltage: {passes.energy.reason.rstrip('.')}"
        if not pd.isna(run.emulator):
            return _needs(run, "a meter's samples", "an emulated board draws no current, so measure a real one")
        how = (
            "let the board or a meter board send them (docs/howto-meter.md), or import the file of a meter, `edgeprof "
            f"import FILE --measures {_said(run.capture_id)}`"
        )
        return _needs(run, "a meter's samples, of which this data set has none of this run", how)

    return lack


def measured_passes(phase: str) -> Lack:
    """Miss the energy of the ``prefill`` or ``decode`` passes."""
    whole = metered("energy_uj")

    def lack(run: Any, passes: Passes) -> str | None:
        if values.phase_energy(phase)(run, passes) is not None:
            return None
        if not (part := getattr(passes, phase)).any():
            return _needs(run, f"{phase} passes", _GENERATE)
        if not passes.timed(part).any():
            return f"needs ticks_start and ticks of {phase} passes: the board sent passes without them"
        return whole(run, passes) or (
            f"needs a meter's samples in each of the {phase} passes: of one more than 5 % are missing"
        )

    return lack


def idle_power(run: Any, passes: Passes) -> str | None:
    """Miss what the board draws between runs."""
    if values.energy("idle_power_uw")(run, passes) is not None:
        return None
    if passes.energy is None:
        return metered("energy_uj")(run, passes)
    return f"needs the idle power of the same capture, by the meter: {passes.energy.net_reason.rstrip('.')}"


def outcome(name: str, what: str) -> Lack:
    """Miss what the energy of an evaluation is divided by."""
    whole = metered("energy_uj")

    def lack(run: Any, passes: Passes) -> str | None:
        if values.energy(name)(run, passes) is not None:
            return None
        return whole(run, passes) or _needs(
            run, what, "have a text scored, `edgeprof capture --eval FILE --model FILE`"
        )

    return lack


def _said(text: Any) -> str:
    return terminal_text(str(text), 40)
