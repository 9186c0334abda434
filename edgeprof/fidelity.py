"""How far a quantization does what the model did before: metrics of a run against a reference run of the same model.

A registry like that of :mod:`edgeprof.metrics`, of pairs of runs instead of runs. Which run is whose reference is
decided here; what is not alike is refused, run by run, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from edgeprof.divergence import LOGIT_COLUMNS, Logits, assembled
from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.metrics import Description
from edgeprof.schema import TABLES
from edgeprof.token_pairs import PAIR_COLUMNS, TokenPairs, TokenRows, paired, token_rows

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["PAIR_METRICS", "PairMetric", "agreement"]


@dataclass(frozen=True, slots=True)
class PairMetric(Description):
    """One metric of a run against its reference.

    Attributes
    ----------
    value : callable
        Both runs side by side to a number, or None where inputs are missing.
    lack : callable
        The same to what is missing, in words; None if nothing is.
    """

    value: Callable[[TokenPairs], float | None]
    lack: Callable[[TokenPairs], str | None]


def _both_top1(pairs: TokenPairs) -> npt.NDArray[np.bool_]:
    return np.asarray((pairs.top1 >= 0) & (pairs.reference_top1 >= 0), np.bool_)


def top1_agreement(pairs: TokenPairs) -> float | None:
    """Return at which share of the scored positions both find the same token the most probable."""
    both = _both_top1(pairs)
    return float((pairs.top1 == pairs.reference_top1)[both].mean()) if both.any() else None


def _lack_of_top1(pairs: TokenPairs) -> str | None:
    if _both_top1(pairs).any():
        return None
    if not len(pairs.top1):
        return "needs scored tokens of both runs: have one text scored on both, `edgeprof capture --eval FILE`"
    return "needs top1_id of scored tokens: the board sent them without it"


def first_divergence_token(pairs: TokenPairs) -> float | None:
    """Return the number of the first generated token that differs, from 0; None where none does, or it is not known."""
    if _lack_of_greed(pairs) is not None:
        return None
    differ = np.flatnonzero(pairs.sampled != pairs.reference_sampled)
    lost = np.flatnonzero(_lost(pairs))
    return float(differ[0]) if len(differ) and (not len(lost) or differ[0] < lost[0]) else None


def _lost(pairs: TokenPairs) -> npt.NDArray[np.bool_]:
    return np.asarray((pairs.sampled < 0) | (pairs.reference_sampled < 0), np.bool_)


def _lack_of_greed(pairs: TokenPairs) -> str | None:
    sampled = [r.sampler for r in (pairs.run, pairs.reference) if pd.isna(r.sampler) or r.sampler != "greedy"]
    return "needs greedy sampling in both runs: capture with `--temperature 0`, the default" if sampled else None


def _lack_of_difference(pairs: TokenPairs) -> str | None:
    if first_divergence_token(pairs) is not None:
        return None
    if pairs.run.kind != "generate":
        return "needs a generation of both runs: have one prompt continued by both, `edgeprof capture --prompt TEXT`"
    if (said := _lack_of_greed(pairs)) is not None:
        return said
    n = len(pairs.sampled)
    if not n:
        return "needs the whole prompt and a generated token of both runs: passes were lost, see `runs.frames_lost`"
    if _lost(pairs).any():
        return "needs every token up to the first that differs: some before it were lost, see `runs.frames_lost`"
    return f"needs a token that differs: of the {n} that both generated, none does"


def kl_mean(pairs: TokenPairs) -> float | None:
    """Return the mean of KL(reference || run) over scored positions, in nat; infinite where it is at any of them."""
    kl = pairs.kl_nat
    return float(kl.mean()) if kl is not None and len(kl) and not np.isnan(kl).any() else None


def _lack_of_logits(pairs: TokenPairs) -> str | None:
    kl = pairs.kl_nat
    if not len(pairs.top1):
        return _lack_of_top1(pairs)
    if kl is None:
        return (
            "needs logits of both runs: have the text scored with its logits, `edgeprof capture --eval FILE --logits`"
        )
    if not len(kl):
        return (
            "needs logits of the whole vocabulary at a position that both scored: of "
            f"{pairs.incomplete:,} positions a piece is missing"
        )
    bad = int(np.isnan(kl).sum())
    return f"needs logits that are numbers: at {bad:,} of {len(kl):,} positions they are not" if bad else None


_LLAMA_CPP = "llama.cpp, perplexity --kl-divergence"

PAIR_METRICS: dict[str, PairMetric] = {
    m.name: m
    for m in (
        PairMetric("top1_agreement", "", "higher", "scored tokens of both (capture --eval)",
                   "share of scored positions where top1_id is the reference's", f"{_LLAMA_CPP}: same top p",
                   top1_agreement, _lack_of_top1),
        PairMetric("first_divergence_token", "token", "higher", "greedy generations of both",
                   "number, from 0, of the first generated token that is not the reference's",
                   "edgeprof.fidelity", first_divergence_token, _lack_of_difference),
        PairMetric("kl_mean", "nat/token", "lower", "logits of scored tokens of both (capture --eval --logits)",
                   "mean over scored positions of KL(P || Q) = sum of P (ln P - ln Q), P the reference's, Q the run's",
                   f"Kullback & Leibler 1951; {_LLAMA_CPP}", kl_mean, _lack_of_logits),
    )
}  # fmt: skip
"""All metrics of a run against a reference, by name."""

_ABOUT = ["run_id", "board", "model", "quant", "kind", "prompt_id"]


def agreement(dataset: Dataset, reference: str | Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return how far runs do what a reference run of the same model does, given the same tokens.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    reference
        The reference runs: a quantization, or columns of ``runs`` to values (``{"run_id": …}``). By default, of each
        model and text, those with the most bits per weight. Of several the one on the same board counts, else
        the first.

    Returns
    -------
    DataFrame
        A row for each finished run that is no reference: ``run_id``, ``board``, ``model``, ``quant``, ``kind``,
        ``prompt_id``; ``reference_run_id``, ``reference_board``, ``reference_quant``; ``scored_tokens`` and
        ``generated_tokens`` (how many both have), ``kl_tokens`` (of how many there is a divergence); the columns of
        :data:`PAIR_METRICS` (docs/metrics.md); ``refused`` (why the two are not alike, else null); ``missing`` (of
        what is alike, why metrics are null, by name; a dict).

    Raises
    ------
    NotComparableError
        There is no finished run beside the references, or none of them is alike.
    UsageError
        No run is such a reference.
    """
    runs = dataset.runs
    done = runs[runs["status"].eq("ok").fillna(False).to_numpy(bool) & runs["kind"].isin(["generate", "score"])]
    references = _references(done, reference)
    others = done[~done["run_id"].isin(references["run_id"])]
    if others.empty:
        raise NotComparableError(
            f"There is nothing to compare with a reference in {dataset.path}: {len(done)} finished runs, and "
            f"{len(references)} of them are references. Capture another quantization of the model with the same text."
        )
    rows = _Rows(dataset)
    table = pd.DataFrame([_row(rows, run, references) for run in others.itertuples(index=False)])
    if table["refused"].notna().all():
        raise NotComparableError(
            f"No run in {dataset.path} is like its reference. The first is not: {table['refused'][0]}"
        )
    return table.astype(dict.fromkeys(PAIR_METRICS, "float64"))


