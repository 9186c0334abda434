"""Model files of every kind of bad: the firmware refuses them in words, or runs them; it never misbehaves."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from firmware_host import Host, tiny_model, tool

from edgeprof import boards
from edgeprof.errors import ModelError
from edgeprof.firmware import path

# Opens a file, the file cut at every so many bytes, and the file damaged; and runs what can be run.
PROGRAM = r"""
#include "llm/forward.h"
#include "llm/sample.h"
#include "llm/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned accepted, refused;

static void attempt(const uint8_t *bytes, size_t n) {
    static model m;
    static session s;
    tokenizer t;
    uint8_t *data = malloc(n ? n : 1); /* to the byte, so that a step beyond it is seen */
    memcpy(data, bytes, n);
    if (model_open(&m, data, n)) {
        accepted++;
        tokenizer_open(&t, &m.file, m.vocab);
        uint64_t size = session_bytes(&m, 8);
        if (size < 10000000u) {
            void *arena = malloc((size_t)size);
            uint32_t out[16];
            session_init(&s, &m, 8, arena);
            session_forward(&s, 1 % m.vocab, 0, 1);
            session_forward(&s, 3 % m.vocab, 1, 1);
            uint32_t top = top_1(s.logits, m.vocab);
            if (top >= m.vocab || nll_of(s.logits, m.vocab, top, 0) == 12345.0f) abort();
            if (!t.problem && tokenizer_bytes(8) <= s.kv_bytes)
                tokenizer_encode(&t, (const uint8_t *)"abcd ab\xff", 8, s.keys, out, 16);
            free(arena);
        }
    } else {
        refused++;
        if (!m.problem[0] || memchr(m.problem, 0, sizeof m.problem) == NULL) abort();
    }
    free(data);
}

static uint32_t state = 1;
static uint32_t chance(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(state >> 1) * n) >> 31);
}

int main(int argc, char **argv) {
    static uint8_t file[1 << 20];
    size_t step = (size_t)atoi(argv[2]);
    unsigned damages = (unsigned)atoi(argv[3]);
    FILE *f = fopen(argv[1], "rb");
    size_t n = fread(file, 1, sizeof file, f);
    fclose(f);
    (void)argc;
    attempt(file, n);
    if (accepted != 1) { printf("the sound model was refused\n"); return 1; }
    for (size_t cut = 0; cut < n; cut += step) attempt(file, cut);
    if (accepted != 1) { printf("a truncated model was accepted\n"); return 1; }
    static uint8_t copy[1 << 20];
    for (unsigned i = 0; i < damages; i++) {
        memcpy(copy, file, n);
        uint32_t header = (uint32_t)(n < 6000 ? n : 6000), changes = 1 + chance(4);
        while (changes--) {
            static const uint8_t worst[6] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
            uint32_t at = chance(chance(4) ? header : (uint32_t)n), len = 1 + chance(8);
            uint8_t value = chance(2) ? worst[chance(6)] : (uint8_t)chance(256);
            for (uint32_t k = 0; k < len && at + k < n; k++) copy[at + k] = value;
        }
        attempt(copy, n);
    }
    printf("%u accepted, %u refused\n", accepted, refused);
    return 0;
}
"""


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzer")
    shutil.copytree(path("llm"), folder / "llm")
    (folder / "main.c").write_text(PROGRAM)
    sources = ["main.c", *sorted(str(p) for p in (folder / "llm").glob("*.c"))]
    # float-cast-overflow is not part of `undefined`; alignment is, and is what reading in place must respect.
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-ffp-contract=off"]
    subprocess.run([tool("gcc"), "-std=c99", *flags, "-o", "fuzzer", *sources], cwd=folder, check=True)
    return folder / "fuzzer"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0", "TQ2_0"])
def test_truncated_and_damaged_files_under_sanitizers(fuzzer, tmp_path, kind):
    shape = {"dim": 256, "ff": 256, "heads": 4, "kv_heads": 2, "layers": 1} if kind == "TQ2_0" else {"ff": 128}
    model = tiny_model(tmp_path / "m.gguf", kind=kind, **shape)
    done = subprocess.run([fuzzer, model, "97", "1000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    accepted, refused = (int(done.stdout.split()[i]) for i in (0, 2))
    assert refused > 500, "the damage must have reached what is checked"
    assert accepted > 30, "the damage must have let some through, to be run"


WRONG = {
    "the architecture is not llama": {"arch": "gpt2"},
    "RoPE scaling is not supported": {"extra": {"llama.rope.scaling.type": "yarn"}},
    "no kernel for GGUF type 7": {"kind": "Q5_1", "ff": 128},
    "head_count_kv does not divide the heads": {"kv_heads": 3},
}


@pytest.mark.parametrize("words", WRONG)
def test_sound_files_that_are_not_supported(tmp_path, words):
    model = tiny_model(tmp_path / "m.gguf", **WRONG[words])
    with pytest.raises(ModelError, match=words):
        boards.start("wasm", model)


def test_a_missing_tensor_is_named(tmp_path):
    model = tiny_model(tmp_path / "m.gguf")
    model.write_bytes(model.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight"))
    with pytest.raises(ModelError, match=r"no tensor blk\.1\.ffn_up\.weight"):
        boards.start("wasm", model)


def test_weights_that_are_no_numbers_do_not_stop_the_board(tmp_path):
    model = tiny_model(tmp_path / "m.gguf")
    content = bytearray(model.read_bytes())
    chance = random.Random(3)
    for at in range(len(content) - 30000, len(content) - 4, 4):
        content[at : at + 4] = chance.choice(
            [b"\0\0\xc0\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f", chance.randbytes(4)]
        )
    model.write_bytes(content)
    with boards.start("wasm", model) as running:
        host = Host(running.url)
        passes, totals = host.generate("ab", 5)
        assert totals["status"] == 0
        assert all(p.next < 64 for p in passes)
        assert host.generate("ab", 5, temperature=1.0)[1]["status"] == 0
        host.close()


def test_a_model_without_a_tokenizer_can_still_score(tmp_path):
    model = tiny_model(tmp_path / "m.gguf")
    model.write_bytes(model.read_bytes().replace(b"tokenizer.ggml.model", b"tokenizer.ggml.nodel"))
    with boards.start("wasm", model) as running:
        host = Host(running.url)
        from edgeprof import wire

        request = host.next_request()
        code, text = host.reply_to(wire.run_request(request, "ab", 5, label=""), request)
        assert code == 5
        assert "SentencePiece" in text
        assert len(host.score([[1, 5, 6, 7]])) == 3
        host.close()
