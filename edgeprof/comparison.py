"""Comparing groups of runs: one table beside a baseline, every judged change with its reason, refusals that say why.

Ratios and verdicts stay within one board, unless boards are what is compared, and within one clock. What is judged,
and how, is in :mod:`edgeprof.changes`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof import comparison_text, units
from edgeprof.alike import unlike
from edgeprof.changes import Change, Side, judge_changes, unjudged
from edgeprof.display import Shown, Table
from edgeprof.energy.columns import with_energy
from edgeprof.errors import NotComparableError, unknown_name
from edgeprof.groups import Name, baselines, grouped, labelled
from edgeprof.metrics import ENERGY, EXACT_CLOCKS, METRICS, TOKEN_COLUMNS, measure_runs
from edgeprof.noise_floor import Noise
from edgeprof.object_plots import ComparisonPlots
from edgeprof.pairs import FINISHED
from edgeprof.sides import several

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["COST", "JUDGED", "Comparison", "compare"]

COST, QUALITY = "decode_ticks_per_token", "perplexity"
JUDGED = (COST, "prefill_ticks_per_token", "ttft_ticks", "itl_p95_ticks", QUALITY)
"""What is judged unless other metrics are named."""
_MEANS = (
    "prefill_ticks_per_token", "decode_ticks_per_token", "ttft_ticks", "itl_p50_ticks", "itl_p95_ticks",
    "itl_p99_ticks", "position_slope_ticks", "decode_nominal_tok_s", "decode_tok_s",
)  # fmt: skip
_CONSTANTS = ("bits_per_weight", "model_bytes", "ram_needed_bytes", "flash_needed_bytes")


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Groups of runs beside a baseline, or each beside each.

    Attributes
    ----------
    table
        A row a group, numbers with units in the columns' names: counts, cost, ``cost_ratio`` to the baseline,
        ``cost_verdict``, perplexity, ``nll_difference`` with its 95 % interval, ``quality_verdict``, memory, status;
        where energy is judged ``energy_per_token_uj``, and the ``meter`` that measured it.
    changes
        A row a judged change: the columns that tell groups apart twice, as ``base`` and ``candidate`` in words, then
        what :class:`edgeprof.changes.Change` and :class:`edgeprof.verdicts.Verdict` say.
    by
        The columns that tell groups apart.
    baseline
        For each board, the values of ``by`` of its baseline; empty where all pairs are compared.
    notes
        What the reader should know: clock kinds, what could not be judged and why.
    refused
        Why no group at all could be compared with another; empty if one could.
    """

    table: pd.DataFrame
    changes: pd.DataFrame
    by: tuple[str, ...]
    baseline: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]
    refused: str = ""

    def formatted(self) -> pd.DataFrame:
        """Return the table as strings with units in the header, as people read it."""
        return comparison_text.groups_table(self.table, self.by, judged=bool(self.baseline))

    def formatted_changes(self, *metrics: str) -> pd.DataFrame:
        """Return every judged change as strings, with its interval and how it was judged; by default of all metrics."""
        wanted = self.changes["metric"].isin(metrics or list(self.changes["metric"]))
        return comparison_text.changes_table(self.changes[wanted])

    @property
    def plot(self) -> ComparisonPlots:
        """Its plots: ``comparison.plot.changes()``, ``comparison.plot.tradeoff()``."""
        return ComparisonPlots(self)

    def _shown(self) -> Iterator[Table | str]:
        yield Table(self.formatted())
        if not self.baseline:
            yield Table(self.formatted_changes())
        yield from (f"note: {note}" for note in self.notes)


