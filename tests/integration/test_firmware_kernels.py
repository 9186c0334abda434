"""The C code of the firmware, compiled for this machine: each kernel against numpy, each check against a broken one."""

from __future__ import annotations

import ctypes
import itertools
import re
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

SIMPLE = {"F32": 64, "F16": 60, "Q8_0": 96, "Q4_0": 96, "Q5_0": 96, "TQ2_0": 512}
K_SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Where the F16 scales lie in a block."""
KERNELS = {**SIMPLE, **dict.fromkeys(K_SCALES, 768)}
INT8_BLOCK = {"Q8_0": 32, "Q4_0": 32, "Q5_0": 32, "TQ2_0": 256, **dict.fromkeys(K_SCALES, 256)}

ARM_ACLE = """
#include <stdint.h>
typedef int32_t int8x4_t;
typedef int32_t int16x2_t;
static inline int16x2_t __sxtb16(int8x4_t a) {
    uint32_t low = (uint16_t)(int8_t)a, high = (uint16_t)(int8_t)(a >> 16);
    return (int16x2_t)(low | high << 16);
}
static inline int32_t __smlad(int16x2_t a, int16x2_t b, int32_t sum) {
    int32_t low = (int16_t)a * (int16_t)b, high = (a >> 16) * (b >> 16);
    return low + high + sum;
}
"""
"""The Cortex-M4's instructions that kernels_dsp.h takes, in C."""


def compiled(folder: Path, changes: tuple[str, str, str] | None = None, *, simd: bool = False) -> ctypes.CDLL:
    """Build the C code of llm/, after replacing a text in one of its files; with emulated SIMD instructions or not."""
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
    if simd:
        (folder / "acle").mkdir()
        (folder / "acle" / "arm_acle.h").write_text(ARM_ACLE)
        warnings += ["-isystem", "acle", "-D__ARM_FEATURE_DSP", "-DLLM_KERNELS_SIMD"]
    command = [gcc, "-std=c99", "-O1", *warnings, "-ffp-contract=off", "-shared", "-fPIC", "-o", "llm.so", *sources]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "llm.so"))


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module")
def simd_code(tmp_path_factory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("simd"), simd=True)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def quantized(x: np.ndarray, block: int) -> np.ndarray:
    """Return the activation as the firmware rounds it: int8 with one scale for a block."""
    blocks = x.reshape(-1, block).astype(np.float64)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    return np.asarray((np.rint(blocks / np.where(scale, scale, 1)) * scale).ravel())


