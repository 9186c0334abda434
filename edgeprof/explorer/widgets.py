"""The explorer in a notebook: controls that change one frozen view, and one figure, a table and texts that show it.

Every control is an attribute, so that Python can do what a user does. An error is shown in the view; it is raised, too,
unless a front end is at work: of what a browser asked for nobody could catch it, and of what a cell asked for papermill
and nbval must hear.
"""

from __future__ import annotations

import contextlib
import html
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import pandas as pd

from edgeprof.choices import choose
from edgeprof.display import html_table, html_text, terminal_text
from edgeprof.errors import EdgeprofError
from edgeprof.explorer import coloured, export
from edgeprof.explorer.canvas import PlainCanvas, new_canvas
from edgeprof.explorer.painter import Painter, run_name
from edgeprof.explorer.source import FILTERS, Source
from edgeprof.explorer.statistics import range_statistics, statistics_table
from edgeprof.explorer.view import DETAILS, PHASES, VALUES, View, changed, code
from edgeprof.metrics import METRICS
from edgeprof.plots.style import LOOKS
from edgeprof.server.place import SERVED
from edgeprof.store import Dataset, open_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Explorer", "explore", "from_front_end"]

_UNITS = {"ticks": "tick", "nll": "nat"}
_NO_RUN = ("none", "")
_MANY = "Ctrl or ⌘ and click chooses several; none chosen: all"
_ROW = {"flex_flow": "row wrap", "align_items": "center"}
_SCROLLS = {"overflow": "auto hidden", "width": "100%"}
"""The figure keeps its size: where there is less room, it is scrolled."""
MOST_RUNS = 300
"""So many runs are offered to be pinned: a list of ten thousands is of no use, and takes seconds to be sent."""
_STYLE = "<style>.edgeprof-explorer td, .edgeprof-explorer th { padding: 1px 10px 1px 0; }</style>"


