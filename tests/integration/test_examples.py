"""The examples: somebody's loop with ten lines more, on every board; what telemetry costs; the SDKs' sources."""

from __future__ import annotations

import difflib
import importlib.util
import itertools
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serial
import yaml

import edgeprof
from edgeprof import boards, wire
from edgeprof.capture import Source, capture
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState
from edgeprof.errors import UsageError
from edgeprof.firmware import path
from edgeprof.firmware.build import build_program
from edgeprof.firmware.recipes import RECIPES
from edgeprof.tables import build
from edgeprof.wire import Type

pytestmark = [pytest.mark.slow, pytest.mark.emulators]

LOOP = path("examples", "llama2_loop")
DOC = Path(__file__).parents[2] / "docs" / "instrument.md"
STORY = "eir.!q2UqKqqKT!K"
EMULATED = [name for name in boards.names() if boards.get(name).clock != "host"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def read(*parts: str) -> str:
    return path("examples", *parts).read_text(encoding="utf-8")


def built(board: str, folder: Path, *sources: Path) -> Path:
    """Build a program for a board that can run here, or skip."""
    if reason := boards.why_not(board):
        pytest.skip(f"needs {board}: {reason}")
    image = folder / f"program.{'wasm' if board == 'wasm' else 'elf'}"
    try:
        return build_program(board, sources, image, defines=["-Wconversion"])
    except UsageError as error:
        pytest.skip(f"needs a compiler: {error}")


def talk(url: str, last: bytes) -> bytes:
    """Wake the program at a board's URL, and return what it says until it has said ``last``."""
    with serial.serial_for_url(url, timeout=1.0) as port:
        said, new, end = b"", b"", time.monotonic() + 60
        while last not in said:
            assert time.monotonic() < end, said
            if not new and said in (b"", b"ready\r\n"):
                port.write(b"\0")  # what comes before the UART is switched on is lost: then once more
            new = port.read(1)
            new += port.read(port.in_waiting)
            said += new
        return said


def parts(data: bytes) -> tuple[list[wire.Frame], str]:
    """Return the frames and the text of a stream; there must be nothing else."""
    splitter = wire.Splitter()
    pieces = [*splitter.feed(data), *splitter.finish()]
    assert wire.Kind.DAMAGE not in {p.kind for p in pieces}
    return [p.frame for p in pieces if p.frame], b"".join(p.data for p in pieces if p.kind is wire.Kind.TEXT).decode()


# ---- the loop ----


def test_the_loop_needs_ten_lines_more_and_no_other_change() -> None:
    plain, profiled = read("llama2_loop", "plain.c").splitlines(), read("llama2_loop", "profiled.c").splitlines()
    changes = [line for line in difflib.ndiff(plain, profiled) if line[0] in "+-"]
    assert all(line.startswith("+ ") for line in changes)
    assert len(changes) <= 10
    assert max(map(len, profiled)) <= 120
    # Everything of edgeprof's is among them.
    kept = "\n".join(plain)
    assert not re.search(r"\bep_|\bEP_|edgeprof", kept, re.IGNORECASE)


def test_the_documentation_shows_the_loop_that_is_compiled() -> None:
    (block,) = re.findall(r"```diff[^\n]*\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    lines = block.splitlines()
    assert {line[:1] for line in lines} <= {"+", " ", ""}
    profiled = read("llama2_loop", "profiled.c").splitlines()
    stretches = [[line[1:] for line in part.splitlines()] for part in block.split("\n     …\n")]
    at = 0
    for stretch in stretches:
        at = next(i for i in range(at, len(profiled)) if profiled[i : i + len(stretch)] == stretch) + len(stretch)
    added = [line[1:] for line in lines if line.startswith("+")]
    plain = read("llama2_loop", "plain.c").splitlines()
    assert added == [line[2:] for line in difflib.ndiff(plain, profiled) if line.startswith("+ ")]


@pytest.mark.parametrize("board", boards.names())
def test_the_loop_on_every_board(tmp_path: Path, board: str) -> None:
    said = {}
    for name in ("plain", "profiled"):
        image = built(board, tmp_path / name, LOOP / f"{name}.c", LOOP / "tiny.c")
        with boards.start(board, None, image=image) as running:
            said[name] = talk(running.url, b"K\r\n" if name == "plain" else b"\0\r\n")
    assert parts(said["plain"]) == ([], f"ready\r\n{STORY}\r\n")
    frames, text = parts(said["profiled"])
    assert text == f"ready\r\n{STORY}\r\n"
    assert [f.seq for f in frames] == list(range(len(frames)))
    rows, _ = decode_port(
        [said["profiled"]], PortState(), capture_id="c", port=0, facts={}, final=True,
        reads=(np.zeros(1, np.int64), np.zeros(1, np.int64)),
    )  # fmt: skip
    tables = {name: table.to_pylist() for (name, _), table in build(rows, "c").items()}
    (run,) = tables["runs"]
    spec = boards.get(board)
    assert (run["board"], run["clock"], run["model"]) == (board, spec.clock, "tiny")
    assert (run["kind"], run["status"], run["n_prompt"], run["n_generated"]) == ("generate", "ok", 4, 13)
    assert (run["passes"], run["passes_received"], run["frames_lost"]) == (16, 16, 0)
    tokens = tables["tokens"]
    assert [r["position"] for r in tokens] == list(range(16))
    assert [r["phase"] for r in tokens] == ["prefill"] * 4 + ["decode"] * 12
    assert [r["next_id"] for r in tokens][:-1] == [r["token_id"] for r in tokens][1:]
    assert all(0 < r["ticks"] for r in tokens)
    assert sum(r["ticks"] for r in tokens) <= run["ticks_total"]
    if board in EMULATED:  # a second of the chip's, on cores without an FPU, too
        assert run["core"] == spec.core
        assert run["ticks_total"] < spec.board_clock_hz


@pytest.mark.parametrize("board", [name for name in EMULATED if RECIPES[name].bare])
def test_the_loop_is_small(tmp_path: Path, board: str) -> None:
    image = built(board, tmp_path, LOOP / "profiled.c", LOOP / "tiny.c")
    size = RECIPES[board].compiler.removesuffix("gcc") + "size"
    code, data, bss = map(int, subprocess.check_output([size, str(image)], text=True).splitlines()[1].split()[:3])
    assert code + data < 32 * 1024
    assert data + bss < 40 * 1024  # the stack is in it


def test_the_loop_is_captured_as_any_board_is(tmp_path: Path) -> None:
    image = built("host", tmp_path, LOOP / "profiled.c", LOOP / "tiny.c")
    with boards.start("host", None, image=image) as running:
        result: dict[str, Any] = {}
        source = Source(running.url, "loop")
        thread = threading.Thread(
            target=lambda: result.update(done=capture([source], tmp_path / "data", capture_id="c", seconds=6.0))
        )
        thread.start()
        end = time.monotonic() + 60
        while not list((tmp_path / "data").glob("capture=c/journal/port-*/*.wire")) and time.monotonic() < end:
            time.sleep(0.01)
        with open(running.url, "wb", buffering=0) as key:  # noqa: PTH123 - a terminal, not a file
            key.write(b"\0")
        thread.join(60)
    assert result["done"].failed == {}
    ds = edgeprof.open(tmp_path / "data")
    assert list(ds.runs["status"]) == ["ok"]
    assert len(ds.tokens) == 16
    assert STORY in "".join(ds.table("logs")["text"])
    assert ds.captures["bytes_discarded"][0] == 0
    measured = edgeprof.measure(ds)
    assert measured["ttft_ticks"][0] > 0


def test_lf_made_into_cr_lf_is_found_as_the_documentation_says() -> None:
    """A console that makes CR LF of each LF: bytes are discarded, and frames are missing."""
    sent = [
        wire.encode_frame(Type.EVENT, bytes([10, 0, 0, 0, 1, 2, 0, 0]), n=1, boot=1, run=1, seq=i) for i in range(3)
    ]
    sent.append(wire.encode_frame(Type.HEARTBEAT, boot=1, run=0, seq=3))
    splitter = wire.Splitter()
    kinds = [p.kind for p in splitter.feed(b"".join(sent).replace(b"\n", b"\r\n"))]
    assert kinds == [wire.Kind.DAMAGE] * 3 + [wire.Kind.FRAME]


# ---- what it costs ----


@pytest.mark.parametrize("board", EMULATED)
def test_telemetry_costs_what_the_documentation_says(tmp_path: Path, board: str) -> None:
    spec = importlib.util.spec_from_file_location(
        "telemetry_cost", Path(__file__).parents[1] / "performance" / "telemetry_cost.py"
    )
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    image = built(board, tmp_path, path("examples", "telemetry_cost", "main.c"))
    with boards.start(board, None, image=image) as running:
        said = script.costs(script.lines_of(running.url, "cost end\r\n"))
    assert said["token_record"]["calls"] == 300
    assert said["power_block"]["calls"] == 8
    found = script.figures(said)
    # 2 % above the payload, at most: 30 bytes a record and 2 a sample, and their share of the frame.
    assert 31 < found["token_record_bytes"] < 32
    assert 2.1 < found["power_sample_bytes"] < 2.2
    assert 0 < found["token_record_ticks"] < 2500
    assert 0 < found["power_sample_ticks"] < 200
    assert found["token_record_worst_ticks"] > 10 * found["token_record_ticks"]


# ---- the SDKs: syntax-checked against stubs, not compiled ----

STUBS = Path(__file__).parent / "sdk_stubs"
"""Headers that declare what the examples use, from the SDKs' documentation: none of the SDKs is needed, or checked."""
CHECKS = [
    ("esp-idf", "main/main.c", ["-DMODEL_BYTES=1000"]),
    ("esp-idf", "main/main.c", ["-DCONFIG_EDGEPROF_LINE_USB_SERIAL_JTAG", "-DCONFIG_IDF_TARGET_ARCH_XTENSA"]),
    ("pico-sdk", "main.c", ["-DMODEL_OFFSET=0x100000", "-DPICO_STACK_SIZE=0x1000"]),
    ("stm32-hal", "edgeprof_port.c", ["-DMODEL_BYTES=700000"]),
    ("zephyr", "sample/src/main.c", []),
    ("zephyr", "edgeprof.c", []),
    ("arduino", "src/edgeprof.c", []),
    ("arduino", "examples/Llama2Loop/Llama2Loop.ino", []),
    ("arduino", "examples/Llama2Loop/Llama2Loop.ino", ["-DESP32"]),
]


def check(sdk: str, source: Path, flags: list[str]) -> None:
    sketch = source.suffix == ".ino"
    compiler = "g++" if sketch else "gcc"
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}: apt-get install {compiler}")
    language = ["-x", "c++", "-std=c++11", "-include", "Arduino.h"] if sketch else ["-std=gnu11"]
    # A pointer has 64 bits here, and 32 there.
    command = [compiler, *language, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *flags]
    command += [] if sketch else ["-Wno-int-to-pointer-cast"]
    command += [f"-I{folder}" for folder in (STUBS / sdk, path("include"), path("app"), LOOP)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("sdk", "source", "flags"), CHECKS)
def test_sdk_sources_against_stubs(sdk: str, source: str, flags: list[str]) -> None:
    check(sdk, path("examples", sdk, *source.split("/")), flags)


def test_a_stub_check_can_fail(tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc: apt-get install gcc")
    text = read("zephyr", "sample", "src", "main.c").replace("k_cycle_get_32()", "k_cycle_get()")
    (tmp_path / "main.c").write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match="k_cycle_get"):
        check("zephyr", tmp_path / "main.c", [])


def test_every_sdk_says_that_it_was_not_compiled_here() -> None:
    table = read("README.md")
    for sdk in sorted({sdk for sdk, _, _ in CHECKS}):
        assert re.search(rf"\| `{sdk}/` \|.*\| no: syntax-checked against stubs \|", table)
        sources = [p for p in path("examples", sdk).rglob("*") if p.suffix in {".c", ".ino"} and p.name != "edgeprof.c"]
        assert sources
        assert all("Compiled here: no" in p.read_text(encoding="utf-8") for p in sources), sdk
    folders = {p.name for p in path("examples").iterdir() if p.is_dir()}
    assert folders == set(re.findall(r"^\| `([\w-]+)/`", table, re.MULTILINE))


def test_sdk_metadata_is_well_formed() -> None:
    version = edgeprof.__version__
    assert yaml.safe_load(read("esp-idf", "components", "edgeprof", "idf_component.yml"))["version"] == version
    assert f"version={version}\n" in read("arduino", "library.properties")
    module = yaml.safe_load(read("zephyr", "zephyr", "module.yml"))
    assert module["build"] == {"cmake": ".", "kconfig": "Kconfig"}
    rows = [
        line.replace(" ", "").split(",") for line in read("esp-idf", "partitions.csv").splitlines() if line[0] != "#"
    ]
    spans = sorted((int(offset, 0), int(offset, 0) + int(size, 0)) for _, _, _, offset, size in rows)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert spans[-1][1] == 4 * 1024 * 1024
    (model,) = (row for row in rows if row[0] == "model")
    assert int(model[3], 0) % 0x10000 == 0  # what can be mapped begins at a multiple of 64 KiB
    # The offset that the documentation tells to write to.
    assert f"write_flash {model[3]} " in DOC.read_text(encoding="utf-8")
