"""Where a board's RAM and flash go: a budget a run, of parts that add up to what the board has.

Pure functions on DataFrames. Each part says what kind of figure it is: ``measured`` on the board, ``computed`` before
anything ran, or ``reserved`` and perhaps never used. Unknown parts are left out, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from edgeprof import units
from edgeprof.errors import NotComparableError, unknown_name
from edgeprof.tidy import labels

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = [
    "PARTS", "REGIONS", "budget_table", "dataset_budget", "largest", "memory_budget", "missing_table", "of_board",
    "stack_table",
]  # fmt: skip

REGIONS = ("RAM", "flash")
PARTS = (
    "weights", "code and constants", "static data", "stack", "stack reserve", "KV cache", "activations", "heap",
    "not told apart",
)  # fmt: skip
"""What memory is taken by, in the order in which it is drawn."""

_KEYS = ("run_id", "board", "model", "quant", "prompt_id", "status")
_COLUMNS = (*_KEYS, "region", "part", "how", "bytes", "has_bytes")
_BALANCE = ("unused", "over")
_WHOLE = {
    "RAM": [
        {"static data", stack, *session}
        for stack in ("stack", "stack reserve")
        for session in (("KV cache", "activations"), ("heap",))
    ],
    "flash": [{"weights", "code and constants"}],
}
"""Parts beside which there are no others."""
_Part = tuple[str, str, int]


def memory_budget(runs: pd.DataFrame, memory: pd.DataFrame) -> pd.DataFrame:
    """Return what each run takes of the board's RAM and flash, part by part.

    The parts of a region and ``unused`` add up to ``has_bytes``; where the run does not fit, ``over`` says instead by
    how much the parts exceed it. Where a part is unknown (a board that has not the whole model in its flash cannot
    tell how much RAM it needs) nothing is said to be unused. ``stack`` is the deepest use that the board measured and
    ``stack reserve`` what was reserved beyond it (all of the reserve where nothing was measured). ``not told apart``
    is what the board says that it needs beyond the parts that it names.

    Parameters
    ----------
    runs
        Rows of table ``runs``; those that do not fit have a budget too.
    memory
        Rows of table ``memory``: the measured peaks.

    Returns
    -------
    pandas.DataFrame
        A row a part: ``run_id``, ``board``, ``model``, ``quant``, ``prompt_id``, ``status``, ``region`` (``RAM`` or
        ``flash``), ``part``, ``how`` (``measured``, ``computed`` or ``reserved``), ``bytes``, and ``has_bytes``, what
        the board has of the region (bytes, null where unknown).
    """
    highest = {name: memory.groupby("run_id")[f"{name}_peak_bytes"].max().to_dict() for name in ("stack", "heap")}
    rows = []
    for run in runs.itertuples(index=False):
        keys = {name: getattr(run, name) for name in _KEYS}
        stack, heap = (highest[name].get(run.run_id) for name in ("stack", "heap"))
        for region, parts, needed, has in (
            ("RAM", list(_ram(run, stack, heap)), run.ram_needed_bytes, run.ram_bytes),
            ("flash", list(_flash(run)), run.flash_needed_bytes, run.flash_bytes),
        ):
            for part, how, size in _balanced(region, parts, needed, has):
                rows.append(keys | {"region": region, "part": part, "how": how, "bytes": size, "has_bytes": has})
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    return frame.astype({"bytes": "Int64", "has_bytes": "Int64"})


def _ram(run: Any, stack: Any, heap: Any) -> Iterator[_Part]:
    if not pd.isna(run.static_ram_bytes):
        yield "static data", "computed", int(run.static_ram_bytes)
    used = 0
    if not pd.isna(stack):
        used = int(stack)
        yield "stack", "measured", used
    if not pd.isna(run.stack_reserved_bytes) and run.stack_reserved_bytes >= used:
        yield "stack reserve", "reserved", int(run.stack_reserved_bytes) - used
    if not pd.isna(run.kv_cache_bytes):
        yield "KV cache", "computed", int(run.kv_cache_bytes)
    if not pd.isna(run.activation_bytes):
        yield "activations", "computed", int(run.activation_bytes)
    elif pd.isna(run.kv_cache_bytes) and not pd.isna(heap):
        yield "heap", "measured", int(heap)  # of a firmware that does not say what is in it


def _flash(run: Any) -> Iterator[_Part]:
    if not pd.isna(run.model_bytes):
        yield "weights", "computed", int(run.model_bytes)
    if not pd.isna(run.image_bytes):
        yield "code and constants", "computed", int(run.image_bytes)


def _balanced(region: str, parts: list[_Part], needed: Any, has: Any) -> Iterator[_Part]:
    """Yield the parts, what is needed beyond them, and what is then left of the memory or missing."""
    known = sum(size for _, _, size in parts)
    if not pd.isna(needed) and needed > known:
        parts = [*parts, ("not told apart", "computed", int(needed) - known)]
        known = int(needed)
    yield from parts
    if pd.isna(has):
        return
    left = int(has) - known
    if left < 0:
        yield "over", "computed", -left
    elif not pd.isna(needed) or any(whole <= {part for part, _, _ in parts} for whole in _WHOLE[region]):
        yield "unused", "computed", left  # nothing is unknown that could take of it


def _needed(budget: pd.DataFrame) -> pd.DataFrame:
    return budget[~budget["part"].isin(_BALANCE)]


def largest(budget: pd.DataFrame) -> pd.DataFrame:
    """Return one budget for each board, model and quantization: of its runs, the one that takes the most RAM.

    A column ``group`` says what it is called in plots and tables: board and quantization, and the model if not the
    usual one. Groups are in order of board and model, then of falling size.
    """
    parts = _needed(budget)
    sums = pd.DataFrame({r: parts[parts["region"] == r].groupby("run_id")["bytes"].sum() for r in REGIONS})
    sums["stack"] = parts[parts["part"] == "stack"].groupby("run_id")["bytes"].max()
    runs = budget.drop_duplicates("run_id")[list(_KEYS)].merge(sums, left_on="run_id", right_index=True)
    order = ["RAM", "stack", "flash"]
    runs = runs.sort_values(order, ascending=False, kind="stable", na_position="last")
    runs = runs.drop_duplicates(["board", "model", "quant"])
    runs["group"] = runs["board"].fillna("unknown").astype(str) + " · " + labels(runs)
    size = runs[["RAM", "flash"]].fillna(0).sum(axis=1)
    runs = runs.assign(size=size).sort_values(["board", "model", "size"], ascending=[True, True, False], kind="stable")
    found = runs[["run_id", "group"]].merge(budget, on="run_id")
    return found[["group", *_COLUMNS]]


def dataset_budget(dataset: Dataset, board: str = "", model: str = "") -> pd.DataFrame:
    """Return :func:`largest` of a data set's runs; empty names do not matter.

    Raises
    ------
    UsageError
        There is no such board or model; the message names the closest.
    NotComparableError
        No run is left.
    """
    runs = _named(dataset.runs)
    if board:
        runs = of_board(runs, board)
    if model:
        if model not in set(runs["model"].dropna()):
            raise unknown_name("model in these runs", model, set(runs["model"].dropna()))
        runs = runs[runs["model"] == model]
    if runs.empty:
        raise NotComparableError(
            f"There is no run in {dataset.path}; `edgeprof capture` or `edgeprof demo` makes some."
        )
    return largest(memory_budget(runs, dataset.table("memory")))


def _named(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with model and quantization, where the board could not read them, of runs of the same file."""
    told = runs[runs["model_sha256"].notna() & runs["model"].notna()].drop_duplicates("model_sha256")
    names = told.set_index("model_sha256")[["model", "quant"]]
    same = runs["model_sha256"].map(names["model"]), runs["model_sha256"].map(names["quant"])
    return runs.assign(model=runs["model"].fillna(same[0]), quant=runs["quant"].fillna(same[1]))


