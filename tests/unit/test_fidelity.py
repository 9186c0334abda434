"""A run against its reference: known answers, what is refused, and what is missing."""

from __future__ import annotations

import math

import handmade
import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import edgeprof
from edgeprof import fidelity
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.fidelity import PAIR_METRICS, agreement
from edgeprof.schema import TABLES

TEXT = [[11, 12], [13, 14, 15]]
PROMPT = [1, 5, 6]
VOCABULARY = 4


def scoring(run_id, top1, text=TEXT):
    """Return an evaluation; ``top1`` is what it finds most probable of each scored token, window after window."""
    top1 = iter(top1)
    return [
        handmade.token(run_id, len(window) + at, "score", at, 1, window=w, scored=True, next_id=token, nll=1.0,
                       top1_id=next(top1))
        for w, window in enumerate(text)
        for at, token in enumerate(window)
    ]  # fmt: skip


def generating(run_id, said, prompt=PROMPT):
    """Return a generation: the prompt's end says the first token."""
    fed = [*prompt, *said[:-1]]
    coming = [*prompt[1:], *said]
    return [
        handmade.token(run_id, at, "prefill" if at < len(prompt) else "decode", at, 1, token_id=token, next_id=after)
        for at, (token, after) in enumerate(zip(fed, coming, strict=True))
    ]


def run(run_id, quant="Q4_0", **columns):
    bits = {"F16": 16.0}.get(quant, 4.5)
    return handmade.run(run_id, quant=quant, bits_per_weight=bits, sampler="greedy", n_prompt=len(PROMPT), **columns)


def score(run_id, quant="Q4_0", **columns):
    return run(run_id, quant, kind="score", **columns) | {"sampler": None, "n_prompt": 0}


class WithLogits:
    """A data set that has a table of logits, as a list of rows."""

    def __init__(self, dataset, rows):
        self.whole, self.rows, self.asked = dataset, rows, []

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def table(self, name, columns=None, where=None):
        if name != "logits":
            return self.whole.table(name, columns, where)
        self.asked.append((columns, where))
        frame = pd.DataFrame(self.rows, columns=["run_id", "window", "position", "first_id", "logits"])
        frame = frame.astype({"window": "int32", "position": "int32", "first_id": "int32"})
        frame = frame if where is None else frame[frame["run_id"] == where["run_id"]]
        return frame if columns is None else frame[columns]


def logits_of(run_id, values, text=TEXT):
    """Return rows of table ``logits``, each position in two pieces."""
    places = [(w, len(window) + at) for w, window in enumerate(text) for at in range(len(window))]
    return [
        (run_id, w, position, first, np.array(row[first : first + 2], np.float32))
        for (w, position), row in zip(places, values, strict=True)
        for first in range(0, VOCABULARY, 2)
    ]


@pytest.fixture
def logits_known(monkeypatch):
    monkeypatch.setitem(TABLES, "logits", TABLES.get("logits", ()))


def only(table):
    assert len(table) == 1
    return table.iloc[0]


def test_top1_agreement_is_over_scored_positions_of_both():
    runs = [score("c/0", "F16"), score("c/1")]
    tokens = scoring("c/0", [1, 2, 3, 4, 5]) + scoring("c/1", [1, 2, 9, None, 5])
    row = only(agreement(handmade.dataset(runs, tokens)))
    assert row["top1_agreement"] == 3 / 4
    assert (row["run_id"], row["reference_run_id"], row["reference_quant"]) == ("c/1", "c/0", "F16")
    assert (row["scored_tokens"], row["generated_tokens"], row["kl_tokens"]) == (5, 0, 0)
    assert set(row["missing"]) == {"first_divergence_token", "kl_mean"}
    assert "logits" in row["missing"]["kl_mean"]
    assert "generation" in row["missing"]["first_divergence_token"]
    # What one of them has alone does not count.
    part = [t for t in tokens if (t["run_id"], t["window"], t["position"]) != ("c/0", 1, 5)]
    assert only(agreement(handmade.dataset(runs, part)))["top1_agreement"] == 2 / 3
    none = [t | {"top1_id": None} for t in tokens]
    row = only(agreement(handmade.dataset(runs, none)))
    assert math.isnan(row["top1_agreement"])
    assert row["missing"]["top1_agreement"].startswith("needs top1_id")


