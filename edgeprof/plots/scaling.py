"""What a token would cost over the size of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_scaling"]

_LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


def plot_scaling(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the predicted cost of a decode pass over the number of parameters.

    A line joins models of the same width, quantization and context that differ in layers. A filled marker fits the
    board, a hollow one does not, a cross is not known; what lies beyond what was captured is small. What is not
    calibrated is named. Both axes are logarithmic.

    Parameters
    ----------
    data
        Columns ``board``, ``clock``, ``quant``, ``width`` (factor), ``n_params``, ``n_ctx`` (tokens),
        ``decode_ticks_per_token`` (ticks), ``fits`` and ``inside``, of one board:
        as of :func:`edgeprof.scaling.scaling_curves`.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    known = data[data["decode_ticks_per_token"].notna()]
    contexts = sorted(int(n) for n in known["n_ctx"].unique())
    palette = style.colours(known["quant"])
    for (quant, n_ctx, _), part in known.groupby(["quant", "n_ctx", "width"], sort=False):
        colour, marker = palette[str(quant)]
        line = part.sort_values("n_params")
        across, up = line["n_params"].to_numpy(float) / 1e6, line["decode_ticks_per_token"].to_numpy(float) / 1e6
        dashes = _LINES[contexts.index(int(str(n_ctx))) % len(_LINES)]
        ax.plot(across, up, dashes, color=colour, linewidth=1.1)
        for x, y, fits, inside in zip(across, up, line["fits"], line["inside"], strict=True):
            unknown = pd.isna(fits)
            ax.plot(
                x, y, "x" if unknown else marker, color=colour, markersize=6.5 if inside else 3.5,
                markerfacecolor=colour if not unknown and fits else style.look().background,
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        style.few_ticks(axis)
    clock = str(data["clock"].iloc[0]) if len(data) else ""
    board = mpl_text(data["board"].iloc[0]) if len(data) else ""
    ax.set_xlabel(
        "parameters [million]\n"
        f"filled: fits {board}, hollow: does not; small: beyond what was captured\n"
        f"a line joins models of one width; clock: {mpl_text(clock)}"
    )
    ax.set_ylabel(f"predicted cost of a decode pass\n(last position) [million {style.tick_unit(clock)}]")
    _legend(ax, palette, contexts, [q for q in dict.fromkeys(data["quant"].astype(str)) if q not in palette])
    style.title(ax, "What a token would cost, by size of the model")
    return ax


def _legend(ax: Axes, palette: dict[str, tuple[str, str]], contexts: list[int], unknown: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=c, marker=m, markersize=6, label=mpl_text(name)) for name, (c, m) in palette.items()
    ]
    for i, n_ctx in enumerate(contexts):
        dashes = _LINES[i % len(_LINES)]
        handles.append(Line2D([], [], color=style.look().muted, linestyle=dashes, label=f"context {n_ctx:,} tokens"))
    handles += [Line2D([], [], linestyle="", label=f"{mpl_text(name)}: not calibrated") for name in unknown]
    if handles:
        ax.legend(handles=handles, loc="upper left", frameon=False, fontsize=8.5)