def of_board(runs: pd.DataFrame, board: str) -> pd.DataFrame:
    """Return the runs of a board, or raise UsageError with the closest name that there is."""
    boards = set(runs["board"].dropna())
    if board not in boards:
        raise unknown_name("board in this data set", board, boards)
    return runs[runs["board"] == board]


def budget_table(budget: pd.DataFrame, region: str) -> pd.DataFrame:
    """Return a region's budget as strings, a row a group: its parts, what is needed and there, and the verdict.

    Parameters
    ----------
    budget
        From :func:`largest`.
    region
        ``RAM`` or ``flash``.
    """
    if region not in REGIONS:
        raise unknown_name("region of memory", region, REGIONS)
    mine = budget[budget["region"] == region]
    shown = [part for part in PARTS if part in set(mine["part"])]
    rows = []
    for name, part in mine.groupby("group", sort=False):
        sizes, has = part.groupby("part")["bytes"].sum(), part["has_bytes"].iloc[0]
        rows.append(
            {"group": name}
            | {p: units.iec(sizes.get(p)) for p in shown}
            | {
                "needed": _at_least(sizes, has) + units.iec(sizes.drop(list(_BALANCE), errors="ignore").sum()),
                "there is": units.iec(has),
                "verdict": _verdict(sizes),
            }
        )
    return pd.DataFrame(rows, columns=["group", *shown, "needed", "there is", "verdict"])


