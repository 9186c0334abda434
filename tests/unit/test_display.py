"""Text from a device reaches a terminal, a page and a plot as text and as nothing else."""

from __future__ import annotations

import html

import handmade
import matplotlib as mpl
import pandas as pd
import pytest
from handmade import Tags, harmful
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import cbook

from edgeprof import display

mpl.use("Agg")
ANYTHING = st.text(max_size=200) | st.sampled_from(handmade.HOSTILE)
SURROGATES = st.text(st.characters(codec=None), max_size=200)  # these no table can hold


@pytest.mark.slow
@given(ANYTHING | SURROGATES, st.integers(min_value=1, max_value=100))
def test_no_control_character_reaches_a_terminal(text, longest):
    clean = display.terminal_text(text, longest)
    assert harmful(clean) == []
    assert len(clean) <= longest
    clean.encode()  # surrogates would not
    if len(text) <= longest:
        assert len(clean) == len(text)
        assert all(b in (a, "�") for a, b in zip(text, clean, strict=True))


def test_ordinary_text_is_left_alone():
    for text in ("Q4_0 · fable-1.2m", "Größe 2 µA", "日本", "a\\b$c"):
        assert display.terminal_text(text) == text


def test_what_is_cut_says_so():
    assert display.terminal_text("n" * 300) == "n" * 79 + "…"
    assert display.terminal_text("n" * 80) == "n" * 80


@pytest.mark.slow
@given(ANYTHING)
def test_html_text_has_no_markup(text):
    page = display.html_text(text)
    assert not set("<>\"'") & set(page)
    assert html.unescape(page) == display.terminal_text(text)


@given(st.lists(st.tuples(ANYTHING, ANYTHING), min_size=1, max_size=4), ANYTHING)
def test_tables_have_the_rows_and_tags_that_were_meant(rows, caption):
    frame = pd.DataFrame(rows, columns=["name", "value"])
    shown = display.Table(frame, caption)
    lines = repr(shown).split("\n")
    assert harmful(repr(shown).replace("\n", "")) == []
    assert len(lines) == 2 + len(rows) + bool(caption)
    page = Tags(shown._repr_html_())
    assert page.tags.count("tr") == 1 + len(rows)
    assert page.tags.count("td") == 2 * len(rows)
    assert set(page.tags) <= {"div", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert page.attributes <= {"style", "class"}
    assert harmful("".join(page.texts).replace("\n", "")) == []


def test_a_hostile_header_is_escaped_too():
    for name in handmade.HOSTILE:
        shown = display.Table(pd.DataFrame({name: ["1"]}))
        assert harmful(repr(shown).replace("\n", "")) == []
        assert set(Tags(shown._repr_html_()).tags) == {"div", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_table_in_a_terminal_is_aligned():
    frame = pd.DataFrame({"quant": ["F16", "Q8_0"], "cost": ["1.00×", "–"], "note": ["same", "x" * 100]})
    assert repr(display.Table(frame, "three words")).split("\n") == [
        "quant   cost  note",
        "-----  -----  " + "-" * 80,
        "F16    1.00×  same",
        "Q8_0       –  " + "x" * 79 + "…",
        "three words",
    ]


def test_an_empty_table_says_none():
    assert repr(display.Table(pd.DataFrame())) == "(none)"
    assert repr(display.Table(pd.DataFrame({"a": []}))) == "(none)"
    assert "<table>" in display.Table(pd.DataFrame({"a": []}))._repr_html_()


@given(ANYTHING)
def test_a_label_in_a_plot_is_no_formula_and_is_not_hidden(text):
    label = display.mpl_text(text)
    assert not cbook.is_math_text(label)
    assert not label.startswith("_")
    # matplotlib shows `\$` as `$`, and everything else as it stands.
    assert label.replace(r"\$", "$").lstrip("\u200a") == display.terminal_text(text, 40).lstrip("\u200a")


@pytest.mark.parametrize("name", handmade.HOSTILE)
def test_the_hostile_names_are_hostile(name):
    """The list above is worth its tests: each name does harm where nothing is done about it."""
    assert (
        harmful(name)
        or html.escape(name) != name
        or name.startswith("_")
        or cbook.is_math_text(name)
        or cbook.is_math_text(f"{name}$")
        or len(name) > display.LONGEST
    )
