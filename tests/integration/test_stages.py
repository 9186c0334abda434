"""The stages of a pass add up to the pass, on every board; timing them costs next to nothing; SIMD is worth having."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import edgeprof
from edgeprof import boards
from edgeprof.errors import UsageError
from edgeprof.stage_profile import UNATTRIBUTED

sys.path.insert(0, str(Path(__file__).parents[1] / "performance"))
import on_board
import simd_gain
import stage_cost

pytestmark = [pytest.mark.slow, pytest.mark.emulators]

SUM, REST = 0.01, 0.03
"""The stages are within 1 % of the pass, and no more than 3 % of it is in none of them."""
COST_OF_A_PASS, COST_OF_A_RUN = 0.001, 0.005
"""What timing may take: 0.1 % of a pass, and 0.5 % of a run with keeping and sending the stages."""
TIMED = {"prefill": {"embedding", "attention", "feed_forward", "head", "sampling"}}
TIMED["decode"] = TIMED["prefill"]
FEW = {"rp2040": 2}
"""Two passes a second are all that its emulator makes."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the folder that keeps the quantized models."""
    return tmp_path_factory.mktemp("models")


def runnable(target: str) -> str:
    """Return the target, or skip if its board cannot be started here."""
    if reason := boards.why_not(on_board.board_of(target)):
        pytest.skip(f"needs {target}: {reason}")
    return target


EXACT = [*on_board.exact_boards(), "stm32f405-simd"]
SUMS = [(target, "Q4_0") for target in EXACT] + [(t, q) for t in ("wasm", "stm32f405") for q in ("Q4_K_M", "TQ2_0")]


@pytest.mark.parametrize(("target", "quant"), SUMS, ids=lambda value: value)
def test_the_stages_are_the_pass(tmp_path, models, target, quant):
    model = on_board.model_file("fable-1.2m", quant, models)
    dataset = on_board.generate(runnable(target), model, tmp_path, FEW.get(target, 6))
    assert dataset.runs["frames_lost"].tolist() == [0]
    passes = stage_cost.remainders(dataset)
    assert set(passes["phase"]) == {"prefill", "decode"}
    assert passes["remainder"].between(0, min(SUM, REST)).all(), passes
    shares = edgeprof.stage_shares(dataset.tokens, dataset.table("stages"))
    for phase, part in shares.groupby("phase"):
        assert set(part["stage"]) == {*TIMED[phase], UNATTRIBUTED}
        assert part["passes"].iloc[0] == (passes["phase"] == phase).sum()
        assert part["share"].sum() == pytest.approx(1)
        assert part.loc[part["stage"] == UNATTRIBUTED, "share"].abs().max() < REST


def test_the_stages_are_the_pass_in_time_too(tmp_path, models):
    """This machine's clock is noisy: whole passes, on average."""
    dataset = on_board.generate(runnable("host"), on_board.model_file("fable-1.2m", "Q4_0", models), tmp_path, 64)
    shares = edgeprof.stage_shares(dataset.tokens, dataset.table("stages"))
    rest = shares[shares["stage"] == UNATTRIBUTED]
    assert len(rest) == 2 and rest["share"].between(0, REST).all(), rest


OFTEN = ("wasm", "stm32f405")


@pytest.mark.parametrize(
    "target", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.nightly) for name in EXACT]
)
def test_timing_the_stages_costs_next_to_nothing(tmp_path, models, target):
    """Against the same firmware without the stages' clock, which makes the same tokens."""
    runnable(target)
    try:
        plain = on_board.reference_firmware(target, tmp_path / "plain.image", "-DEDGEPROF_NO_STAGES")
    except UsageError as error:
        pytest.skip(f"needs a compiler: {error}")
    model = on_board.model_file("fable-1.2m", "Q4_0", models)
    n = FEW.get(target, 6)
    timed = on_board.generate(target, model, tmp_path / "timed", n)
    cost = stage_cost.overhead(timed, on_board.generate(target, model, tmp_path / "plain", n, image=plain))
    assert set(cost) == {"prefill", "decode", "whole_run"}
    for phase in ("prefill", "decode"):
        assert 0 < cost[phase]["share_of_pass"] < COST_OF_A_PASS, cost
    assert cost["whole_run"]["share"] < COST_OF_A_RUN, cost


@pytest.mark.parametrize(("quant", "most"), [("Q4_0", 0.7), ("Q4_K", 0.85)])
def test_simd_is_faster_and_computes_the_same(models, quant, most):
    runnable("stm32f405")
    gain = simd_gain.gain("fable-1.2m", quant, models, n=6)
    assert gain["identical_tokens_and_nll"]
    assert gain["simd_over_c99"] < most, gain
