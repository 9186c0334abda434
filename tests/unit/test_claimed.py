"""Claimed rates beside what the host saw."""

from __future__ import annotations

import handmade
import pandas as pd
import pytest
from handmade import harmful

import edgeprof
from edgeprof import claimed
from edgeprof.adapters import ADAPTERS, Claim, feed
from edgeprof.display import Table
from edgeprof.store import Dataset

SEEN = {"clock": "host", "tick_hz": 1e9, "board": None, "model": None, "quant": None}


def claim(name: str, value: float, run_id: str | None = None, **columns) -> dict:
    usual = {"capture_id": "c", "run_id": run_id, "port": 0, "t_host_ns": 5, "adapter": "llama2c", "unit": "token/s"}
    return usual | {"name": f"claimed_{name}", "value": value} | columns


def prints(run_id: str, n: int) -> list[dict]:
    return [
        handmade.token(run_id, i, "unknown", None, 250_000_000 if i else None, source="host", n_batch=None)
        for i in range(n)
    ]


def data(*claims: dict) -> Dataset:
    runs = [handmade.run("c/0-0001", **SEEN), handmade.run("c/0-0002"), handmade.run("c/0-0003", **SEEN)]
    tokens = prints("c/0-0001", 9) + handmade.generated("c/0-0002") + prints("c/0-0003", 3)
    return handmade.dataset(runs, tokens, claims=claims)


def rates(ds: Dataset) -> pd.DataFrame:
    return edgeprof.claimed_rates(ds.claims, ds.runs, ds.tokens)


def test_both_rates_stand_side_by_side():
    ds = data(
        claim("incl_prompt_tok_s", 5.5, "c/0-0001"),
        claim("free_ram_bytes", 4096, "c/0-0001", unit="byte"),
        claim("decode_tok_s", 7.25, "c/0-0002", adapter="json"),
        claim("pp512_tok_s", 45.5, adapter="llamabench"),
        claim("pp512_stddev_tok_s", 0.25, adapter="llamabench"),
        claim("pp512_sample_tok_s", 45.25, adapter="llamabench"),
    )
    table = rates(ds).astype(object)
    table = table.where(table.notna(), None).to_dict("records")
    common = {"capture_id": "c", "port": 0, "t_host_ns": 5}
    nothing = {"host_prints": None, "host_prints_s": None, "host_itl_p50_ms": None, "host_itl_p95_ms": None}
    assert table == [
        common | {"run_id": "c/0-0001", "adapter": "llama2c", "name": "claimed_incl_prompt_tok_s", "claimed_tok_s": 5.5,
                  "counts_prompt": True, "counts": "generated tokens and the prompt's forced ones, the first left out",
                  "host_prints": 9, "host_prints_s": 4.0, "host_itl_p50_ms": 250.0, "host_itl_p95_ms": 250.0},
        common | {"run_id": "c/0-0002", "adapter": "json", "name": "claimed_decode_tok_s", "claimed_tok_s": 7.25,
                  "counts_prompt": False, "counts": "decode passes"} | nothing,
        common | {"run_id": None, "adapter": "llamabench", "name": "claimed_pp512_tok_s", "claimed_tok_s": 45.5,
                  "counts_prompt": True, "counts": "the prompt's tokens alone"} | nothing,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("incl_prompt_tok_s", True), ("generated_tok_s", False), ("prefill_tok_s", True), ("decode_tok_s", False),
        ("pp512_d64_tok_s", True), ("tg128_tok_s", False), ("tg128_d512_tok_s", False), ("pp8_tg4_tok_s", True),
        ("tok_s", None), ("x_tok_s", None), ("warm_decode_tok_s", False),
    ],
)  # fmt: skip
def test_what_is_counted(name, prompt):
    (found,) = rates(data(claim(name, 1.0)))["counts_prompt"]
    assert (None if pd.isna(found) else bool(found)) is prompt


def test_every_rate_of_the_known_firmware_says_what_it_counts():
    names = set()
    for adapter in ("llama2c", "esp32ai", "llamacpp", "llamabench"):
        memories: dict = {}
        for line in ADAPTERS[adapter].example.split("\n"):
            names |= {c.name for c in feed(line, memories)[1] if isinstance(c, Claim) and c.unit == "token/s"}
    found = rates(data(*(claim(name.removeprefix("claimed_"), 1.0) for name in sorted(names))))
    assert found["counts_prompt"].notna().all()
    assert 0 < len(found) < len(names)  # deviations and the sampler's rate are none of a model's


def test_no_claims_are_no_rows():
    assert rates(data()).empty
    assert rates(handmade.dataset([])).empty
    assert claimed.formatted(rates(data())).empty


@pytest.mark.parametrize("name", handmade.HOSTILE)
def test_what_people_read(name):
    ds = data(claim("incl_prompt_tok_s", 5.5, "c/0-0001", adapter=name), claim("tok_s", 2.0))
    shown = repr(Table(claimed.formatted(rates(ds))))
    assert harmful(shown.replace("\n", "")) == []
    first, second = shown.split("\n")[2:]
    assert first.lstrip().startswith("0-0001") and first.endswith("4.000") and "5.500" in first
    assert second.lstrip().startswith("–") and second.endswith("–") and "not said" in second
