"""The plots of an object, one step behind its ``plot``: which plot, of which of its data, and nothing else.

Every method takes ``ax`` as all of :mod:`edgeprof.plots` do, and returns the axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from edgeprof.comparison import Comparison
    from edgeprof.gating import GateResult
    from edgeprof.one_run import Run
    from edgeprof.prediction import Prediction
    from edgeprof.store import Dataset

__all__ = ["ComparisonPlots", "DatasetPlots", "GatePlots", "PredictionPlots", "RunPlots"]


class _Plots:
    def __repr__(self) -> str:
        return f"<plots: {', '.join(f'{name}()' for name in dir(self) if not name.startswith('_'))}>"


class RunPlots(_Plots):
    """The plots of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def latency(self, *, ax: Axes | None = None) -> Axes:
        """Plot what each pass cost, against its position (:func:`edgeprof.plots.plot_passes`)."""
        from edgeprof import plots

        return plots.plot_passes(self._run.passes, clock=self._run.clock, ax=ax)

    def distribution(self, *, ax: Axes | None = None) -> Axes:
        """Plot the distribution of inter-token latencies (:func:`edgeprof.plots.plot_itl`).

        Raises
        ------
        NotComparableError
            The run has none.
        """
        import pandas as pd

        from edgeprof import plots
        from edgeprof.errors import NotComparableError
        from edgeprof.metrics import itl_ticks

        found = itl_ticks(self._run.tokens)
        if not len(found):
            why = self._run.metrics["missing"].loc["itl_p50_ticks"]
            raise NotComparableError(f"Run {self._run.run_id!r} has no inter-token latencies. It lacks: {why}.")
        data = pd.DataFrame({"group": self._run.name, "itl_ticks": found})
        return plots.plot_itl(data, clock=self._run.clock, ax=ax)

    def stages(self, *, ax: Axes | None = None) -> Axes:
        """Plot what each stage takes of a pass, phase by phase (:func:`edgeprof.plots.plot_stages`)."""
        from edgeprof import plots
        from edgeprof.stage_profile import stage_shares

        shares = stage_shares(self._run.tokens, self._run.stages).rename(columns={"phase": "group"})
        return plots.plot_stages(shares, clock=self._run.clock, ax=ax)

    def memory(self, region: str = "RAM", *, ax: Axes | None = None) -> Axes:
        """Plot what takes the board's ``RAM`` or ``flash`` (:func:`edgeprof.plots.plot_memory_budget`)."""
        from edgeprof import plots

        budget = self._run.budget.assign(group=self._run.name)
        return plots.plot_memory_budget(budget, region=_region(region), ax=ax)


class DatasetPlots(_Plots):
    """The plots of a data set; where no board is named, of the one with the most runs."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def latency(self, board: str = "", *, ax: Axes | None = None) -> Axes:
        """Plot what a decode pass costs by position, a line a group (:func:`edgeprof.plots.plot_cost_by_position`)."""
        from edgeprof import plots, tidy

        board = self._board(board)
        clock = tidy.clock(self._dataset, board)
        return plots.plot_cost_by_position(tidy.costs(self._dataset, board), clock=clock, ax=ax)

    def distribution(self, board: str = "", *, ax: Axes | None = None) -> Axes:
        """Plot the distribution of inter-token latencies, a row a group (:func:`edgeprof.plots.plot_itl`)."""
        from edgeprof import plots, tidy

        board = self._board(board)
        return plots.plot_itl(tidy.itl(self._dataset, board), clock=tidy.clock(self._dataset, board), ax=ax)

    def memory(self, region: str = "RAM", *, board: str = "", model: str = "", ax: Axes | None = None) -> Axes:
        """Plot what takes a board's ``RAM`` or ``flash`` (:func:`edgeprof.plots.plot_memory_budget`)."""
        from edgeprof import plots
        from edgeprof.budget import dataset_budget

        budget = dataset_budget(self._dataset, self._board(board), model)
        return plots.plot_memory_budget(budget, region=_region(region), ax=ax)

    def fleet(self, *, ax: Axes | None = None) -> Axes:
        """Plot every model file on every board (:func:`edgeprof.plots.plot_fleet`)."""
        from edgeprof import plots
        from edgeprof.fleet import fleet

        return plots.plot_fleet(fleet(self._dataset), ax=ax)

    def _board(self, board: str) -> str:
        from edgeprof.choices import choose

        return board or choose(self._dataset).board


class ComparisonPlots(_Plots):
    """The plots of a comparison."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def changes(self, *metrics: str, ax: Axes | None = None) -> Axes:
        """Plot judged changes with their intervals, by default of all metrics (:func:`edgeprof.plots.plot_changes`)."""
        from edgeprof import plots, tidy
        from edgeprof.changes import SMALLEST_EFFECT

        return plots.plot_changes(tidy.changes(self._comparison, metrics), smallest=SMALLEST_EFFECT, ax=ax)

    def tradeoff(self, board: str = "", *, ax: Axes | None = None) -> Axes:
        """Plot perplexity against size (:func:`edgeprof.plots.plot_tradeoff`), of the first board unless one is named.

        Raises
        ------
        UsageError
            There is no such board in the comparison.
        NotComparableError
            No perplexity was measured on it.
        """
        from edgeprof import plots, tidy
        from edgeprof.errors import NotComparableError, unknown_name

        boards = [str(name) for name in self._comparison.table["board"].dropna().unique()]
        if board and board not in boards:
            raise unknown_name("board in this comparison", board, boards)
        points = tidy.tradeoff(self._comparison, board or boards[0])
        if points["perplexity"].isna().all():
            raise NotComparableError(
                "There is no quality to hold sizes against: capture an evaluation text with each (capture --eval)."
            )
        return plots.plot_tradeoff(points, "model_bytes", xlabel="model file [KiB]", scale=1024, ax=ax)


class GatePlots(_Plots):
    """The plot of a gate's result."""

    def __init__(self, result: GateResult) -> None:
        self._result = result

    def changes(self, *, ax: Axes | None = None) -> Axes:
        """Plot every change beside its limit (:func:`edgeprof.plots.plot_changes`)."""
        from edgeprof import plots
        from edgeprof.changes import SMALLEST_EFFECT
        from edgeprof.gate_outputs.tables import checks_for_plot

        return plots.plot_changes(checks_for_plot(self._result), smallest=SMALLEST_EFFECT, ax=ax)


class PredictionPlots(_Plots):
    """The plot of a prediction."""

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def stages(self, *, ax: Axes | None = None) -> Axes:
        """Plot the predicted stages of a decode pass (:func:`edgeprof.plots.plot_stages`)."""
        from edgeprof import plots
        from edgeprof.prediction_tables import stage_parts

        clock = self._prediction.clock or "an unknown clock"
        return plots.plot_stages(stage_parts(self._prediction), clock=clock, ax=ax)


def _region(region: str) -> str:
    from edgeprof.budget import REGIONS
    from edgeprof.errors import unknown_name

    if region not in REGIONS:
        raise unknown_name("kind of memory", region, REGIONS)
    return region
