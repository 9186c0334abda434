"""Changes of one metric: exact numbers, pairs, groups, sessions, texts, and what each says when it cannot be judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from handmade import frame, generated, run, scored
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprof.changes import MISSING, Side, judge_changes
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.metrics import METRICS
from edgeprof.noise_floor import Noise
from edgeprof.paired import tick_fraction

DECODE = "decode_ticks_per_token"


def judge_change(metric: str, *sides: Side, **how):
    return judge_changes([metric], *sides, **how)[0]


def side(costs, *, prompts=("p",), pairs=None, session=None, clock="device_timer", **columns) -> Side:
    """Return captures, each with a run of every prompt, whose decode passes cost so many ticks."""
    name = columns.pop("name", "b")
    runs, tokens = [], []
    for i, cost in enumerate(costs):
        for k, prompt in enumerate(prompts):
            run_id = f"{name}{i:03}/0-{k + 1:04}"
            runs.append(run(run_id, clock=clock, prompt_id=prompt, tick_hz=1e6, **columns))
            tokens += generated(run_id, ticks=[round(cost * (k + 1))] * 9)
    table = frame("runs", runs)
    if pairs is not None:
        table["pair"] = [pair for pair in pairs for _ in prompts]
    if session is not None:
        table["session"] = session
    return Side(table, frame("tokens", tokens))


def noisy(seed: int, n: int, centre: float, deviation: float) -> list[float]:
    return list(centre * np.exp(np.random.default_rng(seed).normal(0, deviation, n)))


def paired(seed: int, n: int, ratio: float, deviation: float = 0.005, drift: float = 0.5):
    """Return pairs under a strong drift, which both of a pair share."""
    level = 10_000 * (1 + drift * np.arange(n) / n)
    rng = np.random.default_rng(seed)
    base = level * np.exp(rng.normal(0, deviation, n))
    candidate = level * ratio * np.exp(rng.normal(0, deviation, n))
    names = [f"s/{i}" for i in range(n)]
    return side(base, pairs=names), side(candidate, pairs=names, name="c")


# ---- pairs ----


@pytest.mark.parametrize(("ratio", "word"), [(1.06, "worse"), (0.94, "better"), (1.0, "same")])
def test_pairs_see_through_a_drift(ratio, word):
    change = judge_change(DECODE, *paired(1, 12, ratio))
    assert (change.method, change.verdict.word, change.n_base) == ("pairs", word, 12)
    assert change.verdict.low < ratio - 1 < change.verdict.high
    assert change.verdict.change == pytest.approx(ratio - 1, abs=0.006)
    assert "drift" in {f.kind for f in change.findings}
    assert change.findings[0].text.startswith("base: ")


def test_pairs_are_matched_by_their_names_and_not_by_their_order():
    base, candidate = paired(2, 12, 1.0)
    order = np.random.default_rng(3).permutation(12)
    shuffled = Side(candidate.runs.iloc[order].reset_index(drop=True), candidate.tokens)
    one, other = judge_change(DECODE, base, candidate), judge_change(DECODE, base, shuffled)
    assert one.verdict == other.verdict
    candidate.runs["pair"] = candidate.runs["pair"].to_numpy()[order]  # other partners: the drift is in the ratios
    assert judge_change(DECODE, base, candidate).verdict.word == "not enough data"


def test_a_half_without_its_partner_does_not_count():
    base, candidate = paired(4, 12, 1.06)
    candidate.runs.loc[0, "pair"] = "s/again"
    change = judge_change(DECODE, base, candidate)
    assert (change.n_base, change.n_candidate) == (11, 11)
    assert change.verdict.word == "worse"


def test_five_pairs_are_too_few():
    change = judge_change(DECODE, *paired(5, 5, 1.5))
    assert change.verdict.word == "not enough data"
    assert (change.verdict.more_runs, change.n_base) == (3, 5)
    assert "5 pairs are too few" in change.verdict.reason


def test_prompts_of_a_pair_are_one_measurement():
    names = [f"s/{i}" for i in range(10)]
    base = side(noisy(6, 10, 1000, 0.003), pairs=names, prompts=("p", "q", "r"))
    candidate = side(noisy(7, 10, 1060, 0.003), pairs=names, prompts=("p", "q", "r"), name="c")
    change = judge_change(DECODE, base, candidate)
    assert (change.n_base, change.method) == (10, "pairs")
    # Rounded ticks aside, prompts that only scale the cost change neither the ratio nor its interval.
    alone = judge_change(
        DECODE, side(noisy(6, 10, 1000, 0.003), pairs=names), side(noisy(7, 10, 1060, 0.003), pairs=names, name="c")
    )
    assert change.verdict.change == pytest.approx(alone.verdict.change, abs=2e-3)
    assert change.verdict.high - change.verdict.low == pytest.approx(alone.verdict.high - alone.verdict.low, abs=2e-3)


def test_a_coarse_tick_widens_the_interval_and_the_smallest_effect():
    names = [f"s/{i}" for i in range(10)]
    change = judge_change(DECODE, side([20] * 10, pairs=names), side([21] * 10, pairs=names, name="c"))
    assert change.smallest == pytest.approx(2 / 20)  # two ticks of twenty
    assert change.verdict.low < 0 < change.verdict.high
    assert change.verdict.word != "worse"


def test_more_looks_widen_the_interval():
    data = paired(8, 12, 1.02, deviation=0.02)
    one, three = (judge_change(DECODE, *data, looks=k).verdict for k in (1, 3))
    assert three.high - three.low > one.high - one.low
    with pytest.raises(UsageError, match="one, two or three planned looks, not 4"):
        judge_change(DECODE, *data, looks=4)


# ---- groups ----


def test_groups_of_one_session_in_random_order_are_judged():
    base = side(noisy(1, 30, 10_000, 0.01), session="s")
    change = judge_change(DECODE, base, side(noisy(2, 30, 11_000, 0.01), session="s", name="c"))
    assert (change.method, change.verdict.word) == ("two groups", "worse")


@pytest.mark.parametrize("sessions", [("s", "t"), (None, None), ("s", None)])
def test_groups_that_were_measured_apart_are_not(sessions):
    base = side(noisy(1, 30, 10_000, 0.01), session=sessions[0])
    change = judge_change(DECODE, base, side(noisy(2, 30, 11_000, 0.01), session=sessions[1], name="c"))
    assert change.verdict.word == "not enough data"
    assert "Pair the runs" in change.verdict.reason and "measured apart" in change.verdict.reason


@pytest.mark.parametrize(("deviation", "word"), [(0.002, "worse"), (0.05, "not enough data")])
def test_sessions_that_are_known_widen_the_interval_of_a_stored_baseline(deviation, word):
    medians = 10_000 * np.exp(deviation * np.array([-1, 0, 1, 1, -1, 0.0]))
    noise = Noise(medians={("toy", "decode_median_ticks"): medians})
    base = side(noisy(1, 30, 10_000, 0.01), session="s")
    change = judge_change(DECODE, base, side(noisy(2, 30, 11_000, 0.01), session="t", name="c"), noise=noise)
    assert (change.method, change.verdict.word) == ("two sessions", word)
    assert "Two groups, not pairs" in change.verdict.reason and "6 sessions" in change.verdict.reason


def test_captures_of_which_no_session_is_known_are_apart():
    base, candidate = (side(noisy(i, 30, 10_000, 0.01), session=None, name="bc"[i]) for i in range(2))
    for group in (base, candidate):
        group.runs["session"] = None
    assert "measured apart" in judge_change(DECODE, base, candidate).verdict.reason


def test_a_capture_is_one_number_however_many_prompts_it_has():
    prompts = ("p", "q", "r")
    base = side(noisy(1, 12, 1000, 0.005), prompts=prompts, session="s")
    change = judge_change(DECODE, base, side(noisy(2, 12, 1000, 0.005), prompts=prompts, session="s", name="c"))
    assert (change.method, change.n_base, change.n_candidate) == ("two groups", 12, 12)


def test_captures_that_lack_a_prompt_are_not_cheaper_for_it():
    base = side(noisy(1, 20, 1000, 0.005), prompts=("p", "q"), session="s")
    candidate = side(noisy(2, 20, 1000, 0.005), prompts=("p", "q"), session="s", name="c")
    lost = candidate.runs["run_id"].str.endswith("2") & (
        candidate.runs.index > 20
    )  # the dearer prompt, half of the time
    candidate = Side(
        candidate.runs[~lost], candidate.tokens[~candidate.tokens["run_id"].isin(candidate.runs["run_id"][lost])]
    )
    assert judge_change(DECODE, base, candidate).verdict.word == "same"


@pytest.mark.parametrize(
    ("unit", "value", "fraction"),
    [("tick/token", 200, 1 / 200), ("tick", 50, 1 / 50), ("ms", 2, 1 / 2000), ("token/s", 50, 50 / 1e6), ("", 3, 0),
     ("token/s", 0, 0), ("tick", 0, 0)],
)  # fmt: skip
def test_a_tick_as_a_fraction(unit, value, fraction):
    assert tick_fraction(unit, value, hz=1e6) == pytest.approx(fraction)


def test_two_groups_of_other_prompts_use_those_that_both_have():
    base = side(noisy(1, 20, 1000, 0.005), prompts=("p", "q"), session="s")
    candidate = side(noisy(2, 20, 1000, 0.005), prompts=("p",), session="s", name="c")
    assert judge_change(DECODE, base, candidate).verdict.word == "same"


# ---- what is known of the noise ----


@pytest.mark.slow
def test_no_effect_is_smaller_than_the_noise_floor():
    data = paired(1, 12, 1.06)
    noise = Noise(floors={("toy", "decode_median_ticks"): 0.1})
    change = judge_change(DECODE, *data, noise=noise)
    assert (change.smallest, change.verdict.word) == (0.1, "same")
    assert judge_change(DECODE, *data, noise=noise, smallest=0.2).smallest == 0.2
    assert judge_change(DECODE, *data, noise=Noise(floors={("other", "decode_median_ticks"): 0.1})).smallest == 0.02


# ---- exact clocks ----


def test_an_exact_clock_sees_a_hundredth_of_a_percent():
    change = judge_change(DECODE, side([1_000_000], clock="fuel"), side([1_000_100], clock="fuel", name="c"))
    assert (change.method, change.verdict.word, change.verdict.certain) == ("exact", "same", True)
    assert change.verdict.change == pytest.approx(1e-4)
    assert "changed by +0.01 % (certain" in change.verdict.reason


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 10**9), st.sampled_from(["fuel", "instructions", "cycles"]))
def test_an_unchanged_build_never_alarms(cost, clock):
    changes = judge_changes(
        [DECODE, "ttft_ticks", "itl_p95_ticks", "model_bytes", "ram_needed_bytes", "fits"],
        side([cost], clock=clock), side([cost], clock=clock, name="c"),
    )  # fmt: skip
    assert {(c.verdict.word, c.verdict.reason, c.verdict.change) for c in changes[:-1]} == {
        ("same", "exactly equal", 0.0)
    }
    assert changes[-1].verdict.word == "same"


def test_what_a_token_costs_is_shown():
    change = judge_change(DECODE, side([10], clock="fuel"), side([25], clock="fuel", name="c"))
    assert (change.base, change.candidate, change.unit) == (10, 25, "tick/token")


def test_repeats_that_differ_on_an_exact_clock_are_a_fault():
    change = judge_change(DECODE, side([10, 11], clock="fuel"), side([10], clock="fuel", name="c"))
    assert change.method == "none"
    assert "gave different numbers (10 to 11): something changed between them" in change.verdict.reason
    two = side([10, 11], clock="fuel")
    two.runs["quant"] = ["F16", "Q8_0"]
    change = judge_change(DECODE, two, side([10], clock="fuel", name="c"))
    assert "several of quant (F16, Q8_0)" in change.verdict.reason


def test_sizes_are_exact_on_every_clock():
    base, candidate = side([10] * 2), side([10] * 2, name="c", model_bytes=5000)
    change = judge_change("model_bytes", base, candidate)
    assert (change.method, change.verdict.word, change.base, change.candidate) == ("exact", "worse", 4000, 5000)


def test_a_metric_that_is_better_when_higher():
    columns = {"clock": "fuel", "board_clock_hz": 500.0}
    change = judge_change("decode_nominal_tok_s", side([10], **columns), side([20], name="c", **columns))
    assert (change.verdict.word, change.verdict.change) == ("worse", pytest.approx(-0.5))


def without(group: Side, prompt: str, phase: str, positions=None) -> Side:
    """Return a side of which some passes of a prompt never arrived."""
    runs = group.runs.loc[group.runs["prompt_id"] == prompt, "run_id"]
    lost = group.tokens["run_id"].isin(runs) & (group.tokens["phase"] == phase)
    if positions is not None:
        lost &= group.tokens["position"].isin(positions)
    return Side(group.runs, group.tokens[~lost])


@pytest.mark.parametrize(
    ("metric", "phase"), [(DECODE, "decode"), ("itl_p95_ticks", "decode"), ("ttft_ticks", "prefill")]
)
def test_a_prompt_of_which_one_side_has_no_value_does_not_count(metric, phase):
    prompts = {"prompts": ("short", "long"), "clock": "fuel"}
    base, slower = side([100], **prompts), side([150], name="c", **prompts)
    change = judge_change(metric, base, without(slower, "long", phase))
    assert change.verdict.word == ("worse" if phase == "decode" else "same")  # prefill costs the same in both
    assert "without prompt long, of which one side has no value" in change.verdict.reason
    nothing = without(without(slower, "long", phase), "short", phase)
    assert judge_change(metric, base, nothing).method == "none"


def test_half_a_prompt_has_no_prefill_cost():
    base, candidate = side([10], clock="fuel"), without(side([10], clock="fuel", name="c"), "p", "prefill", [2])
    change = judge_change("prefill_ticks_per_token", base, candidate)
    assert change.method == "none" and change.verdict.reason.startswith(MISSING)


@pytest.mark.parametrize("column", ["quant", "firmware_sha256", "kernel_variant"])
def test_a_noisy_side_of_several_things_is_no_sample(column):
    base, candidate = paired(1, 12, 1.0)
    candidate.runs[column] = ["one", "other"] * 6
    change = judge_change(DECODE, base, candidate)
    assert change.method == "none"
    assert f"the candidate holds several of {column} (one, other)" in change.verdict.reason


def test_ticks_of_other_lengths_are_no_unit():
    base, candidate = paired(1, 12, 1.0)
    candidate.runs["tick_hz"] = 0.5e6
    change = judge_change(DECODE, base, candidate)
    assert change.method == "none" and "Ticks of 500000 Hz and 1e+06 Hz are no common unit" in change.verdict.reason
    faster = judge_change("decode_tok_s", base, candidate)  # as many ticks, each twice as long
    assert (faster.method, faster.verdict.word) == ("pairs", "worse")
    assert faster.verdict.change == pytest.approx(-0.5, abs=0.01)


@pytest.mark.parametrize("clocks", [(None, None), ("fuel", None)])
def test_a_clock_that_nobody_named_is_not_exact(clocks):
    base, candidate = side([100], clock=clocks[0]), side([105], clock=clocks[1], name="c")
    change = judge_change(DECODE, base, candidate)
    assert (change.method, change.verdict.word, change.verdict.certain) == ("two groups", "not enough data", False)


def test_firmware_that_names_no_prompt_is_judged():
    base, candidate = paired(1, 12, 1.3)
    for group in (base, candidate):
        group.runs["prompt_id"] = None
    assert judge_change(DECODE, base, candidate).verdict.word == "worse"
    exact = judge_change(
        DECODE, side([10], clock="fuel", prompts=(None,)), side([20], clock="fuel", prompts=(None,), name="c")
    )
    assert (exact.method, exact.verdict.word) == ("exact", "worse")


def test_the_noisier_of_two_boards_decides():
    base, candidate = paired(1, 12, 1.2)
    candidate.runs["board"] = "loud"
    noise = Noise(floors={("loud", "decode_median_ticks"): 0.25})
    assert judge_change(DECODE, base, candidate, noise=noise, allow=("emulator",)).smallest == 0.25
    assert judge_change(DECODE, candidate, base, noise=noise, allow=("emulator",)).smallest == 0.25


def test_a_base_of_nothing_is_not_judged_and_not_missing():
    change = judge_change(
        "ram_needed_bytes", side([10], ram_needed_bytes=0), side([10], name="c", ram_needed_bytes=900)
    )
    assert (change.method, change.base, change.candidate) == ("none", 0, 900)
    assert not change.verdict.reason.startswith(MISSING)


# ---- what fits ----


@pytest.mark.parametrize(
    ("base", "candidate", "word"),
    [("ok", "ok", "same"), ("ok", "does_not_fit", "worse"), ("does_not_fit", "ok", "better"),
     ("does_not_fit", "does_not_fit", "same"), ("ok", "aborted", "not enough data")],
)  # fmt: skip
def test_fits(base, candidate, word):
    change = judge_change("fits", side([10], status=base), side([10], status=candidate, name="c"))
    assert change.verdict.word == word
    assert change.verdict.certain == (word != "not enough data")


def test_what_fits_at_times_does_not_fit():
    at_times = side([10, 10], name="c")
    at_times.runs["status"] = ["ok", "does_not_fit"]
    assert judge_change("fits", side([10]), at_times).verdict.word == "worse"


# ---- quality ----


def text(nlls, name="b", **columns) -> Side:
    runs = [run(f"{name}/0-0001", kind="score", prompt_id="eval", n_ctx=128, **columns)]
    return Side(frame("runs", runs), frame("tokens", scored(f"{name}/0-0001", nlls)))


def test_quality_is_judged_on_every_clock_by_the_text():
    nlls = [list(np.random.default_rng(i).uniform(0.5, 1.5, 8)) for i in range(20)]
    worse = [[v + 0.05 + 0.001 * (i % 3) for v in window] for i, window in enumerate(nlls)]
    for clock in ("fuel", "device_timer"):
        change = judge_change("perplexity", text(nlls, clock=clock), text(worse, "c", clock=clock))
        assert (change.method, change.verdict.word, change.n_base) == ("blocks of the text", "worse", 20)
        assert change.verdict.change == pytest.approx(math.expm1(0.051), abs=1e-3)
        assert change.candidate / change.base == pytest.approx(1 + change.verdict.change)
        assert not change.verdict.certain
    assert judge_change("perplexity", text(nlls), text(nlls, "c")).verdict.word == "same"


def test_a_text_that_is_scored_exactly_alike_is_the_same_however_short():
    change = judge_change("perplexity", text([[1.0, 2.0]]), text([[1.0, 2.0]], "c"))
    assert (change.verdict.word, change.verdict.certain) == ("same", True)


def test_a_short_text_is_not_enough():
    change = judge_change("perplexity", text([[1.0, 1.0]] * 9), text([[3.0, 3.0]] * 9, "c"))
    assert change.verdict.word == "not enough data"
    assert "9 blocks of the text are too few" in change.verdict.reason


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_an_infinite_nll_is_not_judged_and_said(bad):
    nlls = [[1.0, 1.0]] * 12
    change = judge_change("perplexity", text(nlls), text([[bad, 1.0], *nlls[1:]], "c"))
    assert (change.method, change.verdict.word) == ("none", "not enough data")
    assert "1 of 24 scored tokens of the candidate have no finite NLL" in change.verdict.reason


# ---- what is missing or unlike ----


@pytest.mark.parametrize("metric", [n for n, m in METRICS.items() if m.better])
def test_a_metric_without_inputs_says_what_it_needs(metric):
    runs = [run(f"{n}/0-0001", clock="device_timer", model_bytes=None, ram_needed_bytes=None, flash_needed_bytes=None,
                board_clock_hz=None) for n in "bc"]  # fmt: skip
    base, candidate = (Side(frame("runs", [r]), frame("tokens", [])) for r in runs)
    change = judge_change(metric, base, candidate)
    assert change.method == "none" and change.verdict.reason.startswith(MISSING)
    assert math.isnan(change.base) and math.isnan(change.verdict.change)


def test_unlike_sides_are_refused_with_every_reason():
    base, candidate = side([10], clock="fuel"), side([10], clock="cycles", n_prompt=4, name="c")
    with pytest.raises(NotComparableError) as error:
        judge_change(DECODE, base, candidate)
    assert "count different things (cycles, fuel)" in str(error.value)
    assert "other numbers of tokens (n_prompt 3 and 4)" in str(error.value)
    assert "--allow-unlike clock --allow-unlike tokens" in str(error.value)
    assert judge_change("model_bytes", base, candidate, allow=("clock", "tokens")).verdict.word == "same"
    with pytest.raises(NotComparableError, match="count different things") as error:
        judge_change("model_bytes", base, candidate, allow=("tokens",))
    assert "numbers of tokens" not in str(error.value)


def test_what_was_measured_in_pairs_may_be_two_files():
    base, candidate = paired(1, 12, 1.06)
    candidate.runs["model_sha256"] = "another"
    assert judge_change(DECODE, base, candidate).verdict.word == "worse"
    candidate.runs["pair"] = [f"t/{i}" for i in range(12)]
    with pytest.raises(NotComparableError, match="2 different files"):
        judge_change(DECODE, base, candidate)


def test_a_negative_value_is_not_judged():
    names = [f"s/{i}" for i in range(10)]
    falling = side([10] * 10, pairs=names)
    for i in range(10):
        mine = falling.tokens["run_id"] == f"b{i:03}/0-0001"
        decode = mine & (falling.tokens["phase"] == "decode")
        falling.tokens.loc[decode, "ticks"] = np.arange(900, 891, -1)
    change = judge_change("position_slope_ticks", falling, side([10] * 10, pairs=names, name="c"))
    assert change.method == "none" and "positive numbers" in change.verdict.reason


def test_empty_sides():
    nothing = Side(frame("runs", []), frame("tokens", []))
    for metric in (DECODE, "perplexity", "model_bytes", "fits"):
        change = judge_change(metric, nothing, nothing)
        assert (change.method, change.verdict.word) == ("none", "not enough data")


def test_an_unknown_metric_names_the_closest():
    with pytest.raises(UsageError, match="no metric 'perplexitty'. Did you mean 'perplexity'"):
        judge_change("perplexitty", side([1]), side([1]))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.5, 2), min_size=6, max_size=14), st.floats(0.5, 2))
def test_swapping_the_sides_swaps_the_words(ratios, common):
    names = [f"s/{i}" for i in range(len(ratios))]
    base = side([100_000] * len(ratios), pairs=names)
    candidate = side([100_000 * r * common for r in ratios], pairs=names, name="c")
    there, back = judge_change(DECODE, base, candidate), judge_change(DECODE, candidate, base)
    swapped = {"worse": "better", "better": "worse"}
    assert back.verdict.word == swapped.get(there.verdict.word, there.verdict.word)
    assert (1 + there.verdict.change) * (1 + back.verdict.change) == pytest.approx(1)


def test_passes_that_only_one_has_do_not_count():
    base, candidate = side([10], clock="fuel"), side([10], clock="fuel", name="c")
    late = (candidate.tokens["phase"] == "decode") & (candidate.tokens["position"] > 8)
    candidate.tokens.loc[late, "ticks"] = 1000
    longer = Side(candidate.runs, candidate.tokens)
    shorter = Side(base.runs, base.tokens[base.tokens["position"] <= 8])
    change = judge_change(DECODE, shorter, longer)
    assert change.verdict.reason == "exactly equal. Both have 66.7 % of the decode passes."
    assert change.compared == pytest.approx(6 / 9)
    assert judge_change(DECODE, base, longer).verdict.word == "worse"
