"""Runs as people read them, and the text that a run generated."""

from __future__ import annotations

import handmade
import pytest
from handmade import Tags, dataset, generated, harmful, run, scored

from edgeprof import measure, runs
from edgeprof.display import Table
from edgeprof.errors import NotComparableError

PIECES = ["<s>", "▁Once", "▁upon", "<0x0A>", "<0xC3>", "<0xA9>", "!"]


def vocabulary(sha: str = "00") -> list[dict[str, object]]:
    return [{"capture_id": "c", "model_sha256": sha, "token_id": i, "piece": p} for i, p in enumerate(PIECES)]


def told(ids: list[int]) -> list[dict[str, object]]:
    """A prompt of two tokens, then these: the last prefill pass samples the first one."""
    tokens = generated("c/0-0001", n_prompt=2, ticks=[20] * (len(ids) - 1))
    return [t | {"next_id": i} for t, i in zip(tokens, [0, *ids], strict=True)]


def test_runs_as_people_read_them():
    ds = dataset(
        [run("c/0-0001", passes_received=12), run("c/0-0002", kind="score", prompt_id="eval", frames_lost=2),
         run("d/0-0001", quant=None, status=None, frames_lost=None)],
        generated("c/0-0001", ticks=[2000] * 9) + scored("c/0-0002", [[1.0, 3.0]]),
    )  # fmt: skip
    table = runs.formatted(measure(ds)).to_dict("records")
    assert table[0] == {
        "run": "0-0001", "board": "toy", "model": "m", "quant": "F16", "prompt": "p",
        "kind": "generate",
        "status": "ok", "passes": "12", "frames lost": "0", "prefill [tick/token]": "10.0",
        "decode [tick/token]": "2.00 k", "TTFT [tick]": "30.0", "ITL p95 [tick]": "2.00 k", "perplexity": "–",
    }  # fmt: skip
    assert (table[1]["perplexity"], table[1]["decode [tick/token]"], table[1]["frames lost"]) == ("7.3891", "–", "2")
    assert (table[2]["quant"], table[2]["status"], table[2]["frames lost"]) == ("–", "–", "–")


def test_no_runs_are_no_rows():
    assert runs.formatted(measure(dataset([]))).empty


@pytest.mark.parametrize("name", handmade.HOSTILE)
def test_hostile_names_stay_in_their_cells(name):
    ds = dataset([run(board=name, model=name, quant=name, prompt_id=name, kind=name)], generated())
    shown = Table(runs.formatted(measure(ds)))
    assert len(repr(shown).split("\n")) == 3
    assert harmful(repr(shown).replace("\n", "")) == []
    assert set(Tags(shown._repr_html_()).tags) == {"div", "table", "thead", "tbody", "tr", "th", "td"}


def test_the_text_of_a_run():
    ds = dataset([run("c/0-0001")], told([1, 2, 3, 4, 5, 6]), vocab=vocabulary())
    assert runs.generated_text(ds, "c/0-0001").strip().startswith("Once upon\n")
    assert runs.generated_text(ds, "c/0-0001").endswith("!")


def test_an_unknown_token_is_left_out():
    ds = dataset([run("c/0-0001")], told([1, 999, 6]), vocab=vocabulary())
    assert runs.generated_text(ds, "c/0-0001").strip() == "Once!"


def test_text_that_cannot_be_had():
    ds = dataset([run("c/0-0001")], told([1]), vocab=vocabulary("of another model"))
    with pytest.raises(NotComparableError, match="vocabulary of run 'c/0-0001' is not in hand"):
        runs.generated_text(ds, "c/0-0001")
    with pytest.raises(NotComparableError, match="no run 'c/0-0009'"):
        runs.generated_text(ds, "c/0-0009")
