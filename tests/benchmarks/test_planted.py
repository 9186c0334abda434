"""A slowdown of a fifth that was planted into a copy of the package is found, and where nothing changed none is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from benchmarks import regression
from benchmarks.regression import Side

pytestmark = [pytest.mark.benchmarks, pytest.mark.alone]

SLOWER = '''

_as_it_was = decode_port


def decode_port(*args, **options):
    """Take as long as before, and a fifth longer."""
    import time

    began = time.process_time()
    result = _as_it_was(*args, **options)
    end = time.process_time()
    while time.process_time() < end + {fraction} * (end - began):
        pass
    return result
'''


def copy(folder: Path, name: str) -> Side:
    """Return a side that is a copy of the package as it is here."""
    shutil.copytree(
        regression.ROOT / "edgeprof", folder / name / "edgeprof", ignore=shutil.ignore_patterns("__pycache__")
    )
    return Side(name, folder / name)


def test_a_planted_slowdown_is_found_and_nothing_else(tmp_path: Path) -> None:
    base, head = copy(tmp_path, "base"), copy(tmp_path, "head")
    with (head.folder / "edgeprof" / "decode.py").open("a", encoding="utf-8") as module:
        module.write(SLOWER.format(fraction=0.2))
    measured = regression.measure_pairs(base, head, regression.PAIRS, "-k", "decode or advise")
    results, new = regression.judge_pairs(measured)
    verdicts = {result.name: result for result in results}
    print(regression.text_of(results, new))
    assert new == []
    assert verdicts["decode_wire_bytes"].verdict == "worse", verdicts
    assert verdicts["decode_wire_bytes"].low is not None and verdicts["decode_wire_bytes"].low > 1 + regression.SMALLEST
    assert verdicts["advise_on_a_series"].verdict not in ("worse", "better"), verdicts
    assert regression.exit_code(results, 0) == 1


def test_what_base_cannot_run_is_new(tmp_path: Path) -> None:
    base, head = copy(tmp_path, "base"), copy(tmp_path, "head")
    (base.folder / "edgeprof" / "stability.py").unlink()
    results, new = regression.judge_pairs(regression.measure_pairs(base, head, 2, "-k", "bootstrap or advise"))
    assert new == ["advise_on_a_series"]
    assert [(result.name, result.verdict) for result in results] == [("bootstrap_a_text", "not enough data")]