def compare(
    dataset: Dataset, by: str | Sequence[str] = "quant", *, baseline: str | Mapping[str, str] | None = None,
    board: str | None = None, all_pairs: bool = False, metrics: Sequence[str] = JUDGED, smallest: float | None = None,
    looks: int = 1, noise: Noise | None = None, allow: Collection[str] = (),
) -> Comparison:  # fmt: skip
    """Compare groups of runs.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    by
        What tells groups apart: columns of ``runs``, ``day`` (UTC), or tags of the runs. The board always does; so does
        the model where there are several. With ``board`` among them boards are compared with each other.
    baseline
        What the others are compared with: a value of the first column of ``by`` that is not the model, or column to
        value. By default, on each board, the group with the most bits per weight (the first by name where several have
        them).
    board
        Only this board's runs; all by default.
    all_pairs
        Each group with each, instead of all with a baseline.
    metrics
        Which changes to judge: names of :data:`edgeprof.metrics.METRICS` with a direction, or ``fits``.
    smallest
        The smallest effect that matters, as a fraction: by default 0.02, of perplexity 0.01.
    looks
        At how many planned moments data that are still growing are judged, one to three.
    noise
        What is known of the boards' noise; by default what pairs without a change in this data set say.
    allow
        In what groups may be unlike (:data:`edgeprof.alike.KINDS`).

    Raises
    ------
    NotComparableError
        There is no finished run, or runs of one board are not alike (clock, emulator, version, flags). Groups that are
        not alike in what else matters are in the table, with the reason, and not compared.
    UsageError
        An unknown column, baseline, metric or kind of being unlike; the message names the closest.
    """
    columns = [by] if isinstance(by, str) else list(by)
    runs = _of_board(labelled(dataset), board)
    for column in columns:
        if column not in runs.columns:
            raise unknown_name("column of runs", column, runs.columns)
    done = runs[runs["status"].isin(FINISHED)]
    if done.empty:
        found = ", ".join(f"{n} {s}" for s, n in runs["status"].fillna("unfinished").value_counts().items())
        raise NotComparableError(
            f"There is nothing to compare in {dataset.path}: no finished run ({found or 'the data set is empty'}). "
            "`edgeprof demo` or `edgeprof sweep` makes some."
        )
    within = "board" not in columns
    if len(done["model"].dropna().unique()) > 1 and "model" not in columns:
        columns.insert(0, "model")
    key = ["board", *(c for c in columns if c != "board")]
    if within:
        _refuse_unlike(done, allow)
    tokens, energy = dataset.table("tokens", [*TOKEN_COLUMNS]), not set(metrics).isdisjoint(ENERGY)
    if energy:
        done, tokens = with_energy(dataset, done, tokens)
    measured = done.merge(measure_runs(done, tokens).drop(columns=list(_CONSTANTS)), on="run_id", validate="one_to_one")
    groups = grouped(measured, key)
    sides = {name: Side(group, tokens[tokens["run_id"].isin(group["run_id"])]) for name, group in groups.items()}
    bases = baselines(groups, key, baseline, within=within)
    against = _all_pairs(groups, within) if all_pairs else [(bases[n], n) for n in groups if n != bases[n]]
    if noise is None and (energy or not done["clock"].isin(EXACT_CLOCKS).all()):
        noise = Noise.of(dataset, energy=energy)
    changes, refused = _changes(sides, against, metrics, smallest=smallest, looks=looks, noise=noise, allow=allow)
    rows = [
        {column: group[column].iloc[0] for column in key}
        | {"is_baseline": not all_pairs and name == bases[name]}
        | _summary(group, sides[name].tokens)
        | _against(
            changes.get((bases[name], name)), name == bases[name] and not all_pairs, (bases[name], name) in refused
        )
        for name, group in groups.items()
    ]
    table = pd.DataFrame(rows)
    # What no run says becomes a column of floats, which take no word for what is unknown.
    table = table.astype({column: object for column in key if table[column].isna().all()})
    order = ["board", "bits_per_weight", *key[1:]]
    table = table.sort_values(order, ascending=[True, False, *[True] * (len(key) - 1)], kind="stable")
    shown = tuple(key) if len(done["board"].unique()) > 1 or not within else tuple(key[1:])
    chosen = {} if all_pairs else {base[0]: base[1:] for base in bases.values()}
    notes = comparison_text.notes(done, chosen, _rows(changes, shown, key), refused, metrics, smallest)
    nothing = refused[against[0]] if refused and len(refused) == len(against) else ""
    return Comparison(table.reset_index(drop=True), _rows(changes, shown, key), shown, chosen, tuple(notes), nothing)


def _of_board(runs: pd.DataFrame, board: str | None) -> pd.DataFrame:
    if board is None:
        return runs
    if board not in set(runs["board"].dropna()):
        raise unknown_name("board in this data set", board, set(runs["board"].dropna()))
    return runs[runs["board"] == board]


def _refuse_unlike(runs: pd.DataFrame, allow: Collection[str]) -> None:
    """Refuse boards whose runs were not all counted in the same way."""
    for board, part in runs.groupby("board", dropna=False):
        found = unlike(part, part)
        for kind in ("clock", "emulator"):
            if kind in found and kind not in allow:
                raise NotComparableError(
                    f"Runs of board {board!r} cannot be compared: {found[kind]}. Capture them again on one of these, "
                    f"open a data set that holds only one, or compare nevertheless with --allow-unlike {kind}."
                )