SAID = [20, 21, 22, 23, 24]


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ([20, 21, 22, 23, 24], None),
        ([20, 21, 22, 23], None),
        ([99, 21, 22, 23, 24], 0),
        ([20, 21, 99, 98, 97], 2),
        ([20, 21, 22, 23, 99, 98, 97], 4),
        ([20, 21, 99, 23, 24], 2),
    ],
)
def test_the_first_token_that_differs(said, first):
    runs = [run("c/0", "F16"), run("c/1")]
    row = only(agreement(handmade.dataset(runs, generating("c/0", SAID) + generating("c/1", said))))
    assert row["generated_tokens"] == min(len(said), 5)
    if first is None:
        assert math.isnan(row["first_divergence_token"])
        assert "none does" in row["missing"]["first_divergence_token"]
    else:
        assert row["first_divergence_token"] == first
        assert "first_divergence_token" not in row["missing"]


def test_a_prompt_in_one_pass_says_the_first_token_as_well():
    runs = [run("c/0", "F16"), run("c/1")]
    batched = [
        handmade.token("c/1", 0, "prefill", 0, 9, token_id=1, next_id=20, n_batch=3),
        *generating("c/1", [20, 21, 99])[3:],
    ]
    assert only(agreement(handmade.dataset(runs, generating("c/0", SAID) + batched)))["first_divergence_token"] == 2


def test_what_was_lost_before_a_difference_makes_it_unknown():
    runs = [run("c/0", "F16"), run("c/1")]
    both = generating("c/0", SAID) + generating("c/1", [20, 21, 22, 99, 98])

    def without(position):
        left = [t for t in both if (t["run_id"], t["position"]) != ("c/1", position)]
        return only(agreement(handmade.dataset(runs, left)))

    assert without(6)["first_divergence_token"] == 3  # behind it: no matter
    for position, words in ((3, "some before it were lost"), (4, "some before it were lost"), (2, "whole prompt")):
        row = without(position)
        assert math.isnan(row["first_divergence_token"]), position
        assert words in row["missing"]["first_divergence_token"]


def test_with_a_sampler_there_is_no_first_difference():
    tokens = generating("c/0", SAID) + generating("c/1", [99, *SAID[1:]])
    for one, other in (("temperature", "greedy"), ("greedy", "temperature"), (None, "greedy")):
        runs = [run("c/0", "F16") | {"sampler": one}, run("c/1") | {"sampler": other}]
        row = only(agreement(handmade.dataset(runs, tokens)))
        assert math.isnan(row["first_divergence_token"])
        assert "greedy" in row["missing"]["first_divergence_token"]


@pytest.mark.usefixtures("logits_known")
def test_kl_is_of_the_reference_from_the_run_over_positions_both_have():
    runs = [score("c/0", "F16"), score("c/1")]
    plain = handmade.dataset(runs, scoring("c/0", [1] * 5) + scoring("c/1", [1] * 5))
    reference, other = np.random.default_rng(1).normal(size=(2, 5, VOCABULARY)).astype(np.float32)
    wanted = stats.entropy(special.softmax(reference.astype(float), 1), special.softmax(other.astype(float), 1), axis=1)
    rows = logits_of("c/0", reference) + logits_of("c/1", other)
    dataset = WithLogits(plain, rows)
    row = only(agreement(dataset))
    assert row["kl_mean"] == pytest.approx(wanted.mean(), rel=1e-9)
    assert row["kl_tokens"] == 5
    assert "kl_mean" not in row["missing"]
    assert [w for _, w in dataset.asked if w is not None and w["quant"] == "F16"] != []
    # A piece that was lost leaves the position out, whichever run it is of.
    for lost, left in ((0, [1, 2, 3, 4]), (len(rows) - 1, [0, 1, 2, 3])):
        row = only(agreement(WithLogits(plain, rows[:lost] + rows[lost + 1 :])))
        assert row["kl_mean"] == pytest.approx(wanted[left].mean(), rel=1e-9)
        assert row["kl_tokens"] == 4
    # So does a position that was not scored.
    unscored = [t | {"scored": (t["window"], t["position"]) != (0, 2)} for t in scoring("c/1", [1] * 5)]
    row = only(agreement(WithLogits(handmade.dataset(runs, scoring("c/0", [1] * 5) + unscored), rows)))
    assert row["kl_mean"] == pytest.approx(wanted[1:].mean(), rel=1e-9)


