"""The parts of the firmware's image, from the capture's start into the data set."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import fakeboard
import handmade
import pytest

import edgeprof
from edgeprof import firmware, resources, sources
from edgeprof.care import recover, verify
from edgeprof.cli import main
from edgeprof.driver import Generation
from edgeprof.layout import CAPTURE_JSON, write_json
from edgeprof.sections import image_facts

IMAGE = firmware.image("wasm")
DIGEST, PARTS = image_facts(IMAGE)


def closed(out: Path, **more: object) -> Path:
    """Write a capture of one run whose header holds more, and return its folder before it is sealed."""
    sent = bytearray()
    board = fakeboard.FakeBoard(sent.extend)
    board.hello()
    board.generate("p")
    folder = fakeboard.make_capture(out, "c", [bytes(sent)])
    header = json.loads((folder / CAPTURE_JSON).read_text())
    header.pop("sections")
    write_json(folder / CAPTURE_JSON, header | more)
    return folder


def columns(path: Path) -> dict[str, list[object]]:
    ds = edgeprof.open(path)
    assert ds.sections.equals(ds.table("sections"))
    found = ds.arrow("sections").to_pydict()
    assert set(found.pop("capture_id")) <= {"c"}
    return found


def test_they_are_sealed_and_read_before_and_after(tmp_path):
    folder = closed(tmp_path, sections={DIGEST: PARTS})
    expected = {"firmware_sha256": [DIGEST] * len(PARTS["kind"])} | PARTS
    assert columns(tmp_path) == expected  # from the journal
    recover(folder)
    assert columns(tmp_path) == expected
    assert len(list(folder.rglob("sections.parquet"))) == 1
    assert verify(tmp_path) == []


def test_a_capture_without_them_has_an_empty_table(tmp_path):
    folder = closed(tmp_path)
    recover(folder)
    found = edgeprof.open(tmp_path).sections
    assert found.empty and found["flash_bytes"].dtype == "int64"
    assert list(folder.rglob("sections.parquet")) == []


def test_an_unfinished_header_keeps_the_image_of_each_board(tmp_path):
    source = sources.Source("loop://", "b", sections={"a" * 64: PARTS})
    other = sources.Source("loop://", "c", sections={DIGEST: PARTS})
    folder = handmade.stored(tmp_path, "other").parent  # another capture beside it is no matter
    from edgeprof.capture import prepare

    made = prepare(folder, [source, other, other], [], host_label=None, capture_id="two", extra={})
    assert set(json.loads((made / CAPTURE_JSON).read_text())["sections"]) == {"a" * 64, DIGEST}


@pytest.mark.slow
def test_an_emulated_board_brings_its_own(tmp_path):
    model = resources.path("data/models/fable-0.5m-F16.gguf")
    result = sources.capture_boards(["wasm"], tmp_path, [Generation("p", "Once", 2)], model=model, capture_id="c")
    assert result.failed == {}
    ds = edgeprof.open(tmp_path)
    assert set(ds.runs["firmware_sha256"]) == {DIGEST} == set(ds.sections["firmware_sha256"])
    assert ds.sections["flash_bytes"].sum() == IMAGE.stat().st_size
    assert columns(tmp_path) == {"firmware_sha256": [DIGEST] * len(PARTS["kind"])} | PARTS
    assert ds.runs["image_bytes"].tolist() == [IMAGE.stat().st_size]
    budget = edgeprof.memory_budget(ds.runs, ds.table("memory"))
    assert budget.groupby("region")["bytes"].sum().to_dict() == {
        "RAM": ds.runs["ram_bytes"].iloc[0], "flash": ds.runs["flash_bytes"].iloc[0],
    }  # fmt: skip
    assert "not told apart" not in set(budget["part"])


@pytest.mark.slow
def test_a_real_board_s_image_is_named_on_the_command_line(tmp_path, board, capsys):
    image = tmp_path / "mine.wasm"
    shutil.copy(IMAGE, image)
    image.write_bytes(image.read_bytes() + b"\0\x01\0")
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    code = main(["capture", board().url, "--out", str(tmp_path / "data"), "--prompt", "Once", "--firmware", str(image)])
    assert code == 0, capsys.readouterr().err
    ds = edgeprof.open(tmp_path / "data")
    assert set(ds.runs["firmware_sha256"]) == {digest} == set(ds.sections["firmware_sha256"])
    assert ds.sections["flash_bytes"].sum() == image.stat().st_size


def test_an_image_that_is_none_ends_the_command_before_anything_is_written(tmp_path, capsys):
    (tmp_path / "x.elf").write_bytes(b"\x7fELF")
    code = main(
        ["capture", "socket://127.0.0.1:9", "--out", str(tmp_path / "data"), "--firmware", str(tmp_path / "x.elf")]
    )
    assert code == 3
    assert "x.elf is damaged" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
