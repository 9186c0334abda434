"""A firmware image's parts as tidy frames and tables."""

from __future__ import annotations

import handmade
import pytest

from edgeprof import image_parts
from edgeprof.errors import UsageError


def part(symbol, flash, ram=0, *, section=".text", kind="code", sha="f0", capture="c", address=0):
    return {
        "capture_id": capture, "firmware_sha256": sha, "section": section, "symbol": symbol, "kind": kind,
        "address": address, "flash_bytes": flash, "ram_bytes": ram,
    }  # fmt: skip


PARTS = [
    part("main", 500), part("dot", 700), part(None, 60), part("table", 100, kind="rodata"),
    part("state", 20, 20, section=".data", kind="data"), part(None, 0, 900, section=".bss", kind="bss"),
]  # fmt: skip


@pytest.fixture
def sections():
    return handmade.frame("sections", PARTS)


def test_the_largest_parts_and_the_sum_of_the_others(sections):
    top = image_parts.top_symbols(sections, n=2)
    assert top.to_numpy().tolist() == [
        ["dot", "code", 700], ["main", "code", 500], ["3 smaller parts", "all others", 180],
    ]  # fmt: skip
    assert top["bytes"].sum() == sections["flash_bytes"].sum()
    whole = image_parts.top_symbols(sections)
    assert whole["name"].tolist() == ["dot", "main", "table", "rest of .text", "state"]
    ram = image_parts.top_symbols(sections, "ram_bytes")
    assert ram.to_numpy().tolist() == [[".bss", "bss", 900], ["state", "data", 20]]  # no symbol: all of .bss
    with pytest.raises(UsageError, match="no size of a part 'flash'"):
        image_parts.top_symbols(sections, "flash")


def test_the_table_of_the_largest(sections):
    table = image_parts.top_table(image_parts.top_symbols(sections, n=1))
    assert table.to_numpy().tolist() == [
        ["dot", "code", "700", "50.7 %"], ["4 smaller parts", "all others", "680", "49.3 %"],
    ]  # fmt: skip
    assert image_parts.top_table(image_parts.top_symbols(sections.iloc[:0])).empty


def test_the_table_of_sections(sections):
    assert image_parts.section_table(sections).to_numpy().tolist() == [
        [".text", "code", "2", "1,260", "0"], [".text", "rodata", "1", "100", "0"], [".data", "data", "1", "20", "20"],
        [".bss", "bss", "0", "0", "900"], ["all", "", "4", "1,380", "920"],
    ]  # fmt: skip


def test_the_image_of_a_board_is_counted_once():
    runs = [
        handmade.run("a/0-0001", firmware_sha256="old"),
        handmade.run("b/0-0001", firmware_sha256="f0"),
        handmade.run("c/0-0001", firmware_sha256="f0"),
        handmade.run("d/0-0001", firmware_sha256="w", board="wasm"),
        handmade.run("e/0-0001", firmware_sha256=None, board="cable"),
    ]
    rows = [p | {"capture_id": c} for c in "bc" for p in PARTS] + [part("old", 9, sha="old", capture="a")]
    rows += [part(None, 5000, section="code", sha="w", capture="d")]
    ds = handmade.dataset(runs, sections=rows)
    image = image_parts.board_sections(ds, "toy")
    assert image["flash_bytes"].sum() == 1380
    assert set(image["board"]) == {"toy"}
    assert image_parts.board_sections(ds)["flash_bytes"].sum() == 1380  # the most symbols, not the most bytes
    assert image_parts.board_sections(ds, "wasm")["flash_bytes"].sum() == 5000
    assert image_parts.board_sections(ds, "cable").empty
    with pytest.raises(UsageError, match="no board in this data set 'wasn'"):
        image_parts.board_sections(ds, "wasn")


def test_a_data_set_without_images():
    ds = handmade.dataset([handmade.run()])
    image = image_parts.board_sections(ds)
    assert image.empty and "board" in image.columns
    assert image_parts.top_symbols(image).empty
    assert image_parts.section_table(image).to_numpy().tolist() == [["all", "", "0", "0", "0"]]
