"""What every board has to do, whether it is emulated, simulated or on a cable: one set of tests for all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import broker as brokers
import numpy as np
import pytest
from firmware_host import until
from hardware.captures import N_TOKENS, PROMPTS, Measured, capture_words, edgeprof_says, measure
from hardware.devices import Device

import edgeprof
from edgeprof import wire
from edgeprof.care import verify
from edgeprof.metrics import EXACT_CLOCKS
from edgeprof.transports import PortSettings, open_port

pytestmark = [pytest.mark.slow, pytest.mark.emulators, pytest.mark.once]

HELLO_SECONDS = 10.0
CLOCK_PPM = 10_000
"""A chip's own RC oscillator is allowed 1 %; a wrong clock setting is off by far more."""


def run_of(measured: Measured, prompt_id: str) -> str:
    """Return the id of the run of a prompt."""
    runs = measured.data.runs
    (run_id,) = runs.loc[runs["prompt_id"] == prompt_id, "run_id"]
    return str(run_id)


def settings(device: Device) -> PortSettings:
    """Return a port's settings as its options say."""
    bauds = [int(option.partition("=")[2]) for option in device.options if option.startswith("--baud=")]
    return PortSettings(baudrate=bauds[0] if bauds else 115200, dtr="--dtr" in device.options)


# ---- it is there ----


def test_it_says_hello_in_time(device: Device) -> None:
    port = open_port(device.url, settings(device))
    port.timeout = 0.05
    splitter, hellos, request = wire.Splitter(), [], 4711
    end = time.monotonic() + HELLO_SECONDS
    try:
        while not hellos and time.monotonic() < end:
            port.write(wire.hello_request(request))
            again = time.monotonic() + 1.0
            while not hellos and time.monotonic() < again:
                frames = [piece.frame for piece in splitter.feed(port.read(256)) if piece.frame is not None]
                hellos = [wire.decode_pairs(f.body, f.n) for f in frames if f.type == wire.Type.HELLO]
    finally:
        port.close()
    assert hellos, f"no hello within {HELLO_SECONDS} s"
    assert hellos[0]["fits"] == "1"
    assert {"board", "clock", "firmware", "model", "quant", "n_ctx"} <= hellos[0].keys()
    if device.board:
        assert hellos[0]["board"] == device.board


@pytest.mark.line
def test_the_doctor_understands_it(device: Device) -> None:
    baud = [option for option in device.options if option.startswith("--baud=")]
    said = edgeprof_says("doctor", device.url, "--seconds=1.5", *baud)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "edgeprof" in said.stdout.partition("Found")[2]


def test_edgeprof_boards_knows_what_is_there(device: Device) -> None:
    listed = edgeprof_says("boards", "--available", "--json")
    assert listed.returncode == 0, listed.stderr
    both = json.loads(listed.stdout)
    if device.board:
        assert device.board in [board["name"] for board in both["boards"]]
        assert edgeprof_says("boards", "--require", device.board).returncode == 0
    if "://" not in device.url:
        # A pty is no port of the machine's, and is said not to be attached.
        is_attached = str(Path(device.url).resolve()) in [port["port"] for port in both["ports"]]
        required = edgeprof_says("boards", "--require", device.url)
        assert required.returncode == (0 if is_attached else 4), required.stderr
        assert ("is not attached" in required.stderr) == (not is_attached)


# ---- what it was measured at ----


def test_each_prompt_gives_tokens_with_times(measured: Measured) -> None:
    runs, tokens = measured.data.runs, measured.data.tokens
    assert sorted(runs["prompt_id"]) == sorted(name for name, _ in PROMPTS)
    assert set(runs["status"]) == {"ok"}
    assert list(runs["frames_lost"]) == [0] * len(PROMPTS)
    assert list(runs["n_generated"]) == [N_TOKENS] * len(PROMPTS)
    assert list(runs["passes_received"]) == list(runs["passes"])
    assert len(tokens) == runs["passes"].sum() > 0
    ticks = tokens["ticks"].to_numpy(np.float64)
    assert np.isfinite(ticks).all() and (ticks > 0).all()
    clock_hz = "board_clock_hz" if runs["clock"].iloc[0] in EXACT_CLOCKS else "tick_hz"
    seconds = ticks / float(runs[clock_hz].iloc[0])
    assert np.isfinite(seconds).all() and (seconds > 0).all()
    for _, rows in tokens.groupby("run_id"):
        assert (np.diff(rows.sort_values("position")["ticks_start"].to_numpy(np.int64)) > 0).all()


def test_the_data_set_is_whole(measured: Measured) -> None:
    said = edgeprof_says("verify", str(measured.folder))
    assert said.returncode == 0, said.stdout + said.stderr
    assert int(measured.data.captures["bytes_read"].iloc[0]) > 0