@pytest.mark.usefixtures("logits_known")
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (logits_of("c/0", np.zeros((5, 4))), "logits of both runs"),
        (logits_of("c/0", np.zeros((5, 4))) + logits_of("c/1", np.zeros((5, 4)))[::2], "6 positions|vocabulary"),
        (logits_of("c/0", np.zeros((5, 4))) + logits_of("c/1", np.full((5, 4), np.nan)), "numbers: at 5 of 5"),
        ([], "logits of both runs"),
    ],
    ids=["one has none", "pieces", "nan", "none"],
)
def test_why_there_is_no_divergence(rows, words):
    runs = [score("c/0", "F16", model_sha256="00"), score("c/1", model_sha256="00")]
    vocab = [{"capture_id": "c", "model_sha256": "00", "token_id": n, "piece": f"t{n}"} for n in range(VOCABULARY)]
    dataset = handmade.dataset(runs, scoring("c/0", [1] * 5) + scoring("c/1", [1] * 5), vocab=vocab)
    row = only(agreement(WithLogits(dataset, rows)))
    assert math.isnan(row["kl_mean"])
    assert pd.Series([row["missing"]["kl_mean"]]).str.contains(words).all(), row["missing"]["kl_mean"]


@pytest.mark.usefixtures("logits_known")
def test_what_the_run_thinks_impossible_is_infinitely_far():
    runs = [score("c/0", "F16"), score("c/1")]
    values = np.zeros((5, 4))
    values[2, 1] = -np.inf
    dataset = handmade.dataset(runs, scoring("c/0", [1] * 5) + scoring("c/1", [1] * 5))
    rows = logits_of("c/0", np.zeros((5, 4))) + logits_of("c/1", values)
    assert only(agreement(WithLogits(dataset, rows)))["kl_mean"] == math.inf


def vocabulary(capture, *pieces):
    return [{"capture_id": capture, "model_sha256": "00", "token_id": n, "piece": p} for n, p in enumerate(pieces)]


