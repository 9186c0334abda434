"""Captures as the observations that a cost model is fitted to: what each stage took, beside the model's shape.

A data set does not hold a model's shape, so the files are looked for: in the folder ``models`` of the data set, in the
data set itself, and among those that come with edgeprof. The header is enough, and from an F16 or F32 file
follow all of its quantizations. A file is believed to be the one that ran if parameters and bits per weight agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from edgeprof import resources
from edgeprof.errors import EdgeprofError
from edgeprof.footprint import Firmware
from edgeprof.model_shape import ModelShape, read_shape
from edgeprof.store import Dataset, open_dataset
from edgeprof.workload import STAGES

__all__ = [
    "Captures", "Observations", "Setup", "Shapes", "captured_boards", "load_captures", "observations",
    "shipped_captures",
]  # fmt: skip

Captures = str | Path | Dataset | Sequence[str | Path | Dataset]
"""One data set or several."""

_SETUP = ["kernel_variant", "emulator", "emulator_version", "clock"]
_POSITIONS = 12
"""So many positions of each model and quantization are kept: cost is a line over them."""


class Setup(NamedTuple):
    """What must be the same for ticks to be comparable."""

    kernel_variant: str
    emulator: str
    emulator_version: str
    clock: str


@dataclass
class Observations:
    """What captures say of one board.

    Attributes
    ----------
    board, setup : str, Setup
        Whose ticks these are.
    stages : DataFrame
        A row for each model, quantization, stage and position: ``model``, ``quant``, ``shape`` (index into `shapes`),
        ``same`` (number of the group of models with the same dimensions), ``stage``, ``position`` (tokens),
        ``ticks`` (median over its passes), ``passes``.
    shapes : list of ModelShape
        The files that ran.
    n_ctx : tuple of int
        The shortest and longest context, in tokens.
    firmware : Firmware or None
        The newest image.
    facts : dict
        ``core``, ``board_clock_hz``, ``tick_hz``, ``ram_bytes``, ``flash_bytes`` as the board said them.
    notes : list of str
        What was left out, in words.
    """

    board: str
    setup: Setup
    stages: pd.DataFrame
    shapes: list[ModelShape]
    n_ctx: tuple[int, int]
    firmware: Firmware | None
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def shipped_captures() -> list[str]:
    """Return the paths of the data sets that come with edgeprof: the reference data, and other sizes of model."""
    return [str(resources.path("data/reference")), str(resources.path("data/reference/sizes"))]


def load_captures(captures: Captures | None = None) -> list[Dataset]:
    """Open data sets; None opens :func:`shipped_captures`.

    Raises
    ------
    StorageError
        There is no such data set.
    """
    if captures is None:
        captures = shipped_captures()
    several = [captures] if isinstance(captures, (str, Path, Dataset)) else list(captures)
    return [each if isinstance(each, Dataset) else open_dataset(each) for each in several]


def captured_boards(datasets: Iterable[Dataset]) -> list[str]:
    """Return the names of the boards that data sets have runs of."""
    return sorted({str(name) for dataset in datasets for name in dataset.runs["board"].dropna()})


def observations(datasets: Sequence[Dataset], board: str, models: Iterable[str | Path] = ()) -> Observations | None:
    """Return what data sets say of a board; None if that is nothing.

    Where the board was captured in several ways (kernels, emulators), the one with the most runs counts, and a note
    names the others.

    Parameters
    ----------
    datasets
        From :func:`load_captures`.
    board
        Its name.
    models
        Further GGUF files, or folders of such, in which to look for what ran.
    """
    if not datasets:
        return None
    runs = pd.concat([d.runs[d.runs["board"] == board].assign(dataset=i) for i, d in enumerate(datasets)])
    runs = runs[runs["clock"].notna() & runs["image_bytes"].notna()]
    if runs.empty:
        return None
    said = runs[_SETUP].astype(object).fillna("").astype(str)
    setups = [Setup(*row) for row in said.itertuples(index=False, name=None)]
    (setup, _), *others = Counter(setups).most_common()
    notes = [f"{n} runs with {', '.join(filter(None, other))} are left out" for other, n in others]
    runs = runs[[each == setup for each in setups]]
    found = Shapes(datasets, models)
    parts, unknown = [], set()
    generated = runs[runs["kind"] == "generate"]
    for (model, quant), several in _timed(datasets, board, generated).groupby(["model", "quant"]):
        for _, part in several.groupby(["n_params", "bits_per_weight"]):
            first = part.iloc[0]
            index = found.index(str(model), str(quant), int(first["n_params"]), float(first["bits_per_weight"]))
            if index is None:
                unknown.add(f"{model} {quant}")
            else:
                parts.append(_medians(part).assign(model=str(model), quant=str(quant), shape=index))
    if unknown:
        notes.append(f"the shape of {', '.join(sorted(unknown))} is not known (name the files' folder): left out")
    columns = ["model", "quant", "shape", "stage", "position", "ticks", "passes"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    dimensions = list(dict.fromkeys(shape.dimensions for shape in found.used))
    table["same"] = [dimensions.index(found.used[i].dimensions) for i in table["shape"]]
    ran = runs[runs["status"] == "ok"]["n_ctx"].dropna()
    newest = runs.sort_values("capture_id").iloc[-1]
    return Observations(
        board=board,
        setup=setup,
        stages=table,
        shapes=found.used,
        n_ctx=(int(ran.min()), int(ran.max())) if len(ran) else (0, 0),
        firmware=Firmware(*(int(newest[c]) for c in ("image_bytes", "static_ram_bytes", "stack_reserved_bytes"))),
        facts={c: newest[c] for c in ("core", "board_clock_hz", "tick_hz", "ram_bytes", "flash_bytes")},
        notes=notes,
    )


def _timed(datasets: Sequence[Dataset], board: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Return what stages took, pass by pass, beside the run; ``other`` is what a pass took beyond its stages."""
    keys, parts = ["run_id", "position"], []
    for at, dataset in enumerate(datasets):
        mine = runs[runs["dataset"] == at]
        if mine.empty:
            continue
        stages = dataset.table("stages", [*keys, "stage", "ticks"], {"board": board}).dropna()
        passes = dataset.table("tokens", [*keys, "ticks"], {"board": board, "kind": "generate"}).dropna()
        sums = stages.groupby(keys)["ticks"].sum().rename("timed").reset_index()
        rest = passes.drop_duplicates(keys, keep=False).merge(sums, on=keys)
        rest = rest.assign(stage="other", ticks=rest["ticks"] - rest["timed"])
        rows = pd.concat([stages[stages["stage"].isin(STAGES)], rest[[*keys, "stage", "ticks"]]])
        parts.append(rows.merge(mine, on="run_id"))
    return pd.concat(parts)