def test_the_same_prompt_is_continued_in_the_same_way(measured: Measured) -> None:
    tokens = measured.data.tokens.sort_values(["run_id", "position"])
    one, two, again = (
        list(tokens.loc[tokens["run_id"] == run_of(measured, name), "token_id"]) for name in ("one", "two", "again")
    )
    assert one == again
    assert one != two


def test_a_clock_that_counts_counts_the_same_twice(measured: Measured) -> None:
    clock = str(measured.data.runs["clock"].iloc[0])
    tokens = measured.data.tokens.sort_values("position")
    one, again = (tokens.loc[tokens["run_id"] == run_of(measured, name), "ticks"].tolist() for name in ("one", "again"))
    emulated = bool(measured.data.runs["emulator"].iloc[0])
    if clock in EXACT_CLOCKS and (emulated or clock != "cycles"):
        assert one == again
    else:  # silicon waits for its flash as it happens: alike, not equal
        assert np.median(again) == pytest.approx(np.median(one), rel=0.5)


def test_memory_is_recorded(measured: Measured) -> None:
    memory, runs = measured.data.table("memory"), measured.data.runs.set_index("run_id")
    assert set(memory["run_id"]) == set(runs.index)
    assert (memory["heap_peak_bytes"] >= memory["heap_bytes"]).all()
    assert (memory["stack_peak_bytes"] > 0).all()
    assert (memory["heap_peak_bytes"] <= memory["run_id"].map(runs["ram_bytes"])).all()


# ---- through a broker, and with a cable that is pulled ----


@pytest.mark.line
def test_it_is_captured_through_a_broker(device: Device, measured: Measured, broker: brokers.Broker, tmp_path) -> None:
    url = broker.url("lab/one")
    with brokers.bridging(device.url, url, *device.options):
        far = measure(device, tmp_path, url=url)
    assert set(far.data.runs["status"]) == {"ok"}
    assert verify(far.folder) == []
    for name, _ in PROMPTS:
        here, there = (
            m.data.tokens.query(f"run_id == {run_of(m, name)!r}").sort_values("position")["token_id"].tolist()
            for m in (measured, far)
        )
        assert here == there


@pytest.mark.line
def test_what_came_before_the_cable_was_pulled_is_kept(device: Device, tmp_path: Path) -> None:
    if device.line is None:
        pytest.skip("only on a simulated cable: nobody can pull a real one here")
    out = tmp_path / "data"
    words = capture_words(device.url, out, [(f"p{i}", "ab") for i in range(2000)], "--idle=2")
    command = [sys.executable, "-m", "edgeprof", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            until(lambda: list(out.glob("capture=*")) and "ok" in set(edgeprof.open(out).runs["status"]), "a run", 60)
            device.line.pull()
            before = len(edgeprof.open(out).tokens)
            said = running.communicate(timeout=60)
        finally:
            running.kill()
            device.line.plug()
    assert running.returncode == 4, said
    assert "Traceback" not in said[1]
    assert verify(out) == []
    ds = edgeprof.open(out)
    assert list(ds.table("events", where={"kind": "disconnected"})["port"]) == [0]
    assert len(ds.tokens) >= before > N_TOKENS
    assert ds.runs["status"].iloc[0] == "ok"
    assert list(ds.runs["frames_lost"])[:-1] == [0] * (len(ds.runs) - 1)
    # Plugged in again it works as before.
    assert set(measure(device, tmp_path / "after").data.runs["status"]) == {"ok"}


# ---- what takes silicon ----


@pytest.mark.real_hardware
def test_a_reset_by_its_control_lines_leaves_a_board_that_works(device: Device, tmp_path: Path) -> None:
    if "://" in device.url:
        pytest.skip("only on a serial port: nothing else has control lines")
    measured = measure(device, tmp_path, "--reset")
    assert set(measured.data.runs["status"]) == {"ok"}
    assert verify(measured.folder) == []


@pytest.mark.real_hardware
def test_a_clock_of_time_goes_as_fast_as_the_hosts(device: Device, measured: Measured, tmp_path: Path) -> None:
    clock = str(measured.data.runs["clock"].iloc[0])
    if clock in EXACT_CLOCKS:
        pytest.skip(f"only on clocks that tell time; this board counts {clock}")
    fits = measure(device, tmp_path, "--tokens=60").data.captures["clock_fit"].iloc[0]
    assert fits, "the capture took less than a second, which is too short to compare clocks"
    for fit in json.loads(fits):
        assert abs(fit["rate_ppm"]) < CLOCK_PPM
