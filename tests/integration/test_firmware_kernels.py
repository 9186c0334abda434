"""The C code of the firmware, compiled for this machine: each kernel against numpy, each check against a broken one."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest
from firmware_host import MODELS, tiny_model, tool
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgeprof.firmware import path
from edgeprof.modelfile import read_vocabulary

SHIM = """
#include "llm/emath.h"
#include "llm/bits.h"
#include "llm/model.h"
#include "llm/sample.h"
#include "llm/tokenizer.h"

void shim_times(unsigned type, const void *data, unsigned cols, unsigned rows, const float *x, float *out,
                void *buffer) {
    matrix w = {data, block_format_of(type), cols, rows};
    activation act;
    activation_init(&act, buffer);
    matrix_times(out, &w, x, &act);
}
void shim_rows(unsigned type, const void *data, unsigned cols, unsigned rows, float *out) {
    matrix w = {data, block_format_of(type), cols, rows};
    for (unsigned i = 0; i < rows; i++) matrix_row(out + i * cols, &w, i);
}
void shim_math(int which, const float *x, float *out, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        float s, c;
        switch (which) {
        case 0: out[i] = e_exp(x[i]); break;
        case 1: out[i] = e_log(x[i]); break;
        case 2: out[i] = e_sqrt(x[i]); break;
        case 3: e_sin_cos(x[i], &s, &c); out[i] = s; break;
        case 4: e_sin_cos(x[i], &s, &c); out[i] = c; break;
        case 5: out[i] = (float)float_to_half(x[i]); break;
        }
    }
}
void shim_halves(float *out) {
    for (unsigned i = 0; i < 65536; i++) out[i] = half_bits((int16_t)i) * HALF_SCALE;
}
long shim_tokens(const void *model, size_t size, const uint8_t *text, size_t n, void *scratch, uint32_t *out,
                 size_t room) {
    gguf file;
    tokenizer t;
    gguf_tensor e;
    if (gguf_open(&file, model, size) || !gguf_find_tensor(&file, "token_embd.weight", &e)) return -1;
    tokenizer_open(&t, &file, e.ne[1]);
    if (t.problem) return -2;
    return (long)tokenizer_encode(&t, text, n, scratch, out, room);
}
"""

KERNELS = {"F32": 64, "F16": 60, "Q8_0": 96, "Q4_0": 96, "TQ2_0": 512}


def compiled(folder: Path, changes: tuple[str, str, str] | None = None) -> ctypes.CDLL:
    """Build the C code of llm/, after replacing a text in one of its files."""
    gcc = tool("gcc")
    shutil.copytree(path("llm"), folder / "llm")
    if changes:
        file, old, new = changes
        text = (folder / "llm" / file).read_text()
        assert old in text, f"{file} has changed: this test no longer breaks it"
        (folder / "llm" / file).write_text(text.replace(old, new))
    (folder / "shim.c").write_text(SHIM)
    sources = ["shim.c", *sorted(str(p) for p in (folder / "llm").glob("*.c"))]
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"] if not changes else []
    command = [gcc, "-std=c99", "-O1", *warnings, "-ffp-contract=off", "-shared", "-fPIC", "-o", "llm.so", *sources]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "llm.so"))


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("code"))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def quantized(x: np.ndarray, block: int) -> np.ndarray:
    """Return the activation as the firmware rounds it: int8 with one scale for a block."""
    blocks = x.reshape(-1, block).astype(np.float64)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    return np.asarray((np.rint(blocks / np.where(scale, scale, 1)) * scale).ravel())


def mistakes(code: ctypes.CDLL, kind: str) -> float:
    """Return the largest error of a product and of an unpacked row, relative to the result's size."""
    cols, rows = KERNELS[kind], 24
    rng = np.random.default_rng(3)
    type_ = gguf.GGMLQuantizationType[kind]
    packed = gguf.quantize(rng.standard_normal((rows, cols)).astype(np.float32), type_)
    data = np.frombuffer(packed.tobytes() + b"\0" * 64, np.uint8).copy()
    exact = gguf.dequantize(packed, type_).astype(np.float64)
    x = rng.standard_normal(cols).astype(np.float32)
    x[5] = -4.5
    block = {"Q8_0": 32, "Q4_0": 32, "TQ2_0": 256}.get(kind)
    wanted = exact @ (quantized(x, block) if block else x.astype(np.float64))
    out = np.zeros(rows, np.float32)
    buffer = np.zeros(cols * 4 + 64, np.uint8)
    code.shim_times(int(type_), pointer(data), cols, rows, pointer(x), pointer(out), pointer(buffer))
    unpacked = np.zeros((rows, cols), np.float32)
    code.shim_rows(int(type_), pointer(data), cols, rows, pointer(unpacked))
    product = np.abs(out - wanted).max() / np.abs(wanted).max()
    return float(max(product, np.abs(unpacked - exact).max()))


