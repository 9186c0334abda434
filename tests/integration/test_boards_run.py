"""Every emulated board at work: the same numbers twice, the same answers as wasm, and a gate that sees small things."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from firmware_host import MODELS, Pass, board, needs_board, tiny_model

import edgeprof
from edgeprof import boards, driver, wire
from edgeprof.capture import CaptureResult, Source, capture
from edgeprof.changes import SMALLEST_EFFECT
from edgeprof.driver import Evaluation, Generation, Job
from edgeprof.errors import ModelError, UsageError
from edgeprof.firmware import image, path
from edgeprof.firmware.build import build, compiler_of
from edgeprof.metrics import EXACT_CLOCKS
from edgeprof.quantize import quantize
from edgeprof.same import differences
from edgeprof.sections import sections_of

pytestmark = [pytest.mark.slow, pytest.mark.emulators]

EXACT = [name for name in boards.names() if boards.get(name).clock in EXACT_CLOCKS]
MICROCONTROLLERS = [name for name in EXACT if name != "wasm"]
SLOW = "rp2040"  # a few passes a second
KERNELS = ("Q8_0", "Q6_K", "Q5_0", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K", "TQ2_0")
SLOW_KERNELS = ("Q4_0", "Q4_K_M", "TQ2_0")
TEXT = list(range(300, 332))

every = pytest.mark.parametrize("name", EXACT)
every_microcontroller = pytest.mark.parametrize("name", MICROCONTROLLERS)


def often(names: Sequence[str], *some: str) -> pytest.MarkDecorator:
    """Return a test's boards: some always, the others of the same kind at night."""
    rest = [pytest.param(name, marks=pytest.mark.nightly) for name in names if name not in some]
    return pytest.mark.parametrize("name", [*some, *rest])


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return fable-0.5m in a quantization, or a tiny model."""
    folder = tmp_path_factory.mktemp("models")

    @functools.cache
    def made(quant: str) -> Path:
        file = folder / f"{quant}.gguf"
        if quant.startswith("tiny-"):
            return tiny_model(file, kind=quant.removeprefix("tiny-"), layers=1)
        return quantize(MODELS / "fable-0.5m-F16.gguf", file, quant).path

    return made


def work(name: str) -> tuple[str, list[Job]]:
    """Return a model that runs quickly on a board, and what to do with it, with n_ctx=12."""
    if name == SLOW:
        return "tiny-Q4_0", [Generation("a", "ab", 6), Evaluation("text", "-", range(5, 16), 1)]
    return "Q4_0", [Generation("a", "Once upon", 5), Evaluation("text", "-", TEXT, 1)]


def needs_compiler(name: str) -> None:
    try:
        compiler_of(name)
    except UsageError as error:
        pytest.skip(f"needs a compiler: {error}")


def run(name: str, out: Path, model: Path, jobs: Sequence[Job], **options: Any) -> CaptureResult:
    with boards.start(name, model, **{"n_ctx": 12} | options) as running:
        source = Source(running.url, name, facts=dict(running.facts), opened=running.go, emulated=True)
        return capture([source], out, jobs, idle_seconds=20)


@pytest.fixture(scope="session")
def quiet(models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Return a capture of a board with nothing else at work."""

    @functools.cache
    def made(name: str) -> Any:
        out = tmp_path_factory.mktemp(name)
        model, jobs = work(name)
        result = run(name, out, models(model), jobs)
        assert result.failed == {} and result.outcomes[name].refused == []
        return edgeprof.open(out)

    return made


