"""One figure for all of a view: what has not changed is not drawn anew."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof import tidy
from edgeprof.display import mpl_text
from edgeprof.explorer import draw
from edgeprof.explorer.draw import Line, Pinned, Scale
from edgeprof.explorer.source import Source
from edgeprof.explorer.view import View, validated
from edgeprof.plots import style, tick_unit, use

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgeprof.store import Dataset

__all__ = ["DPI", "INCHES", "Painter", "figure"]

INCHES, DPI = (11.0, 6.8), 100
MOST_GROUPS = 14
_LEGEND = 0.075  # of the figure's height
_NEARLY = 4  # pixels: room that differs by less is as much
_NOTHING = "No run has all of what was chosen: choose more boards, quantizations or prompts."


class Painter:
    """Draws views of a data set into one figure.

    Attributes
    ----------
    figure
        What is drawn into; it is the caller's, and belongs to no global state.
    axes
        ``cost``, ``distribution``, and below them ``detail`` and perhaps ``detail2``.
    reach
        The first and last position that is drawn.
    notes
        What the last view leaves out, in words.
    """

    def __init__(self, source: Source, figure: Figure) -> None:
        self.source, self.figure = source, figure
        self.axes: dict[str, Any] = {}
        self.reach = (0, 1)
        self.notes: list[str] = []
        self._notes: list[str] = []
        self._drawn: dict[str, Hashable] = {}
        self._brush: list[Any] = []
        self._layouts: dict[Hashable, dict[str, Any]] = {}

    def renew(self, source: Source) -> None:
        """Draw everything of another data set from now on."""
        self.source = source
        self._drawn = {"detail": self._drawn.get("detail")}

    def paint(self, view: View) -> None:
        """Draw a view; panels that show the same as before stay as they are.

        Raises
        ------
        UsageError
            Something in the view does not exist.
        """
        validated(view)
        source = self.source
        runs = source.selected(view)
        pins = [(letter, source.run(run)) for letter, run in (("A", view.run_a), ("B", view.run_b)) if run]
        look = (view.look,)
        shown = (*look, tuple(runs.index), view.phase, view.value, view.run_a, view.run_b)
        with use(view.look):
            self.figure.set_facecolor(style.look().background)
            if self._drawn.get("look") != look:
                self._drawn.pop("top", None)
                self._drawn.pop("below", None)
            self._settle(view.detail)
            try:
                stale = self._drawn.get("top") != shown
                if stale:
                    self._top(view, runs, pins)
                    self._drawn["top"] = shown
                self._shade(view)
                below = (*look, *self._below(view, runs, pins))
                if self._drawn.get("below") != below:
                    self._detail(view, runs, pins)
                    self._drawn["below"] = below
                    stale = True
                if stale:
                    self._arrange()
            except Exception:
                self._drawn = {"detail": view.detail}  # half drawn
                raise
            self._drawn["look"] = look
            self.notes = list(self._notes)

    def _arrange(self) -> None:
        """Give every label its room, as it was where labels have taken as much before: laying out is dear."""
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        size = (self._drawn.get("detail"), *self.figure.get_size_inches().tolist())
        needed = (*size, *(_room(ax) for ax in self.axes.values()))
        known = self._layouts.get(needed)
        if known:
            for name, ax in self.axes.items():
                ax.set_position(known[name])
            return
        self.figure.set_layout_engine("constrained")
        engine = self.figure.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        below = _LEGEND if self._drawn.get("detail") == "memory" else 0.0
        engine.set(rect=(0, below, 1, 1 - below))
        engine.execute(self.figure)
        self.figure.set_layout_engine("none")
        self._layouts[needed] = {name: ax.get_position(original=True) for name, ax in self.axes.items()}

    def _settle(self, detail: str) -> None:
        """Make the axes; those below are others where the detail is."""
        if not self.axes:
            self._grid = self.figure.add_gridspec(2, 1, height_ratios=(1.25, 1))
            upper = self._grid[0].subgridspec(1, 2, width_ratios=(2.7, 1))
            self.axes["cost"] = self.figure.add_subplot(upper[0])
            self.axes["distribution"] = self.figure.add_subplot(upper[1], sharey=self.axes["cost"])
        if self._drawn.get("detail") != detail:
            for name in [n for n in self.axes if n.startswith("detail")]:
                self.axes.pop(name).remove()
            lower = self._grid[1].subgridspec(1, 2 if detail == "memory" else 1)
            for number, name in enumerate(["detail", "detail2"][: 2 if detail == "memory" else 1]):
                self.axes[name] = self.figure.add_subplot(lower[number])
            self._drawn.pop("below", None)
            self._drawn["detail"] = detail

    def _palette(self, runs: pd.DataFrame) -> dict[str, tuple[str, str]]:
        """Return colours of groups that stay with a quantization, whatever else is chosen."""
        usual = style.colours(self.source.runs["quant_label"].astype(str))
        return usual | {str(g): usual[str(q)] for g, q in zip(runs["group"], runs["quant_label"], strict=True)}

    def _divisors(self, view: View, runs: pd.DataFrame) -> tuple[dict[str, float], Scale]:
        """Return what values are divided by, by what counted them, and what the axis is called then."""
        counters = list(dict.fromkeys(runs["counted"]))
        if view.value == "nll":
            return dict.fromkeys(counters, 1.0), Scale("NLL", "NLL of a token [nat]", "", "upper")
        if self.source.alike(runs):
            clock = str(runs["clock"].dropna().iloc[0]) if runs["clock"].notna().any() else "an unknown clock"
            return dict.fromkeys(counters, 1e6), Scale(
                "Latency", f"latency of a token\n[million {tick_unit(clock)}]", clock
            )
        found = {}
        for counter in counters:
            mine = self.source.summary(runs.index[runs["counted"] == counter], view.phase, view.value)
            found[counter] = float(np.median(mine.quantiles)) if mine else 1.0
        differing = self.source.differing(runs)
        several, one = " or ".join(f"{word}s" for word in differing), " and ".join(differing)
        self._notes.append(
            f"Ticks of several {several} are not the same thing: latencies are in medians of their {one}."
        )
        return found, Scale("Latency", f"latency of a token\n[median of its {one} = 1]", "")

    def _lines(self, view: View, runs: pd.DataFrame, divisors: dict[str, float]) -> list[Line]:
        found = []
        for name, part in runs.groupby("group", sort=False):
            tokens = self.source.summary(part.index, view.phase, view.value)
            if tokens:
                found.append(Line(str(name), tokens, divisors[str(part["counted"].iloc[0])]))
        if len(found) > MOST_GROUPS:
            self._notes.append(f"{MOST_GROUPS} of {len(found)} groups are drawn: choose fewer.")
        return found[:MOST_GROUPS]

    def _pinned(
        self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]], divisors: dict[str, float]
    ) -> list[Pinned]:
        found = []
        for letter, run in pins:
            group = runs["group"].get(run.name, run["quant_label"])
            if run["counted"] not in divisors:
                self._notes.append(
                    f"{letter} ({run_name(run)}) was counted by none of what is chosen: it is not drawn."
                )
                continue
            tokens = self.source.summary([int(run.name)], view.phase, view.value)  # type: ignore[call-overload]
            found.append(Pinned(letter, run_name(run), str(group), tokens, divisors[run["counted"]]))
        return found

    def _top(self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]]) -> None:
        self._notes = []
        cost, spread = self.axes["cost"], self.axes["distribution"]
        self._brush = []
        for ax in (cost, spread):
            _emptied(ax)
        cost.set_ylim(0, 1)  # both share it, so that neither forgets it when it is emptied
        for ax in (cost, spread):
            ax.set_autoscale_on(True)
        if runs.empty:
            draw.say(cost, _NOTHING)
            spread.set_axis_off()
            return
        divisors, scale = self._divisors(view, runs)
        lines = self._lines(view, runs, divisors)
        if not lines:
            draw.say(cost, _lacking(view))
            spread.set_axis_off()
            return
        pinned = self._pinned(view, runs, pins, divisors)
        palette = self._palette(runs)
        reaches = [line.tokens.reach for line in lines]
        self.reach = (min(first for first, _ in reaches), max(last for _, last in reaches))
        for run in pinned:
            if run.tokens is None:
                self._notes.append(f"{run.letter} ({run.name}): {_lacking(view)}")
        draw.cost(cost, lines, pinned, palette, scale)
        draw.distribution(spread, lines, palette, scale)

    def _shade(self, view: View) -> None:
        for artist in self._brush:
            artist.remove()
        ax = self.axes["cost"]
        self._brush = draw.brush(ax, view.first, view.last) if ax.axison else []

    def _below(self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]]) -> tuple[Hashable, ...]:
        """Return what the lower panel depends on."""
        pinned = tuple(str(run["run_id"]) for _, run in pins)
        if view.detail == "stages":
            return view.detail, pinned
        if view.detail == "memory":
            return view.detail, tuple(runs.index)
        return view.detail, tuple(runs.index), pinned, view.boards, view.quants, view.x, view.y

    def _detail(self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]]) -> None:
        axes = [self.axes[name] for name in ("detail", "detail2") if name in self.axes]
        for ax in axes:
            _emptied(ax)
        {"pareto": self._front, "memory": self._memory, "stages": self._stages}[view.detail](view, runs, pins, axes)

    def _front(self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]], axes: list[Any]) -> None:
        if runs.empty:
            return draw.say(axes[0], _NOTHING)
        points, counter = front_points(self.source, view, pins)
        if points[[view.x, view.y]].dropna().empty:
            without = " and ".join(m for m in dict.fromkeys((view.x, view.y)) if points[m].isna().all()) or "both"
            return draw.say(axes[0], f"No group on {mpl_text(counter)} has {without}: choose other metrics.")
        palette = self._palette(runs)
        here = [Pinned(a, run_name(r), str(r["quant_label"]), None, 1.0) for a, r in pins if r["counted"] == counter]
        return draw.front(axes[0], points, view.x, view.y, palette, here, counter)

    def _memory(self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]], axes: list[Any]) -> None:
        found = self.source.budget(runs) if len(runs) else None
        if found is None or found.empty:
            axes[1].set_axis_off()
            return draw.say(axes[0], "Nothing is known of the memory of these runs." if len(runs) else _NOTHING)
        names = list(dict.fromkeys(found["group"]))
        shown = found[found["group"].isin(names[:MOST_GROUPS])]
        if len(found["board"].drop_duplicates()) == 1:
            shown = shown.assign(group=shown["group"].str.partition(" · ")[2])
        left_out = f"; {MOST_GROUPS} of {len(names)} are drawn" if len(names) > MOST_GROUPS else ""
        return draw.memory(axes, shown, f"line: what the board has{left_out}")

    def _stages(self, view: View, runs: pd.DataFrame, pins: list[tuple[str, pd.Series]], axes: list[Any]) -> None:
        parts = [
            self.source.stages(str(run["run_id"])).assign(letter=letter, clock=str(run["clock"]))
            for letter, run in pins
        ]
        known = [part for part in parts if len(part)]
        if not known:
            said = "No stages were received of the pinned runs: their firmware times none." if pins else "Pin a run."
            return draw.say(axes[0], said)
        shares = pd.concat(known)
        shares["group"] = shares["letter"] + " · " + shares["phase"].astype(str)
        return draw.stages(axes[0], shares, " and ".join(dict.fromkeys(shares["clock"])))


def _room(ax: Any) -> Hashable:
    """Return what layout depends on: how much room the words around axes take, to a few pixels."""
    if not ax.axison:
        return ()
    lines = [axis.label.get_text().count("\n") + bool(axis.label.get_text()) for axis in (ax.xaxis, ax.yaxis)]
    left = max((label.get_window_extent().width for label in ax.get_yticklabels() if label.get_visible()), default=0.0)
    right = max((text.get_window_extent().x1 - ax.bbox.x1 for text in ax.texts), default=0.0)
    return (*lines, round(left / _NEARLY), round(max(right, 0.0) / _NEARLY))


def _emptied(ax: Any) -> None:
    """Empty axes, and give what stays the colours of now."""
    ax.clear()
    ax.relim()  # what was drawn has no say in limits any more
    ax.set_axis_on()
    ax.set_facecolor(style.look().background)
    for spine in ax.spines.values():
        spine.set_edgecolor(style.look().text)


def run_name(run: Mapping[Any, Any] | pd.Series) -> str:
    """Return what a run is called: quantization, prompt, board, and which of several."""
    parts = [str(run[c]) for c in ("quant_label", "prompt_id", "board") if pd.notna(run[c])]
    return " · ".join([*parts, str(run["run_id"]).rpartition("/")[2]])


def front_points(source: Source, view: View, pins: list[tuple[str, pd.Series]]) -> tuple[pd.DataFrame, str]:
    """Return groups with two metrics and their Pareto front, and what counted them: as A's, else the first run's.

    They are of one board, clock and emulator. A group's metric is the median of its runs. Of evaluation texts all
    count, whatever prompts were chosen.
    """
    chosen = source.selected(view)
    texts = source.selected(view, ("boards", "quants"))
    runs = pd.concat([chosen, texts[(texts["kind"] == "score") & ~texts.index.isin(chosen.index)]])
    counters = [str(run["counted"]) for _, run in pins if run["counted"] in set(runs["counted"])]
    counter = (counters or runs["counted"].tolist())[0]
    mine = runs[runs["counted"] == counter].sort_index()
    metrics = list(dict.fromkeys((view.x, view.y)))
    values = source.measured.reindex(mine["run_id"])[metrics].astype("float64").set_axis(mine["quant_label"])
    points = values.groupby(level=0, sort=False).median().rename_axis("group").reset_index()
    return tidy.front(points, *metrics), counter


def _lacking(view: View) -> str:
    """Return in words that no token has what a view asks for."""
    what = "an NLL" if view.value == "nll" else "a latency"
    return f"No {view.phase} pass has {what} here: choose another phase, or runs that have."


def figure(dataset: Dataset, view: View | None = None) -> Figure:
    """Return a view of a data set as a figure, as the explorer shows it.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    view
        What to show; by default all runs, and the Pareto front of size and cost.

    Raises
    ------
    UsageError
        Something in the view does not exist.
    """
    from matplotlib.figure import Figure

    made = Figure(figsize=INCHES, dpi=DPI)
    Painter(Source(dataset), made).paint(view or View())
    return made
