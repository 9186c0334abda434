"""Rates that boards claim, beside what the host saw of the same generation: two columns, never merged.

Pure functions on DataFrames. The two count different things, which is why each claim says what it counts.
"""

from __future__ import annotations

import re

import pandas as pd

from edgeprof import units
from edgeprof.metrics import measure_runs

__all__ = ["claimed_rates", "formatted"]

_SEEN = ("host_prints_s", "host_itl_p50_ms", "host_itl_p95_ms")
_NO_RATES = re.compile(r"(?:.*_)?(?:stddev|sampling|sample)_tok_s")
# Ending of a name, whether prompt tokens are counted, and what is; the first that fits.
_COUNTS: tuple[tuple[re.Pattern[str], bool, str], ...] = tuple(
    (re.compile(pattern), prompt, what)
    for pattern, prompt, what in (
        (r"(?:.*_)?incl_prompt_tok_s", True, "generated tokens and the prompt's forced ones, the first left out"),
        (r"(?:.*_)?generated_tok_s", False, "generated tokens"),
        (r"(?:.*_)?decode_tok_s", False, "decode passes"),
        (r"(?:.*_)?prefill_tok_s", True, "the prompt's tokens alone"),
        (r"claimed_pp[0-9]+_tg[0-9]+(?:_d[0-9]+)?_tok_s", True, "the prompt's and generated tokens"),
        (r"claimed_pp[0-9]+(?:_d[0-9]+)?_tok_s", True, "the prompt's tokens alone"),
        (r"claimed_tg[0-9]+(?:_d[0-9]+)?_tok_s", False, "generated tokens"),
    )
)


def claimed_rates(claims: pd.DataFrame, runs: pd.DataFrame, tokens: pd.DataFrame) -> pd.DataFrame:
    """Return every rate that was claimed, and what the host saw of the run that the claim belongs to.

    Standard deviations and single samples of a mean are no rates of their own; nor is a sampler's.

    llama2.c and its ports count the prompt's tokens, which are forced, with those that were generated, and leave out
    the first of all; the host counts prints, of which one may hold several tokens.

    Parameters
    ----------
    claims
        Rows of table ``claims``.
    runs
        Rows of table ``runs``.
    tokens
        Rows of table ``tokens`` with at least :data:`edgeprof.metrics.TOKEN_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        A row a claimed rate, in the order of ``claims``: ``capture_id``, ``run_id`` (null outside of runs), ``port``,
        ``t_host_ns``, ``adapter``, ``name``, ``claimed_tok_s`` (tokens per second, as it was said), ``counts_prompt``
        (null where it is not known), ``counts`` (in words), ``host_prints`` (prints that the host saw),
        ``host_prints_s`` (prints per second), ``host_itl_p50_ms`` and ``host_itl_p95_ms`` (ms between prints). What
        the host did not see is null.
    """
    rates = claims[(claims["unit"] == "token/s") & ~claims["name"].astype(str).str.fullmatch(_NO_RATES.pattern)]
    keys = rates[["capture_id", "run_id", "port", "t_host_ns", "adapter", "name"]].reset_index(drop=True)
    said = [_counts(str(name)) for name in keys["name"]]
    table = keys.assign(
        claimed_tok_s=rates["value"].to_numpy(),
        counts_prompt=pd.array([prompt for prompt, _ in said], dtype="boolean"),
        counts=pd.array([what for _, what in said], dtype="string"),
    )
    own = tokens[(tokens["source"] == "host") & tokens["run_id"].isin(rates["run_id"].dropna())]
    with_prints = runs[runs["run_id"].isin(own["run_id"])]
    seen = measure_runs(with_prints, own).set_index("run_id")[list(_SEEN)]
    seen.insert(0, "host_prints", own.groupby("run_id").size().astype("Int64"))
    return table.join(seen, on="run_id")


def _counts(name: str) -> tuple[bool | None, str]:
    for pattern, prompt, what in _COUNTS:
        if pattern.fullmatch(name):
            return prompt, what
    return None, "not said"


def formatted(rates: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`claimed_rates`'s table as strings, units in the header."""
    return pd.DataFrame(
        {
            "run": rates["run_id"].str.rsplit("/", n=1).str[-1].fillna(units.UNKNOWN).astype(str),
            "adapter": rates["adapter"].astype(str),
            "claimed": rates["name"].astype(str),
            "claimed [token/s]": rates["claimed_tok_s"].map(lambda v: units.significant(v, 4)),
            "which counts": rates["counts"].astype(str),
            "prints seen": rates["host_prints"].map(units.exact),
            "seen by the host [print/s]": rates["host_prints_s"].map(lambda v: units.significant(v, 4)),
        }
    )