@contextlib.contextmanager
def burning(processes: int = 4) -> Iterator[None]:
    """Keep all cores busy."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in burners:
            one.kill()
            one.wait()


@often(EXACT, "wasm")
def test_a_busy_machine_changes_no_number(name, quiet, models, tmp_path):
    needs_board(name)
    model, jobs = work(name)
    first = quiet(name)
    assert first.runs["status"].tolist() == ["ok", "ok"] and first.runs["frames_lost"].tolist() == [0, 0]
    with burning():
        assert run(name, tmp_path, models(model), jobs).failed == {}
    assert differences(first, edgeprof.open(tmp_path)) == []


@often(EXACT, "stm32f405")
def test_an_emulator_that_starts_slowly_is_not_asked_twice(name, quiet, models, tmp_path, monkeypatch):
    needs_board(name)
    monkeypatch.setattr(driver, "HELLO_SECONDS", 0.03)
    monkeypatch.setattr(driver, "HELLO_TRIES", 300)
    model, jobs = work(name)
    assert run(name, tmp_path, models(model), jobs).failed == {}
    assert differences(quiet(name), edgeprof.open(tmp_path)) == []


# ---- a host that reads slowly ----

HELLOS = 700


def flooded(name: str, model: Path, pause: float, **options: Any) -> tuple[list[tuple[Any, ...]], int]:
    """Ask for far more than all buffers hold, then for a run; read nothing for a while. Return the frames and bytes."""
    with board(model, name, n_ctx=12, **options) as host:
        host.hello()
        for request in range(1000, 1000 + HELLOS):
            host.port.write(wire.hello_request(request))
        host.port.write(wire.run_request(2000, "ab", 4, label="p"))
        time.sleep(pause)
        first = len(host.frames)
        host.wait(lambda f: f.type == wire.Type.RUN_END)
        assert host.damage == 0
        frames = [(f.type, f.seq, f.t0, f.dt, f.body) for f in host.frames[first:]]
        return frames, sum(len(f[-1]) for f in frames)


def flooded_whole(name: str, model: Path, pause: float) -> tuple[list[tuple[Any, ...]], int]:
    """Do so until no request was lost, as was seen once on the lx106 in QEMU: what is judged here is the clock."""
    for _ in range(4 if name == "lx106" else 1):
        frames, n_bytes = flooded(name, model, pause)
        if [f[0] for f in frames].count(wire.Type.HELLO) == HELLOS:
            break
    return frames, n_bytes


@often(MICROCONTROLLERS, "rv32imac")
def test_a_host_that_reads_slowly_changes_no_number(name, models):
    needs_board(name)
    eager, _ = flooded_whole(name, models("tiny-Q8_0"), 0)
    slow, n_bytes = flooded_whole(name, models("tiny-Q8_0"), 2.5)
    assert n_bytes > 256 * 1024  # more than a pty, a pipe and a read hold: the board had to wait
    assert [f[0] for f in slow].count(wire.Type.HELLO) == HELLOS
    assert slow == eager


def test_a_uart_that_stalls_costs_nothing_because_it_is_counted(models, tmp_path):
    """The test above sees a stall: with a UART whose stalls are not taken off the clock it would fail."""
    needs_board("rv32imac")
    needs_compiler("rv32imac")
    copy = tmp_path / "firmware"
    shutil.copytree(path(), copy)
    file = copy / "ports" / "rv32imac" / "board.c"
    taken_off = "waited += 4 * (uint64_t)turns;"
    source = file.read_text()
    assert source.count(taken_off) == 1
    file.write_text(source.replace(taken_off, "(void)turns;"))
    build("rv32imac", tmp_path, root=copy)
    uncounted = tmp_path / "rv32imac.elf"
    slow, _ = flooded("rv32imac", models("tiny-Q8_0"), 2.5, image=uncounted)
    eager, _ = flooded("rv32imac", models("tiny-Q8_0"), 0)
    assert [f[0] for f in slow] == [f[0] for f in eager]
    assert slow[-1][2] > eager[-1][2] + 1_000_000


# ---- the same answers ----


def answers(name: str, model: Path, prompt: str, n: int, text: Sequence[int]) -> tuple[list[Pass], list[Pass]]:
    with board(model, name, n_ctx=64) as host:
        generated, totals = host.generate(prompt, n)
        assert totals["status"] == 0 and totals["n_generated"] == n
        return generated, host.score([[1, *text]])


@pytest.fixture(scope="session")
def wanted(models: Callable[[str], Path]) -> Callable[[str], tuple[list[Pass], list[Pass]]]:
    """Return what the wasm board answers."""
    return functools.cache(lambda quant: answers("wasm", models(quant), "Once upon", 8, TEXT))


@pytest.mark.parametrize(
    ("name", "quant"), [(n, q) for n in MICROCONTROLLERS for q in (SLOW_KERNELS if n == SLOW else KERNELS)]
)
def test_each_kernel_answers_as_on_wasm(name, quant, models, wanted):
    needs_board(name)
    n, text = (3, TEXT[:4]) if name == SLOW else (8, TEXT)
    got, want = answers(name, models(quant), "Once upon", n, text), wanted(quant)
    for mine, theirs in zip(got, want, strict=True):
        theirs = theirs[: len(mine)]
        unlike = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a.next != b.next), None)
        assert unlike is None, f"token {unlike}: {mine[unlike]} against {theirs[unlike]}"
        assert [(p.token, p.top1, p.position) for p in mine] == [(p.token, p.top1, p.position) for p in theirs]
        gap = max(abs(a.nll - b.nll) for a, b in zip(mine, theirs, strict=True))
        assert gap <= 1e-3, f"NLLs differ by up to {gap}"  # what is required
        assert gap <= 1e-6, f"NLLs differ by up to {gap}"  # what is the case


# ---- the gate sees one multiplication ----


@pytest.fixture(scope="session")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a board's firmware with one multiplication more for each 32 weights of Q4_0."""
    copy = tmp_path_factory.mktemp("slower") / "firmware"
    shutil.copytree(path(), copy)
    file = copy / "llm" / "kernels_simple.c"
    before = "        int32_t s = sum_q4_32(row + 2, q);\n"
    source = file.read_text()
    assert source.count(before) == source.count("float dot_q4_0(") == 1
    source = source.replace(before, before + "        s *= one;\n")
    file.write_text(source.replace("float dot_q4_0(", "static volatile int32_t one = 1;\n\nfloat dot_q4_0("))

    @functools.cache
    def made(name: str) -> Path:
        needs_compiler(name)
        built = build(name, copy.parent / "out", root=copy)
        return copy.parent / "out" / next(iter(built.files))

    return made


