"""Sessions that talk to boards: simulated ones everywhere, real ones where there are any."""

from __future__ import annotations

from itertools import pairwise

import nox

from ci.steps import install, pytest


@nox.session(name="hardware-simulation", tags=["ci"])
def hardware_simulation(session: nox.Session) -> None:
    """Run the tests for boards on emulated ones: simulated serial lines, a real broker, cables that are pulled."""
    install(session, "test")
    session.env["HARDWARE_SIMULATION_MODE"] = "1"
    pytest(session, "-n", "auto", "--dist", "loadgroup", "-m", "not real_hardware", "tests/hardware")


@nox.session
def hardware(session: nox.Session) -> None:
    """Run the same tests on each attached board; none is a failure. ``-- --port URL`` names one."""
    install(session, "test")
    named = _values(session.posargs, "--port")
    serial = [url for url in named if "://" not in url]
    session.run("edgeprof", "boards", "--available", *(["--require", *serial] if serial else []))
    session.env["HARDWARE_TEST_MODE"] = "1"
    session.env["HARDWARE_SIMULATION_MODE"] = "0"
    pytest(session, "-m", "not nightly", "tests/hardware", "--hardware")


def _values(words: list[str], option: str) -> list[str]:
    """Return the values of an option that may be given again and again, as ``--port URL`` or ``--port=URL``."""
    apart = [value for word, value in pairwise(words) if word == option]
    return apart + [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
