"""Generated text in which each token has the colour of what it cost or how unlikely it was, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.display import html_text, terminal_text
from edgeprof.plots.style import on

__all__ = ["MOST_TOKENS", "coloured_text", "colours_of", "legend", "token_rows"]

MOST_TOKENS = 600
_MAP = "YlGnBu"
_STEPS, _SHADES = 5, 64
_BOX = "padding:1px 0;border-radius:2px;white-space:pre-wrap;"


def token_rows(passes: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return the passes whose outcome is a token of the text: those of a phase, and of a generation the first one.

    Parameters
    ----------
    passes
        A run's, in order: ``position``, ``phase``, ``next_id``, ``ticks``, ``nll``.
    phase
        ``decode`` (what was generated; its first token came out of the last prefill pass), or another.
    """
    if phase != "decode":
        return passes[passes["phase"] == phase]
    return pd.concat([passes[passes["phase"] == "prefill"].tail(1), passes[passes["phase"] == "decode"]])


def colours_of(values: Any, low: float, high: float) -> list[tuple[str, str]]:
    """Return background and text of each value, dark where it is large; unknown values have neither.

    Parameters
    ----------
    values
        Numbers, or null; a sequence.
    low, high
        The ends of the scale; what lies beyond has the colour of the end.
    """
    numbers = pd.array(values, dtype="Float64").to_numpy(float, na_value=np.nan)
    scaled = np.clip((numbers - low) / ((high - low) or 1.0), 0, 1)
    shades = _shades()
    return [shades[round(place * (_SHADES - 1))] if np.isfinite(place) else ("", "") for place in scaled.tolist()]


@cache
def _shades() -> list[tuple[str, str]]:
    """Return the colours from small to large, and what can be read on each."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    backs = [to_hex(colour) for colour in colormaps[_MAP](np.linspace(0.06, 0.9, _SHADES))]
    return [(back, on(back)) for back in backs]


def legend(low: float, high: float, unit: str) -> str:
    """Return the colours with their numbers."""
    steps = np.linspace(low, high, _STEPS)
    boxes = "".join(
        f'<span style="background:{back};color:{text};padding:1px 8px">{html_text(units.si(v, digits=3))}</span>'
        for v, (back, text) in zip(steps, colours_of(list(steps), low, high), strict=True)
    )
    return f'<div style="font-size:90%;margin:3px 0">{boxes} {html_text(unit)}</div>'


def coloured_text(
    rows: pd.DataFrame, value: str, pieces: Mapping[int, str], scale: tuple[float, float], unit: str,
    brushed: tuple[int | None, int | None] = (None, None),
) -> str:  # fmt: skip
    """Return a text as HTML, every token escaped, with its position and value as its title.

    Parameters
    ----------
    rows
        From :func:`token_rows`.
    value, unit
        Which column colours a token, and its unit.
    pieces
        Token id to its spelling; an id that is not in it is shown as a number.
    scale
        The ends of the colours, in the unit.
    brushed
        First and last position of what is brushed: it is underlined.
    """
    from edgeprof.tokenizer import decode_piece

    shown = rows.head(MOST_TOKENS)
    first, last = brushed
    marked = first is not None or last is not None
    said = []
    values = shown[value].astype("Float64")
    for position, token, number, (back, text) in zip(
        shown["position"].tolist(), shown["next_id"].tolist(), values.tolist(), colours_of(values, *scale), strict=True
    ):  # fmt: skip
        piece = "?" if pd.isna(token) else pieces.get(int(token))
        word = f"[{int(token)}]" if piece is None else decode_piece(piece)
        line = "<br>" if word == "\n" else ""
        word = "↵" if line else html.escape(terminal_text(word))
        inside = marked and (first is None or position >= first) and (last is None or position <= last)
        look = f"background:{back};color:{text};" if back else ""
        look += "border-bottom:2px solid #D55E00;" if inside else ""
        title = html_text(f"position {position}: {units.si(number, unit, digits=4)}")
        said.append(f'<span class="ep-token" style="{_BOX}{look}" title="{title}">{word}</span>{line}')
    note = f"<div><em>The first {MOST_TOKENS:,} of {len(rows):,} tokens.</em></div>" if len(rows) > len(shown) else ""
    return f'<div style="line-height:1.75">{"".join(said)}</div>{note}'
