"""Talk to an emulated board in tests: the host's side, as simple as it can be."""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import serial

from edgeprof import boards, wire
from edgeprof.firmware import path
from edgeprof.wire import Type

MODELS = Path(__file__).parents[1] / "data" / "models"
TOKEN = struct.Struct("<IIIIIfHHBB")


@dataclass(frozen=True)
class Pass:
    """A record of a TOKENS frame; `start` from the run's begin."""

    start: int
    ticks: int
    token: int
    next: int
    top1: int
    nll: float
    position: int
    window: int
    n_batch: int
    flags: int


class Host:
    """One end of a board's line. Each frame that came is in `frames`."""

    def __init__(self, url: str) -> None:
        self.port: Any = serial.serial_for_url(url, timeout=0.02)
        self.splitter = wire.Splitter()
        self.frames: list[wire.Frame] = []
        self.damage = 0
        self.request = 0

    def poll(self) -> list[wire.Frame]:
        new = []
        for piece in self.splitter.feed(self.port.read(max(1, self.port.in_waiting))):
            if piece.frame is None:
                self.damage += len(piece.data)
            else:
                new.append(piece.frame)
        self.frames += new
        return new

    def wait(self, wanted: Callable[[wire.Frame], bool], timeout: float = 60) -> wire.Frame:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for frame in self.poll():
                if wanted(frame):
                    return frame
        raise TimeoutError(f"the board did not answer; the last frames: {self.frames[-3:]}")

    def next_request(self) -> int:
        self.request += 1
        return self.request

    def reply_to(self, data: bytes, request: int) -> tuple[int, str]:
        """Send a request and return its answer's code and text."""
        self.port.write(data)
        frame = self.wait(lambda f: f.type == Type.REPLY and wire.decode_reply(f.body)[0] == request)
        return wire.decode_reply(frame.body)[1:]

    def hello(self) -> dict[str, str]:
        request = self.next_request()
        self.port.write(wire.hello_request(request))
        frame = self.wait(
            lambda f: f.type == Type.HELLO and wire.decode_pairs(f.body, f.n).get("request") == str(request)
        )
        return wire.decode_pairs(frame.body, frame.n)

    def generate(self, prompt: str, n: int, **more: Any) -> tuple[list[Pass], dict[str, int]]:
        """Return the passes of a generation and its totals."""
        first = len(self.frames)
        request = self.next_request()
        self.port.write(wire.run_request(request, prompt, n, **{"label": "p", **more}))
        end = self.wait(lambda f: f.type == Type.RUN_END)
        return self.passes(first), wire.decode_run_end(end.body)

    def score(self, windows: Sequence[Sequence[int]], first_scored: int = 0) -> list[Pass]:
        first = len(self.frames)
        for i, ids in enumerate(windows):
            request = self.next_request()
            asked = wire.score_request(request, i, len(windows), ids, first_scored, label="text")
            assert self.reply_to(asked, request) == (0, "")
        return self.passes(first)

    def passes(self, first: int = 0) -> list[Pass]:
        begin = next(f.t0 for f in self.frames[first:] if f.type == Type.RUN_BEGIN)
        out = []
        for frame in self.frames[first:]:
            if frame.type == Type.TOKENS:
                records = TOKEN.iter_unpack(frame.body)
                out += [Pass(frame.t0 + r[0] * frame.dt - begin, r[1] * frame.dt, *r[2:]) for r in records]
        return out

    def close(self) -> None:
        self.port.close()


@contextmanager
def board(model: Path | None, name: str = "wasm", **options: object) -> Iterator[Host]:
    """Start a board with a model and talk to it."""
    with boards.start(name, model, **options) as running:
        host = Host(running.url)
        try:
            yield host
        finally:
            host.close()


def tool(name: str) -> str:
    """Return the path of a program; without it the test is skipped, but fails in CI."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def needs_board(name: str) -> None:
    """Skip the test where a board cannot be started; what is missing is said."""
    if reason := boards.why_not(name):
        pytest.skip(f"needs for the board {name}: {reason}")


def children(pid: int) -> list[int]:
    """Return the processes that a process started and that are alive."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = file.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(file.parent.name))
    return found


def alive(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
    """Wait for something to be true, and return it."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)
    return found


def c_sources(*folders: str) -> list[str]:
    return [str(file) for folder in folders for file in sorted(path(folder).glob("*.c"))]


def tiny_model(
    file: Path,
    kinds: dict[str, str] | None = None,
    *,
    kind: str = "F32",
    dim: int = 64,
    ff: int = 96,
    heads: int = 4,
    kv_heads: int = 2,
    layers: int = 2,
    tied: bool = True,
    context: int = 64,
    base: float = 10000.0,
    pieces: Sequence[str] = (),
    arch: str = "llama",
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a small random model. `kinds` gives the type of single tensors, by the end of their names."""
    rng = np.random.default_rng(7)
    words = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", *"abcdefghijklmnop", "▁a", "ab", "▁ab", "cd", "abcd", "é", *pieces]
    words += [f"word{i}" for i in range(64 - len(words))]
    writer = gguf.GGUFWriter(file, arch)
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ff)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(dim // heads)
    writer.add_rope_freq_base(base)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * 5 + [-1000.0 - i for i in range(16)] + [-1.0 * i for i in range(len(words) - 21)])
    writer.add_token_types([2, 3, 3, 6] + [1] * (len(words) - 4))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)

    def tensor(name: str, *shape: int) -> None:
        chosen = next((k for end, k in (kinds or {}).items() if name.endswith(end)), kind)
        if len(shape) == 1:
            writer.add_tensor(name, (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32))
            return
        weights = (rng.standard_normal(shape) / shape[1] ** 0.5).astype(np.float32)
        quantization = gguf.GGMLQuantizationType[chosen]
        packed = gguf.quantize(weights, quantization)
        writer.add_tensor(name, packed, raw_dtype=quantization)

    head = dim // heads
    tensor("token_embd.weight", len(words), dim)
    for i in range(layers):
        tensor(f"blk.{i}.attn_norm.weight", dim)
        tensor(f"blk.{i}.attn_q.weight", dim, dim)
        tensor(f"blk.{i}.attn_k.weight", kv_heads * head, dim)
        tensor(f"blk.{i}.attn_v.weight", kv_heads * head, dim)
        tensor(f"blk.{i}.attn_output.weight", dim, dim)
        tensor(f"blk.{i}.ffn_norm.weight", dim)
        tensor(f"blk.{i}.ffn_gate.weight", ff, dim)
        tensor(f"blk.{i}.ffn_up.weight", ff, dim)
        tensor(f"blk.{i}.ffn_down.weight", dim, ff)
    tensor("output_norm.weight", dim)
    if not tied:
        tensor("output.weight", len(words), dim)
    for name, value in (extra or {}).items():
        writer.add_string(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
