"""The judge of base against head, on times of pairs."""

from __future__ import annotations

import json

import pytest
from benchmarks import regression, turns
from benchmarks.regression import Result, exact_results, exit_code, judge_pairs

# Made up, with the noise of a quiet machine: seconds of ten pairs of one and the same package.
BASE = (0.0412, 0.0398, 0.0405, 0.0421, 0.0401, 0.0399, 0.0410, 0.0437, 0.0403, 0.0400)
HEAD = (0.0409, 0.0402, 0.0400, 0.0415, 0.0411, 0.0397, 0.0404, 0.0418, 0.0408, 0.0396)


def pairs(factor: float, n: int = 10) -> list[tuple[dict[str, float], dict[str, float]]]:
    return [({"decode": base}, {"decode": factor * head}) for base, head in zip(BASE[:n], HEAD[:n], strict=True)]


@pytest.mark.parametrize(
    ("factor", "verdict", "code"),
    [(1.0, "same", 0), (1.2, "worse", 1), (0.8, "better", 0), (1.05, "same", 0), (1.10, "not enough data", 0)],
    ids=["no change", "a fifth slower", "a fifth faster", "5 % slower", "on the limit"],
)
def test_a_change_is_judged_by_ten_percent(factor, verdict, code):
    (result,), new = judge_pairs(pairs(factor))
    assert (result.verdict, new) == (verdict, [])
    assert result.low <= factor <= result.high
    assert result.ratio == pytest.approx(factor, rel=0.01)
    assert (result.clock, result.exact) == ("cpu", False)
    assert exit_code([result], 0) == code


def test_too_few_pairs_say_nothing():
    (result,), _ = judge_pairs(pairs(1.5, n=4))
    assert (result.verdict, result.ratio, result.low, result.high) == ("not enough data", None, None, None)


def test_what_only_head_can_run_is_new():
    measured = [(base, head | {"other": 1.0}) for base, head in pairs(1.0)]
    results, new = judge_pairs(measured)
    assert ([result.name for result in results], new) == (["decode"], ["other"])


def test_a_benchmark_that_base_lost_once_has_a_pair_less():
    measured = pairs(1.0)
    measured[3] = ({}, measured[3][1])
    (result,), new = judge_pairs(measured)
    assert (result.verdict, new) == ("same", [])


@pytest.mark.parametrize("lost", [0, 9], ids=["first", "last"])
def test_a_head_that_cannot_run_its_benchmarks_is_no_pass(lost):
    measured = pairs(1.0)
    measured[lost] = (measured[lost][0], {})
    with pytest.raises(RuntimeError, match="nox -s benchmarks"):
        judge_pairs(measured)


class Scripted:
    """The connection of a side whose benchmarks take what they are told; it writes down whose turn it was."""

    def __init__(self, name, seconds, order):
        self.name, self.left, self.order = name, list(seconds.items()), order
        self.answers = []
        self.come()

    def come(self):
        if self.left:
            self.answers.append(("ready", self.left[0][0]))

    def send(self, calls):
        if calls is None:
            self.left.pop(0)
            self.come()
        else:
            self.order.append(self.name)
            self.answers.append(self.left[0][1])

    def recv(self):
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)


def test_sides_take_turns_in_random_order_and_each_keeps_its_place():
    order = []
    base, head = Scripted("base", {"a": 0.03, "b": 0.2}, order), Scripted("head", {"a": 0.06, "b": 0.1}, order)
    measured = turns.hand_out(base, head, ["a", "b"], 5, seed=1)
    assert measured == [({"a": 0.03, "b": 0.2}, {"a": 0.06, "b": 0.1})] * 5
    first, second = order[2::2], order[3::2]  # after the rounds by which it is decided how many there are
    assert 0.2 < first.count("base") / len(first) < 0.8
    assert order.count("base") == order.count("head")
    assert all({x, y} == {"base", "head"} for x, y in zip(first, second, strict=True))


def test_what_a_side_cannot_run_does_not_hold_up_the_other():
    base, head = Scripted("base", {"b": 0.2}, []), Scripted("head", {"a": 0.1, "b": 0.1}, [])
    measured = turns.hand_out(base, head, ["a", "b"], 2, seed=1)
    assert measured == [({"b": 0.2}, {"a": 0.1, "b": 0.1})] * 2
    nothing, all_of_it = Scripted("base", {}, []), Scripted("head", {"a": 0.1}, [])
    assert turns.hand_out(nothing, all_of_it, ["a"], 1, seed=1) == [({}, {"a": 0.1})]


def test_a_benchmark_that_fails_in_the_middle_is_no_time():
    base, head = Scripted("base", {"a": 0.1}, []), Scripted("head", {"a": ("ready", "b")}, [])
    with pytest.raises(RuntimeError, match="failed in the middle"):
        turns.hand_out(base, head, ["a", "b"], 1, seed=1)


def test_costs_on_an_exact_clock_are_judged_by_their_numbers():
    check = {
        "board": "wasm", "model": "m", "quant": "Q4_0", "better": "lower", "base_value": 100.0, "certain": True,
    }  # fmt: skip
    gated = {
        "checks": [
            check | {"metric": "decode_ticks_per_token", "candidate_value": 111.0},
            check | {"metric": "ttft_ticks", "candidate_value": 109.0},
            check | {"metric": "model_bytes", "candidate_value": 500.0},
            check | {"metric": "itl_p95_ticks", "candidate_value": None, "base_value": None},
        ]
    }
    found = {result.name: (result.verdict, result.ratio, result.clock) for result in exact_results(gated)}
    assert found == {
        "wasm m Q4_0 decode_ticks_per_token": ("worse", 1.11, "fuel"),
        "wasm m Q4_0 ttft_ticks": ("same", 1.09, "fuel"),
    }


@pytest.mark.parametrize(
    ("exact", "statistical", "gated", "code"),
    [
        ("same", "same", 0, 0), ("same", "not enough data", 0, 0), ("worse", "same", 0, 1), ("same", "worse", 0, 1),
        ("same", "same", 1, 1), ("same", "same", 2, 2), ("same", "worse", 2, 1), ("same", None, 0, 2),
    ],
)  # fmt: skip
def test_the_exit_code_tells_what_became_of_it(exact, statistical, gated, code):
    made = [Result("a", "fuel", True, 1.0, 1.0, 1.0, exact, "")]
    if statistical:
        made.append(Result("b", "cpu", False, 1.0, 1.0, 1.0, statistical, ""))
    assert exit_code(made, gated) == code


def test_reports_are_what_the_quality_gate_reads():
    (result,), _ = judge_pairs(pairs(1.0))
    said = json.loads(json.dumps(regression.asdict(result)))
    assert {"name", "clock", "exact", "ratio", "low", "high", "verdict"} <= said.keys()
