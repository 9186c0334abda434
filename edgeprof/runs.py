"""Runs as people read them: a formatted table, and the text that a run generated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from edgeprof import units
from edgeprof.display import terminal_text
from edgeprof.errors import NotComparableError

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["formatted", "generated_text", "prompt_text", "shown_text", "texts"]


def formatted(measured: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`edgeprof.measure`'s table as strings, units in the header."""

    def words(column: str) -> pd.Series:
        return measured[column].fillna(units.UNKNOWN).astype(str)

    return pd.DataFrame(
        {
            "run": measured["run_id"].str.rsplit("/", n=1).str[-1],
            "board": words("board"),
            "model": words("model"),
            "quant": words("quant"),
            "prompt": words("prompt_id"),
            "kind": words("kind"),
            "status": words("status"),
            "passes": measured["passes_received"].map(units.exact),
            "frames lost": measured["frames_lost"].map(units.exact),
            "prefill [tick/token]": measured["prefill_ticks_per_token"].map(units.si),
            "decode [tick/token]": measured["decode_ticks_per_token"].map(units.si),
            "TTFT [tick]": measured["ttft_ticks"].map(units.si),
            "ITL p95 [tick]": measured["itl_p95_ticks"].map(units.si),
            "perplexity": measured["perplexity"].map(lambda v: units.significant(v, 5)),
        }
    )


def generated_text(dataset: Dataset, run_id: str) -> str:
    """Return what a run generated, in the model's own spelling of its tokens.

    Raises
    ------
    NotComparableError
        The data set has no such run, or not the vocabulary of its model.
    """
    from edgeprof.tokenizer import decode_piece

    runs = dataset.table("runs", ["run_id", "model_sha256"], {"run_id": run_id})
    if runs.empty:
        raise NotComparableError(f"There is no run {run_id!r} in {dataset.path}; `edgeprof runs` lists them.")
    vocab = dataset.table("vocab", where={"model_sha256": runs["model_sha256"].iloc[0]})
    if vocab.empty:
        raise NotComparableError(f"The vocabulary of run {run_id!r} is not in {dataset.path}: capture with --model.")
    pieces = dict(zip(vocab["token_id"], vocab["piece"], strict=True))
    tokens = dataset.table("tokens", ["position", "phase", "next_id"], {"run_id": run_id}).sort_values("position")
    last_prefill = tokens[tokens["phase"] == "prefill"]["next_id"].tail(1)
    ids = [*last_prefill, *tokens[tokens["phase"] == "decode"]["next_id"]]
    return "".join(decode_piece(str(pieces.get(i, ""))) for i in ids if not pd.isna(i))


def prompt_text(dataset: Dataset, run_id: str) -> str:
    """Return what a run continued; empty where the capture does not say."""
    runs = dataset.table("runs", ["capture_id", "prompt_id"], {"run_id": run_id})
    if runs.empty:
        return ""
    texts = dataset.table("prompts", where=dict(runs.iloc[0]))["text"].dropna()
    return str(texts.iloc[0]) if len(texts) else ""


def shown_text(dataset: Dataset, run_id: str) -> str:
    """Return what a run generated, or why that cannot be said, in parentheses: for people to read."""
    try:
        return generated_text(dataset, run_id)
    except NotComparableError as error:
        return f"({error})"


def texts(dataset: Dataset, rows: pd.DataFrame) -> str:
    """Return what runs generated, each below its model and quantization.

    Parameters
    ----------
    dataset
        From :func:`edgeprof.open`.
    rows
        Rows of ``runs``.
    """
    said = []
    for run in rows.itertuples(index=False):
        name = " ".join(terminal_text(v) for v in (run.model, run.quant) if isinstance(v, str)) or "unknown model"
        said.append(f"{name}:\n{shown_text(dataset, str(run.run_id))}")
    return "\n".join(said)
