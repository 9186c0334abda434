"""The notebook of energy on other data than its sample, and on data without power."""

from __future__ import annotations

import json
import shutil

import pytest

import edgeprof
from edgeprof import resources
from edgeprof.cli import main

FOLDER = resources.path("data/samples/synthetic-power")
pytestmark = pytest.mark.slow


@pytest.mark.nightly
def test_it_takes_a_data_set_of_one_file_without_a_truth(tmp_path):
    for name in ("synthetic-time-Q4_0", "synthetic-power-Q4_0"):
        shutil.copytree(FOLDER / f"capture={name}", tmp_path / "data" / f"capture={name}")
    words = ["-p", "meter=synthetic", "-p", "max_energy_mj=0", "--out", str(tmp_path / "out")]
    assert main(["report", "energy", str(tmp_path / "data"), *words]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["results"]
    assert [run["group"] for run in results["energy"]] == ["Q4_0"] * 3
    assert results["truth"] == []


def test_without_power_it_says_so_and_what_would_help(tmp_path, capsys):
    assert main(["report", "energy", edgeprof.reference("gate"), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "No finished run in" in said and "has energy" in said and "howto-meter.md" in said
