"""A board that calls itself terrible things and claims terrible numbers, from its port to the report.

One real capture over a pty; what people then see is read as bytes from a terminal, as HTML, and as drawn figures.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakeboard
import pytest
from handmade import Tags, harmful

import edgeprof
from edgeprof import plots, tidy, wire
from edgeprof.care import verify
from edgeprof.display import Table
from edgeprof.runs import formatted
from edgeprof.schema import TABLES

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="only on systems with ptys"),
]

NAMES = [
    b"../../etc/passwd", b"/etc/passwd", b"..\\..\\windows", b"CON", b"NUL.txt", b".", b"..", b"", b" ", b"~", b"a/b",
    b"<script>alert(1)</script>", b"\"><img src=x onerror=alert(1)>", b"</title><b>", b"&lt;script&gt;",
    b"\x1b[2J\x1b[31mred", "\x9b31mC1".encode(), b"\x9b31m", "\x90q\x9c".encode(),
    b"\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", b"\x1b]52;c;cHduZWQ=\x07", b"\x1b]0;title\x07",
    b"\x1bP$q\x1b\\",
    "right\u202eot tfel\u2066 \u200f".encode(), br"$\frac{", b"$x^", b"$", b"$$", b"\\", b"_hidden", b"__",
    b"n" * 300, b"two\nlines\r\ttabs", "\u2028\u2029\x85".encode(), b"nul\0byte", b"\xed\xa0\x80", b"\xff\xfe\xfd",
    "e\u0301\u0327" .encode() * 40, "\ufeff".encode(), b"%s%n{}{0}", b"NaN", b"None", b"quant=Q8_0",
]  # fmt: skip
NUMBERS = [
    b"4294967296", b"1099511627776", b"9223372036854775807", b"9223372036854775808", b"1180591620717411303424", b"-1",
    b"nan", b"inf", b"1e999", b"-1e999", b"1e308", b"1e-308", b"0", b"0x10", b"1_000", "٣".encode(), b"9" * 150,
]  # fmt: skip
CLAIMED = [
    b"model_bytes", b"n_params", b"ram_bytes", b"flash_bytes", b"ram_needed_bytes", b"flash_needed_bytes", b"tick_hz",
    b"board_clock_hz", b"n_ctx", b"n_prompt", b"temperature", b"seed", b"kv_cache_bytes", b"activation_bytes",
    b"image_bytes", b"static_ram_bytes", b"stack_reserved_bytes",
]  # fmt: skip
BOARD = b"<b>../$\\frac{\x1b[31m\xe2\x80\xae"
"""What the board of most runs is called, so that they come into one report."""
MODEL = Path(__file__).parents[2] / "data" / "models" / "fable-1.2m-F16.gguf"
USUAL = {k.encode(): v.encode() for k, v in fakeboard.PAIRS.items()}
_OURS = re.compile(r"\x1b\[(2K|[0-9]+F)")
"""What a live line is drawn with."""

Pairs = list[tuple[bytes, bytes]]


def saying(**changed: bytes) -> Pairs:
    return list((USUAL | {k.encode(): v for k, v in changed.items()}).items())


RUNS: list[Pairs] = [
    *(saying(board=BOARD, model=name, quant=name, firmware=name, kernel_variant=name) for name in NAMES),
    *(saying(board=BOARD, quant=b"number %d" % i, **{k.decode(): n for k in CLAIMED}) for i, n in enumerate(NUMBERS)),
    [*saying(board=BOARD), (b"quant", b"first"), (b"quant", b"second"), (b"tags", b"{}"), (b"run_id", b"x/../y")],
]
BOARDS: list[Pairs] = [saying(board=name) for name in NAMES]


def encoded(pairs: Pairs) -> bytes:
    return b"".join(bytes((len(k), min(len(v), 255))) + k + v[:255] for k, v in pairs)


class Board(fakeboard.FakeBoard):
    """Says of each run what ``runs`` says; ``refuse`` is the text with which it answers instead."""

    def __init__(self, primary: int, runs: list[Pairs], refuse: bytes | None) -> None:
        super().__init__(lambda data: os.write(primary, data))
        self.runs, self.refuse = runs, refuse

    def hello(self, request: int | None = None) -> None:
        said = [*saying(board=BOARD), (b"request", str(request).encode()), (b"fits", b"1")]
        self.frame(wire.Type.HELLO, encoded(said), len(said), in_run=False)

    def repeat_begin(self, **more: Any) -> None:
        said = self.runs[self.run - 1]
        said = [*((k.encode(), str(v).encode()) for k, v in more.items() if k.encode() not in CLAIMED), *said]
        self.frame(wire.Type.RUN_BEGIN, encoded(said), len(said), t0=self.t_begin)

    def reply(self, request: int, code: int = 0, text: str = "") -> None:
        if self.refuse is None:
            super().reply(request, code, text)
        else:
            body = struct.pack("<HBB", request, 5, len(self.refuse)) + self.refuse
            self.frame(wire.Type.REPLY, body, 1, in_run=False)


@dataclass(frozen=True)
class Seen:
    """What a terminal got, and the exit code."""

    code: int
    text: str


def in_terminal(*words: object, **more: Any) -> Seen:
    """Run the command line with a terminal for standard output and error; return what the terminal got."""
    primary, secondary = os.openpty()
    got = bytearray()

    def read() -> None:
        try:
            while data := os.read(primary, 65536):
                got.extend(data)
        except OSError:
            return  # Linux says so when the last writer is gone

    command = [sys.executable, "-m", "edgeprof", *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary, **more) as running:
        os.close(secondary)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        running.wait(timeout=150)
    reader.join(10)
    os.close(primary)
    return Seen(running.returncode, got.decode())


def harmless(text: str) -> None:
    """Nothing but what is seen: no control character, direction mark, or escape sequence of the board's."""
    assert harmful(_OURS.sub("", text).replace("\r", "").replace("\n", "")) == []


