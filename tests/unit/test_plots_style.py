"""The palettes: enough contrast for everybody, and colours that colour-blind readers can tell apart."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb

from edgeprof import plots
from edgeprof.errors import UsageError
from edgeprof.plots import style

mpl.use("Agg")
TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.2, success criteria 1.4.3 and 1.4.11
APART = 8.0  # hundredths in Oklab; 7.6 is what Okabe and Ito's own palette has at worst
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
OKLAB = (
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]],
    [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.808675766]],
)  # fmt: skip
both = pytest.mark.parametrize("name", style.LOOKS)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def oklab(colour: str, vision: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    return np.array(OKLAB[1]) @ np.cbrt(np.array(OKLAB[0]) @ seen)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("white", "black", 21), ("white", "white", 1), ("#777777", "#FFFFFF", 4.48), ("#FF0000", "#FFFFFF", 4.0)],
)
def test_contrast_is_that_of_the_standard(one, other, ratio):
    assert style.contrast(one, other) == pytest.approx(style.contrast(other, one)) == pytest.approx(ratio, abs=0.005)


@both
def test_text_can_be_read(name):
    look = style.LOOKS[name]
    for colour in (look.text, look.muted, look.over, look.grey, *look.inks):
        assert style.contrast(colour, look.background) >= TEXT, colour
    for ground, colour in itertools.product((look.band, look.blank), (look.text, look.muted)):
        assert style.contrast(colour, ground) >= TEXT, colour


@both
def test_lines_and_markers_can_be_seen(name):
    look = style.LOOKS[name]
    for colour in (look.text, look.muted, look.grey, look.over, *look.colours):
        assert style.contrast(colour, look.background) >= GRAPHIC, colour
    for colour in (look.muted, look.text, look.colours[0], look.colours[1]):  # changes are drawn on the band
        assert style.contrast(colour, look.band) >= GRAPHIC, colour


@both
@pytest.mark.parametrize("vision", VISION)
def test_colours_can_be_told_apart(name, vision):
    for one, other in itertools.combinations(style.LOOKS[name].colours, 2):
        assert 100 * np.linalg.norm(oklab(one, vision) - oklab(other, vision)) >= APART, (one, other)


@both
def test_an_ink_is_its_colour_darker_or_lighter(name):
    look = style.LOOKS[name]
    for colour, ink in zip(look.colours, look.inks, strict=True):
        assert np.linalg.norm(oklab(colour, "usual") - oklab(ink, "usual")) < 0.16
        assert style.contrast(ink, look.background) >= style.contrast(colour, look.background)
    with style.use(name):
        assert style.ink(look.colours[3]) == look.inks[3]
        assert style.ink("#123456") == "#123456"


def test_on_any_colour_text_can_be_read():
    for colour in itertools.product(np.linspace(0, 1, 9), repeat=3):
        assert style.contrast(style.on(colour), colour) >= TEXT


def test_a_look_lasts_as_long_as_it_is_used():
    before, colour = style.look(), mpl.rcParams["text.color"]
    with plots.use("dark") as dark:
        assert style.look() is dark is style.LOOKS["dark"]
        with plots.use("light"):
            assert style.look() is style.LOOKS["light"]
        assert mpl.rcParams["text.color"] == dark.text
    assert style.look() is before and mpl.rcParams["text.color"] == colour


def test_an_error_ends_it_too():
    with pytest.raises(ZeroDivisionError), plots.use("dark"):
        raise ZeroDivisionError
    assert style.look() is style.LOOKS["light"]


def test_an_unknown_look_is_answered_with_the_closest():
    with pytest.raises(UsageError, match="'dark'"), plots.use("dakr"):
        pass


def test_ticks_that_are_made_later_keep_their_colour():
    with plots.use("dark") as dark:
        ax = plots.plot_passes(pd.DataFrame({"position": [0, 1], "phase": "decode", "ticks": [1e6, 2e6]}))
    ax.set_xlim(0, 500)
    ax.figure.canvas.draw()
    assert {to_hex(t.label1.get_color()).upper() for t in ax.xaxis.get_major_ticks()} == {dark.text}
    assert {to_hex(t.tick1line.get_color()).upper() for t in ax.xaxis.get_major_ticks()} == {dark.text}


def test_a_style_of_the_user_s_own_stays():
    with mpl.rc_context({"xtick.labelcolor": "#113355"}):
        ax = plots.plot_passes(pd.DataFrame({"position": [0, 1], "phase": "decode", "ticks": [1e6, 2e6]}))
    ax.figure.canvas.draw()
    assert {t.label1.get_color() for t in ax.xaxis.get_major_ticks()} == {"#113355"}