def _medians(timed: pd.DataFrame) -> pd.DataFrame:
    """Return the median ticks of each stage at some positions: the first, the last, and evenly between."""
    positions = sorted(timed["position"].unique())
    chosen = {positions[round(i * (len(positions) - 1) / (_POSITIONS - 1))] for i in range(_POSITIONS)}
    some = timed[timed["position"].isin(chosen) & (timed["ticks"] > 0)]
    table = some.groupby(["stage", "position"])["ticks"].agg(ticks="median", passes="size").reset_index()
    return table.astype({"position": "int64", "ticks": "float64"})


class Shapes:
    """The models that ran, found among files by name and size."""

    def __init__(self, datasets: Sequence[Dataset], models: Iterable[str | Path]) -> None:
        folders = [Path(d.path) / sub for d in datasets if "://" not in d.path for sub in ("models", ".")]
        paths = [*map(Path, models), *folders, resources.path("data/models")]
        files = [f for p in paths for f in (sorted(p.glob("*.gguf")) if p.is_dir() else [p]) if f.suffix == ".gguf"]
        self.known: dict[str, list[ModelShape]] = {}
        for file in dict.fromkeys(files):
            try:
                shape = read_shape(file)
            except EdgeprofError:  # not a model that could have run: not what is looked for
                continue
            self.known.setdefault(shape.name, []).append(shape)
        self.used: list[ModelShape] = []

    def index(self, model: str, quant: str, n_params: int, bits_per_weight: float) -> int | None:
        """Return the index of a file's shape in `used`, or None."""
        for shape in self.known.get(model, ()):
            for candidate in _candidates(shape, quant):
                if candidate.n_params == n_params and abs(candidate.bits_per_weight - bits_per_weight) < 1e-9:
                    if candidate not in self.used:
                        self.used.append(candidate)
                    return self.used.index(candidate)
        return None


def _candidates(shape: ModelShape, quant: str) -> Iterable[ModelShape]:
    if shape.quant == quant:
        yield shape
    try:
        yield shape.quantized(quant)
    except EdgeprofError:  # a quantization that other programs make
        return
