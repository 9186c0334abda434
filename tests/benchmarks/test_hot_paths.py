"""What a user waits for: wire bytes to columns, sealing, opening a data set, comparing, and the statistics of a gate.

What is measured is imported within each benchmark: an older edgeprof that lacks one of them can still run the others.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakeboard import FakeBoard, make_capture

pytestmark = pytest.mark.benchmarks

REFERENCE = Path(__file__).parents[2] / "data" / "reference"
ROUNDS = 4
"""Of what takes longer than a tenth of a second; the others are repeated for as long as pytest-benchmark is told to."""
RUNS = 20
TOKENS_A_RUN = 240
READ_BYTES = 4096
COMPARISONS = 48
PAIRS = 10
TEXT_TOKENS = 2032


def stream() -> bytes:
    """Return what a board sends of many runs."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    for run in range(RUNS):
        board.begin(kind="generate", prompt_id=f"p{run % 4}")
        for first in range(0, TOKENS_A_RUN, 30):
            board.tokens(first, 30, 1)
        board.end(0, 0, TOKENS_A_RUN)
    return b"".join(parts)


@pytest.fixture(scope="module")
def sent() -> bytes:
    return stream()


def test_decode_wire_bytes(benchmark: Any, sent: bytes) -> None:
    from edgeprof import journal
    from edgeprof.decode import decode_port
    from edgeprof.decode_state import PortState

    offsets = np.arange(0, len(sent), READ_BYTES, dtype=np.int64)
    rows = []

    def decode() -> None:
        rows.clear()
        chunks = (sent[i : i + journal.CHUNK] for i in range(0, len(sent), journal.CHUNK))
        reads = (offsets, offsets * 100)
        decode_port(
            chunks, PortState(), capture_id="c", port=0, facts={}, reads=reads, final=True, take=rows.append
        )  # fmt: skip

    benchmark(decode)
    assert rows


def test_seal_a_capture(benchmark: Any, sent: bytes, tmp_path: Path) -> None:
    import edgeprof
    from edgeprof import seal

    written = make_capture(tmp_path / "journal", "c", [sent], read=READ_BYTES)

    def copied() -> tuple[tuple[Path], dict[str, bool]]:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        return (Path(shutil.copytree(written, tmp_path / "data" / written.name)),), {"final": True}

    benchmark.pedantic(seal.seal, setup=copied, rounds=ROUNDS)
    assert len(edgeprof.open(tmp_path / "data").tokens) == RUNS * TOKENS_A_RUN


def test_open_and_list_runs(benchmark: Any) -> None:
    import edgeprof

    runs = benchmark.pedantic(lambda: edgeprof.open(REFERENCE).runs, rounds=ROUNDS)
    assert len(runs) > 60


def test_compare_quantizations(benchmark: Any) -> None:
    import edgeprof

    ds = edgeprof.open(REFERENCE / "gate")
    compared = benchmark.pedantic(lambda: edgeprof.compare(ds, metrics=("decode_ticks_per_token",)), rounds=ROUNDS)
    assert len(compared.table) > 3


def test_judge_a_gates_pairs(benchmark: Any) -> None:
    from edgeprof.intervals import gate_interval
    from edgeprof.verdicts import judge

    noise = np.random.default_rng(1).normal(0, 0.03, (COMPARISONS, PAIRS))

    def judged() -> list[str]:
        return [judge(gate_interval(ratios), 0.02).word for ratios in noise]

    assert len(benchmark(judged)) == COMPARISONS


def test_bootstrap_a_text(benchmark: Any) -> None:
    from edgeprof.bootstrap import block_bootstrap_nll

    differences = np.random.default_rng(2).normal(0.01, 0.3, TEXT_TOKENS)
    found = benchmark(lambda: block_bootstrap_nll(differences, np.arange(TEXT_TOKENS)))
    assert found is not None and found.low < differences.mean() < found.high


def test_advise_on_a_series(benchmark: Any) -> None:
    from edgeprof.stability import advise

    rng = random.Random(3)
    series = np.array([1000 * (1 + 0.02 * rng.gauss(0, 1)) * (1.2 if i == 0 else 1.0) for i in range(64)])
    advice: Callable[[], list[Any]] = lambda: advise(series, 0.02)  # noqa: E731
    assert any(finding.kind == "warm-up" for finding in benchmark(advice))
