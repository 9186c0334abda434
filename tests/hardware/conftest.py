"""Which boards the tests of this folder run on: simulated ones, or with ``--hardware`` those that are attached.

| option | environment | |
|---|---|---|
| none | ``HARDWARE_SIMULATION_MODE=1`` or nothing | emulated boards behind simulated cables in ``MOCK_DEVICE_DIR`` |
| ``--hardware`` | ``HARDWARE_TEST_MODE=1`` | each attached port; it is an error if there is none |
| ``--port URL`` (repeatable) | | these ports |
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import broker as brokers
import pytest
from firmware_host import MODELS, needs_board, tiny_model
from hardware import devices
from hardware.captures import Measured, measure
from hardware.devices import Device, Mode

from edgeprof.quantize import quantize

MODE = pytest.StashKey[Mode]()
LINES = ("wasm", "stm32f405")
"""Emulated boards on which tests of the line are run: one in WebAssembly, one in QEMU."""
SLOW = "rp2040"  # a few passes a second: a tiny model does


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hardware", "boards that tests/hardware runs on")
    group.addoption("--hardware", action="store_true", help="run on the boards that are attached; none is an error")
    group.addoption("--port", action="append", default=[], metavar="URL", help="run on this port; repeatable")
    group.addoption("--baud", type=int, help="of the real ports (default: what edgeprof capture takes)")
    group.addoption("--dtr", action="store_true", help="hold DTR on the real ports")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "line: about the line more than the board; not on every emulated board")
    if config.getoption("hardware", None) is not None:  # this folder was named: what is wrong is said at once
        _mode(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device_name" in metafunc.fixturenames:
        names = _mode(metafunc.config).names()
        if metafunc.definition.get_closest_marker("line"):
            names = [name for name in names if name not in devices.EMULATED or name in LINES]
        # All tests of a board in one process, where there are several: a line has one user.
        boards = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]
        metafunc.parametrize("device_name", boards, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if here and not _mode(config).ports:
        real = [item for item in here if item.get_closest_marker("real_hardware")]
        config.hook.pytest_deselected(items=real)
        items[:] = [item for item in items if item not in real]


def _mode(config: pytest.Config) -> Mode:
    if MODE not in config.stash:
        option = functools.partial(config.getoption, default=None)  # unknown where the whole of tests/ is run
        config.stash[MODE] = devices.mode(bool(option("hardware")), option("port") or [], os.environ)
    return config.stash[MODE]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the model that an emulated board has in its flash."""
    folder = tmp_path_factory.mktemp("models")

    @functools.cache
    def made(quant: str) -> Path:
        if quant == "tiny":
            return tiny_model(folder / "tiny.gguf", kind="Q4_0", layers=1)
        return quantize(MODELS / "fable-0.5m-F16.gguf", folder / f"{quant}.gguf", quant).path

    return lambda board: made("tiny" if board == SLOW else "Q4_0")


@pytest.fixture(scope="session")
def device(
    device_name: str,
    pytestconfig: pytest.Config,
    model: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Device]:
    """Return a board on a line. It stays on for all tests, as a real one does."""
    mode = _mode(pytestconfig)
    with contextlib.ExitStack() as stack:
        if device_name in mode.ports:
            baud, dtr = pytestconfig.getoption("baud", None), pytestconfig.getoption("dtr", False)
            options = (*((f"--baud={baud}",) if baud else ()), *(("--dtr",) if dtr else ()))
            yield Device(device_name, options)
        elif device_name in mode.given and mode.folder is not None:
            yield Device(str(mode.folder / device_name))
        else:
            needs_board(device_name)
            if not shutil.which("socat"):
                pytest.skip("needs socat (apt-get install socat)")
            folder = mode.folder or tmp_path_factory.mktemp("devices")
            folder.mkdir(parents=True, exist_ok=True)
            yield stack.enter_context(devices.simulated(device_name, folder, model))


@pytest.fixture(scope="session")
def measured(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Return what a device was measured at, once: a sweep of two prompts, one of them twice."""
    return measure(device, tmp_path_factory.mktemp("measured"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[brokers.Broker]:
    """Start a broker with a configuration of its own."""
    pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt (pip install 'edgeprof[mqtt]')")
    if brokers.mosquitto() is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    one = brokers.Broker(tmp_path / "broker")
    yield one
    one.stop()
