"""What a token would cost, and what would fit, over model size, quantization and context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from edgeprof.calibration import calibrate
from edgeprof.model_shape import read_shape
from edgeprof.observed import Captures
from edgeprof.prediction import predict_shape, without_kernel

__all__ = ["NO_KERNEL", "QUANTS", "scaling_curves"]

NO_KERNEL = "no kernel"
"""Status of a quantization that the reference firmware does not compute with."""
QUANTS = ("Q8_0", "Q4_K_M", "Q4_0", "TQ2_0")

_COLUMNS = {
    "board": "object", "clock": "object", "quant": "object", "n_layers": "int64", "width": "int64", "n_params": "int64",
    "n_ctx": "int64", "position": "int64", "prefill_ticks_per_token": "float64", "decode_ticks_per_token": "float64",
    "nominal_tok_s": "float64", "ram_needed_bytes": "float64", "flash_needed_bytes": "float64", "fits": "boolean",
    "status": "object", "error": "float64", "inside": "bool",
}  # fmt: skip


def scaling_curves(
    model_path: str | Path, board: str, captures: Captures | None = None, *, quants: Sequence[str] = QUANTS,
    layers: Sequence[int] = (1, 2, 4, 8), widths: Sequence[int] = (1, 2), contexts: Sequence[int] = (),
    models: Iterable[str | Path] = (),
) -> pd.DataFrame:  # fmt: skip
    """Predict models like a given one in other sizes, quantizations and contexts.

    Parameters
    ----------
    model_path
        The GGUF file to begin with; only its header is read.
    board, captures, models
        As of :func:`edgeprof.predict`.
    quants
        Targets of ``edgeprof quantize``.
    layers
        Numbers of layers.
    widths
        Factors of the width: model, feed-forward part and number of heads grow by it; tokens and heads' width stay.
    contexts
        Positions in the KV cache, in tokens, up to the model's own limit; by default what the board takes.

    Returns
    -------
    DataFrame
        A row for each combination. The cost is that of the last position, the dearest: ``board``, ``clock``,
        ``quant``, ``n_layers``, ``width`` (factor), ``n_params``, ``n_ctx`` and ``position`` (tokens),
        ``prefill_ticks_per_token``, ``decode_ticks_per_token``, ``nominal_tok_s``, ``ram_needed_bytes``,
        ``flash_needed_bytes``, ``fits``, ``status`` (``calibrated``, ``not calibrated``, or ``no kernel``: the firmware
        does not compute with that type), ``error`` (fraction, of held-out predictions), ``inside`` (False:
        beyond what was captured, the error need not hold).

    Raises
    ------
    ModelError
        The file is no GGUF, is damaged, or is a model that the firmware does not run.
    UsageError
        There is no such board or quantization; a context or size that cannot be.
    """
    base, calibration = read_shape(model_path), calibrate(board, captures, models)
    rows = []
    for quant in quants:
        for n_layers in layers:
            for width in widths:
                shape = base.resized(n_layers=n_layers, width=width).quantized(quant)
                runs = not without_kernel(shape)
                for n_ctx in contexts or (None,):
                    given = predict_shape(shape, calibration, n_ctx=n_ctx, position=0).n_ctx
                    p = predict_shape(shape, calibration, n_ctx=given, position=given - 1)
                    cost = (p.prefill_ticks_per_token, p.decode_ticks_per_token, p.nominal_tok_s)
                    room = (p.memory.ram_needed_bytes, p.memory.flash_needed_bytes, p.fits if runs else None)
                    place = (p.board, p.clock, quant, n_layers, width, p.n_params, p.n_ctx, p.position)
                    rows.append((*place, *cost, *room, p.status if runs else NO_KERNEL, p.error, not p.outside))
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
