"""Whether a model fits a board and what a token costs there, before anything is flashed.

Memory is computed as the firmware computes it. Cost comes from captures of that board, and every prediction says how
far such predictions were off where a model was left out of the captures, and in which range that was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from edgeprof import boards
from edgeprof.calibration import Calibration, calibrate
from edgeprof.cost_model import FORCED, SAMPLED, CostModel
from edgeprof.display import Shown, Table
from edgeprof.errors import ModelError, UsageError
from edgeprof.footprint import Footprint, footprint
from edgeprof.metrics import EXACT_CLOCKS
from edgeprof.model_shape import KERNELS, ModelShape, read_shape
from edgeprof.object_plots import PredictionPlots
from edgeprof.observed import Captures
from edgeprof.prediction_range import checked_range, outside
from edgeprof.workload import STAGES, macs, weight_bytes_read

__all__ = ["NOT_CALIBRATED", "Prediction", "predict", "predict_shape", "without_kernel"]

NOT_CALIBRATED = "not calibrated"


@dataclass(frozen=True, repr=False)
class Prediction(Shown):
    """What a model would take of a board. What is not known is None.

    Attributes
    ----------
    board, clock, model, quant, tensor_types
        What was predicted of what; ``clock`` says what a tick is.
    n_params, n_ctx, position
        Parameters; positions in the KV cache; the position whose passes are predicted (tokens).
    fits : bool or None
        Whether RAM and flash suffice.
    memory : Footprint
        Bytes of each part, exact; the stack's is an upper bound.
    ram_bytes
        RAM that the board has.
    flash_bytes
        Flash that it has.
    status : str
        ``calibrated``, or ``not calibrated``: the board was never captured with such tensors, so cost is not known.
    missing : tuple of str
        The kinds of work that were never captured.
    prefill_ticks_per_token
        Ticks of a prefill pass, which computes no output.
    decode_ticks_per_token
        Ticks of a pass that samples a token.
    stages : DataFrame
        ``stage``, ``ticks`` (of the decode pass), ``macs`` and ``weight_bytes_read`` (of it).
    tok_s
        Decode rate in tokens per second, where the clock is time.
    nominal_tok_s
        The same at one tick a cycle, where the clock is no time.
    error : float or None
        The largest relative error of held-out predictions of this quantization (or its types) on this board; None where
        no other model was captured with it.
    error_of : str
        What that error was found with.
    calibrated_range : dict
        Dimension to the least and greatest value that was captured.
    outside : tuple of str
        Where the model lies outside of that range: there the error is not known.
    notes : tuple of str
        What was left out of the captures.
    """

    board: str
    clock: str | None
    model: str
    quant: str
    tensor_types: tuple[str, ...]
    n_params: int
    n_ctx: int
    position: int
    fits: bool | None
    memory: Footprint
    ram_bytes: int
    flash_bytes: int
    status: str
    missing: tuple[str, ...]
    prefill_ticks_per_token: float | None
    decode_ticks_per_token: float | None
    stages: pd.DataFrame
    tok_s: float | None
    nominal_tok_s: float | None
    error: float | None
    error_of: str
    calibrated_range: dict[str, tuple[int, int]]
    outside: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        stages = self.stages.astype(object).where(self.stages.notna(), None)
        return plain | {"memory": dataclasses.asdict(self.memory), "stages": stages.to_dict("records")}

    @property
    def plot(self) -> PredictionPlots:
        """Its plot: ``prediction.plot.stages()``."""
        return PredictionPlots(self)

    def _shown(self) -> Iterator[Table | str]:
        from edgeprof import prediction_tables as tables

        context = f"context of {self.n_ctx:,} tokens"
        yield Table(tables.memory_table(self), f"Predicted: {self.model} {self.quant} on {self.board}, {context}")
        yield Table(tables.cost_table(self), tables.summary(self))
        yield from (f"note: {note}" for note in self.notes)


def predict(
    model_path: str | Path, board: str, captures: Captures | None = None, *, quant: str | None = None,
    n_ctx: int | None = None, position: int | None = None, models: Iterable[str | Path] = (),
) -> Prediction:  # fmt: skip
    """Predict whether a model fits a board, and what a token costs there.

    Parameters
    ----------
    model_path
        A GGUF file; only its header is read.
    board
        The name of a board of the catalogue, or of one that was captured.
    captures
        Data sets with captures of that board, or their paths; by default those that come with edgeprof.
    quant
        Predict what ``edgeprof quantize`` would make of the file; by default the file as it is.
    n_ctx
        Positions in the KV cache; by default what the board takes, or the model's own limit if that is less.
    position
        The position whose passes are predicted, from 0; by default the middle of the context.
    models
        Further GGUF files, or folders of such, in which to look for what was captured.

    Returns
    -------
    Prediction
        ``status`` is ``not calibrated`` where the board was never captured with such tensors.

    Raises
    ------
    ModelError
        The file is no GGUF, is damaged, or is a model that the firmware does not run.
    UsageError
        There is no such board or quantization; a context or position that the model does not have.
    StorageError
        A data set cannot be read.
    """
    shape = read_shape(model_path)
    if quant:
        shape = shape.quantized(quant)
        if lacking := without_kernel(shape):
            raise ModelError(
                f"The reference firmware cannot run {shape.name} at {shape.quant}: there is no kernel for "
                f"{', '.join(lacking)} (there are {', '.join(KERNELS)}). Choose a quantization of these types."
            )
    return predict_shape(shape, calibrate(board, captures, models), n_ctx=n_ctx, position=position)


def predict_shape(
    shape: ModelShape, calibration: Calibration, *, n_ctx: int | None = None, position: int | None = None
) -> Prediction:
    """Predict from a shape and a calibration; parameters, result and errors as of :func:`predict`."""
    n_ctx, position = _place(shape, calibration.board, n_ctx, position)
    seen, costs, facts = calibration.seen, calibration.costs, calibration.facts()
    memory = footprint(
        shape, n_ctx, seen.firmware if seen else None, pointer_bytes=8 if calibration.board == "host" else 4
    )
    missing = tuple(costs.unknown(shape))
    decode = None if missing else costs.pass_ticks(shape, position, SAMPLED)
    clock, tick_hz = (seen.setup.clock if seen else None), facts["tick_hz"]
    nominal = facts["board_clock_hz"] if clock in EXACT_CLOCKS else None
    error, error_of = calibration.error_of(shape)
    return Prediction(
        board=calibration.board,
        clock=clock,
        model=shape.name,
        quant=shape.quant,
        tensor_types=shape.types,
        n_params=shape.n_params,
        n_ctx=n_ctx,
        position=position,
        fits=_fits(memory, facts),
        memory=memory,
        ram_bytes=int(facts["ram_bytes"]),
        flash_bytes=int(facts["flash_bytes"]),
        status=NOT_CALIBRATED if missing else "calibrated",
        missing=missing,
        prefill_ticks_per_token=None if missing else costs.pass_ticks(shape, position, FORCED),
        decode_ticks_per_token=decode,
        stages=_stages(shape, costs, position),
        tok_s=tick_hz / decode if tick_hz and decode else None,
        nominal_tok_s=float(nominal) / decode if nominal and decode else None,
        error=None if missing else error,
        error_of=error_of,
        calibrated_range=checked_range(seen),
        outside=() if missing or seen is None else tuple(outside(shape, n_ctx, position, checked_range(seen))),
        notes=tuple(_notes(shape, calibration)),
    )


def without_kernel(shape: ModelShape) -> list[str]:
    """Return the types among a model's tensors that the reference firmware does not compute with."""
    return sorted({kind for _, kind in shape.tensors.values()} - set(KERNELS))


