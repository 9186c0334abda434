"""What captures of a board allow to be predicted: coefficients, and how far predictions with them were off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from edgeprof import boards
from edgeprof.cost_model import CostModel, fit_costs
from edgeprof.errors import NotComparableError, unknown_name
from edgeprof.model_shape import ModelShape
from edgeprof.observed import Captures, Observations, captured_boards, load_captures, observations
from edgeprof.validation import held_out_of

__all__ = ["Calibration", "calibrate", "first_calibrated"]


@dataclass(frozen=True)
class Calibration:
    """What captures of a board allow to be predicted; made once, used for many models.

    Attributes
    ----------
    board : str
        Its name.
    seen : Observations or None
        The captures; None if there are none of this board.
    costs : CostModel
        The coefficients.
    errors : DataFrame
        :func:`edgeprof.validation.held_out` of this board.
    """

    board: str
    seen: Observations | None
    costs: CostModel
    errors: pd.DataFrame

    def facts(self) -> dict[str, Any]:
        """Return the board's facts: what it said itself, else what the catalogue says."""
        if self.seen is not None:
            return {k: None if pd.isna(v) else v for k, v in self.seen.facts.items()}
        known = boards.get(self.board)
        return {"core": known.core, "board_clock_hz": known.board_clock_hz, "tick_hz": None,
                "ram_bytes": known.ram_bytes, "flash_bytes": known.flash_bytes}  # fmt: skip

    def error_of(self, shape: ModelShape) -> tuple[float | None, str]:
        """Return the largest held-out error of a model's quantization, else of all, and what it was found with.

        It is None where no second model was captured.
        """
        if self.errors.empty:
            return None, "no second model was captured, so it cannot be found"
        same = self.errors[self.errors["quant"] == shape.quant]
        rows, what = (same, shape.quant) if len(same) else (self.errors, "all quantizations")
        worst = float(rows["error"].abs().max())
        return (
            worst,
            f"the largest of {len(rows):,} passes of {what}, each model predicted from those of other dimensions",
        )


def calibrate(board: str, captures: Captures | None = None, models: Iterable[str | Path] = ()) -> Calibration:
    """Fit the cost of a board's passes to captures of it, and find how far that is off.

    Parameters
    ----------
    board
        The name of a board of the catalogue, or of one that was captured.
    captures
        Data sets, or their paths; by default those that come with edgeprof.
    models
        Further GGUF files, or folders of such, in which to look for what was captured.

    Raises
    ------
    UsageError
        There is no such board.
    StorageError
        A data set cannot be read.
    """
    datasets = load_captures(captures)
    known = {*boards.names(), *captured_boards(datasets)}
    if board not in known:
        raise unknown_name("board", board, known, "`edgeprof boards` lists those that come with edgeprof.")
    seen = observations(datasets, board, models)
    if seen is None:
        return Calibration(board, None, CostModel({}), pd.DataFrame())
    return Calibration(board, seen, fit_costs(seen.stages, seen.shapes), held_out_of(seen))


def first_calibrated(captures: Captures | None = None, models: Iterable[str | Path] = ()) -> str:
    """Return the first board, by name, whose costs can be predicted from captures; parameters as of :func:`calibrate`.

    Raises
    ------
    NotComparableError
        There is none: nothing was captured with its costs, or the models that ran are not found.
    StorageError
        A data set cannot be read.
    """
    datasets, models = load_captures(captures), list(models)
    for board in captured_boards(datasets):
        seen = observations(datasets, board, models)
        if seen is not None and len(seen.stages):
            return board
    raise NotComparableError(
        "No board can be predicted from these captures: none has runs with costs of a model whose file is found. "
        "Name the GGUF files that ran with models=, or capture a board with `edgeprof capture`."
    )