def _references(done: pd.DataFrame, wanted: str | Mapping[str, Any] | None) -> pd.DataFrame:
    if wanted is None:
        bits = done["bits_per_weight"].fillna(0)
        most = bits.groupby([done[c] for c in ("model", "kind", "prompt_id")], dropna=False).transform("max")
        return done[bits == most]
    conditions = {"quant": wanted} if isinstance(wanted, str) else dict(wanted)
    if not conditions:
        raise UsageError("The reference is an empty choice: name a quantization, or columns of runs with their values.")
    chosen = done
    for column, value in conditions.items():
        if column not in done.columns:
            raise unknown_name("column of runs", column, done.columns)
        found = chosen[(chosen[column] == value).fillna(False).to_numpy(bool)]
        if found.empty:
            raise unknown_name(f"finished run with {column}", str(value), {str(v) for v in chosen[column].dropna()})
        chosen = found
    return chosen


def _row(rows: _Rows, run: Any, references: pd.DataFrame) -> dict[str, Any]:
    """Return what there is to say of a run."""
    row: dict[str, Any] = {name: getattr(run, name) for name in _ABOUT}
    nothing = dict.fromkeys(("reference_run_id", "reference_board", "reference_quant"))
    counts = {"scored_tokens": 0, "generated_tokens": 0, "kl_tokens": 0}
    row |= nothing | counts | dict.fromkeys(PAIR_METRICS) | {"refused": None, "missing": {}}
    same_text = references[_equal(references, run, ("kind", "prompt_id"))]
    if same_text.empty:
        return row | {"refused": "no reference run has this text: capture the reference with the same prompt or text"}
    # Of another model there may be one only: that is said, rather than that there is none.
    likeness = [_equal(same_text, run, (column,)) for column in ("model", "board", "n_ctx")]
    best = same_text.iloc[int(np.lexsort([~like for like in reversed(likeness)])[0])]
    reference = next(same_text[same_text["run_id"] == best["run_id"]].itertuples(index=False))
    row |= {f"reference_{name}": getattr(reference, name) for name in ("run_id", "board", "quant")}
    try:
        pairs = rows.pairs(run, reference)
    except NotComparableError as error:
        return row | {"refused": str(error)}
    return (
        row
        | {"scored_tokens": len(pairs.top1), "generated_tokens": len(pairs.sampled)}
        | {"kl_tokens": 0 if pairs.kl_nat is None else len(pairs.kl_nat)}
        | {name: metric.value(pairs) for name, metric in PAIR_METRICS.items()}
        | {"missing": {n: said for n, metric in PAIR_METRICS.items() if (said := metric.lack(pairs)) is not None}}
    )


