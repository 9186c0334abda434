"""The monitor's widgets: buttons, figures, strips, text. Shows what a session knows, and knows nothing itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import pandas as pd

from edgeprof import units
from edgeprof.display import html_table, html_text, terminal_text
from edgeprof.errors import EdgeprofError
from edgeprof.explorer.widgets import from_front_end
from edgeprof.layout import CAPTURE_JSON
from edgeprof.monitor.follow import PortFollower
from edgeprof.monitor.strips import Strip, StripFigure
from edgeprof.plots.style import Look, tick_unit

if TYPE_CHECKING:
    from edgeprof.monitor.session import Live

__all__ = ["View"]

DRAW_SECONDS = 1.0
"""As often as there is a new bin."""
RUNS_SHOWN = 50
_TEXT_STYLE = (
    "display:flex;flex-direction:column-reverse;height:11em;overflow-y:auto;border:1px solid #8A929C;padding:4px 8px"
)
_TABLE_STYLE = "<style>.edgeprof-live td, .edgeprof-live th {padding: 2px 10px}</style>"
_AS_IT_IS = {"width": "800px", "max_width": "100%", "align_self": "flex-start"}
_WRAPPED = {"flex_flow": "row wrap"}
_STATES = {
    "ready": "Ready: the start button begins a capture.",
    "starting": "Starting …",
    "running": "Capturing. It goes on whatever becomes of this notebook.",
    "ending": "Ending: what came is being sealed …",
    "finished": "Finished.",
    "failed": "Failed.",
}


class _Button(widgets.Button):  # type: ignore[misc]
    """A button: what its action raises, a program's click raises, too; ipywidgets' handlers keep it to themselves."""

    def __init__(self, pressed: Callable[[], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._pressed = pressed

    def click(self) -> None:
        """Do what the button is for; a front end's click comes here, too."""
        self._pressed()