@often(EXACT, "wasm", "stm32f405")
def test_one_more_multiplication_is_seen(name, quiet, models, slower, tmp_path):
    needs_board(name)
    out = tmp_path / "both"
    shutil.copytree(quiet(name).path, out)
    model, jobs = work(name)
    result = run(name, out, models(model), jobs[:1], image=slower(name))
    assert result.failed == {}
    shutil.copytree(result.path, tmp_path / "candidate" / result.path.name)
    found = differences(edgeprof.open(tmp_path / "candidate"), edgeprof.open(quiet(name).path), subset=True)
    assert any(f.startswith("tokens.ticks:") for f in found), found
    both = edgeprof.open(out)
    base, candidate = both.runs.groupby("firmware_sha256", sort=False).first().index
    compared = edgeprof.compare(both, by="firmware_sha256", baseline=base).table.set_index("firmware_sha256")
    ticks = both.tokens.merge(both.runs[["run_id", "firmware_sha256"]], on="run_id").query("phase == 'decode'")
    ticks = ticks.pivot(index="position", columns="firmware_sha256", values="ticks").dropna()
    assert len(ticks) == jobs[0].n_generate - 1
    added = set((ticks[candidate] - ticks[base]).astype(int))
    assert len(added) == 1 and min(added) > 0, added  # the same for each pass: exact, not a measurement
    ratio = ticks[candidate].sum() / ticks[base].sum()
    assert compared.loc[candidate, "cost_ratio"] == pytest.approx(ratio, rel=1e-12) and ratio > 1
    assert compared.loc[base, "cost_verdict"] == "baseline"
    assert compared.loc[candidate, "cost_verdict"] == ("worse" if ratio > 1 + SMALLEST_EFFECT else "same")
    print(f"{name}: {added} ticks a pass, ratio {ratio:.5f}")


# ---- memory ----