def _equal(table: pd.DataFrame, run: Any, columns: tuple[str, ...]) -> Any:
    equal = np.ones(len(table), np.bool_)
    for name in columns:
        value = getattr(run, name)
        column = table[name]
        equal &= (column.isna() if pd.isna(value) else (column == value).fillna(False)).to_numpy(bool)
    return equal


class _Rows:
    """The rows of runs, each table read once but for logits, which are large."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        tokens = dataset.table("tokens", PAIR_COLUMNS)
        self.none = tokens.iloc[:0]
        self.tokens = {str(run): part for run, part in tokens.groupby("run_id", sort=False)}
        vocab = dataset.table("vocab").sort_values("token_id")
        self.vocab = {
            key: tuple(zip(part["token_id"], part["piece"], strict=True))
            for key, part in vocab.groupby(["capture_id", "model_sha256"])
        }
        sent = dataset.table("logits", ["run_id"]) if "logits" in TABLES else self.none
        self.with_logits = set(sent["run_id"].astype(str))
        self.apart: dict[str, TokenRows] = {}
        self.kept: tuple[str, Logits | None] = ("", None)

    def pairs(self, run: Any, reference: Any) -> TokenPairs:
        """Return two runs side by side, or raise :class:`NotComparableError`."""
        one, other = (self.vocab.get((r.capture_id, r.model_sha256)) for r in (run, reference))
        if one is not None and other is not None and one != other:
            raise NotComparableError(
                f"another vocabulary: {len(one)} tokens here, {len(other)} in the reference, or other ones. Agreement "
                "is of one model at two quantizations: name another reference, or capture one."
            )
        if self.kept[0] != reference.run_id:  # many runs have one reference
            self.kept = (reference.run_id, self._logits(reference, None if other is None else len(other)))
        logits = (self._logits(run, None if one is None else len(one)), self.kept[1])
        return paired(self._rows(run), self._rows(reference), *logits)

    def _rows(self, run: Any) -> TokenRows:
        name = str(run.run_id)
        if name not in self.apart:
            self.apart[name] = token_rows(run, self.tokens.get(name, self.none))
        return self.apart[name]

    def _logits(self, run: Any, n_vocab: int | None) -> Logits | None:
        if str(run.run_id) not in self.with_logits:
            return None
        # By these only the files of runs like it are read.
        where = {c: getattr(run, c) for c in ("run_id", "board", "model", "quant") if not pd.isna(getattr(run, c))}
        return assembled(self.dataset.table("logits", LOGIT_COLUMNS, where), n_vocab)