TOLERANCE = 2e-6


@pytest.mark.parametrize("kind", KERNELS)
def test_kernel_is_exact_to_rounding(code, kind):
    assert mistakes(code, kind) < TOLERANCE


BROKEN = {
    "F32, a lane": ("F32", "kernels.c", "w[3] * x[3]", "w[3] * x[2]"),
    "F16, the sign": ("F16", "bits.h", "0x8fffe000u", "0x0fffe000u"),
    "F16, the scale": ("F16", "kernels.c", "0x1p16f", "0x1p15f"),
    "F16, a lane": ("F16", "kernels.c", "half_bits(w[1])", "half_bits(w[0])"),
    "Q8_0, the stride": ("Q8_0", "kernels.c", "row += 34", "row += 33"),
    "Q8_0, rounding": ("Q8_0", "kernels.c", "- 0x4b400000u)", "- 0x4b3fffffu)"),
    "Q8_0, unpacking": ("Q8_0", "kernels.c", "(const int8_t *)(p + 2)", "(const int8_t *)(p + 1)"),
    "Q4_0, the offset": ("Q4_0", "kernels.c", "8 * act->sum[b]", "7 * act->sum[b]"),
    "Q4_0, the order": ("Q4_0", "kernels.c", "(w[i] >> 4) * x[i + 16]", "(w[i] >> 4) * x[i + 15]"),
    "Q4_0, unpacking": ("Q4_0", "kernels.c", "(p[2 + i] & 15) - 8", "(p[2 + i] & 15) - 7"),
    "TQ2_0, the order": ("TQ2_0", "kernels.c", "x[i + 64]", "x[i + 96]"),
    "TQ2_0, the offset": ("TQ2_0", "kernels.c", "s - act->sum[b]", "s + act->sum[b]"),
    "TQ2_0, unpacking": ("TQ2_0", "kernels.c", "& 3) - 1)", "& 3) - 0)"),
    "TQ2_0, the scale's place": ("TQ2_0", "kernels.c", "half_to_float(row + 64)", "half_to_float(row + 62)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", BROKEN)
def test_the_check_reports_a_broken_kernel(tmp_path, fault):
    kind, *change = BROKEN[fault]
    assert not mistakes(compiled(tmp_path, tuple(change)), kind) < TOLERANCE


def math(code: ctypes.CDLL, which: int, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    code.shim_math(which, pointer(x), pointer(out), len(x))
    return out


def ulps(found: np.ndarray, exact: np.ndarray) -> float:
    return float(
        (
            np.abs(found.astype(np.float64) - exact) / np.spacing(np.maximum(np.abs(exact), 1e-30).astype(np.float32))
        ).max()
    )


def test_elementary_functions_keep_their_bounds(code):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-87, 88, 200_000), rng.normal(0, 1, 100_000), [0, -87, 88]]).astype(np.float32)
    assert ulps(math(code, 0, x), np.exp(x.astype(np.float64))) <= 2
    x = np.concatenate([np.exp(rng.uniform(-86, 88, 200_000)), rng.uniform(0.5, 2, 100_000)]).astype(np.float32)
    exact = np.log(x.astype(np.float64))
    assert ulps(math(code, 1, x), exact) <= 2
    assert ulps(math(code, 2, x), np.sqrt(x.astype(np.float64))) <= 1
    x = np.concatenate([rng.uniform(-8192, 8192, 200_000), rng.uniform(-4, 4, 100_000), np.arange(8192)]).astype(
        np.float32
    )
    assert np.abs(math(code, 3, x) - np.sin(x.astype(np.float64))).max() < 2e-7
    assert np.abs(math(code, 4, x) - np.cos(x.astype(np.float64))).max() < 2e-7