@every_microcontroller
def test_memory_is_what_the_image_says(name, quiet):
    needs_board(name)
    parts = sections_of(image(name))
    flash = sum(part["flash_bytes"] for part in parts)
    ram = sum(part["ram_bytes"] for part in parts)
    stack = sum(part["ram_bytes"] for part in parts if part["section"] == ".stack")
    with board(None, name) as host:
        said = {k: int(v) for k, v in host.hello().items() if v.isdigit()}
    start = 64 if name == "lx106" else 0  # its reset vector lies apart
    assert 0 <= said["image_bytes"] - flash < start + 16  # alignment between sections
    assert said["stack_reserved_bytes"] == stack == 8192
    assert 0 <= said["static_ram_bytes"] + stack - ram < 8
    runs, memory = quiet(name).runs, quiet(name).table("memory")
    # With a model: the image up to the next multiple of 64, and the model's header.
    assert set(runs["image_bytes"]) == {(said["image_bytes"] - start + 63) // 64 * 64 + start + 64}
    assert (runs["flash_needed_bytes"] == runs["image_bytes"] + runs["model_bytes"]).all()
    heap = runs["kv_cache_bytes"] + runs["activation_bytes"]
    assert (runs["ram_needed_bytes"] == runs["static_ram_bytes"] + runs["stack_reserved_bytes"] + heap).all()
    assert len(memory) and memory["stack_peak_bytes"].between(300, stack - 1).all()
    assert set(memory["heap_bytes"]) == set(heap)


# ---- shapes of models ----

SHAPES: dict[str, dict[str, Any]] = {
    "tied": {"tied": True},
    "untied": {"tied": False},
    "as many KV heads": {"kv_heads": 4},
    "one KV head": {"kv_heads": 1},
    "three layers": {"layers": 3, "kind": "F16"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape, tmp_path):
    needs_board("stm32f405")
    model = tiny_model(tmp_path / "m.gguf", **{"kind": "Q8_0"} | SHAPES[shape])
    seen = []
    for name in ("wasm", "stm32f405"):
        with board(model, name, n_ctx=16) as host:
            passes, totals = host.generate("ab", 6)
            passes += host.score([[1, 5, 6, 7, 8]])
        assert totals["status"] == 0
        seen.append([(p.next, p.top1, p.nll) for p in passes])
    assert seen[0] == seen[1]


def test_32000_words_run_where_they_fit(tmp_path):
    needs_board("stm32f405")
    model = tiny_model(tmp_path / "m.gguf", kind="Q8_0", layers=1, pieces=[f"long{i}" for i in range(31968)])
    with board(model) as host:
        assert host.generate("ab", 3)[1]["status"] == 0
    run("stm32f405", tmp_path / "out", model, [Generation("a", "ab", 3)])
    (row,) = edgeprof.open(tmp_path / "out").runs.to_dict("records")
    assert row["status"] == "does_not_fit" and row["flash_needed_bytes"] > row["flash_bytes"] == 1 << 20


def test_rows_that_are_no_multiple_of_256(tmp_path):
    needs_board("stm32f405")
    source = tiny_model(tmp_path / "f16.gguf", kind="F16", ff=160)
    for quant in ("Q4_K_M", "Q6_K", "Q2_K", "TQ2_0"):
        made = quantize(source, tmp_path / f"{quant}.gguf", quant)
        assert made.fallbacks
        got = [answers(name, made.path, "ab", 4, range(5, 12)) for name in ("wasm", "stm32f405")]
        assert [[(p.next, p.nll) for p in part] for part in got[0]] == [
            [(p.next, p.nll) for p in part] for part in got[1]
        ]


@every
def test_a_type_without_a_kernel_is_refused(name, tmp_path):
    needs_board(name)
    model = quantize(tiny_model(tmp_path / "f16.gguf", kind="F16"), tmp_path / "q5_1.gguf", "Q5_1").path
    with pytest.raises(ModelError, match=rf"cannot run on the board '{name}'.*blk.0.attn_q.weight.*7 \(Q5_1\)"):
        boards.start(name, model)


# ---- what does not fit ----


def test_ram_that_does_not_suffice(tmp_path):
    needs_board("stm32f405")
    model = quantize(MODELS / "fable-1.2m-F16.gguf", tmp_path / "m.gguf", "Q4_0").path
    jobs = [Generation("a", "Once", 2), Evaluation("text", "-", range(3, 300), 1)]
    result = run("stm32f405", tmp_path / "out", model, jobs, n_ctx=256)
    assert result.failed == {} and result.outcomes["stm32f405"].refused == []
    for row in edgeprof.open(tmp_path / "out").runs.to_dict("records"):
        assert row["status"] == "does_not_fit" and row["passes"] == 0
        assert row["ram_needed_bytes"] > row["ram_bytes"] == 128 * 1024
        assert row["flash_needed_bytes"] < row["flash_bytes"] == 1 << 20
        assert row["model"] == "fable-1.2m" and row["quant"] == "Q4_0"


def test_flash_that_does_not_suffice(tmp_path):
    needs_board("stm32f405")
    jobs = [Generation("a", "Once", 2), Evaluation("text", "-", range(3, 300), 1)]
    model = MODELS / "fable-1.2m-F16.gguf"
    result = run("stm32f405", tmp_path / "out", model, jobs)
    assert result.failed == {} and result.outcomes["stm32f405"].refused == []
    rows = edgeprof.open(tmp_path / "out").runs.to_dict("records")
    assert [row["kind"] for row in rows] == ["generate", "score"]
    for row in rows:
        assert row["status"] == "does_not_fit" and row["passes"] == 0
        assert row["flash_needed_bytes"] == row["image_bytes"] + model.stat().st_size > row["flash_bytes"] == 1 << 20
        assert row["ram_bytes"] == 128 * 1024