def _place(shape: ModelShape, board: str, n_ctx: int | None, position: int | None) -> tuple[int, int]:
    if n_ctx is None:
        usual = boards.get(board).n_ctx if board in boards.names() else shape.n_ctx
        n_ctx = min(usual, shape.n_ctx)
    if not 1 <= n_ctx <= shape.n_ctx:
        raise UsageError(
            f"A context of {n_ctx:,} is not possible: {shape.name} has positions for 1 to {shape.n_ctx:,} tokens. Give "
            "a context within that."
        )
    position = n_ctx // 2 if position is None else position
    if not 0 <= position < n_ctx:
        raise UsageError(
            f"There is no position {position:,} in a context of {n_ctx:,}: they count from 0 to {n_ctx - 1:,}."
        )
    return n_ctx, position


def _fits(memory: Footprint, facts: dict[str, Any]) -> bool | None:
    """Return whether it fits; where the firmware's own part is unknown, False if the model alone is too large."""
    ram, flash = memory.ram_needed_bytes, memory.flash_needed_bytes
    if ram is not None and flash is not None:
        return bool(ram <= facts["ram_bytes"] and flash <= facts["flash_bytes"])
    alone = memory.kv_cache_bytes + memory.activation_bytes
    return False if alone > facts["ram_bytes"] or memory.model_bytes > facts["flash_bytes"] else None


def _notes(shape: ModelShape, calibration: Calibration) -> list[str]:
    if calibration.seen is None:
        return [f"there are no captures of {calibration.board}, so what its firmware takes is not known"]
    assumed = [
        f"{feature} was never captured and is taken for the dearest of its kind; it is one row a pass"
        for feature in calibration.costs.assumed(shape)
    ]
    return [*calibration.seen.notes, *assumed]


def _stages(shape: ModelShape, costs: CostModel, position: int) -> pd.DataFrame:
    rows = []
    for stage in STAGES:
        ticks, products = costs.stage_ticks(shape, stage, position), sum(macs(shape, stage).values())
        rows.append((stage, ticks, products, weight_bytes_read(shape, stage)))
    return pd.DataFrame(rows, columns=["stage", "ticks", "macs", "weight_bytes_read"])
