"""What the monitor makes of a journal: held against what the data set says of the same bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakeboard import PAIRS, FakeBoard, make_capture

import edgeprof
from edgeprof.layout import CAPTURE_JSON, write_json
from edgeprof.metrics import itl_ticks
from edgeprof.monitor import session
from edgeprof.monitor.bins import Bins
from edgeprof.monitor.strips import Strip, StripFigure
from edgeprof.monitor.watch import Watch
from edgeprof.plots.style import look
from edgeprof.seal import load_capture, seal


def stream(*, runs=1, hz=None, drop=(), text=b""):
    """Return what a board sends: a pass a frame, some of which are lost."""
    frames: list[bytes] = []
    board = FakeBoard(frames.append, pairs=PAIRS | ({"tick_hz": hz} if hz else {}))
    board.hello()
    for run in range(runs):
        board.begin(kind="generate", prompt_id=f"p{run}", n_prompt=2, n_generate=15)
        board.tokens(0, 2, 0)
        for position in range(2, 16):
            board.tokens(position, 1, 1)
            if position in drop:
                frames.pop()
        frames.append(text)
        board.end(0, 2, 15)
    return b"".join(frames)


def watched(folder):
    watch = Watch(folder)
    while watch.look():
        pass
    return watch


def itl(watch):
    _, count, mean, least, most = watch.ports[0].itl.series(2.0)
    (at,) = np.flatnonzero(count)
    return count[at], mean[at], least[at], most[at]


@pytest.mark.parametrize("drop", [(), range(3, 12), (15,)])
def test_itl_is_the_data_set_s_where_frames_are_lost(tmp_path, drop):
    folder = make_capture(tmp_path, "c", [stream(drop=drop)])
    watch = watched(folder)
    watch.close()
    seal(folder, final=True)
    true = itl_ticks(edgeprof.open(tmp_path).tokens)
    assert itl(watch) == (len(true), pytest.approx(true.mean()), true.min(), true.max())
    assert true.max() < 200  # none across the gap


def test_a_clock_of_absurd_rate_is_drawn(tmp_path):
    watch = watched(make_capture(tmp_path, "c", [stream(hz="1e-307")]))
    watch.close()
    port = watch.ports[0]
    assert port.hz == 1e-307 and port.totals.passes == 16
    figure = StripFigure(["ITL"], look())
    assert figure.png([Strip("ITL", port.itl, 1e3)], 2.0).startswith(b"\x89PNG")


@pytest.mark.parametrize("value", [1e307, 1e99, 1e-320, 5e-324, 0.0])
def test_any_value_is_drawn(value):
    bins = Bins()
    bins.add(np.full(1000, 0.5), value)
    figure = StripFigure(["current"], look())
    for scale in (1e3, 1e-3):
        assert figure.png([Strip("current", bins, scale)], 2.0).startswith(b"\x89PNG")


def test_all_figures_count_from_the_begin_whatever_is_sealed(tmp_path):
    folder = make_capture(tmp_path, "c", [stream(runs=3, text=b"a line\n"), stream(runs=5, text=b"one\ntwo\n")])
    before = watched(folder)
    before.close()
    seal(folder)
    after = watched(folder)
    after.close()
    assert [p.totals for p in after.ports] == [p.totals for p in before.ports]
    assert [(p.totals.passes, p.totals.runs, p.totals.lines) for p in after.ports] == [(48, 3, 3), (80, 5, 10)]

    alone = make_capture(tmp_path, "d", [stream(runs=3, text=b"a line\n")])
    seal(alone)
    watch = watched(alone)
    watch.close()
    assert watch.ports[0].totals == before.ports[0].totals


def test_pieces_are_those_of_the_run_s_model(tmp_path):
    folder = make_capture(tmp_path, "c", [stream()], facts={"model_sha256": "b" * 64})
    vocab = {"a" * 64: [f"wrong{n} " for n in range(99)], "b" * 64: [f"right{n} " for n in range(99)]}
    write_json(folder / CAPTURE_JSON, load_capture(folder) | {"vocab": vocab})
    watch = watched(folder)
    watch.close()
    assert "right5 " in watch.ports[0].text and "wrong" not in watch.ports[0].text
    del vocab["b" * 64]
    write_json(folder / CAPTURE_JSON, json.loads((folder / CAPTURE_JSON).read_text()) | {"vocab": vocab})
    watch = watched(folder)
    watch.close()
    assert "[5]" in watch.ports[0].text and "wrong" not in watch.ports[0].text


def test_a_slow_look_makes_the_next_one_later_but_not_without_end():
    assert [session.pause_after(cost) for cost in (0.0, 0.01, 0.2, 0.8, 30.0)] == [0.25, 0.25, 1.0, 4.0, 5.0]
