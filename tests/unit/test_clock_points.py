"""Clock fits of whole captures: from frames and their times to a row of ``captures``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakeboard import PAIRS, FakeBoard

import edgeprof
from edgeprof import journal, wire
from edgeprof.capture import Source, prepare
from edgeprof.clock_points import fits, rate_of
from edgeprof.layout import CAPTURE_JSON, write_json
from edgeprof.redecode import redecode
from edgeprof.seal import load_manifests, seal

HZ, PPM = 1_000_000, 80.0


def captured(out: Path, *, hz: int | None = HZ, seconds: int = 120, segments: int = 1, frames: str = "all") -> Path:
    """Write a capture of a board whose clock runs fast, over a line that is late by up to a millisecond."""
    folder = prepare(out, [Source("loop://", "b")], [], host_label=None, capture_id="c", extra={})
    header = json.loads((folder / CAPTURE_JSON).read_text())
    write_json(folder / CAPTURE_JSON, header | {"monotonic_start_ns": 0})
    rng, writer = np.random.default_rng(3), journal.PortWriter(folder, 0, piece_bytes=20_000)
    now = 0.0
    last = 0

    def send(data: bytes) -> None:
        nonlocal last
        last = max(last, int((now + rng.uniform(0, 1e-3)) * 1e9))
        writer.append(data, last)

    board = FakeBoard(send, pairs=PAIRS | ({"tick_hz": str(hz)} if hz else {}))
    board.hello()
    board.begin(kind="generate", prompt_id="a")
    for step in range(seconds * 10):
        now = 1 + step / 10
        if segments > 1 and step and step % (seconds * 10 // segments) == 0:
            seal(folder)
        board.now = int(now * HZ * (1 + PPM * 1e-6))
        if frames == "all":
            board.frame(wire.Type.HEARTBEAT, in_run=False)
        elif frames == "tokens":
            board.now -= 110  # the pass that ends now
            board.tokens(0, 1, 1)
        else:
            samples = np.zeros(10, "<u2").tobytes()
            body = wire.POWER.pack(1, 3300, 0) + samples
            board.frame(wire.Type.POWER, body, 10, t0=board.now - 1000, dt=100, in_run=False)
    board.end()
    writer.close()
    seal(folder, final=True)
    return folder


def fit_of(out: Path) -> dict[str, Any]:
    (fit,) = json.loads(edgeprof.open(out).captures["clock_fit"][0])
    return fit


@pytest.mark.parametrize("frames", ["all", "tokens", "power"])
def test_a_capture_knows_how_the_clocks_lie(tmp_path: Path, frames: str) -> None:
    captured(tmp_path, frames=frames)
    fit, row = fit_of(tmp_path), edgeprof.open(tmp_path).captures.iloc[0]
    assert fit["rate_ppm"] == pytest.approx(PPM, abs=1.0)
    assert fit["method"] == "hull"
    assert (fit["port"], fit["boot"], fit["tick_hz"]) == (0, 7, HZ)
    assert fit["span_s"] == pytest.approx(120, abs=0.5)
    assert 0 < row["clock_error_us"] == fit["error_us"] < 100
    # Ticks of two minutes, on the host's clock: late by the line's smallest delay, and by no more than that error.
    x, y = np.array(fit["ticks"]), np.array(fit["host_ns"])
    truth = x / HZ / (1 + PPM * 1e-6) * 1e9
    assert np.abs(y - truth).max() < 150_000


def test_segments_change_the_points_and_hardly_the_fit(tmp_path: Path) -> None:
    captured(tmp_path / "one")
    captured(tmp_path / "six", segments=6)
    assert len(load_manifests(tmp_path / "six/capture=c")) == 6
    one, six = fit_of(tmp_path / "one"), fit_of(tmp_path / "six")
    assert six["rate_ppm"] == pytest.approx(one["rate_ppm"], abs=0.5)
    assert six["error_us"] < 100
    table = edgeprof.open(tmp_path / "six").table("clock")
    assert table["t_host_ns"].is_monotonic_increasing and len(table) < 300
    assert redecode(tmp_path / "six")[0].what.endswith("the same tables")
    assert fit_of(tmp_path / "six") == six


def test_ticks_that_are_no_time_have_no_fit(tmp_path: Path) -> None:
    captured(tmp_path, hz=None)
    ds = edgeprof.open(tmp_path)
    assert ds.captures["clock_fit"].isna().all() and ds.captures["clock_error_us"].isna().all()
    assert len(ds.table("clock")) == 0


@pytest.mark.parametrize("said", ["0", "-1", "nan", "inf", "1e999", "fast", ""])
def test_a_rate_that_is_none(said: str) -> None:
    assert rate_of({"tick_hz": said}) is None
    assert rate_of({}, {"tick_hz": "1e6"}) == 1e6


def test_absurd_ticks_make_no_fit_absurd(tmp_path: Path) -> None:
    batch = {"port": 0, "boot": 1, "tick_hz": 1e6, "ticks": [2**62, 0, 5], "t_host_ns": [0, 1, 2]}
    assert set(fits([batch])) == {"clock_fit", "clock_error_us"}
    assert fits([]) == {"clock_fit": None, "clock_error_us": None}


@pytest.mark.parametrize("hz", [1e-300, 1e-3, 1e300])
@pytest.mark.parametrize("far", [10, 2**40, 2**61])
def test_no_rate_that_a_device_says_keeps_a_capture_open(hz: float, far: int) -> None:
    batch = {"port": 0, "boot": 1, "tick_hz": hz, "ticks": [0, far // 2, far], "t_host_ns": [0, 10**9, 2 * 10**9]}
    assert set(fits([batch])) == {"clock_fit", "clock_error_us"}