class View:
    """The widgets of a session.

    Attributes
    ----------
    box
        What is displayed.
    """

    def __init__(self, session: Live, look: Look) -> None:
        self._session, self._look = session, look
        self._drawing = threading.Lock()
        self._drawn = 0.0
        self._figure: StripFigure | None = None
        self.state, self.table, self.text, self.message, self.opened = (widgets.HTML() for _ in range(5))
        self.start = self._button("Start", "success", session.start)
        self.stop = self._button("Stop", "warning", session.stop)
        self.note = widgets.Text(placeholder="what happens now", layout={"width": "16em"})
        self.mark = self._button("Mark", "", self._mark)
        self.open = self._button("Open the capture", "primary", self._open)
        self.port = widgets.Dropdown(description="Port")
        self.port.observe(lambda _: self.render(changed=True), "value")
        self.image = widgets.Image(format="png", layout=_AS_IT_IS)
        self.box = widgets.VBox(
            [
                widgets.HBox([self.start, self.stop, self.note, self.mark, self.open], layout=_WRAPPED),
                self.state, self.message, self.opened, self.table, self.port, self.image, self.text,
            ]
        )  # fmt: skip
        self.render(changed=True)

    def _button(self, text: str, style: str, act: Callable[[], None]) -> Any:
        def pressed() -> None:
            try:
                self.message.value = ""
                act()
                self.render(changed=True)
            except Exception as error:
                self.say(error)
                if not from_front_end():  # for which what is raised no one would see
                    raise

        return _Button(pressed, description=text, button_style=style)

    def _mark(self) -> None:
        self._session.mark(self.note.value)
        self.note.value = ""

    def _open(self) -> None:
        session = self._session
        ds, name = session.dataset, session.capture.name.partition("=")[2] if session.capture else ""
        runs = ds.table("runs", ["run_id", "board", "model", "quant", "prompt_id", "status", "n_generated"])
        runs = runs[runs["run_id"].str.startswith(f"{name}/")].astype(str)
        more = f", the first {RUNS_SHOWN} of {len(runs):,}" if len(runs) > RUNS_SHOWN else ""
        where = f'where={{"capture_id": {name!r}}}'
        self.opened.value = (
            f'{_TABLE_STYLE}<div class="edgeprof-live"><p>To go on, type <code>ds = edgeprof.open('
            f"{html_text(repr(str(session.out)), 500)})</code>, and for this capture's tokens "
            f"<code>ds.table('tokens', {html_text(where, 500)})</code>.</p>{ds._repr_html_()}"
            f'<div style="max-height:20em;overflow-y:auto">{html_table(runs.head(RUNS_SHOWN))}</div>'
            f"<p>The runs of this capture{more}.</p></div>"
        )

    def say(self, error: Exception) -> None:
        """Show what went wrong."""
        self.message.value = _error(error)

    def look_as(self, look: Look) -> None:
        """Draw in these colours from now on."""
        with self._drawing:
            if look != self._look:
                self._look, self._figure, self._drawn = look, None, 0.0
        self.render(changed=True)

    # -- drawing -------------------------------------------------------------------------------------------
    def render(self, *, changed: bool) -> None:
        """Show how the session stands; ``changed`` says that something came since the last time."""
        with self._drawing:
            self._buttons()
            now = time.monotonic()
            running = self._session.state == "running"
            if changed or (running and now - self._drawn >= DRAW_SECONDS):
                self._figures(now, at_once=not running)

    def _buttons(self) -> None:
        session = self._session
        self.start.disabled = not session.can_start
        self.stop.disabled = session.state not in ("starting", "running")
        self.mark.disabled = self.note.disabled = session.state != "running"
        over = session.state in ("finished", "failed")
        self.open.disabled = not (over and session.capture and (session.capture / CAPTURE_JSON).exists())
        name = f" <code>{html_text(session.capture.name, 160)}</code>" if session.capture else ""
        said = f" {html_text(session.said, 500)}" if session.said and session.error is None else ""
        other = f"<p>It was begun with {html_text(session.differs, 500)}.</p>" if session.differs else ""
        self.state.value = f"<b>{_STATES[session.state]}</b>{name}{said}{other}"
        if session.error is not None:
            self.say(session.error)

    def _figures(self, now: float, *, at_once: bool) -> None:
        watch = self._session.watch
        names = [(terminal_text(p.name), n) for n, p in enumerate(watch.ports)] if watch else []
        if list(self.port.options) != names:
            self.port.options = names
        self.port.layout.display = None if len(names) > 1 else "none"
        if watch is None:
            self.table.value = self.text.value = ""
            self.image.layout.display = "none"
            return
        rows = pd.DataFrame([_row(port, watch.now, self._session.state) for port in watch.ports])
        self.table.value = f'{_TABLE_STYLE}<div class="edgeprof-live">{html_table(rows)}</div>'
        port = watch.ports[self.port.value or 0]
        notes = "".join(f"<div>{html_text(note, 200)}</div>" for note in watch.notes)
        text = f'<pre style="white-space:pre-wrap;flex:none;margin:0">{_text(port.text)}</pre>'
        self.text.value = f'<div style="{_TEXT_STYLE}">{text}</div>{notes}'
        if at_once or now - self._drawn >= DRAW_SECONDS:
            self._drawn = now
            strips = _strips(port)
            titles = [strip.title for strip in strips]
            if self._figure is None or self._figure.titles != titles:
                self._figure = StripFigure(titles, self._look)
            self.image.value = self._figure.png(strips, watch.now)
            self.image.layout.display = None


def _error(error: Exception) -> str:
    text = f"{'' if isinstance(error, EdgeprofError) else f'{type(error).__name__}: '}{error}"
    return f'<p style="color:#C00000;background:#FFFFFF;padding:4px 8px"><b>{html_text(text, 2000)}</b></p>'


def _text(text: str) -> str:
    return "\n".join(html_text(line, 2000) for line in text.split("\n"))


def _row(port: PortFollower, now: float, state: str) -> dict[str, str]:
    totals = port.totals
    return {
        "port": port.name,
        "tok/s": units.significant(port.tokens.rate(now) if state == "running" else None),
        "runs done": units.exact(totals.runs),
        "passes": units.exact(totals.passes),
        "frames": units.exact(totals.frames),
        "frames lost": units.exact(totals.frames_lost),
        "lines of text": units.exact(totals.lines),
        "bytes": units.exact(totals.bytes),
        "bytes discarded": units.exact(totals.bytes_discarded),
    }


def _strips(port: PortFollower) -> list[Strip]:
    """Return the strips that there is something for, the first two always."""
    scale, unit = (1e3, "ms") if port.hz else (1.0, tick_unit(port.clock) if port.clock else "ticks")
    pace = "; of the emulator, not of a chip" if port.emulated else ""
    strips = [
        Strip(f"tok/s: decode passes a second, as the host has them{pace}", port.tokens, rate=True),
        Strip(f"ITL [{unit}]: mean, and least to most of each second", port.itl, scale),
    ]
    if port.memory.any:
        strips.append(Strip(f"memory, {port.memory_of} [KiB]", port.memory, 1 / 1024))
    if port.current.any:
        strips.append(Strip("current [mA]", port.current, 1e-3))
    return strips
