"""What the benchmarks' figures say of themselves: which edgeprof was measured. And base and head in turns."""

from __future__ import annotations

import os
from typing import Any

import pytest
from benchmarks import turns

if turns.ADDRESS in os.environ:

    @pytest.fixture
    def benchmark(request: pytest.FixtureRequest) -> turns.Turns:
        """Run rounds when it is this side's turn."""
        return turns.Turns(request.node.name.removeprefix("test_"))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Note whose figures they are: base and head are measured by the same tests."""
    import edgeprof

    output_json["edgeprof"] = {"version": edgeprof.__version__, "file": edgeprof.__file__}