def test_elementary_functions_at_the_edges(code):
    edges = np.array([-1e30, -88, np.nan, 1e30, 89], np.float32)
    assert math(code, 0, edges).tolist() == [0, 0, 0, np.finfo(np.float32).max, np.finfo(np.float32).max]
    assert math(code, 1, np.array([1], np.float32)).tolist() == [0]
    assert math(code, 2, np.array([0, -1, 4], np.float32)).tolist() == [0, 0, 2]


def test_every_half_is_read_exactly(code):
    out = np.empty(65536, np.float32)
    code.shim_halves(pointer(out))
    exact = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = np.isfinite(exact)
    assert np.array_equal(out[finite].view(np.uint32), exact[finite].astype(np.float32).view(np.uint32))


def test_halves_are_written_as_numpy_does(code):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 300_000, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([bits.view(np.float32), rng.normal(0, 1, 100_000).astype(np.float32)])
    x = np.concatenate([x[np.abs(x) < 65504], np.float32([0, -0.0, 6e-8, 3e-8, 2.9e-8, 65504, 6.1e-5, 2**-14])])
    assert np.array_equal(math(code, 5, x).astype(np.uint16), x.astype(np.float16).view(np.uint16))
    assert math(code, 5, np.float32([1e9, np.inf]))[:2].tolist() == [0x7BFF] * 2  # the largest, not infinity


class Encoder:
    def __init__(self, code: ctypes.CDLL, model: Path) -> None:
        self.code, self.data, self.vocabulary = code, np.fromfile(model, np.uint8), read_vocabulary(model)
        code.shim_tokens.restype = ctypes.c_long

    def __call__(self, text: str) -> list[int]:
        raw = text.encode()
        scratch, out = np.zeros((len(raw) + 1) * 3, np.uint32), np.zeros(4 * len(raw) + 8, np.uint32)
        size, room = ctypes.c_size_t(self.data.size), ctypes.c_size_t(out.size)
        n = self.code.shim_tokens(
            pointer(self.data), size, raw, ctypes.c_size_t(len(raw)), pointer(scratch), pointer(out), room
        )
        assert n >= 0
        return out[:n].tolist()


@pytest.fixture(scope="module")
def tiny_encoder(code, tmp_path_factory) -> Encoder:
    pieces = ["▁▁", "<0xC3>", "<0xE2>", "<", "s", ">", "<s", "<s>x"]
    return Encoder(code, tiny_model(tmp_path_factory.mktemp("t") / "tiny.gguf", pieces=pieces))


@given(st.text(alphabet="abcdefg  <s>é▁\n\tżλ🙂", max_size=60))
@example("")
@example(" ")
@example("<s>")
@example("<0x0A>")
@example("ab  abcd\n▁abcd ab")
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tokenizer_equals_python_s_on_strange_texts(tiny_encoder, text):
    assert tiny_encoder(text) == tiny_encoder.vocabulary.encode(text)


@pytest.mark.slow
def test_tokenizer_equals_python_s_on_stories(code):
    encoder = Encoder(code, MODELS / "fable-1.2m-F16.gguf")
    text = (MODELS / "eval.txt").read_text(encoding="utf-8")
    stories = [text[i : i + 400] for i in range(0, len(text), 400)]
    assert len(stories) > 50
    for story in stories:
        assert encoder(story) == encoder.vocabulary.encode(story)