def harmless_page(html: str, *tags: str) -> Tags:
    """No tag, attribute or protocol that edgeprof does not write itself."""
    page = Tags(html)
    assert {"script", "b", "title", "img"}.isdisjoint(set(page.tags) - set(tags)), page.tags
    assert not [a for a in page.attributes if a.startswith("on") or a == "href"]
    assert harmful("".join(page.texts).replace("\n", "")) == []
    return page


def captured(folder: Path, runs: list[Pairs], *, refuse: bytes | None = None) -> Seen:
    """Capture the hostile board, whose port has a hostile name, too."""
    primary, secondary = os.openpty()
    for end in (primary, secondary):
        tty.setraw(end)
    port = folder / "port\x1b[31m\u202e$x^\x9b"
    port.symlink_to(os.ttyname(secondary))
    listed = folder / "prompts.toml"
    listed.write_text("".join(f'[[prompt]]\nid = "p{i:03d}"\ntext = "x"\n' for i in range(len(runs))), encoding="utf-8")
    board, splitter = Board(primary, runs, refuse), wire.Splitter()

    def requests() -> Iterator[wire.Frame]:
        while True:
            for piece in splitter.feed(os.read(primary, 4096)):
                if piece.frame is not None:
                    yield piece.frame

    def serve() -> None:
        try:
            fakeboard.serve(board, requests(), "normal")
        except OSError:
            return

    device = threading.Thread(target=serve, daemon=True)
    device.start()
    try:
        words = ("capture", f"./{port.name}", "--out", folder / "data", "--prompts", listed, "--tokens", 12)
        # A short name, so that the live line shows all of it; a model, so that reports have its vocabulary.
        return in_terminal(*words, "--model", MODEL, cwd=folder)
    finally:
        os.close(secondary)  # the device's read fails with the last of its hosts
        device.join(30)
        os.close(primary)  # not before: the next file that is opened has this number


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen]:
    """One board of a hostile name, with models, quantizations and numbers."""
    folder = tmp_path_factory.mktemp("hostile")
    return folder, captured(folder, RUNS)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen]:
    """A board that is called otherwise in each run."""
    folder = tmp_path_factory.mktemp("boards")
    return folder, captured(folder, BOARDS)


