"""The same files, held against llama.cpp itself: they load, tokenize alike, generate alike, and score alike.

The board's side is the reference data. llama.cpp quantizes activations in its own way, so the greedy text of quantized
files may differ after some tokens, and only F16 is compared word for word; perplexity is compared for all.
"""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path

import numpy as np
import pytest
from machine import record

import edgeprof
from edgeprof import resources
from edgeprof.modelfile import read_vocabulary
from edgeprof.sources import evaluation
from edgeprof.sweep import load_plan, make_models

pytestmark = pytest.mark.parity

PERPLEXITY_TOLERANCE = 0.005
N_CTX = 256
N_WINDOWS = 16


class LlamaCpp:
    """llama.cpp on one file, through its C interface: logits of token ids, nothing else."""

    def __init__(self, path):
        import llama_cpp.llama_cpp as ll

        self.ll = ll
        ll.llama_backend_init()
        quiet = ll.llama_log_callback(lambda *_: None)
        self._quiet = quiet
        ll.llama_log_set(quiet, ctypes.c_void_p(0))
        model_params = ll.llama_model_default_params()
        model_params.n_gpu_layers = 0
        # The repacked CPU buffers of this release end the process on some machines; plain buffers compute the same.
        model_params.use_extra_bufts = False
        self.model = ll.llama_model_load_from_file(str(path).encode(), model_params)
        assert self.model, f"llama.cpp does not load {path}"
        params = ll.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = N_CTX
        params.n_threads = params.n_threads_batch = 1
        self.context = ll.llama_init_from_model(self.model, params)
        self.vocab = ll.llama_model_get_vocab(self.model)
        self.n_vocab = ll.llama_vocab_n_tokens(self.vocab)

    def close(self):
        self.ll.llama_free(self.context)
        self.ll.llama_model_free(self.model)

    def tokenize(self, text):
        raw = text.encode()
        room = (ctypes.c_int32 * (len(raw) + 8))()
        n = self.ll.llama_tokenize(self.vocab, raw, len(raw), room, len(room), True, False)
        assert n > 0
        return list(room[:n])

    def logits(self, tokens, *, first=0):
        """Return logits from position ``first`` on, all tokens fed at once; shape (n - first, vocabulary)."""
        ll = self.ll
        ll.llama_memory_clear(ll.llama_get_memory(self.context), True)
        batch = ll.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, i, 1, 0
            batch.logits[i] = int(i >= first)
        assert ll.llama_decode(self.context, batch) == 0
        rows = [
            np.ctypeslib.as_array(ll.llama_get_logits_ith(self.context, i), shape=(self.n_vocab,)).copy()
            for i in range(first, len(tokens))
        ]
        ll.llama_batch_free(batch)
        return np.array(rows, np.float64)

    def greedy(self, tokens, n):
        made = []
        for _ in range(n):
            made.append(int(self.logits([*tokens, *made], first=len(tokens) + len(made) - 1)[0].argmax()))
        return made

    def perplexity(self, windows):
        nll = []
        for window in windows:
            half = len(window) // 2
            logits = self.logits(window[:-1], first=half)
            top = logits.max(axis=1, keepdims=True)
            log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
            nll.append(log_sum - logits[np.arange(len(logits)), window[half + 1 :]])
        return math.exp(np.concatenate(nll).mean())


@pytest.fixture(scope="module")
def plan():
    return load_plan(resources.path("data/reference/1-wasm.toml"))


@pytest.fixture(scope="module")
def measured():
    return edgeprof.measure(edgeprof.open(edgeprof.reference()))


@pytest.fixture(scope="module")
def files(plan, tmp_path_factory):
    from edgeprof.modelfile import read_model_info

    made = make_models(plan, tmp_path_factory.mktemp("models"))
    return {(read_model_info(path).name, quant): path for path, quant in made}


def test_tokens_are_the_same(plan, files):
    path = files["fable-1.2m", "F16"]
    theirs, ours = LlamaCpp(path), read_vocabulary(path)
    texts = [text for _, text in plan.prompts] + plan.eval_file.read_text(encoding="utf-8").split("\n\n")[:40]
    for text in texts:
        assert theirs.tokenize(text) == ours.encode(text)
    theirs.close()


def test_f16_greedy_text_is_the_same(plan, files):
    ds = edgeprof.open(edgeprof.reference())
    path = files["fable-1.2m", "F16"]
    llama = LlamaCpp(path)
    for label, text in plan.prompts:
        where = {"model": "fable-1.2m", "quant": "F16", "prompt_id": label, "kind": "generate"}
        rows = ds.table("tokens", ["position", "phase", "next_id"], where).sort_values("position")
        board = [*rows[rows["phase"] == "prefill"]["next_id"].tail(1), *rows[rows["phase"] == "decode"]["next_id"]]
        assert len(board) == plan.n_generate
        assert llama.greedy(llama.tokenize(text), len(board)) == board
    llama.close()


def test_perplexity_agrees(plan, files, measured):
    scored = measured[(measured["kind"] == "score") & (measured["board"] == "wasm")]
    figures = {}
    for (model, quant), path in files.items():
        job = evaluation(plan.eval_file, path, max_windows=plan.eval_windows)
        llama = LlamaCpp(path)
        theirs = llama.perplexity(job.windows(N_CTX))
        llama.close()
        (ours,) = scored[(scored["model"] == model) & (scored["quant"] == quant)]["perplexity"]
        figures[f"{model} {quant}"] = {"board": ours, "llama_cpp": theirs, "relative": ours / theirs - 1}
    if "EDGEPROF_RESULTS" in os.environ:
        out = Path(os.environ["EDGEPROF_RESULTS"], "parity.json")
        record(out, {"scored_tokens": 127 * N_WINDOWS, "perplexity": figures}, "llama-cpp-python", "wasmtime", "gguf")
    assert {k: v for k, v in figures.items() if abs(v["relative"]) > PERPLEXITY_TOLERANCE} == {}
    assert len(figures) == 12