def from_front_end() -> bool:
    """Tell whether what happens now was asked for by a front end, and not by a cell or a program."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent().get("header", {}).get("msg_type") == "comm_msg")


class Explorer(w.VBox):  # type: ignore[misc]
    """An explorer of a data set; see :func:`explore`.

    Attributes
    ----------
    view
        What is shown; :meth:`update` changes it.
    boards, quants, prompts, phase, value, detail, x, y, run_a, run_b, positions, look
        The controls.
    figure
        The one figure that is redrawn.
    message, statistics, texts, exported
        Error or notes, the brushed range's figures, the texts, and what was exported: HTML.
    draws
        How often the figure was drawn.
    """

    def __init__(self, dataset: Dataset, view: View, output_dir: str | Path = ".") -> None:
        self._dataset, self._output_dir = dataset, output_dir
        self._source = Source(dataset)
        self._busy = False
        self.draws = 0
        self._controls()
        self.canvas: PlainCanvas = new_canvas(self._brushed)
        self.figure = self.canvas.figure
        self._painter = Painter(self._source, self.figure)
        self.view = view
        super().__init__(self._arranged(), layout=w.Layout(width="100%", max_width="1160px"))
        self.add_class("edgeprof-explorer")
        self._show(view)
        for name, control in self._by_name.items():
            control.observe(partial(self._changed, name), "value")

    def __repr__(self) -> str:
        return f"<edgeprof explorer of {len(self._source.runs)} runs>"

    # ---- the controls ----

    def _controls(self) -> None:
        tall, narrow = w.Layout(width="215px", height="118px"), {"description_width": "58px"}

        def many(attribute: str) -> w.SelectMultiple:
            names = [(terminal_text(n), n) for n in self._source.names(attribute)]
            return w.SelectMultiple(options=names, layout=tall, tooltip=_MANY)

        def one(label: str, options: Any, width: str = "330px") -> w.Dropdown:
            return w.Dropdown(description=label, options=options, layout=w.Layout(width=width), style=narrow)

        self.boards, self.quants, self.prompts = many("boards"), many("quants"), many("prompts")
        self.phase = one("phase", PHASES, "200px")
        self.value = one("token", [(name, column) for column, name in VALUES.items()], "200px")
        self.look = one("theme", list(LOOKS), "200px")
        self.run_a, self.run_b = one("run A", [_NO_RUN], "400px"), one("run B", [_NO_RUN], "400px")
        self.detail = w.ToggleButtons(
            options=[(name, key) for key, name in DETAILS.items()], style={"button_width": "130px"}
        )
        metrics = [name for name, metric in METRICS.items() if metric.better]
        self.x, self.y = one("across", metrics, "280px"), one("up", metrics, "280px")
        for axis in (self.x, self.y):
            axis.style = {"description_width": "50px"}
        self.positions = w.IntRangeSlider(
            description="positions", min=0, max=1, value=(0, 1), continuous_update=False,
            layout=w.Layout(width="700px"), style={"description_width": "70px"},
        )  # fmt: skip
        self.whole = w.Button(description="all positions", layout=w.Layout(width="120px"))
        self.reload = w.Button(description="reload", tooltip="read the data set anew", layout=w.Layout(width="90px"))
        buttons = {"save": "save figure", "cell": "code cell", "report": "report parameters"}
        self.save, self.cell, self.report = (
            w.Button(description=label, layout=w.Layout(width="150px")) for label in buttons.values()
        )
        self.message, self.statistics, self.texts, self.exported = (w.HTML() for _ in range(4))
        self.message.layout = w.Layout(min_height="26px")
        self.statistics.layout = w.Layout(min_height="118px", overflow="auto")
        self.texts.layout = w.Layout(height="230px", overflow="auto")
        # Under `edgeprof serve` a file would be written where no visitor reaches it.
        self._files = () if SERVED in os.environ else ((self.save, self.save_figure), (self.report, self.save_report))
        for button, act in (
            (self.whole, self._all_positions), (self.reload, self._read_anew), (self.cell, self.show_code),
            *self._files,
        ):  # fmt: skip
            button.on_click(partial(self._clicked, act))

    @property
    def _by_name(self) -> Mapping[str, Any]:
        names = (*FILTERS, "phase", "value", "look", "run_a", "run_b", "detail", "x", "y", "positions")
        return {name: getattr(self, name) for name in names}

    def _arranged(self) -> list[Any]:
        def under(title: str, control: Any) -> w.VBox:
            return w.VBox([w.HTML(f"<b>{title}</b>"), control])

        choices = [
            under("boards <small>(Ctrl: several; none: all)</small>", self.boards),
            under("quantizations", self.quants), under("prompts", self.prompts),
            w.VBox([w.HTML("<b>tokens</b>"), self.phase, self.value, self.look], layout=w.Layout(margin="0 0 0 12px")),
        ]  # fmt: skip

        def row(controls: list[Any]) -> w.HBox:
            return w.HBox(controls, layout=w.Layout(**_ROW))

        pins, below = row([self.run_a, self.run_b, self.reload]), row([self.detail, self.x, self.y])
        brush, exports = (
            row([self.positions, self.whole]),
            row([self.save, self.cell, self.report] if self._files else [self.cell]),
        )
        figure = w.Box([self.canvas], layout=w.Layout(**_SCROLLS))
        return [
            w.HTML(_STYLE), w.HBox(choices, layout=w.Layout(flex_flow="row wrap")), pins, below, self.message, figure,
            brush, self.statistics, self.texts, exports, self.exported,
        ]  # fmt: skip

    # ---- from controls to a view, and back ----

    def _changed(self, name: str, change: Any) -> None:
        if self._busy:
            return
        with self._reporting():
            if name == "positions":
                low, high = change["new"]
                ends = (
                    None if low <= self.positions.min else low,
                    None if high >= self.positions.max else high,
                )
                self._show(replace(self.view, first=ends[0], last=ends[1]))
            else:
                self._show(replace(self.view, **{name: change["new"]}))

    def update(self, **changes: Any) -> None:
        """Show another view.

        Parameters
        ----------
        **changes
            Attributes of :class:`edgeprof.explorer.View`; the others stay.

        Raises
        ------
        UsageError
            There is no such phase, run, board …; the message names the closest.
        """
        with self._reporting():
            self._show(changed(self.view, changes))

    def _show(self, view: View) -> None:
        """Draw a view, once, and set every control to it."""
        view = self._with_pins(view)
        self.canvas.painting = True
        try:
            self._painter.paint(view)
        finally:
            self.canvas.painting = False
        self.view = view
        self._set_controls()
        self._tell()
        self.canvas.listen(self._painter.axes["cost"])
        self.draws += 1
        self.canvas.draw()

    def _with_pins(self, view: View) -> View:
        """Return a view whose pinned runs are among the chosen ones; A is chosen where there was none."""
        runs = self._source.selected(view)
        chosen = runs["run_id"].astype(str).tolist()
        for run in (view.run_a, view.run_b):
            if run:
                self._source.run(run)  # it has to exist
        a = view.run_a if view.run_a in chosen else ""
        b = view.run_b if view.run_b in chosen else ""
        return replace(view, run_a=a or self._usual(runs, b), run_b=b)

    def _usual(self, runs: pd.DataFrame, other: str) -> str:
        """Return the run to pin where nobody said: the usual one of its board, else one that has passes."""
        boards, free = runs["board"].dropna().unique(), runs[runs["run_id"] != other]
        with contextlib.suppress(EdgeprofError):
            usual = choose(self._dataset, board=str(boards[0]) if len(boards) == 1 else "").run_id
            if usual in set(free["run_id"]):
                return usual
        passes = free["passes_received"].fillna(0) > 0
        best = free.assign(lacks=~passes, scores=free["kind"] != "generate").sort_values(
            ["lacks", "scores"], kind="stable"
        )
        return str(best["run_id"].iloc[0]) if len(best) else ""

    def _set_controls(self) -> None:
        self._busy = True
        try:
            options = self._run_options()
            for control in (self.run_a, self.run_b):
                if tuple(control.options) != tuple(options):
                    control.options = options
            for name, control in self._by_name.items():
                if name != "positions":
                    control.value = getattr(self.view, name)
            for axis in (self.x, self.y):
                axis.layout.visibility = "visible" if self.view.detail == "pareto" else "hidden"
            low, high = self._reach()
            if low > self.positions.max:
                self.positions.max = high
            self.positions.min, self.positions.max = low, high
            first, last = self.view.first, self.view.last
            self.positions.value = (low if first is None else first, high if last is None else last)
        finally:
            self._busy = False

    def _run_options(self) -> list[tuple[str, str]]:
        """Return names of the runs that can be pinned: of very many the first ones, and those that are pinned."""
        runs = self._source.selected(self.view)
        if len(runs) > MOST_RUNS:
            self._painter.notes.append(
                f"{MOST_RUNS} of {len(runs):,} runs are offered to be pinned: choose boards, quantizations or prompts."
            )
            pinned = runs["run_id"].isin([self.view.run_a, self.view.run_b])
            runs = pd.concat([runs[pinned], runs[~pinned].head(MOST_RUNS)])
        rows = runs[["quant_label", "prompt_id", "board", "run_id"]].to_dict("records")
        return [_NO_RUN, *((terminal_text(run_name(row), 100), str(row["run_id"])) for row in rows)]

    def _reach(self) -> tuple[int, int]:
        """Return the first and last position that is drawn."""
        low, high = self._painter.reach
        return low, max(high, low + 1)

    def _brushed(self, low: float, high: float) -> None:
        """Take a stretch of the axis that was brushed with the mouse; a click takes all."""
        with self._reporting():
            low, high = sorted((low, high))
            ends = self._reach()
            first, last = max(ends[0], round(low)), min(ends[1], round(high))
            known = last > first
            self._show(replace(self.view, first=first if known else None, last=last if known else None))

    def _all_positions(self) -> None:
        self._show(replace(self.view, first=None, last=None))

    def _read_anew(self) -> None:
        """Open the data set again: of one that is being captured there is more by now."""
        self._dataset = open_dataset(self._dataset.path)
        self._source = Source(self._dataset)
        self._painter.renew(self._source)
        self._busy = True
        try:
            for attribute in FILTERS:
                control = getattr(self, attribute)
                control.options = [(terminal_text(n), n) for n in self._source.names(attribute)]
        finally:
            self._busy = False
        self._show(self.view)

    # ---- what is said beside the figure ----

    def pinned(self) -> list[tuple[str, pd.Series]]:
        """Return letter and row of each pinned run."""
        pins = (("A", self.view.run_a), ("B", self.view.run_b))
        return [(letter, self._source.run(run)) for letter, run in pins if run]

    def range_statistics(self) -> pd.DataFrame:
        """Return the figures of the brushed range, for each pinned run; see the table under the figure."""
        view = self.view
        passes = [(letter, self._source.passes(str(run["run_id"]))) for letter, run in self.pinned()]
        return range_statistics(passes, view.phase, view.value, view.first, view.last)

    def statistics_table(self) -> pd.DataFrame:
        """Return :meth:`range_statistics` as strings, and how run B differs from run A."""
        pins = self.pinned()
        names = {letter: f"{letter}: {run_name(run)}" for letter, run in pins}
        alike = self.view.value == "nll" or self._source.alike(
            pd.DataFrame([run for _, run in pins] or self._source.runs)
        )
        table = statistics_table(self.range_statistics(), _UNITS[self.view.value], alike=alike)
        return table.assign(run=[names.get(name, name) for name in table["run"]]) if len(table) else table

    def _tell(self) -> None:
        view, table = self.view, self.statistics_table()
        self.message.value = "".join(f"<div>{html_text(note, 400)}</div>" for note in self._painter.notes)
        where = "all positions"
        if view.first is not None or view.last is not None:
            low, high = self._reach()
            where = (
                f"positions {low if view.first is None else view.first} to {high if view.last is None else view.last}"
            )
        said = f"{where}, {view.phase} passes; the share is of the ticks of all passes of the run"
        self.statistics.value = html_table(table, said, 120) if len(table) else "Pin a run to see its figures."
        self.texts.value = self._coloured(self.pinned())

    def _coloured(self, pins: list[tuple[str, pd.Series]]) -> str:
        view = self.view
        unit = _UNITS[view.value]
        rows = {
            letter: coloured.token_rows(self._source.passes(str(run["run_id"])), view.phase) for letter, run in pins
        }
        known = {letter: part[view.value].dropna().astype(float) for letter, part in rows.items()}
        together = view.value == "nll" or len({run["counted"] for _, run in pins}) == 1
        columns = []
        for letter, run in pins:
            values = pd.concat(list(known.values())) if together else known[letter]
            scale = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
            pieces = self._source.pieces(run["model_sha256"])
            head = f"<b>{letter}: {html_text(run_name(run), 100)}</b> "
            if len(rows[letter]) == 0:
                body = f"<div>There is no {html_text(view.phase)} pass in this run.</div>"
            elif known[letter].empty:
                body = f"<div>No token of this run has {'an NLL' if view.value == 'nll' else 'a latency'}.</div>"
            else:
                head += coloured.legend(*scale, unit)
                said = (
                    ""
                    if pieces
                    else "<em>The spelling of tokens is not in this data set (capture with --model): ids.</em>"
                )
                body = said + coloured.coloured_text(
                    rows[letter], view.value, pieces, scale, unit, (view.first, view.last)
                )
            columns.append(f'<div style="flex:1;min-width:0">{head}{body}</div>')
        return f'<div style="display:flex;gap:24px">{"".join(columns)}</div>'

    # ---- what a view becomes ----

    def save_figure(self) -> list[Path]:
        """Write the view as PNG, SVG and PDF into the output folder; return the files."""
        with self._reporting():
            paths = export.write_figure(self._dataset, self.view, self._output_dir)
            self._tell_exported("Written: " + ", ".join(map(str, paths)), "")
            return paths
        return []

    def show_code(self) -> str:
        """Show the cell that draws the view anew; return it."""
        text = code(self.view, self._dataset.path)
        self._tell_exported("A cell that draws this view:", text)
        return text

    def save_report(self) -> Path | None:
        """Write parameters of reports of the pinned runs into the output folder; return the file."""
        with self._reporting():
            path = export.write_report([run for _, run in self.pinned()], self._dataset.path, self._output_dir)
            self._tell_exported(f"Written: {path}. The reports are made by", export.report_command(path))
            return path
        return None

    def _tell_exported(self, said: str, text: str) -> None:
        body = f'<pre style="user-select:all">{html.escape(text)}</pre>' if text else ""
        self.exported.value = f"<div>{html_text(said, 1000)}</div>{body}"

    # ---- errors ----

    def _clicked(self, act: Callable[[], Any], _: Any) -> None:
        with self._reporting():
            act()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Show an error in the view, and raise it unless a front end asked."""
        try:
            yield
        except Exception as error:
            name = "" if isinstance(error, EdgeprofError) else f"{type(error).__name__}: "
            self.message.value = (
                '<div role="alert" style="color:#fff;background:#b00020;padding:4px 10px;border-radius:3px">'
                f"{html_text(f'{name}{error}', 1000)}</div>"
            )
            with contextlib.suppress(Exception):
                self._set_controls()  # to what is seen, not to what was refused
            if not from_front_end():
                raise


def explore(data: Dataset | str | Path, *, output_dir: str | Path = ".", **view: Any) -> Explorer:
    """Return an explorer of a data set, to be shown as the last line of a cell.

    Parameters
    ----------
    data
        From :func:`edgeprof.open`, or its path.
    output_dir
        Where figures and parameters of reports are written.
    **view
        What it shows at first: attributes of :class:`edgeprof.explorer.View`, such as ``boards=["wasm"]`` or
        ``detail="memory"``. By default, or where ``boards`` is empty, the board, and run A, that have the most runs.

    Raises
    ------
    UsageError
        Something in the view does not exist.
    StorageError
        The data set cannot be read.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    first = View()
    if not view.get("boards"):
        view.pop("boards", None)
        with contextlib.suppress(EdgeprofError):
            first = replace(first, boards=tuple(filter(None, [choose(dataset).board])))
    return Explorer(dataset, changed(first, view), output_dir or ".")
