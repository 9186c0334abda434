"""One look for all plots, light or dark: sizes, and colours that colour-blind readers can tell apart.

Against the background, text has a contrast of at least 4.5:1, and lines and markers of 3:1 (WCAG 2.2, AA).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeprof.display import mpl_text
from edgeprof.energy.run_energy import is_synthetic
from edgeprof.errors import unknown_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.typing import ColorType

__all__ = [
    "LOOKS", "Look", "axes", "colours", "contrast", "dashes", "few_ticks", "ink", "look", "on", "set_height", "settle",
    "tick_unit", "title", "use",
]  # fmt: skip

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
SIZE, DPI = (7.2, 4.2), 120
HEADROOM = 1.06  # of an axis that begins at 0: data far from it have hardly any margin
_GROUNDS = ("figure.facecolor", "axes.facecolor")
_TEXTS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


@dataclass(frozen=True, slots=True)
class Look:
    """The colours of all plots.

    Attributes
    ----------
    background, text, muted
        Of the figure; of text and of limits; of text that is of less weight.
    grey
        Of lines, markers and bars that are not what a plot is about.
    grid, band, blank
        What has to be faint: the grid, a shaded range, a cell without a value.
    over
        What is beyond a limit, as text too.
    colours, inks
        Of lines, markers and bars, and the same as colours of text, which needs more contrast.
    diverging
        From less over equal to more.
    """

    background: str
    text: str
    muted: str
    grey: str
    grid: str
    band: str
    blank: str
    over: str
    colours: tuple[str, ...]
    inks: tuple[str, ...]
    diverging: tuple[str, str, str]


# Okabe and Ito's palette, moved until each colour has its contrast, and is as far from the others as it can be for
# colour-blind readers. A place in the palette is about the same hue in both.
_BRIGHT = ("#58BAFF", "#E07020", "#2CAC8B", "#FFBDBA", "#6A7FBF", "#E4EC43", "#FFFFFF")
LOOKS = {
    "light": Look(
        background="#FFFFFF", text="#000000", muted="#555555", grey="#767676", grid="#DDDDDD", band="#E6ECF2",
        blank="#EEEEEE", over="#C00000",
        colours=("#0072B2", "#BA5E00", "#009770", "#DE6DA0", "#5695E8", "#BD8B00", "#000000"),
        inks=("#0072B2", "#B75D00", "#008663", "#B15780", "#4577B9", "#976F00", "#000000"),
        diverging=("#5AA6DC", "#F7F7F7", "#F0A060"),
    ),
    "dark": Look(
        background="#14171C", text="#F2F4F6", muted="#B4BAC2", grey="#8A929C", grid="#333942", band="#29303A",
        blank="#22272E", over="#FF7B72", colours=_BRIGHT, inks=_BRIGHT, diverging=("#2F79B5", "#333942", "#AD5B12"),
    ),
}  # fmt: skip
_now: ContextVar[Look] = ContextVar("look", default=LOOKS["light"])


def look() -> Look:
    """Return the colours that plots are drawn in now."""
    return _now.get()


def use(name: str) -> AbstractContextManager[Look]:
    """Draw in another look: ``with plots.use("dark"): plots.plot_passes(data)``.

    Figures of one's own have to be made within, too: a figure's background is settled when it is made.

    Parameters
    ----------
    name
        ``light`` or ``dark``.

    Raises
    ------
    UsageError
        There is no such look.
    """
    if name not in LOOKS:
        raise unknown_name("look of plots", name, LOOKS)
    return _using(LOOKS[name])


@contextmanager
def _using(chosen: Look) -> Iterator[Look]:
    from matplotlib import pyplot as plt

    settings: dict[Any, str] = dict.fromkeys(_GROUNDS, chosen.background) | dict.fromkeys(_TEXTS, chosen.text)
    token = _now.set(chosen)
    try:
        with plt.rc_context(settings):
            yield chosen
    finally:
        _now.reset(token)


def axes(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the given axes, or those of a new figure of the common size, in the common style.

    Parameters
    ----------
    ax
        Where to; a new figure by default.
    size
        Of a new figure, in inches.
    """
    from matplotlib import pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=size, dpi=DPI, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color=look().grid, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9)
    settle(ax)
    return ax


def settle(ax: Axes) -> None:
    """Give ticks the colours of now: matplotlib makes them when a figure is drawn, which may be in another look."""
    from matplotlib import pyplot as plt

    said: Mapping[Any, Any] = plt.rcParams
    for axis in ("x", "y"):
        colour, label = said[f"{axis}tick.color"], said[f"{axis}tick.labelcolor"]
        ax.tick_params(axis, which="both", color=colour, labelcolor=colour if label == "inherit" else label)


def few_ticks(axis: Axis) -> None:
    """Give a logarithmic axis ticks at 1, 2 and 5 of each decade that it shows, in plain numbers."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda v, _: f"{v:,g}")
    axis.set_minor_formatter(lambda *_: "")


def title(ax: Axes, text: str, pad: float | None = None, *, of: pd.DataFrame | None = None) -> None:
    """Write what a plot shows above it, at the left; ``pad`` points away.

    ``of`` is the data: where their column ``meter`` says that power is synthetic, so does the title.
    """
    if of is not None and "meter" in of and of["meter"].map(is_synthetic).any():
        text += ": synthetic power, of no board"
    ax.set_title(text, loc="left", fontsize=11, pad=pad)


def set_height(ax: Axes, inches: float) -> None:
    """Give the figure of axes that stand alone another height, in inches."""
    from matplotlib.figure import Figure

    figure = ax.get_figure()
    if isinstance(figure, Figure):
        figure.set_figheight(inches)


def colours(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name, in order of appearance."""
    pairs, palette = {}, look().colours
    for i, name in enumerate(dict.fromkeys(names)):  # another marker each time that the colours begin anew
        pairs[str(name)] = (palette[i % len(palette)], MARKERS[(i + i // len(palette)) % len(MARKERS)])
    return pairs


def dashes(palette: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Return a line style for each name: another one each time that a colour comes again."""
    seen: list[str] = []
    found = {}
    for name, (colour, _) in palette.items():
        found[name] = DASHES[seen.count(colour) % len(DASHES)]
        seen.append(colour)
    return found


def ink(colour: str) -> str:
    """Return a colour of the palette as one in which text can be read."""
    return dict(zip(look().colours, look().inks, strict=True)).get(colour, colour)


def contrast(one: ColorType, other: ColorType) -> float:
    """Return the contrast of two colours by WCAG 2.2: from 1, none, to 21, black on white."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: ColorType) -> float:
    from matplotlib.colors import to_rgb

    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def on(colour: ColorType) -> str:
    """Return black or white, whichever can be read better on a colour; the contrast is never below 4.5."""
    return max("black", "white", key=lambda text: contrast(text, colour))


def tick_unit(clock: str) -> str:
    """Return what a tick of a clock is, for an axis."""
    return {
        "fuel": "WebAssembly instructions",
        "instructions": "instructions",
        "cycles": "emulated cycles",
        "device_timer": "timer ticks",
        "host": "ns of host time",
    }.get(clock, f"ticks of {mpl_text(clock)}")
