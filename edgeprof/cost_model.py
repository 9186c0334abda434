"""What a forward pass costs, from the work that it does: ticks = sum of coefficient x amount, fitted to captures.

Coefficients are non-negative and belong to one board, its kernels, emulator and clock. The kernels are the same
functions in each stage, so a coefficient is shared between stages; only then can two or three models tell
rows from products and exponentials from cache reads. Residuals are relative, each model and quantization
weighs the same in each stage, and observations far from all others count less (Huber).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from edgeprof.model_shape import ModelShape
from edgeprof.workload import COEFFICIENTS, stage_work

__all__ = ["FORCED", "SAMPLED", "CostModel", "fit_costs"]

SAMPLED = ("embedding", "attention", "feed_forward", "head", "sampling", "other")
"""The stages of a pass whose output is a token: every decode pass, and the last of the prefill."""
FORCED = ("embedding", "attention", "feed_forward", "other")
"""The stages of all other prefill passes."""

_RIDGE = 1e-3
"""Decides between coefficients that the data cannot tell apart; where they can it shifts them by less than 0.2 %."""
_ROUNDS = 6
_HUBER = 2.0


@dataclass(frozen=True)
class CostModel:
    """Coefficients in ticks, by feature (``macs:Q4_0``).

    Attributes
    ----------
    ticks : mapping
        Feature to ticks a unit of it.
    """

    ticks: Mapping[str, float]

    def unknown(self, shape: ModelShape, stages: Sequence[str] = SAMPLED) -> list[str]:
        """Return the features of a model's passes that were never captured: with any, its cost is not known."""
        needed = {feature for stage in stages for feature in stage_work(shape, stage, 0)}
        return sorted(feature for feature in needed if np.isnan(self._ticks_of(feature)))

    def assumed(self, shape: ModelShape) -> list[str]:
        """Return the features that were never captured and are taken for the dearest of their kind."""
        return sorted(set(stage_work(shape, "embedding", 0)) - set(self.ticks) - set(self.unknown(shape)))

    def _ticks_of(self, feature: str) -> float:
        """Return a coefficient; NaN if there is none.

        An untied embedding may have a type in which no other was captured. One row of it is read a pass, well under 1 %
        of the work, so the dearest type that was captured will do.
        """
        if feature in self.ticks:
            return self.ticks[feature]
        alike = [
            t for name, t in self.ticks.items() if name.startswith("unpacked:") and feature.startswith("unpacked:")
        ]
        return max(alike, default=float("nan"))

    def stage_ticks(self, shape: ModelShape, stage: str, position: int) -> float:
        """Return the ticks of a stage in the pass at a position; NaN where a feature was never captured."""
        work = stage_work(shape, stage, position)
        return sum((amount * self._ticks_of(feature) for feature, amount in work.items()), 0.0)

    def pass_ticks(self, shape: ModelShape, position: int, stages: Sequence[str] = SAMPLED) -> float:
        """Return the ticks of the pass at a position."""
        return sum(self.stage_ticks(shape, stage, position) for stage in stages)

    def table(self) -> pd.DataFrame:
        """Return ``feature``, ``tensor_type``, ``coefficient`` (its name, with the unit), ``ticks``, ``of``."""
        rows = []
        for feature, ticks in sorted(self.ticks.items()):
            kind, _, of = feature.partition(":")
            rows.append((kind, of or None, COEFFICIENTS[kind][0], ticks, COEFFICIENTS[kind][1]))
        return pd.DataFrame(rows, columns=["feature", "tensor_type", "coefficient", "ticks", "of"])


def fit_costs(stages: pd.DataFrame, shapes: Sequence[ModelShape]) -> CostModel:
    """Fit coefficients to what stages took.

    Parameters
    ----------
    stages
        ``shape`` (index into `shapes`), ``stage``, ``position`` (tokens), ``ticks`` (ticks of the board's clock, above
        0); as of :class:`edgeprof.observed.Observations`.
    shapes
        The models.

    Returns
    -------
    CostModel
        With no coefficient for what the observations do not contain.
    """
    if stages.empty:
        return CostModel({})
    rows = zip(stages["shape"], stages["stage"], stages["position"], strict=True)
    work = pd.DataFrame([stage_work(shapes[i], stage, int(position)) for i, stage, position in rows]).fillna(0.0)
    ticks = stages["ticks"].to_numpy(float)
    of_one = stages.groupby(["shape", "stage"])["ticks"].transform("size").to_numpy(float)
    relative = work.to_numpy(float) / ticks[:, None]
    scale = relative.max(axis=0)
    design, weight = relative / scale, 1 / np.sqrt(of_one)
    found = _solve(design, weight)
    for _ in range(_ROUNDS):
        residual = np.abs(design @ found - 1)
        usual = 1.4826 * float(np.median(residual))
        trust = np.minimum(1.0, _HUBER * max(usual, 1e-3) / np.maximum(residual, 1e-12))
        found = _solve(design, weight * np.sqrt(trust))
    return CostModel(dict(zip(work.columns, (found / scale).tolist(), strict=True)))


def _solve(design: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the non-negative solution of ``design x = 1``, weighted; the ridge makes it unique."""
    n = design.shape[1]
    ridge = _RIDGE * float(np.sqrt((weight**2).sum())) / n
    left = np.vstack([design * weight[:, None], ridge * np.eye(n)])
    right = np.concatenate([weight, np.zeros(n)])
    return np.asarray(scipy.optimize.nnls(left, right)[0], dtype=np.float64)
