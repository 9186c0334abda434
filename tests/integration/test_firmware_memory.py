"""What the reference firmware says of memory: in every HELLO and RUN_BEGIN, also where the model does not fit."""

from __future__ import annotations

import pytest
from firmware_host import board, tiny_model

from edgeprof import wire
from edgeprof.wire import Type

MEMORY = ["image_bytes", "static_ram_bytes", "stack_reserved_bytes", "kv_cache_bytes", "activation_bytes"]
KV = 4 * 2 * 64 * 32  # keys and values of 2 bytes, 2 layers, 64 positions, 2 heads of 16
FIRST = [
    "board", "core", "clock", "board_clock_hz", "ram_bytes", "flash_bytes", "model_bytes", "model", "arch", "n_params",
    "quant", "n_ctx", "ram_needed_bytes", "flash_needed_bytes", "kind", "prompt_id", "n_prompt", "n_generate",
    "sampler", "temperature", "seed", "kernel_variant", "firmware",
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


def begin(host) -> dict[str, str]:
    frame = next(f for f in host.frames if f.type == Type.RUN_BEGIN)
    return wire.decode_pairs(frame.body, frame.n)


def sizes(said: dict[str, str]) -> dict[str, int]:
    return {name: int(said[name]) for name in [*MEMORY, "ram_needed_bytes", "flash_needed_bytes", "model_bytes"]}


def test_the_parts_add_up_to_what_is_needed(model):
    with board(model) as host:
        said = sizes(host.hello())
        host.generate("ab", 2)
        assert sizes(begin(host)) == said
    assert said["kv_cache_bytes"] == KV
    parts = said["static_ram_bytes"] + said["stack_reserved_bytes"] + said["kv_cache_bytes"] + said["activation_bytes"]
    assert parts == said["ram_needed_bytes"]
    assert said["image_bytes"] + said["model_bytes"] == said["flash_needed_bytes"]
    assert min(said.values()) > 0


def test_a_shorter_context_shrinks_the_cache(model):
    with board(model, n_ctx=16) as host:
        assert sizes(host.hello())["kv_cache_bytes"] == KV / 4


def test_what_does_not_fit_says_the_same(model):
    with board(model) as host:
        fitting = sizes(host.hello())
    with board(model, ram=fitting["ram_needed_bytes"] - 1) as host:
        request = host.next_request()
        assert host.reply_to(wire.run_request(request, "ab", 2, label="p"), request)[0] == 4  # no room
        assert sizes(begin(host)) == fitting


def test_the_longest_label_and_name_leave_room_for_all_but_the_compiler(tmp_path):
    model = tiny_model(tmp_path / "long.gguf", extra={"general.name": "m" * 80})
    label = "l" * 255
    with board(model) as host:
        hello = host.hello()
        host.generate("ab", 2, label=label, temperature=0.123456, seed=2**32 - 1)
        said = begin(host)
    assert said["prompt_id"] == label
    assert set(said) >= {*FIRST, *MEMORY}
    assert {"compiler", *MEMORY} <= set(hello)  # and so a capture has it after all
