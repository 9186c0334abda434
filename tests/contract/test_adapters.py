"""What every registered adapter keeps to; a new one is tested by being registered."""

from __future__ import annotations

import json
import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.adapters import ADAPTERS, Adapter, Claim, Item, Refused, Said, feed
from edgeprof.adapters.items import unit_of

every = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)

LINES = [line for a in ADAPTERS.values() for line in a.example.split("\n")]
PIECES = st.one_of(
    st.sampled_from(LINES), st.text(max_size=30), st.sampled_from(list("${}[],=*|:\r\x1b")), st.integers()
)
TEXT = st.lists(PIECES, max_size=6).map(lambda parts: "".join(map(str, parts)))

WRAPPED = {
    "as it is": "{}",
    "CR": "{}\r",
    "ESP-IDF": "I (660) LLM: {}",
    "ESP-IDF with a clock": "W (12:34:56.789) main-task: {}",
    "ESP-IDF in colour": "\x1b[0;32mI (660) LLM: {}\x1b[0m",
    "ESP-IDF in colour behind tokens": "Once upon a\x1b[0;33mW (660) LLM: {}\x1b[0m\r",
    "llama.cpp with a clock": "0.00.064.607 I {}",
}


def example(adapter: Adapter, wrapper: str = "{}") -> list[tuple[str, list[Item]]]:
    """Return what is made of an adapter's example by all adapters together."""
    memories: dict = {}
    return [feed(wrapper.format(line), memories) for line in adapter.example.split("\n")]


def well_formed(items: list[Item]) -> bool:
    for item in items:
        if isinstance(item, Refused):
            assert item.reason
        elif isinstance(item, Said):
            assert item.what and item.text
        elif isinstance(item, Claim):
            assert item.name.startswith("claimed_") and unit_of(item.name) is not None and math.isfinite(item.value)
    return True


@every
def test_it_says_what_it_is(adapter: Adapter):
    assert ADAPTERS[adapter.name] is adapter
    assert re.fullmatch(r"[a-z][a-z0-9]*", adapter.name)
    assert len(adapter.description) > 10


@every
def test_it_understands_its_example_and_no_one_asked_before_it_does(adapter: Adapter):
    memory: dict = {}
    for line in adapter.example.split("\n"):
        before = json.dumps(memory)
        items = adapter.feed(line, memory)
        assert items or json.dumps(memory) != before, line
        assert not any(isinstance(item, Refused) for item in items)
        assert well_formed(items)
        assert len({getattr(item, "name", item) for item in items}) == len(items)
        for other in list(ADAPTERS.values())[: list(ADAPTERS).index(adapter.name)]:
            assert other.feed(line, {}) == []
    assert {name for name, items in example(adapter) if items} == {adapter.name}


@every
@pytest.mark.parametrize("wrapper", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_of_log_libraries_change_nothing(adapter: Adapter, wrapper: str):
    assert example(adapter, wrapper) == example(adapter)
    assert any(items for _, items in example(adapter))


@every
@pytest.mark.parametrize("wrapper", ["~ {}", "{} ~", "{}{}", "{}\x1b[2K~", "I ({} LLM: {}", "> {} <"])
def test_a_line_that_nearly_matches_is_not_taken(adapter: Adapter, wrapper: str):
    memory: dict = {}
    for line in adapter.example.split("\n"):
        near = wrapper.replace("{}", line)
        assert [i for i in feed(near, {adapter.name: memory})[1] if not isinstance(i, Refused)] == [], near
        adapter.feed(line, memory)


@every
@given(lines=st.lists(TEXT, max_size=5))
def test_no_text_makes_it_raise(adapter: Adapter, lines: list[str]):
    memory: dict = {}
    for line in lines:
        assert well_formed(adapter.feed(line, memory))
        assert json.loads(json.dumps(memory)) == memory
        assert len(json.dumps(memory)) < 16384


@given(lines=st.lists(TEXT, max_size=5))
def test_nor_does_it_make_all_of_them(lines: list[str]):
    memories: dict = {}
    for line in lines:
        name, items = feed(line, memories)
        assert well_formed(items)
        assert bool(name) is bool(items)


NO_NUMBERS = ["1" * 400, "١٢", "-1", "1e5", "nan", "inf", "1.2.3", "1,5", ""]
HOSTILE = [
    *(f"achieved tok/s: {number}" for number in NO_NUMBERS),
    "[" * 16000, "[1]1.0," * 2300, "[1]1.0,[1]1.0,", "1" * 16000, "$" * 16000, "$T," + "a=1," * 4000 + "*0000",
    '{"a":' * 3000 + "1" + "}" * 3000, '{"a_ms":' + "9" * 9000 + "}", '{"a_ms": NaN}', '{"a_ms": 1e999}',
    '{"a_ms": true}', '{"a_ms": "1"}', '{"a_ms": 1, "a_ms": 2}', '{"__class___ms": {}}', "a_ms," * 3000,
    "a_ms,b\n" * 10, " " * 16000, "eval time = " + " " * 16000, "throughput: 1 tok/s" + " " * 16000,
    '{"build_commit": ' * 3000, '{"build_commit": {}}',
    '{"build_commit": 1, "n_prompt": "512", "avg_ts": 1e999}',
    "| " * 8000,
    '{"build_commit": 1, "n_prompt": 0, "n_gen": 0, "avg_ts": 1.5, "stddev_ts": 0}', "| a | b | c | @ d5 | 1.0 ± 0.0 |",
    "slot print_timing: id" + " " * 16000, "\x1b[0;3" * 4000, "\x1b[0;32m" * 2000 + "I (1) a: b", "I (" + "1" * 16000,
    "\ud800", "\u202e", "💥" * 4000, "m-lap-us-" + "9" * 400, "m-results-[" + "0.5," * 4000 + "0.5]", "m-results-[]",
    "m-results-[nan,0.5]", "m-name-dut-[]", "m-name-dut-[" + "x" * 5000 + "]", "e-[" + "]" * 5000, "m-timestamp-mode-x",
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_lines_are_left_alone_and_soon(line: str):
    began = time.process_time()
    items = feed(line, {})[1]
    assert time.process_time() - began < 0.5
    assert not [item for item in items if not isinstance(item, Refused)]
