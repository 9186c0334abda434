"""How fast quantiles over very many tokens are, beside polars, DuckDB and pandas on the same files.

``python tests/performance/quantiles.py --out docs/results/quantiles.json`` records absolute figures with their machine;
the test beside it asserts ratios only. All read the same files and columns, join tokens with runs, and must give the
same numbers. Times are elapsed, the best of several tries taken in turn; memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
import pandas as pd
from fakeboard import PAIRS, FakeBoard, make_capture
from machine import record

import edgeprof
from edgeprof import journal, seal, wire
from edgeprof.records import TOKEN

QUANTS = ("F16", "Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")
CAPTURES, PASSES, N_PROMPT, PROMPTS = 4, 250, 10, 16
RECORDS_A_FRAME = 30
Q = (0.5, 0.95)


def passes_of_a_run(rng: np.random.Generator, scale: int) -> np.ndarray:
    """Return passes as a board would tell them: ticks that differ, and grow with the position."""
    made = np.zeros(PASSES, TOKEN)
    place = np.arange(PASSES)
    made["ticks"] = scale + rng.integers(0, scale // 5, PASSES) + 20 * place
    made["start"] = np.cumsum(made["ticks"]) - made["ticks"]
    for name in ("token", "next", "top1"):
        made[name] = rng.integers(0, 512, PASSES)
    made["nll"], made["position"] = rng.exponential(2, PASSES), place
    made["window"], made["n_batch"] = 0xFFFF, 1
    made["flags"] = np.where(place < N_PROMPT, 0, 1) | 8 | 16 | 32
    return made


def make(folder: Path, n_tokens: int) -> int:
    """Make a data set of about so many tokens with the real sealer; return how many it holds."""
    rng = np.random.default_rng(7)
    runs = max(n_tokens // (CAPTURES * len(QUANTS) * PASSES), 1)
    for number in range(CAPTURES):
        capture = make_capture(folder, f"c{number}", [b""])
        writer, parts = journal.PortWriter(capture, 0), list[bytes]()
        board = FakeBoard(parts.append)
        for quant in QUANTS:
            scale = int(rng.integers(50_000, 150_000))
            board.pairs = PAIRS | {"quant": quant}
            for run in range(runs):
                board.begin(kind="generate", prompt_id=f"p{run % PROMPTS}", n_prompt=N_PROMPT, n_generate=PASSES)
                made = passes_of_a_run(rng, scale)
                for first in range(0, PASSES, RECORDS_A_FRAME):
                    some = made[first : first + RECORDS_A_FRAME]
                    board.frame(wire.Type.TOKENS, some.tobytes(), len(some), dt=1)
                board.passes += PASSES
                board.end(0, N_PROMPT, PASSES - N_PROMPT + 1)
            writer.append(b"".join(parts), 1000 * writer.offset)
            parts.clear()
        writer.close()
        seal.seal(capture, final=True, keep_wire=False)
    return CAPTURES * len(QUANTS) * runs * PASSES


def files(folder: Path, table: str) -> list[str]:
    """Return a table's files."""
    return sorted(map(str, folder.rglob(f"{table}.parquet")))


def by_edgeprof(folder: Path, by: str) -> pd.DataFrame:
    """Return quantiles as edgeprof gives them, opening the data set included."""
    found = edgeprof.token_quantiles(edgeprof.open(folder), by=by, q=Q)
    return found.set_index(by)[["p50_ticks", "p95_ticks"]]


def by_polars(folder: Path, by: str) -> pd.DataFrame:
    """Return them as polars' streaming engine does, which is the faster one here."""
    import polars as pl

    tokens = pl.scan_parquet(files(folder, "tokens"), hive_partitioning=False)
    runs = pl.scan_parquet(files(folder, "runs"), hive_partitioning=False).select("run_id", by)
    ticks = pl.col("ticks")
    found = (
        tokens.filter(pl.col("phase") == "decode").select("run_id", "ticks").join(runs, on="run_id").group_by(by)
        .agg(*(ticks.quantile(q, "linear").alias(str(q)) for q in Q)).collect(engine="streaming")
    )  # fmt: skip
    return pd.DataFrame(found.to_dict(as_series=False)).set_index(by)


