"""What a decode pass of a model takes: bytes of weights and of the cache, multiply-accumulates.

All follow from the model's shape, which a data set does not hold: the file is looked for, and believed under the same
conditions as when a cost model is fitted (:mod:`edgeprof.observed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprof.errors import UsageError
from edgeprof.footprint import kv_cache_bytes
from edgeprof.model_shape import ModelShape
from edgeprof.observed import Shapes
from edgeprof.workload import STAGES, macs, stage_work, weight_bytes_read

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["DecodeWork", "decode_work", "work_by_run"]

_KEY = ["model", "quant", "n_params", "bits_per_weight"]


@dataclass(frozen=True, slots=True)
class DecodeWork:
    """What a decode pass takes.

    Attributes
    ----------
    weight_bytes : int
        Bytes of weights that are read, each once: all tensors, but of the embedding one row.
    weight_macs : int
        Multiply-accumulates with weights.
    cache_bytes_per_position, cache_macs_per_position : int
        Bytes of keys and values, and multiply-accumulates with them, for each position that is attended to; the pass
        at position p (from 0) attends to p + 1.
    """

    weight_bytes: int
    weight_macs: int
    cache_bytes_per_position: int
    cache_macs_per_position: int


def decode_work(shape: ModelShape) -> DecodeWork:
    """Return what a decode pass of a model takes."""
    norms = sum(4 * dims[0] for dims, _ in shape.tensors.values() if len(dims) == 1)  # these are F32 in every file
    return DecodeWork(
        weight_bytes=norms + sum(weight_bytes_read(shape, stage) for stage in STAGES),
        weight_macs=sum(sum(macs(shape, stage).values()) for stage in STAGES),
        cache_bytes_per_position=kv_cache_bytes(shape, 1),
        cache_macs_per_position=int(stage_work(shape, "attention", 0)["cache_macs"]),
    )


def work_by_run(dataset: Dataset, models: Iterable[str | Path] = ()) -> Mapping[str, DecodeWork]:
    """Return, by ``run_id``, what a decode pass takes, for the runs whose model's file is found.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    models
        Further GGUF files, or folders of such; by default those of the data set and those that come with edgeprof.

    Raises
    ------
    UsageError
        There is no such file or folder.
    """
    paths = [Path(path) for path in models]
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no model at {path}: name a GGUF file, or a folder of such files.")
    runs = dataset.runs.dropna(subset=_KEY)
    if runs.empty:
        return {}
    shapes = Shapes([dataset], paths)
    found: dict[str, DecodeWork] = {}
    for _, part in runs.groupby(_KEY):
        model, quant, n_params, bits = part[_KEY].iloc[0]
        index = shapes.index(str(model), str(quant), int(n_params), float(bits))
        if index is not None:
            found |= dict.fromkeys(part["run_id"].astype(str), decode_work(shapes.used[index]))
    return found