def _at_least(sizes: pd.Series, has: Any) -> str:
    """Return a mark for a sum beside which there is something unknown."""
    return "" if pd.isna(has) or not sizes.index.intersection(list(_BALANCE)).empty else "≥ "


def _verdict(sizes: pd.Series) -> str:
    if "over" in sizes.index:
        return f"does not fit: {units.iec(sizes['over'])} over"
    return f"{units.iec(sizes['unused'])} left" if "unused" in sizes.index else units.UNKNOWN


def missing_table(budget: pd.DataFrame) -> pd.DataFrame:
    """Return what does not fit as strings, a row a group and region: needed, there, and by how much it is over.

    Parameters
    ----------
    budget
        From :func:`largest`.
    """
    over = budget[budget["part"] == "over"]
    return pd.DataFrame(
        {
            "group": over["group"].astype(str),
            "memory": over["region"].astype(str),
            "needed [byte]": (over["bytes"] + over["has_bytes"]).map(units.exact),
            "there is [byte]": over["has_bytes"].map(units.exact),
            "over [byte]": over["bytes"].map(units.exact),
            "over": (over["bytes"] / over["has_bytes"]).map(units.percent),
        }
    ).reset_index(drop=True)


def stack_table(budget: pd.DataFrame) -> pd.DataFrame:
    """Return the stacks as strings, a row a group: what was reserved, and the deepest use that was measured.

    Parameters
    ----------
    budget
        From :func:`largest`.
    """
    rows = []
    for name, part in budget[budget["region"] == "RAM"].groupby("group", sort=False):
        sizes = part.set_index("part")["bytes"]
        peak, beyond = sizes.get("stack"), sizes.get("stack reserve")
        if peak is None and beyond is None:
            continue
        reserved = (peak or 0) + (beyond or 0)
        rows.append(
            {
                "group": name,
                "reserved [byte]": units.exact(reserved if beyond is not None else None),
                "measured peak [byte]": units.exact(peak),
                # All of it written over: how far beyond it went, the watermark cannot tell.
                "never used [byte]": "0: full or overflowed"
                if peak is not None and beyond is not None and beyond <= 0
                else units.exact(beyond if peak is not None else None),
            }
        )
    return pd.DataFrame(rows, columns=["group", "reserved [byte]", "measured peak [byte]", "never used [byte]"])