def _all_pairs(groups: Mapping[Name, pd.DataFrame], within: bool) -> list[tuple[Name, Name]]:
    """Return each two groups once, the one with more bits per weight first."""
    order = sorted(groups, key=lambda n: (-float(groups[n]["bits_per_weight"].fillna(0).max()), n))
    return [(a, b) for a, b in itertools.combinations(order, 2) if not within or a[0] == b[0]]


def _changes(
    sides: Mapping[Name, Side], against: Iterable[tuple[Name, Name]], metrics: Sequence[str], **how: Any
) -> tuple[dict[tuple[Name, Name], list[Change]], dict[tuple[Name, Name], str]]:
    """Return every judged change, and why some groups are not comparable at all."""
    found, refused = {}, {}
    for base, candidate in against:
        try:
            found[base, candidate] = judge_changes(metrics, sides[base], sides[candidate], **how)
        except NotComparableError as error:
            refused[base, candidate] = str(error)
            found[base, candidate] = [unjudged(metric, str(error)) for metric in metrics]
    return found, refused


def _rows(changes: Mapping[tuple[Name, Name], list[Change]], shown: Sequence[str], key: Sequence[str]) -> pd.DataFrame:
    """Return the changes as a table."""
    at = [key.index(column) for column in shown]
    rows = []
    for (base, candidate), judged in changes.items():
        names = [" · ".join(name[i] or "unknown" for i in at) for name in (base, candidate)]
        for change in judged:
            findings = " ".join(f"{f.text} {f.next_step}" for f in change.findings)
            named = {"board": candidate[0], "base": names[0], "candidate": names[1]}
            values = {"base_value": change.base, "candidate_value": change.candidate, "findings": findings}
            rows.append(asdict(change) | asdict(change.verdict) | named | values)
    columns = [
        "board", "base", "candidate", "metric", "unit", "better", "base_value", "candidate_value", "word", "reason",
        "change", "low", "high", "resolution", "more_runs", "certain", "method", "n_base", "n_candidate", "smallest",
        "findings",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _summary(group: pd.DataFrame, tokens: pd.DataFrame) -> dict[str, Any]:
    ok = group[group["status"] == "ok"]
    row: dict[str, Any] = {"runs": len(ok), "clock": group["clock"].iloc[0]}
    row |= {name: group[name].dropna().max() if group[name].notna().any() else np.nan for name in _CONSTANTS}
    row |= {name: np.nan for name in ("bits_per_weight", "model_bytes") if several(group, [name])}
    row |= {name: ok[name].mean() for name in _MEANS}
    if "meter" in group:
        row |= {"energy_per_token_uj": ok["energy_per_token_uj"].mean(), "meter": _meters(group)}
    # A mixture of files has no perplexity, as it has no costs to judge.
    perplexity = None if several(ok, ("model", "quant", "model_sha256")) else METRICS[QUALITY].compute(None, tokens)
    row["perplexity"] = np.nan if perplexity is None else perplexity
    row["frames_lost"] = float(group["frames_lost"].sum()) if group["frames_lost"].notna().any() else np.nan
    row["status"] = "ok" if len(ok) == len(group) else ("does not fit" if ok.empty else f"{len(ok)} of {len(group)} ok")
    return row


def _meters(group: pd.DataFrame) -> str | None:
    return ", ".join(sorted(map(str, group["meter"].dropna().unique()))) or None


def _against(changes: Sequence[Change] | None, is_base: bool, refused: bool) -> dict[str, Any]:
    """Return a group's cost and quality beside its baseline, of what was judged."""
    nothing = "not comparable" if refused else units.UNKNOWN
    row: dict[str, Any] = {
        "cost_ratio": 1.0 if is_base else np.nan, "cost_low": np.nan, "cost_high": np.nan,
        "cost_verdict": "baseline" if is_base else nothing, "nll_difference": 0.0 if is_base else np.nan,
        "nll_difference_low": np.nan, "nll_difference_high": np.nan,
        "quality_verdict": "baseline" if is_base else nothing,
    }  # fmt: skip
    for change in changes or ():
        v = change.verdict
        if change.metric == COST and change.method != "none":
            row |= {"cost_ratio": 1 + v.change, "cost_low": 1 + v.low, "cost_high": 1 + v.high, "cost_verdict": v.word}
            if np.isnan(v.change):  # too few for an interval, but there are two numbers
                row["cost_ratio"] = change.candidate / change.base
        elif change.metric == QUALITY and change.method != "none":
            difference, low, high = np.log1p([v.change, v.low, v.high]).tolist()
            row |= {"nll_difference": difference, "nll_difference_low": low, "nll_difference_high": high,
                    "quality_verdict": v.word}  # fmt: skip
    return row
