"""The boards that tests/hardware runs on: attached ports, or emulated boards behind simulated cables.

A simulated device looks like a real one: a path in ``MOCK_DEVICE_DIR`` that is opened as a serial port. It is one end
of a pair of ptys that socat holds together; on the other end, whose name ends with ``_sim``, an emulated board speaks.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cable import SocatCable
from firmware_host import until

from edgeprof import boards

SIMULATED_END = "_sim"
EMULATED = ("wasm", "stm32f405", "rp2040", "rv32imac", "lx106")
N_CTX = 24


class SimulatedLine:
    """An emulated board behind a cable that can be pulled and plugged in again."""

    def __init__(self, folder: Path, name: str, board_url: str) -> None:
        self.host, self.far = folder / name, folder / (name + SIMULATED_END)
        self.board_url = board_url
        self.plug()

    def plug(self) -> None:
        self.cable = SocatCable(self.host, self.far)
        board = self.board_url.removeprefix("socket://")
        end = f"FILE:{board},raw,echo=0" if board == self.board_url else f"TCP:{board}"
        # The far end is where a board's own UART would be soldered: bytes go from there to the emulator.
        self.carrier = subprocess.Popen(
            ["socat", f"FILE:{self.far},raw,echo=0", end], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def pull(self) -> None:
        self.cable.cut()
        self.carrier.kill()
        self.carrier.wait()


@dataclass(frozen=True)
class Device:
    """What a test talks to.

    Attributes
    ----------
    url
        What `edgeprof capture` takes.
    options
        Of `edgeprof capture`, for a port's settings: ``--baud 921600``.
    board
        Name of the emulated board; empty where edgeprof does not know what there is.
    line
        The simulated cable; None if nobody but a human can pull it.
    """

    url: str
    options: tuple[str, ...] = ()
    board: str = ""
    line: SimulatedLine | None = None


@dataclass(frozen=True)
class Mode:
    """Whether to simulate, which real ports there are, and which devices somebody else simulates in the folder."""

    simulate: bool
    ports: tuple[str, ...]
    folder: Path | None
    given: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return what the tests run on: real ports by their URL, simulated ones by the name of their board."""
        simulated = (self.given or EMULATED) if self.simulate else ()
        return [*self.ports, *simulated]


def given_devices(folder: Path | None) -> list[str]:
    """Return the names of devices that somebody else simulates in a folder."""
    if folder is None or not folder.is_dir():
        return []
    found = sorted(path.name for path in folder.iterdir() if is_character_device(path))
    return [name for name in found if not name.endswith(SIMULATED_END)]


def is_character_device(path: Path) -> bool:
    """Tell whether a path is, or leads to, something like a serial port; a link that leads nowhere is none."""
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False


def mode(hardware: bool, ports: list[str], environment: Mapping[str, str]) -> Mode:
    """Return what options and environment ask for.

    Simulation is what happens by default. ``--hardware`` turns it off unless HARDWARE_SIMULATION_MODE=1 asks for both.

    Raises
    ------
    pytest.UsageError
        They ask for nothing that can be run on: no board is attached, or no mode is left.
    """
    folder = Path(environment["MOCK_DEVICE_DIR"]) if environment.get("MOCK_DEVICE_DIR") else None
    given = tuple(given_devices(folder))  # now, before any are made there
    asked = environment.get("HARDWARE_SIMULATION_MODE", "")
    if hardware or ports or environment.get("HARDWARE_TEST_MODE") == "1":
        return Mode(asked == "1", tuple(ports or attached()), folder, given)
    if asked == "0":
        raise pytest.UsageError(
            "HARDWARE_SIMULATION_MODE=0 turns simulation off, and no real board was asked for, so there is nothing to "
            "run on. Add --hardware for the attached boards, or unset the variable."
        )
    return Mode(True, (), folder, given)


def attached() -> list[str]:
    """Return the attached boards' ports that may be opened, as `edgeprof boards --available` lists them.

    A port that is not on USB is there whether or not there is a board behind it, so it has to be named.
    """
    command = [sys.executable, "-m", "edgeprof", "boards", "--available", "--json"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: list[dict[str, Any]] = json.loads(listed)["ports"]
    usable = [port["port"] for port in found if port["usb_id"] and port["usable"] is not False]
    if not usable:
        passed_over = [
            f"{port['port']} may not be opened: {port['why_not']}"
            if port["usb_id"]
            else f"{port['port']} is not on USB."
            for port in found
        ]
        raise pytest.UsageError(
            f"--hardware: no board is attached. {' '.join(passed_over) or 'There is no serial port.'} Plug one in "
            "(`edgeprof boards --available` lists it), name a port with --port, or leave --hardware out for the "
            "simulation."
        )
    return usable


@contextlib.contextmanager
def simulated(name: str, folder: Path, model: Callable[[str], Path]) -> Iterator[Device]:
    """Start an emulated board behind a simulated cable in a folder."""
    with boards.start(name, model(name), n_ctx=N_CTX) as running:
        line = SimulatedLine(folder, name, running.url)
        until(lambda: os.access(line.host, os.R_OK | os.W_OK), f"the simulated device {line.host}")
        try:
            yield Device(str(line.host), board=name, line=line)
        finally:
            line.pull()
