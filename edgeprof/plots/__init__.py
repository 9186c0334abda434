"""Plots: each takes tidy data and an axes, draws, and returns the axes. Nothing is computed here.

``plot_x(data, *, ax=None) -> Axes`` composes with the user's own figures. Every axis has its unit; an emulated clock is
named in the axis. ``with plots.use("dark"):`` draws for a dark background.
"""

from __future__ import annotations

from edgeprof.plots.changes import plot_changes
from edgeprof.plots.cost import plot_cost_by_position, plot_itl
from edgeprof.plots.energy import plot_battery, plot_energy, plot_token_energy
from edgeprof.plots.fleet import plot_fleet
from edgeprof.plots.front import plot_front
from edgeprof.plots.memory import plot_memory_budget, plot_sections
from edgeprof.plots.pairs import plot_pairs
from edgeprof.plots.power import plot_power
from edgeprof.plots.quality import plot_coverage, plot_tests
from edgeprof.plots.run import plot_passes
from edgeprof.plots.scaling import plot_scaling
from edgeprof.plots.stages import plot_stages
from edgeprof.plots.style import tick_unit, use
from edgeprof.plots.tradeoff import plot_tradeoff

__all__ = [
    "plot_battery",
    "plot_changes",
    "plot_cost_by_position",
    "plot_coverage",
    "plot_energy",
    "plot_fleet",
    "plot_front",
    "plot_itl",
    "plot_memory_budget",
    "plot_pairs",
    "plot_passes",
    "plot_power",
    "plot_scaling",
    "plot_sections",
    "plot_stages",
    "plot_tests",
    "plot_token_energy",
    "plot_tradeoff",
    "tick_unit",
    "use",
]
