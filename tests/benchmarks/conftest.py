"""What the benchmarks' figures say of themselves: which edgeprof was measured."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Note whose figures they are: base and head are measured by the same tests."""
    import edgeprof

    output_json["edgeprof"] = {"version": edgeprof.__version__, "file": edgeprof.__file__}
