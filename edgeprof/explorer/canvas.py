"""A figure in the page: ipympl's canvas without pyplot, with a brush on one of its axes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.widgets import SpanSelector

from edgeprof.explorer.backend import Canvas, FigureManager
from edgeprof.explorer.painter import DPI, INCHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PlainCanvas", "new_canvas"]

FINENESS = (0.5, 4.0)
"""Physical pixels of a screen for each of the figure's: no fewer, no more, whatever a page says."""


class PlainCanvas(Canvas):  # type: ignore[misc]
    """A canvas that sends a frame when it is told to, and none of a figure that is half drawn."""

    painting = False
    _span: SpanSelector | None = None

    def draw(self) -> None:
        """Draw; what measures text while the figure is made is sent nowhere."""
        if self.painting:
            FigureCanvasAgg.draw(self)  # type: ignore[no-untyped-call]
        else:
            super().draw()

    def _handle_message(self, widget: Any, content: dict[str, Any], buffers: Any) -> None:
        super()._handle_message(widget, content, buffers)
        if content["type"] == "initialized":
            self.send_state("resizable")  # the page makes it true by itself, and shows a grip at the corner

    def handle_resize(self, event: dict[str, Any]) -> None:
        """Keep the size: the page offers no other, and a message written by hand could ask for gigabytes."""

    def _handle_set_device_pixel_ratio(self, device_pixel_ratio: float) -> None:
        """Draw as finely as the screen is, within what screens are."""
        low, high = FINENESS
        super()._handle_set_device_pixel_ratio(max(low, min(high, float(device_pixel_ratio))))  # NaN is high

    def listen(self, ax: Axes) -> None:
        """Let a stretch of these axes be brushed."""
        if self._span is not None:
            if self._span.artists[0] in ax.patches:
                return
            self._span.disconnect_events()
        self._span = SpanSelector(
            ax, self.brushed, "horizontal", minspan=0, props={"facecolor": "#7799BB", "alpha": 0.35}
        )


def new_canvas(brushed: Callable[[float, float], Any]) -> PlainCanvas:
    """Return a canvas with a figure of its own; ``brushed`` is called with the ends of what was brushed."""
    canvas = PlainCanvas(Figure(figsize=INCHES, dpi=DPI))
    with warnings.catch_warnings():  # ipympl's toolbar gives ipywidgets an argument too many
        warnings.simplefilter("ignore", DeprecationWarning)
        FigureManager(canvas, 0)
    canvas.brushed = brushed
    # Otherwise each frame that is drawn before a browser is there becomes a PNG, whose address no browser understands.
    canvas.syncing_data_url = False
    canvas.header_visible = canvas.footer_visible = canvas.resizable = canvas.toolbar_visible = False
    canvas.layout.width, canvas.layout.height = (f"{round(inches * DPI)}px" for inches in INCHES)
    canvas.layout.flex = "0 0 auto"
    return canvas
