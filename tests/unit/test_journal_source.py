"""Read times block by block: the same as all at once, wherever the blocks end."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof import journal, journal_source
from edgeprof.journal_source import JournalSource, reaching


@given(
    st.lists(st.integers(1, 9), max_size=30), st.lists(st.integers(0, 30), max_size=5), st.integers(0, 99),
    st.integers(1, 99),
)  # fmt: skip
def test_how_the_reads_are_cut_makes_no_difference(sizes: list[int], cuts: list[int], start: int, size: int) -> None:
    offsets, end = np.cumsum([0, *sizes]), start + size
    rows = np.column_stack([offsets, 1000 + np.arange(len(offsets))])
    edges = [0, *sorted(c for c in cuts if c < len(rows)), len(rows)]
    blocks = [rows[a:b] for a, b in itertools.pairwise(edges)]
    got = [tuple(row) for block in reaching(blocks, start, end) for row in block.tolist()]
    before = [i for i, offset in enumerate(offsets.tolist()) if offset <= start]
    assert got == [tuple(row) for row in rows[before[-1] :].tolist() if row[0] < end]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    writer = journal.PortWriter(tmp_path, 0, piece_bytes=50)
    for i in range(40):
        writer.append(bytes([i]) * 7, 1000 + i)
    writer.close()
    return tmp_path


def index(folder: Path, start: int, end: int = 1 << 40) -> list[tuple[int, int]]:
    return [tuple(row) for block in JournalSource(folder).index(0, start, end) for row in block.tolist()]


def test_it_is_the_journal_s_index(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_source, "_ENTRIES", 3)
    for start in (0, 1, 6, 7, 49, 50, 56, 200, 279, 280):
        assert index(written, start) == journal.read_index(written, 0, start)


def test_a_torn_entry_and_a_missing_index_are_no_times(written: Path) -> None:
    last = journal.pieces(written, 0)[-2][1].with_suffix(".idx")
    os.truncate(last, last.stat().st_size - 5)
    assert index(written, 0) == journal.read_index(written, 0)
    last.unlink()
    assert index(written, 0) == journal.read_index(written, 0)


def test_what_was_sealed_meanwhile_is_not_taken_for_unknown(written: Path) -> None:
    first = journal.pieces(written, 0)[0][1]
    reads = JournalSource(written).index(0, 0, 1 << 40)
    first.unlink()
    first.with_suffix(".idx").unlink()
    with pytest.raises(FileNotFoundError):
        list(reads)


def test_the_indexed_end_is_where_the_last_read_began(written: Path) -> None:
    assert journal.indexed_end(written, 0) == 39 * 7
    for _, path in journal.pieces(written, 0)[-2:]:
        path.with_suffix(".idx").unlink()
    assert journal.indexed_end(written, 0) == journal.read_index(written, 0)[-1][0]
    assert journal.indexed_end(written, 1) == 0
