"""The firmware computes what the formulas say: against the float64 reference, on the wasm board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from firmware_host import MODELS, board, tiny_model
from reference_llama import load

from edgeprof.modelfile import read_vocabulary
from edgeprof.quantize import quantize

FABLE = MODELS / "fable-1.2m-F16.gguf"
TERNARY = MODELS / "fable-1.2m-ternary-F16.gguf"
PROMPT = "The fox"


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    """Return the demo model at a quantization."""
    folder = tmp_path_factory.mktemp("models")

    def make(kind: str, source: Path = FABLE) -> Path:
        if not source.exists():
            pytest.skip(f"{source.name} has not been trained yet")
        if kind == "F16":
            return source
        file = folder / f"{source.stem}-{kind}.gguf"
        if not file.exists():
            quantize(source, file, kind)
        return file

    return make


def windows(model: Path, count: int, length: int) -> list[list[int]]:
    vocabulary = read_vocabulary(model)
    text = (MODELS / "eval.txt").read_text(encoding="utf-8")[: count * length * 6]
    ids = vocabulary.encode(text)
    return [[vocabulary.bos_id, *ids[i * length + 1 : (i + 1) * length]] for i in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_greedy_text_is_the_reference_s_over_64_tokens(variant, kind):
    model = variant(kind)
    prompt = read_vocabulary(model).encode(PROMPT)
    with board(model) as host:
        passes, totals = host.generate(PROMPT, 64)
    generated = [p.next for p in passes[len(prompt) - 1 :]]
    assert generated == load(model).greedy(prompt, len(generated))
    assert len(generated) == 64
    assert totals["n_prompt"] == len(prompt)
    assert totals["passes"] == len(prompt) + 63


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_nll_of_each_token_is_within_a_thousandth(variant, kind):
    model = variant(kind)
    window = windows(model, 1, 256)[0]
    with board(model) as host:
        measured = np.array([p.nll for p in host.score([window])])
    exact = load(model)
    np.testing.assert_allclose(measured, exact.nll(window, kv_f16=True), atol=1e-3, rtol=0)
    # What is left is the KV cache's half precision, which the firmware chooses and the reference need not.
    assert np.abs(measured - exact.nll(window)).max() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "source"), [("Q8_0", FABLE), ("Q4_0", FABLE), ("TQ2_0", TERNARY)])
def test_perplexity_is_within_half_a_percent(variant, kind, source):
    if not source.exists():
        source = FABLE
    model = variant(kind, source)
    texts = windows(model, 4, 256)
    with board(model) as host:
        measured = np.array([p.nll for p in host.score(texts)])
    exact = load(model)
    wanted = np.concatenate([exact.nll(text) for text in texts])
    ratio = np.exp(measured.mean() - wanted.mean())
    assert abs(ratio - 1) < 0.005, f"perplexity {np.exp(measured.mean())}, reference {np.exp(wanted.mean())}"


SHAPES = {
    "grouped heads, tied": {},
    "a kv head for each head": {"kv_heads": 4},
    "one kv head": {"kv_heads": 1},
    "untied": {"tied": False},
    "one layer": {"layers": 1, "heads": 2},
    "another rope base": {"base": 500000.0},
    "mixed types": {
        "kind": "Q8_0",
        "kinds": {"attn_q.weight": "Q4_0", "ffn_up.weight": "F16", "ffn_down.weight": "F32"},
        "ff": 128,
        "tied": False,
    },
    "ternary layers, 8 bit embedding": {
        "dim": 256,
        "ff": 512,
        "heads": 8,
        "kind": "TQ2_0",
        "kinds": {"token_embd.weight": "Q8_0"},
    },
    "4 bit everywhere": {"kind": "Q4_0", "ff": 128},
    "rows that are no multiple of four": {"dim": 60, "heads": 6, "kv_heads": 3, "ff": 50, "kind": "F16"},
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_small_models_of_all_shapes(tmp_path, shape):
    options = SHAPES[shape]
    model = tiny_model(tmp_path / "tiny.gguf", **options)
    ids = [1, *np.random.default_rng(1).integers(3, 64, 47).tolist()]
    with board(model) as host:
        passes = host.score([ids], first_scored=24)
    measured = np.array([p.nll for p in passes])
    # Quantized activations move single tokens; a wrong layout moves all of them, by about 1.
    float_only = set(options.get("kinds", {}).values()) <= {"F16", "F32"} and options.get("kind", "F32") in (
        "F32",
        "F16",
    )
    np.testing.assert_allclose(measured, load(model).nll(ids, kv_f16=True), atol=1e-3 if float_only else 0.12, rtol=0)
    assert [p.token for p in passes] == ids[:-1]
    assert [p.next for p in passes] == ids[1:]
    assert [p.position for p in passes] == list(range(47))
    assert [bool(p.flags & 4) for p in passes] == [i >= 24 for i in range(47)]
