"""How long the first thing takes, against what cannot be avoided on the same machine in the same minute."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machine import record

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
    if "EDGEPROF_RESULTS" in os.environ:
        named = zip(("bare", "import numpy", "import edgeprof", "edgeprof --help"), medians.values(), strict=True)
        record(
            Path(os.environ["EDGEPROF_RESULTS"], "import.json"),
            {"median_ms": {n: round(1000 * v, 1) for n, v in named}},
        )
    return medians


def test_importing_edgeprof_costs_less_than_numpy_alone(seconds):
    assert seconds[IMPORT] < seconds[NUMPY]
    assert seconds[IMPORT] < 4 * seconds[BARE]


def test_help_is_there_at_once(seconds):
    assert seconds[HELP] < 6 * seconds[BARE]
