"""Folder names and atomic writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.errors import NewerFormatError, StorageError
from edgeprof.layout import check_version, file_sha256, partition, slug, write_json
from edgeprof.schema import FORMAT_VERSION


@given(st.text(max_size=400), st.text(max_size=400))
def test_a_slug_is_a_safe_name_and_distinct(a: str, b: str) -> None:
    for name in (a, b):
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}-[0-9a-f]{8}", slug(name))
    assert (slug(a) == slug(b)) == (a == b)


@pytest.mark.parametrize(
    "name", ["../../etc", "/abs", "CON", "con", "nul.txt", "001", "a" * 300, "", ".", "\0", "💥", "\ud800"], ids=ascii
)
def test_no_name_leaves_the_data_set(name: str) -> None:
    path = Path("/data") / partition(name, name, name)
    assert path.resolve().is_relative_to("/data")
    assert len(path.relative_to("/data").parts) == 3
    assert max(len(p) for p in path.parts) < 60


def test_json_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    with pytest.raises(StorageError, match="cannot be written"):
        write_json(path / "below" / "a file", {})


def test_versions() -> None:
    check_version(FORMAT_VERSION, "x")
    with pytest.raises(NewerFormatError, match=f"version {FORMAT_VERSION + 1}.*pip install"):
        check_version(FORMAT_VERSION + 1, "x")
    for nothing in (None, "1", 1.5):
        with pytest.raises(StorageError, match="no format version"):
            check_version(nothing, "x")


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f").startswith("ba7816bf8f01cfea")
