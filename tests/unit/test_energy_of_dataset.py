"""Energy out of a data set: numbers that can be summed up by hand, and what is said where there are none."""

from __future__ import annotations

import json
from typing import Any

import handmade
import numpy as np
import pytest

import edgeprof
from edgeprof.cli import main
from edgeprof.comparison import compare
from edgeprof.energy.of_dataset import energy_of, energy_reasons, stage_energy, token_energy
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.gate_rules import parse_rules
from edgeprof.gating import gate
from edgeprof.metrics import ENERGY
from edgeprof.recommendation import recommend

MV, RUN_UA, IDLE_UA = 3000, 5000.0, 500.0
STEP_US, AWAKE_NS = 500, 400_000_000
TOKEN_S, PROMPT_S = 0.020, 0.010


def measured(
    name: str, *, current_ua: float = RUN_UA, meter: str = "board", mv: int | None = MV, scored: bool = False,
    **columns: Any,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Return a capture of a board whose tick is a microsecond: idle for 0.4 s, then a run, sampling itself."""
    run_id = f"{name}/0-0"
    run = handmade.run(run_id, clock="cycles", tick_hz=1e6, emulator=None, emulator_version=None,
                       emulator_flags=None, **{"kind": "score" if scored else "generate"} | columns)  # fmt: skip
    tokens = handmade.scored(run_id, [[0.1] * 4]) if scored else handmade.generated(run_id)
    for at, row in enumerate(tokens):
        row |= {"ticks_start": row["ticks_start"] * 1000, "ticks": row["ticks"] * 1000}
        row["t_host_ns"] = AWAKE_NS + 1000 * (row["ticks_start"] + row["ticks"]) + 1_000_000
        row["top1_id"] = row["next_id"] + at % 2  # every second one is right
    end = max(row["ticks_start"] + row["ticks"] for row in tokens)
    run["ticks_total"] = end
    sample = {"capture_id": name, "port": 0, "voltage_mv": mv, "meter": meter}
    power = [
        sample | {"run_id": None, "ticks": None, "t_host_ns": 1000 * t, "current_ua": IDLE_UA}
        for t in range(0, AWAKE_NS // 1000 - 50_000, STEP_US)
    ]
    power += [
        sample | {"run_id": run_id, "ticks": t, "t_host_ns": AWAKE_NS + 1000 * t + 1_000_000, "current_ua": current_ua}
        for t in range(STEP_US // 2, end, STEP_US)
    ]
    began = {"capture_id": name, "started_at": "2026-01-01T00:00:00+00:00", "settings": "[]"}
    return {"runs": [run], "tokens": tokens, "power": power, "captures": [began]}


def dataset(*captures: dict[str, list[dict[str, Any]]], **others: Any) -> Any:
    parts = {key: [row for capture in captures for row in capture[key]] for key in captures[0]}
    return handmade.dataset(**parts, **others)


def unmeasured(name: str, **columns: Any) -> dict[str, list[dict[str, Any]]]:
    return measured(name, **columns) | {"power": []}


def group(quant: str, current_ua: float, n: int = 10, **more: Any) -> list[dict[str, list[dict[str, Any]]]]:
    """Return captures of one file, which differ by a little from each other."""
    wobble = (1 + 0.002 * np.sin(k) for k in range(n))
    return [
        measured(f"{quant}{k}", current_ua=current_ua * w, quant=quant, **more) for k, w in enumerate(wobble)
    ]  # fmt: skip


def test_the_numbers_are_those_of_the_integrals():
    ds = dataset(measured("c"), unmeasured("d"))
    row = energy_of(ds).loc["c/0-0"]
    power_uw, run_s = RUN_UA * MV / 1e3, 3 * PROMPT_S + 9 * TOKEN_S
    assert row["energy_uj"] == pytest.approx(power_uw * run_s)
    assert row["charge_uc"] == pytest.approx(RUN_UA * run_s)
    assert row["generated_token_uj"] == pytest.approx(power_uw * TOKEN_S)
    assert row["prefill_uj"] == pytest.approx(power_uw * 3 * PROMPT_S)
    assert row["idle_power_uw"] == pytest.approx(IDLE_UA * MV / 1e3)
    assert row["net_uj"] == pytest.approx((RUN_UA - IDLE_UA) * MV / 1e3 * run_s)
    assert row["energy_low_uj"] <= row["energy_uj"] <= row["energy_high_uj"]
    assert (row["meter"], row["alignment"], row["missing_percent"]) == ("board", "device", 0)
    assert row["alignment_error_us"] == pytest.approx(STEP_US)
    assert list(energy_of(ds).index) == ["c/0-0"]
    assert "edgeprof import FILE --measures d" in energy_reasons(ds)["d/0-0"]


def test_metrics_are_the_same_numbers():
    ds = dataset(measured("c"), measured("e", scored=True))
    table, runs = edgeprof.measure(ds).set_index("run_id"), energy_of(ds)
    one, text = table.loc["c/0-0"], table.loc["e/0-0"]
    assert (one["meter"], text["meter"]) == ("board", "board")
    assert one["energy_uj"] == runs.loc["c/0-0", "energy_uj"]
    assert one["energy_per_token_uj"] == pytest.approx(runs.loc["c/0-0", "generated_token_uj"])
    assert one["energy_net_per_token_uj"] == pytest.approx((RUN_UA - IDLE_UA) * MV / 1e3 * TOKEN_S)
    assert (one["power_mean_uw"], one["power_peak_uw"]) == pytest.approx((RUN_UA * MV / 1e3,) * 2)
    whole, bits = text["energy_uj"], 4 * (np.log(4) - 0.1) / np.log(2)
    assert text["energy_per_correct_token_uj"] == pytest.approx(whole / 2)
    assert text["energy_per_gained_bit_uj"] == pytest.approx(whole / bits)


def test_each_pass_has_its_energy_and_together_they_are_the_runs():
    ds = dataset(measured("c"))
    passes = token_energy(ds, "c/0-0")
    assert list(passes["position"]) == list(range(12)) and set(passes["meter"]) == {"board"}
    assert passes["energy_uj"].sum() == pytest.approx(energy_of(ds)["energy_uj"].iloc[0])
    assert (passes["energy_low_uj"] < passes["energy_uj"]).all()


def test_a_stage_without_a_place_in_its_pass_has_a_reason():
    ticks = {"embedding": 1000, "attention": 9000, "head": 8000, "sampling": 2000}
    rows = [{"capture_id": "c", "run_id": "c/0-0", "position": p, "stage": s, "ticks": t}
            for p in range(3, 12) for s, t in ticks.items()]  # fmt: skip
    found = stage_energy(dataset(measured("c"), stages=rows), "c/0-0")
    assert found.loc["head", "energy_uj"] == pytest.approx(9 * 8e-3 * RUN_UA * MV / 1e3)
    assert np.isnan(found.loc["attention", "energy_uj"])
    assert "when the stage was" in found.loc["attention", "reason"]
    with pytest.raises(NotComparableError, match="has no stages"):
        stage_energy(dataset(measured("c")), "c/0-0")


def test_without_a_voltage_there_is_charge_and_no_energy():
    ds = dataset(measured("c", mv=None))
    row = energy_of(ds).iloc[0]
    assert row["charge_uc"] > 0 and np.isnan(row["energy_uj"]) and "no voltage" in row["reason"]
    given = energy_of(ds, voltage_mv=MV).iloc[0]
    assert given["energy_uj"] == pytest.approx(given["charge_uc"] * MV / 1e3)
    missing = edgeprof.missing(ds).set_index("metric")["reason"]
    assert "no voltage" in missing["energy_per_token_uj"] and "charge_uc" not in missing
    with pytest.raises(UsageError, match="meter of this run"):
        energy_of(ds, meter="ppk")


def test_what_is_missing_is_said_with_where_it_comes_from():
    reasons = edgeprof.missing(dataset(unmeasured("d"))).set_index("metric")["reason"]
    for metric in ("energy_uj", "energy_per_token_uj", "power_mean_uw", "charge_uc"):
        assert reasons[metric].startswith("needs a meter's samples") and "--measures d" in reasons[metric]
    emulated = edgeprof.missing(handmade.dataset([handmade.run()], handmade.generated())).set_index("metric")["reason"]
    assert "emulated board draws no current" in emulated["energy_uj"]
    assert set(ENERGY) <= set(emulated.index)


@pytest.mark.slow
def test_energy_is_judged_by_its_interval_although_the_clock_is_exact():
    ds = dataset(*group("F16", RUN_UA), *group("Q8_0", RUN_UA * 1.2, bits_per_weight=8.0))
    found = compare(ds, metrics=["energy_per_token_uj", "decode_ticks_per_token"])
    energy, ticks = found.changes.to_dict("records")
    assert (energy["method"], ticks["method"]) == ("two groups", "exact")
    assert energy["candidate_value"] / energy["base_value"] == pytest.approx(1.2, rel=5e-3)
    assert not energy["certain"]
    assert "synthetic" not in repr(found)


@pytest.mark.slow
def test_other_meters_are_refused_and_what_is_synthetic_is_called_so(capsys):
    made = group("Q8_0", RUN_UA, 2, bits_per_weight=8.0, meter="synthetic ppk2")
    ds = dataset(*group("F16", RUN_UA, 2, meter="ppk2"), *made)
    asked = ["energy_per_token_uj", "decode_ticks_per_token"]
    energy, ticks = compare(ds, metrics=asked).changes.to_dict("records")
    assert energy["method"] == "none" and ticks["method"] == "exact"
    assert "different meters (ppk2, synthetic ppk2)" in energy["reason"] and "no board" in energy["reason"]
    alone = compare(ds, metrics=asked[:1])
    assert "--allow-unlike meter" in alone.refused
    allowed = compare(ds, metrics=asked[:1], allow=["meter"])
    assert allowed.changes["base_value"].notna().all() and allowed.refused == ""
    assert list(allowed.table["meter"]) == ["ppk2", "synthetic ppk2"]
    assert "energy is synthetic" in repr(allowed) and "energy is synthetic" in repr(recommend(ds))


@pytest.mark.slow
def test_recommend_keeps_and_rejects_by_energy():
    ds = dataset(
        measured("a", quant="F16"), measured("b", quant="Q8_0", current_ua=2500.0), unmeasured("d", quant="Q4_0")
    )
    energy_mj = RUN_UA * MV / 1e3 * TOKEN_S / 1e3
    found = recommend(ds, max_energy_mj=0.8 * energy_mj).table.set_index("quant")
    assert found["meets"].to_dict() == {"Q8_0": True, "F16": False, "Q4_0": False}
    assert found.loc["F16", "misses"] == "energy by 0.0600 mJ/token (25.0 %)"
    assert "energy is not known: it takes samples of a meter" in found.loc["Q4_0", "misses"]
    assert recommend(ds, max_energy_mj=1.01 * energy_mj).table["meets"].sum() == 2


def test_a_front_takes_energy_by_name():
    ds = dataset(measured("a", quant="F16"), measured("b", quant="Q8_0", current_ua=2500.0))
    front = edgeprof.pareto(edgeprof.measure(ds), ["energy_per_token_uj", "decode_ticks_per_token"], label="quant")
    assert list(front["on_front"]) == [False, True] and front["dominated_by"].iloc[0] == "Q8_0"


@pytest.mark.slow
@pytest.mark.parametrize(("times", "exit_code"), [(1.2, 1), (1.0, 0)], ids=["more", "same"])
def test_the_gate_is_red_where_energy_grew(times, exit_code):
    base, candidate = (
        [c for k in range(10) for c in tagged(k, side, RUN_UA * (1 + 0.002 * np.sin(k + shift)) * factor)]
        for side, shift, factor in (("base", 0, 1.0), ("candidate", 3, times))
    )
    rules = parse_rules({"gate": {"defaults": False}, "metric": {"energy_per_token_uj": {"limit_pct": 5}}})
    assert gate(dataset(*base, *candidate), None, rules).exit_code == exit_code


def tagged(k: int, side: str, current_ua: float) -> list[dict[str, list[dict[str, Any]]]]:
    tags = json.dumps({"pair": f"p{k}", "side": side, "session": "s"})
    return [measured(f"{side}{k}", current_ua=current_ua, tags=tags, firmware=f"f {side}")]


def test_energy_that_is_missing_is_no_pass():
    rules = parse_rules({"gate": {"defaults": False}, "metric": {"energy_per_token_uj": {"limit_pct": 5}}})
    (check,) = gate(dataset(measured("a")), dataset(unmeasured("d")), rules).checks
    assert check.outcome == "could not judge" and "--measures d" in check.reason


def test_the_command_takes_a_limit(monkeypatch, capsys):
    ds = dataset(measured("a", meter="synthetic"))
    monkeypatch.setattr(edgeprof, "open", lambda path: ds)
    assert main(["recommend", "data", "--max-energy-mj", "0.1"]) == 1
    shown = capsys.readouterr().out
    assert "energy by 0.200 mJ/token" in shown and "energy is synthetic" in shown