UNLIKE = {
    "another model": ({"model": "other"}, generating("d/1", SAID), "another model: 'other' here, 'm' in the reference"),
    "no model": ({"model": None}, generating("d/1", SAID), "another model"),
    "another prompt": (
        {},
        generating("d/1", SAID, [1, 5, 7]),
        "another prompt at position 2: 'token 7' here, 'token 6'",
    ),
    "a longer prompt": ({"n_prompt": 4}, generating("d/1", SAID, [1, 5, 6, 7]), "another prompt: '4 tokens'"),
    "another vocabulary": ({"capture_id": "e"}, generating("d/1", SAID), "another vocabulary: 2 tokens"),
    "no such text": ({"prompt_id": "q"}, generating("d/1", SAID), "no reference run has this text"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_unlike_is_refused_with_the_reason(name):
    columns, tokens, words = UNLIKE[name]
    alike = [run("c/0", "F16"), run("d/0")]
    vocab = vocabulary("c", "a", "b") + vocabulary("d", "a", "b") + vocabulary("e", "a", "x")
    rows = generating("c/0", SAID) + generating("d/0", SAID) + tokens
    table = agreement(handmade.dataset([*alike, run("d/1") | columns], rows, vocab=vocab), "F16").set_index("run_id")
    assert pd.isna(table.loc["d/0", "refused"])
    assert words in table.loc["d/1", "refused"]
    assert table.loc["d/1", list(PAIR_METRICS)].isna().all()
    with pytest.raises(NotComparableError, match="No run in hand is like its reference"):
        agreement(
            handmade.dataset([alike[0], run("d/1") | columns], generating("c/0", SAID) + tokens, vocab=vocab), "F16"
        )


def test_another_text_is_refused_at_the_place_where_it_differs():
    runs = [score("c/0", "F16"), score("c/1"), score("c/2")]
    other = scoring("c/1", [1] * 5, [[11, 12], [13, 99, 15]])
    elsewhere = [t | {"window": t["window"] + 7} for t in scoring("c/2", [1] * 5)]
    with pytest.raises(NotComparableError, match="another text at position 4 of window 1: 'token 99' here, 'token 14'"):
        agreement(handmade.dataset(runs[:2], scoring("c/0", [1] * 5) + other))
    with pytest.raises(NotComparableError, match="another text: '5 scored, from position 2 of window 7'"):
        agreement(handmade.dataset([runs[0], runs[2]], scoring("c/0", [1] * 5) + elsewhere))


def test_the_reference_is_of_the_same_board_or_else_of_another():
    runs = [
        run("c/0", "F16", board="a"), run("c/1", "F16", board="b"), run("c/2", board="b"), run("c/3", board="c"),
        run("c/4", "Q8_0", board="b"),
    ]  # fmt: skip
    tokens = [t for r in runs for t in generating(r["run_id"], SAID)]
    table = agreement(handmade.dataset(runs, tokens)).set_index("run_id")
    assert table["reference_run_id"].to_dict() == {"c/2": "c/1", "c/3": "c/0", "c/4": "c/1"}
    assert table.loc["c/3", "reference_board"] == "a"
    named = agreement(handmade.dataset(runs, tokens), {"quant": "F16", "board": "a"}).set_index("run_id")
    assert set(named["reference_run_id"]) == {"c/0"}
    assert "c/1" in named.index


def test_a_reference_that_is_not_there_is_named():
    dataset = handmade.dataset([run("c/0", "F16"), run("c/1")], generating("c/0", SAID) + generating("c/1", SAID))
    with pytest.raises(UsageError, match="'F61'. Did you mean 'F16'"):
        agreement(dataset, "F61")
    with pytest.raises(UsageError, match="'qaunt'. Did you mean 'quant'"):
        agreement(dataset, {"qaunt": "F16"})
    with pytest.raises(UsageError, match="empty choice"):
        agreement(dataset, {})


@pytest.mark.parametrize("runs", [[], [run("c/0")], [run("c/0"), run("c/1", status="aborted")]], ids=len)
def test_without_two_runs_there_is_nothing_to_compare(runs):
    with pytest.raises(NotComparableError, match="nothing to compare with a reference"):
        agreement(handmade.dataset(runs))


@pytest.mark.slow
def test_what_a_device_calls_itself_does_no_harm():
    for hostile in handmade.HOSTILE:
        runs = [run("c/0", "F16"), run("c/1", model=hostile)]
        dataset = handmade.dataset(runs, generating("c/0", SAID) + generating("c/1", SAID))
        with pytest.raises(NotComparableError) as caught:
            agreement(dataset, "F16")
        assert not handmade.harmful(str(caught.value))


def test_it_is_what_edgeprof_exports():
    assert edgeprof.agreement is fidelity.agreement


@pytest.mark.slow
def test_of_the_reference_data():
    """A quantization of more bits agrees more, and what is the same file on another board agrees in everything."""
    table = agreement(edgeprof.open(edgeprof.reference()), "F16")
    scored = table.dropna(subset=["top1_agreement"]).set_index("quant")["top1_agreement"]
    assert scored["F32"] == 1
    assert scored["Q8_0"] > scored["Q4_0"] > scored["Q2_K"] > scored["TQ2_0"]
    exact = edgeprof.open(edgeprof.reference())
    boards = agreement(exact, {"quant": "Q4_0", "board": "wasm"})
    same = boards[(boards["quant"] == "Q4_0") & (boards["kind"] == "generate")]
    assert len(same) > 5
    assert all("none does" in said["first_divergence_token"] for said in same["missing"])
    assert same["refused"].isna().all()