def by_duckdb(folder: Path, by: str) -> pd.DataFrame:
    """Return them as DuckDB does."""
    import duckdb

    query = f"""
        select r.{by}, quantile_cont(t.ticks, [{", ".join(map(str, Q))}])
        from read_parquet(?, hive_partitioning=false) t join read_parquet(?, hive_partitioning=false) r using (run_id)
        where t.phase = 'decode' group by 1"""
    with duckdb.connect() as connection:
        rows = connection.execute(query, [files(folder, "tokens"), files(folder, "runs")]).fetchall()
    return pd.DataFrame([(name, *values) for name, values in rows], columns=[by, *Q]).set_index(by)


def by_pandas(folder: Path, by: str) -> pd.DataFrame:
    """Return them as plain pandas does: read, merge, group."""

    def read(table: str, columns: list[str]) -> pd.DataFrame:
        return pd.concat([pd.read_parquet(f, columns=columns, partitioning=None) for f in files(folder, table)])

    tokens = read("tokens", ["run_id", "phase", "ticks"])
    joined = tokens[tokens["phase"] == "decode"].merge(read("runs", ["run_id", by]), on="run_id")
    return joined.groupby(by)["ticks"].quantile(list(Q)).unstack()  # noqa: PD010 - of one value each


CONTENDERS: dict[str, Callable[[Path, str], pd.DataFrame]] = {
    "edgeprof": by_edgeprof, "polars": by_polars, "duckdb": by_duckdb, "pandas": by_pandas,
}  # fmt: skip


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> bool:
    """Tell whether two gave the same numbers, to the last digits of a double."""
    a, b = found.sort_index(), wanted.sort_index()
    return a.index.tolist() == b.index.tolist() and np.allclose(a.to_numpy(), b.to_numpy(), rtol=1e-13, atol=0)


def measure(folder: Path, by: str, tries: int = 5) -> dict[str, float]:
    """Return the seconds that each takes, and what edgeprof takes beside them."""
    seconds = dict.fromkeys(CONTENDERS, float("inf"))
    answers: dict[str, pd.DataFrame] = {}
    for number in range(tries):  # one after the other, so that a slow moment of the machine hits all
        for name, work in CONTENDERS.items():
            if name == "pandas" and number > 1:
                continue  # it takes so long that two tries are enough
            began = time.perf_counter()
            answers[name] = work(folder, by)
            seconds[name] = min(seconds[name], time.perf_counter() - began)
            if not same(answers[name], answers["edgeprof"]):
                raise ValueError(f"{name} gives other quantiles:\n{answers[name]}\n{answers['edgeprof']}")
    fastest = min(seconds["polars"], seconds["duckdb"])
    return {f"{name}_s": round(s, 3) for name, s in seconds.items()} | {
        "edgeprof_over_fastest": round(seconds["edgeprof"] / fastest, 2),
        "pandas_over_edgeprof": round(seconds["pandas"] / seconds["edgeprof"], 1),
    }


def peak_mib(folder: Path, by: str) -> dict[str, int]:
    """Return the most memory that a process of its own takes for each, libraries included (Linux)."""
    found = {}
    for name in CONTENDERS:
        command = [sys.executable, __file__, "--peak-of", name, "--folder", str(folder), "--by", by]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[f"{name}_peak_mib"] = int(json.loads(done.stdout))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--peak-of", choices=CONTENDERS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--by", default="quant")
    args = parser.parse_args()
    if args.peak_of:
        CONTENDERS[args.peak_of](args.folder, args.by)
        # Not getrusage: its peak is that of whoever started this process, if that was larger.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
        return
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        result["tokens"] = make(folder, args.tokens)
        result["runs"] = result["tokens"] // PASSES
        result["files_mib"] = round(sum(Path(f).stat().st_size for f in files(folder, "tokens")) / 2**20, 1)
        for by in ("quant", "prompt_id"):
            result[f"by_{by}"] = measure(folder, by) | peak_mib(folder, by)
    what = {
        "all": "median and 95th percentile of decode passes' ticks by a column of runs; files are in the page cache",
        "edgeprof": "edgeprof.token_quantiles(edgeprof.open(folder))",
        "polars": "scan_parquet, filter, join, group_by, quantile(linear); streaming engine",
        "duckdb": "read_parquet, join, quantile_cont",
        "pandas": "read_parquet of the three columns, merge, groupby.quantile; the better of two",
    }
    packages = ("numpy", "pyarrow", "pandas", "polars", "duckdb")
    if args.out:
        record(args.out, {"what": what, **result}, *packages)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
