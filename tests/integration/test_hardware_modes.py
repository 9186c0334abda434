"""The tests for boards on a port that is no simulation, on none, and on what somebody else simulates."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import broker
import pytest
from firmware_host import MODELS
from hardware import devices

from edgeprof import boards
from edgeprof.quantize import quantize

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif(os.name != "posix", reason="only on systems with ptys"),
]

ROOT = Path(__file__).parents[2]
VARIABLES = ("HARDWARE_SIMULATION_MODE", "HARDWARE_TEST_MODE", "MOCK_DEVICE_DIR", "PYTEST_ADDOPTS")


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the tests for boards in a process of their own."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-m", "pytest", "tests/hardware", "-p", "no:cacheprovider", *words]
    return subprocess.run(
        command, cwd=ROOT, env=kept | variables, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip


def test_a_port_is_tested_as_a_board(tmp_path: Path) -> None:
    model = quantize(MODELS / "fable-0.5m-F16.gguf", tmp_path / "model.gguf", "Q4_0").path
    report = tmp_path / "junit.xml"
    with boards.start("wasm", model, n_ctx=128, transport="pty") as running:
        done = run("--hardware", "--port", running.url, f"--junitxml={report}", HARDWARE_TEST_MODE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(ET.parse(report).getroot().iter("testcase"))
    skipped = {case.get("name", "").partition("[")[0] for case in cases if case.find("skipped") is not None}
    if broker.mosquitto() is None:
        skipped.remove("test_it_is_captured_through_a_broker")
    assert skipped == {
        "test_what_came_before_the_cable_was_pulled_is_kept",  # takes a human
        "test_a_clock_of_time_goes_as_fast_as_the_hosts",  # this board counts instructions
    }
    assert len(cases) - len(skipped) >= 9
    assert all(running.url in case.get("name", "") for case in cases)


def test_no_board_is_an_error_and_not_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = subprocess.CompletedProcess([], 0, stdout='{"boards": [], "ports": []}')
    monkeypatch.setattr(devices.subprocess, "run", lambda *args, **options: listed)
    with pytest.raises(pytest.UsageError, match=r"no board is attached.*--port"):
        devices.mode(True, [], {})


def test_boards_that_are_attached_are_what_is_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    port = {"port": "/dev/ttyACM0", "usb_id": "303a:1001", "usable": True, "why_not": ""}
    ports = json.dumps({"ports": [port, port | {"port": "COM3", "usable": None}]})
    monkeypatch.setattr(devices.subprocess, "run", lambda *a, **o: subprocess.CompletedProcess([], 0, stdout=ports))
    assert devices.mode(True, [], {}).names() == ["/dev/ttyACM0", "COM3"]


def test_a_port_that_may_not_be_opened_is_no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    port = {"port": "/dev/ttyACM0", "usb_id": "303a:1001", "usable": False, "why_not": "Join the group dialout."}
    ports = json.dumps({"ports": [port, port | {"port": "/dev/ttyS0", "usb_id": "", "usable": True}]})
    monkeypatch.setattr(devices.subprocess, "run", lambda *a, **o: subprocess.CompletedProcess([], 0, stdout=ports))
    with pytest.raises(pytest.UsageError, match=r"ttyACM0 may not be opened: Join the group.*ttyS0 is not on USB"):
        devices.mode(True, [], {})


def test_pytest_ends_with_an_error_where_no_board_is_attached() -> None:
    from edgeprof.ports import attached

    if any(port.usb_id and port.usable is not False for port in attached()):
        pytest.skip("only on machines without a board: this one has one")
    done = run("--hardware", HARDWARE_TEST_MODE="1")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "no board is attached" in done.stdout + done.stderr


def test_without_simulation_and_without_a_board_nothing_is_passed() -> None:
    done = run(HARDWARE_SIMULATION_MODE="0")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "HARDWARE_SIMULATION_MODE=0" in done.stdout + done.stderr


def test_a_port_that_is_not_there_fails(tmp_path: Path) -> None:
    done = run("--hardware", "--port", str(tmp_path / "tty"), "-k", "hello")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout


@pytest.mark.parametrize(
    ("hardware", "ports", "environment", "simulate"),
    [
        (False, [], {}, True),
        (False, [], {"HARDWARE_SIMULATION_MODE": "1"}, True),
        (False, ["loop://"], {}, False),
        (True, ["loop://"], {"HARDWARE_SIMULATION_MODE": "0"}, False),
        (True, ["loop://"], {"HARDWARE_SIMULATION_MODE": "1"}, True),
        (False, ["loop://"], {"HARDWARE_TEST_MODE": "1"}, False),
    ],
)
def test_options_and_variables_say_what_is_run_on(hardware, ports, environment, simulate) -> None:
    found = devices.mode(hardware, ports, environment)
    assert (found.simulate, list(found.ports)) == (simulate, ports)
    assert found.names() == [*ports, *(devices.EMULATED if simulate else ())]


def test_devices_that_are_there_are_used(tmp_path: Path) -> None:
    primary, secondary = os.openpty()
    try:
        for name in ("esp32", "esp32_sim"):
            (tmp_path / name).symlink_to(os.ttyname(secondary))
        (tmp_path / "gone").symlink_to(tmp_path / "nothing")
        (tmp_path / "notes.txt").write_text("no device")
        assert devices.mode(False, [], {"MOCK_DEVICE_DIR": str(tmp_path)}).names() == ["esp32"]
    finally:
        os.close(primary)
        os.close(secondary)


@pytest.mark.skipif(not shutil.which("socat"), reason="needs socat (apt-get install socat)")
def test_a_device_that_somebody_else_simulates_is_tested_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "devices"
    folder.mkdir()
    model = quantize(MODELS / "fable-0.5m-F16.gguf", tmp_path / "model.gguf", "Q4_0").path
    with boards.start("wasm", model, n_ctx=24) as running:
        line = devices.SimulatedLine(folder, "esp32", running.url)
        try:
            done = run(
                "-v", "-k", "hello or doctor or memory", MOCK_DEVICE_DIR=str(folder), HARDWARE_SIMULATION_MODE="1"
            )
        finally:
            line.pull()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert done.stdout.count("[esp32] PASSED") == 3