def packed_rows(kind: str, rows: int, seed: int = 3) -> np.ndarray:
    """Return random weights: gguf writes no K formats, but any bytes are a block if its F16 scales are numbers."""
    rng = np.random.default_rng(seed)
    type_ = gguf.GGMLQuantizationType[kind]
    if kind not in K_SCALES:
        return gguf.quantize(rng.standard_normal((rows, KERNELS[kind])).astype(np.float32), type_)
    blocks = rng.integers(0, 256, (rows, KERNELS[kind] // 256, gguf.GGML_QUANT_SIZES[type_][1]), dtype=np.uint8)
    for at in K_SCALES[kind]:
        scales = rng.uniform(0.01, 0.1, blocks.shape[:2]) * rng.choice([-1, 1], blocks.shape[:2])
        blocks[..., at : at + 2] = scales.astype(np.float16)[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def product(code: ctypes.CDLL, kind: str, packed: np.ndarray, x: np.ndarray) -> np.ndarray:
    data = np.frombuffer(packed.tobytes() + b"\0" * 64, np.uint8).copy()
    out = np.zeros(len(packed), np.float32)
    buffer = np.zeros(x.size * 4 + 64, np.uint8)
    type_ = gguf.GGMLQuantizationType[kind]
    code.shim_times(int(type_), pointer(data), x.size, len(packed), pointer(x), pointer(out), pointer(buffer))
    return out


def activation(kind: str) -> np.ndarray:
    x = np.random.default_rng(4).standard_normal(KERNELS[kind]).astype(np.float32)
    x[5] = -4.5
    return x


def mistakes(code: ctypes.CDLL, kind: str) -> float:
    """Return the largest error of a product and of an unpacked row, relative to the largest of each."""
    cols, rows, type_ = KERNELS[kind], 24, gguf.GGMLQuantizationType[kind]
    packed, x = packed_rows(kind, rows), activation(kind)
    exact = gguf.dequantize(packed, type_).astype(np.float64)
    block = INT8_BLOCK.get(kind)
    wanted = exact @ (quantized(x, block) if block else x.astype(np.float64))
    unpacked = np.zeros((rows, cols), np.float32)
    code.shim_rows(int(type_), pointer(packed), cols, rows, pointer(unpacked))
    wrong_product = np.abs(product(code, kind, packed, x) - wanted).max() / np.abs(wanted).max()
    return float(max(wrong_product, np.abs(unpacked - exact).max() / np.abs(exact).max()))


TOLERANCE = 2e-6


@pytest.mark.parametrize("kind", KERNELS)
def test_kernel_is_exact_to_rounding(code, kind):
    assert mistakes(code, kind) < TOLERANCE


def test_all_formats_of_the_table_are_tested():
    assert set(re.findall(r'^    \{\d+, "(\w+)"', Path(path("llm/kernels.c")).read_text(), re.MULTILINE)) == set(
        KERNELS
    )


@pytest.mark.parametrize(
    ("table", "names", "prefix"),
    [
        ("file_types", gguf.LlamaFileType, ("ALL_", "MOSTLY_")),
        ("others", gguf.GGMLQuantizationType, ("",)),
    ],
)
def test_names_in_the_c_code_are_gguf_s(table, names, prefix):
    source = Path(path("llm/model.c")).read_text()
    body = re.search(rf"}} {table}\[\] = {{(.*?)}};", source, re.DOTALL)
    assert body
    pairs = re.findall(r'{(\d+), "(\w+)"}', body[1])
    assert len(pairs) >= 14
    for number, name in pairs:
        assert names(int(number)).name in {start + name for start in prefix}


@pytest.mark.parametrize("kind", K_SCALES)
def test_unpacked_k_formats_equal_gguf_s_to_the_last_bit(code, kind):
    packed, type_ = packed_rows(kind, 40, seed=5), gguf.GGMLQuantizationType[kind]
    unpacked = np.zeros((40, KERNELS[kind]), np.float32)
    code.shim_rows(int(type_), pointer(packed), KERNELS[kind], 40, pointer(unpacked))
    assert np.array_equal(unpacked, gguf.dequantize(packed, type_))


@pytest.mark.parametrize("kind", INT8_BLOCK)
def test_simd_kernels_give_the_same_bits(code, simd_code, kind):
    packed, x = packed_rows(kind, 200, seed=6), activation(kind)
    assert np.array_equal(
        product(code, kind, packed, x).view(np.int32), product(simd_code, kind, packed, x).view(np.int32)
    )


EXTREMES = (0x00, 0x0F, 0x7F, 0x80, 0xAA, 0xF0, 0xFF)


@pytest.mark.parametrize("kind", ["Q5_0", *K_SCALES])
@pytest.mark.parametrize("sign", ["+", "-", "both"])
def test_integer_sums_hold_the_largest_weights_scales_and_activations(code, simd_code, kind, sign):
    """All bytes of weights alike and all bytes of scales alike, in every combination: each sum is at its limits."""
    type_ = gguf.GGMLQuantizationType[kind]
    size = gguf.GGML_QUANT_SIZES[type_][1]
    scale_bytes = {"Q2_K": (0, 16), "Q3_K": (96, 108), "Q4_K": (4, 16), "Q5_K": (4, 16), "Q6_K": (192, 208)}
    first, last = scale_bytes.get(kind, (0, 0))
    packed = np.empty((len(EXTREMES) ** 2, size), np.uint8)
    for row, (weights, scales) in zip(packed, itertools.product(EXTREMES, EXTREMES), strict=True):
        row[:] = weights
        row[first:last] = scales
        for at in K_SCALES.get(kind, (0,)):
            row[at : at + 2] = np.float16([1]).view(np.uint8)
    exact = gguf.dequantize(packed, type_).astype(np.float64)
    x = np.full(exact.shape[1], -127 if sign == "-" else 127, np.float32)
    if sign == "both":
        x[::2] *= -1
    wanted = exact @ x.astype(np.float64)
    found = product(code, kind, packed, x)
    bound = np.abs(exact).max() * 127 * x.size
    assert np.abs(found - wanted).max() <= 2e-7 * bound
    assert np.array_equal(found, product(simd_code, kind, packed, x))


BROKEN = {
    "F32, a lane": ("F32", "kernels.c", "w[3] * x[3]", "w[3] * x[2]"),
    "F16, the sign": ("F16", "bits.h", "0x8fffe000u", "0x0fffe000u"),
    "F16, the scale": ("F16", "kernels.c", "0x1p16f", "0x1p15f"),
    "F16, a lane": ("F16", "kernels.c", "half_bits(w[1])", "half_bits(w[0])"),
    "Q8_0, the stride": ("Q8_0", "kernels_simple.c", "row += 34", "row += 33"),
    "Q8_0, rounding": ("Q8_0", "kernels.c", "- 0x4b400000u)", "- 0x4b3fffffu)"),
    "Q8_0, the power of two": ("Q8_0", "kernels.c", "scale * 0x1p96f", "scale * 0x1p95f"),
    "Q8_0, unpacking": ("Q8_0", "kernels_simple.c", "(const int8_t *)(p + 2)", "(const int8_t *)(p + 1)"),
    "Q4_0, the offset": ("Q4_0", "kernels_simple.c", "8 * act->sum[b]", "7 * act->sum[b]"),
    "Q4_0, the order": ("Q4_0", "kernels_sums.h", "(w[i] >> 4) * x[i + 16]", "(w[i] >> 4) * x[i + 15]"),
    "Q4_0, unpacking": ("Q4_0", "kernels_simple.c", "(p[2 + i] & 15) - 8", "(p[2 + i] & 15) - 7"),
    "Q5_0, the offset": ("Q5_0", "kernels_simple.c", "s - 16 * act", "s - 15 * act"),
    "Q5_0, the fifth bits": ("Q5_0", "kernels_sums.h", "BIT_4(i + 16)", "BIT_4(i + 15)"),
    "Q5_0, the later fifth bits": ("Q5_0", "kernels_sums.h", "high >>= 8", "high >>= 7"),
    "Q5_0, the low bits": ("Q5_0", "kernels_sums.h", "(w[i] & 15) | BIT_4(i)", "(w[i] & 7) | BIT_4(i)"),
    "Q5_0, unpacking": ("Q5_0", "kernels_simple.c", "high >> i & 1u", "high >> (i ^ 16) & 1u"),
    "TQ2_0, the order": ("TQ2_0", "kernels_sums.h", "(w[i] >> 4 & 3) * x[i + 64] +", "(w[i] >> 4 & 3) * x[i + 96] +"),
    "TQ2_0, the offset": ("TQ2_0", "kernels_simple.c", "s - act->sum[b]", "s + act->sum[b]"),
    "TQ2_0, unpacking": ("TQ2_0", "kernels_simple.c", "& 3) - 1)", "& 3) - 0)"),
    "TQ2_0, the scale's place": ("TQ2_0", "kernels_simple.c", "half_bits_at(row + 64)", "half_bits_at(row + 62)"),
    "K, a sum of 16": ("Q4_K", "kernels.c", "*part++ = sixteen", "*part++ = sum"),
    "K, the sums' stride": ("Q4_K", "kernels_k.c", "part += 16", "part += 15"),
    "K, the activation's stride": ("Q6_K", "kernels_k.c", "x += 256", "x += 255"),
    "K, the next scale": ("Q6_K", "kernels_k.c", "SCALED(k) scale[2 * (k)]", "SCALED(k) scale[k]"),
    "K, the next sum": ("Q6_K", "kernels_k.c", "part[2 * (k)]", "part[k]"),
    "Q2_K, the order": ("Q2_K", "kernels_sums.c", "a1 += (w[i] >> 2 & 3)", "a1 += (w[i] >> 4 & 3)"),
    "Q2_K, the minima": ("Q2_K", "kernels_k.c", "m += (scale[2 * (k)] >> 4)", "m += (scale[2 * (k)] & 15)"),
    "Q2_K, the scales": ("Q2_K", "kernels_k.c", "s += (scale[2 * (k)] & 15)", "s += (scale[2 * (k)] & 7)"),
    "Q2_K, the scales' order": (
        "Q2_K",
        "kernels_k.c",
        "*scale = p + 8 * (r / 2) + r % 2;",
        "*scale = p + 8 * (r / 2);",
    ),
    "Q2_K, unpacking": ("Q2_K", "kernels_k.c", "dmin * (float)(scale >> 4)", "dmin * (float)(scale & 15)"),
    "Q3_K, the third bit": ("Q3_K", "kernels_sums.c", "(h & 2) << 1", "(h & 1) << 2"),
    "Q3_K, the other third bits": ("Q3_K", "kernels_k.c", "4 * (r / 2), x", "0 * (r / 2), x"),
    "Q3_K, the weights' offset": ("Q3_K", "kernels_k.c", "r % 2, 4);", "r % 2, 3);"),
    "Q3_K, the scales' offset": ("Q3_K", "kernels_k.c", "0x20202020u) ^", "0x1f1f1f1fu) ^"),
    "Q3_K, the scales' upper bits": ("Q3_K", "kernels_k.c", "high >>= 2", "high >>= 1"),
    "Q3_K, unpacking": ("Q3_K", "kernels_k.c", "| third << 2) - 4", "| third << 1) - 4"),
    "Q4_K, the high halves": ("Q4_K", "kernels_sums.c", "up += (w[i] >> 4)", "up += (w[i] & 15)"),
    "Q4_K, the minima": ("Q4_K", "kernels_k.c", "+ part[2 * j + 1]", "+ part[2 * j]"),
    "Q4_K, the last scales' bits": ("Q4_K", "kernels_k.c", "first >> 2 & 0x30303030u", "first >> 2 & 0x10101010u"),
    "Q4_K, the last minima": ("Q4_K", "kernels_k.c", "last >> 4 & 0x0f0f0f0fu", "last & 0x0f0f0f0fu"),
    "Q4_K, the scale of minima": (
        "Q4_K",
        "kernels_k.c",
        "half_bits_at(p + 2) * up * (float)m",
        "half_bits_at(p) * up * (float)m",
    ),
    "Q4_K, unpacking": ("Q4_K", "kernels_k.c", "n / 32 % 2 * 4", "n / 32 % 2 * 3"),
    "Q5_K, the fifth bit": ("Q5_K", "kernels_sums.c", "(h & 2) << 3", "(h & 1) << 4"),
    "Q5_K, the next fifth bits": ("Q5_K", "kernels_k.c", "p + 16, 2 * g", "p + 16, g"),
    "Q5_K, the weights' place": ("Q5_K", "kernels_k.c", "*w = p + 16 + five", "*w = p + 16"),
    "Q5_K, unpacking": ("Q5_K", "kernels_k.c", "(n / 32) & 1) << 4", "(n / 64) & 1) << 4"),
    "Q6_K, the upper bits": ("Q6_K", "kernels_sums.c", "(h & 12) << 2", "(h & 3) << 4"),
    "Q6_K, the last upper bits": ("Q6_K", "kernels_sums.c", "(h & 192) >> 2", "(h & 128) >> 2"),
    "Q6_K, the order": ("Q6_K", "kernels_sums.c", "((w[i + 32] & 15)", "((w[i + 16] & 15)"),
    "Q6_K, the offset": ("Q6_K", "kernels_k.c", "r % 2, 32);", "r % 2, 31);"),
    "Q6_K, the scales' sign": ("Q6_K", "kernels_k.c", "SCALED(k) scale[2", "SCALED(k) (uint8_t)scale[2"),
    "Q6_K, unpacking": ("Q6_K", "kernels_k.c", "<< 4) - 32)", "<< 4) - 16)"),
}


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("fault", BROKEN)
def test_the_check_reports_a_broken_kernel(tmp_path, fault):
    kind, *change = BROKEN[fault]
    assert not mistakes(compiled(tmp_path, tuple(change)), kind) < TOLERANCE


BROKEN_SIMD = {
    "Q8_0": ("kernels_dsp.h", "odd(w), odd(v)", "odd(w), even(v)"),
    "Q4_0": ("kernels_dsp.h", "w >> 8 & mask", "w >> 4 & mask"),
    "Q5_0": ("kernels_dsp.h", "0x00204081u", "0x00204080u"),
    "TQ2_0": ("kernels_dsp.h", "four_low(u >> 6", "four_low(u >> 4"),
    "Q2_K": ("kernels_dsp.c", "x + i + 64, a[2]", "x + i + 96, a[2]"),
    "Q3_K": ("kernels_dsp.c", "0x08080808u) >> 1", "0x08080808u) >> 2"),
    "Q4_K": ("kernels_dsp.c", "four_low(u >> 4, 0x000f000fu", "four_low(u >> 4, 0x0007000fu"),
    "Q5_K": ("kernels_dsp.c", "0x02020202u) << 3", "0x01010101u) << 4"),
    "Q6_K": ("kernels_dsp.c", "h >> 2 & 0x30303030u", "h >> 2 & 0x30303010u"),
}


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("kind", INT8_BLOCK)
def test_the_check_reports_a_broken_simd_kernel(tmp_path, kind):
    assert not mistakes(compiled(tmp_path, BROKEN_SIMD[kind], simd=True), kind) < TOLERANCE


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


@pytest.mark.once
@pytest.mark.slow
def test_tokenizer_equals_python_s_on_stories(code):
    encoder = Encoder(code, MODELS / "fable-1.2m-F16.gguf")
    text = (MODELS / "eval.txt").read_text(encoding="utf-8")
    stories = [text[i : i + 400] for i in range(0, len(text), 400)]
    assert len(stories) > 50
    for story in stories:
        assert encoder(story) == encoder.vocabulary.encode(story)