@pytest.fixture(params=["hostile", "boards"])
def either(request: pytest.FixtureRequest) -> tuple[Path, Seen]:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_the_capture_ends_well_and_its_live_line_is_harmless(either: tuple[Path, Seen]) -> None:
    folder, seen = either
    assert seen.code == 0, seen.text
    assert "tok/s" in seen.text, "there was no live line"
    assert "port�[31m" in seen.text, "the live line does not name the port"
    harmless(seen.text)
    assert verify(folder / "data") == []


def test_no_path_leaves_the_data_set(either: tuple[Path, Seen]) -> None:
    folder, _ = either
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith("port")) == ["data", "prompts.toml"]
    (capture,) = (folder / "data").iterdir()
    names = {part for path in capture.rglob("*") for part in path.relative_to(capture).parts}
    word = r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?"
    known = re.compile(
        rf"(board|model|quant)={word}|segment=\d{{4}}|wire-\d{{4}}-p\d\d\.(zst|idx\.npy)|(manifest|capture)\.json|"
        rf"({'|'.join(TABLES)})\.parquet"
    )
    assert [n for n in names if not known.fullmatch(n)] == []
    # Distinct names stay apart, also where their folders would look alike.
    said = {name[:255].decode(errors="replace") for name in NAMES}
    assert max(len({n for n in names if n.startswith(f"{of}=")}) for of in ("board", "quant")) >= len(said)


def test_what_was_said_is_kept(hostile: tuple[Path, Seen]) -> None:
    folder, _ = hostile
    runs = edgeprof.open(folder / "data").runs.sort_values("prompt_id").reset_index(drop=True)
    assert len(runs) == len(RUNS) and set(runs["status"]) == {"ok"} and set(runs["frames_lost"]) == {0}
    said = [name[:255].decode(errors="replace") for name in NAMES]
    assert list(runs["quant"][: len(NAMES)].fillna("")) == said
    numbers = runs[len(NAMES) : len(NAMES) + len(NUMBERS)]
    for column in ("model_bytes", "n_params", "ram_bytes"):
        kept = [None if value != value else int(value) for value in numbers[column].astype(object).fillna(float("nan"))]
        assert kept[:6] == [2**32, 2**40, 2**63 - 1, None, None, -1]
        # What is no number of the column's type is not lost: it is text.
        for number, tags, value in zip(NUMBERS, numbers["tags"], kept, strict=True):
            assert value is not None or json.loads(tags)[column] == number.decode()
    last = runs.iloc[-1]
    assert last["quant"] == "second" and last["run_id"].endswith(f"/0-{len(RUNS):04d}")
    assert json.loads(last["tags"])["run_id"] == "x/../y"


def test_boards_are_kept_apart(boards: tuple[Path, Seen]) -> None:
    ds = edgeprof.open(boards[0] / "data")
    said = [name[:255].decode(errors="replace") for name in NAMES]
    assert list(ds.runs.sort_values("prompt_id")["board"].fillna("")) == said
    for name in said:
        assert len(ds.table("tokens", where={"board": name})) == 15 * said.count(name)


@pytest.mark.parametrize("verb", ["runs", "compare", "verify", "recover"])
def test_terminals_get_nothing_but_text(either: tuple[Path, Seen], verb: str) -> None:
    seen = in_terminal(verb, either[0] / "data")
    # Each run has a prompt of its own, so that there is nothing to compare: said, and shown all the same.
    assert seen.code == (2 if verb == "compare" and "not comparable" in seen.text else 0), seen.text
    harmless(seen.text)
    assert "Traceback" not in seen.text and "arning" not in seen.text
    if verb in ("runs", "compare"):
        assert "<script>alert(1)</script>" in seen.text


