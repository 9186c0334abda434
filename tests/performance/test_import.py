"""How long the first thing takes, against what cannot be avoided on the same machine in the same minute."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.performance
ROUNDS = 7
BARE, NUMPY, IMPORT = "pass", "import numpy", "import edgeprof"
HELP = "import sys; from edgeprof.cli import main; sys.argv = ['edgeprof', '--help']; main()"


@pytest.fixture(scope="module")
def seconds() -> dict[str, float]:
    """Return the median seconds of a fresh interpreter for each; taken in turns, so that a busy machine hits all."""
    taken: dict[str, list[float]] = {code: [] for code in (BARE, NUMPY, IMPORT, HELP)}
    for number in range(ROUNDS + 1):
        for code, values in taken.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            if number:  # the first round fills the disk's cache
                values.append(time.perf_counter() - began)
    medians = {code: statistics.median(values) for code, values in taken.items()}
    print({code: f"{1000 * value:.0f} ms" for code, value in medians.items()})
    return medians


def test_importing_edgeprof_costs_less_than_numpy_alone(seconds):
    assert seconds[IMPORT] < seconds[NUMPY]
    assert seconds[IMPORT] < 1.5 * seconds[BARE] + 0.03


def test_help_is_there_at_once(seconds):
    assert seconds[HELP] < 6 * seconds[BARE]
    assert seconds[HELP] - seconds[BARE] < 0.4