def test_json_and_csv_hold_every_name(hostile: tuple[Path, Seen]) -> None:
    data = hostile[0] / "data"
    for words in (["runs", data, "--json"], ["compare", data, "--json"], ["export", data, "runs"]):
        done = subprocess.run(
            [sys.executable, "-m", "edgeprof", *map(str, words)], capture_output=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (2 if words[0] == "compare" else 0, b"")
        text = done.stdout.decode()
        if "--json" in words:
            assert {"<script>alert(1)</script>", "nul\0byte"} <= {row["quant"] for row in json.loads(text)}


def test_messages_of_the_board_are_harmless(tmp_path: Path) -> None:
    seen = captured(tmp_path, RUNS[:2], refuse=b"\x1b[2Jno\x07\xff <b> \xc2\x9b31m \xe2\x80\xae")
    assert seen.code == 4
    assert "refused 'p000': �[2Jno" in seen.text
    harmless(seen.text)


def test_notebooks_show_nothing_but_text(hostile: tuple[Path, Seen]) -> None:
    ds = edgeprof.open(hostile[0] / "data")
    measured = edgeprof.measure(ds)
    assert len(measured) == len(RUNS)
    for shown in (ds, ds.run(0), edgeprof.compare(ds), Table(formatted(measured), NAMES[11].decode())):
        harmless(repr(shown))
        harmless_page(shown._repr_html_())


def test_plots_draw_names_as_they_are(hostile: tuple[Path, Seen]) -> None:
    from matplotlib import pyplot as plt

    ds, board = edgeprof.open(hostile[0] / "data"), BOARD.decode()
    compared = edgeprof.compare(ds, board=board)
    costs, itl = tidy.costs(ds, board), tidy.itl(ds, board)
    tradeoff = tidy.tradeoff(compared, board).assign(perplexity=range(1, len(compared.table) + 1))
    names = list(dict.fromkeys(costs["group"]))
    assert len(names) == len(compared.table) > len(NAMES)
    drawn = [plots.plot_passes(tidy.passes(ds, tidy.pick_run(ds, board=board)), clock=r"$\frac{")]
    for some in (names[i : i + 7] for i in range(0, len(names), 7)):  # as many as a figure has room for
        costs_, itl_, points = (data[data["group"].isin(some)] for data in (costs, itl, tradeoff))
        drawn += [
            plots.plot_cost_by_position(costs_, clock=r"$\frac{"),
            plots.plot_itl(itl_, clock="<b>\x1b[31m"),
            plots.plot_tradeoff(points, "decode_ticks_per_token", xlabel="cost"),
        ]
        for ax in drawn:
            ax.figure.canvas.draw()  # here mathtext would be parsed
            texts = [t.get_text() for t in ax.figure.findobj(lambda o: hasattr(o, "get_text"))]
            assert texts and harmful("".join(texts).replace("\n", "")) == []
        drawn = []
        plt.close("all")


@pytest.mark.parametrize("notebook", ["inspect_run", pytest.param("compare_quantizations", marks=pytest.mark.nightly)])
def test_reports_hold_nothing_but_text(hostile: tuple[Path, Seen], tmp_path: Path, notebook: str) -> None:
    words = ["report", notebook, hostile[0] / "data", "--out", tmp_path / "out"]
    wanted = {"board": BOARD.decode()} | ({"quant": r"$\frac{", "prompt": ""} if notebook == "inspect_run" else {})
    seen = in_terminal(*words, *(f"-p{name}={value}" for name, value in wanted.items()))
    assert seen.code == 0, seen.text
    harmless(seen.text)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = harmless_page(html, "title", "img")
    assert page.tags.count("title") == 1
    assert not re.search(r"<img(?![^>]*src=\"data:image/png;base64,)", html)
    json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    text = "".join(page.texts)
    assert r"$\frac{" in text
    assert notebook == "inspect_run" or "<script>alert(1)</script>" in text
