"""The sample power data: they are what their generator makes, they say what they are, energy keeps to their truth."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

import edgeprof
from edgeprof import resources
from edgeprof.care import verify
from edgeprof.energy.certainty import stated_energy
from edgeprof.energy.of_dataset import energy_of, token_energy
from edgeprof.energy.of_run import measured_run
from edgeprof.same import differences

FOLDER = resources.path("data/samples/synthetic-power")


@pytest.fixture(scope="module")
def sample():
    return edgeprof.open(FOLDER)


@pytest.mark.slow
def test_they_are_what_their_generator_makes(tmp_path, sample):
    subprocess.run([sys.executable, str(FOLDER / "make_sample.py"), str(tmp_path)], check=True, timeout=120)
    again = edgeprof.open(tmp_path)
    assert differences(again, sample) == [] and len(again.runs) == 12
    for table in ("power", "events", "tokens", "stages"):
        pd.testing.assert_frame_equal(again.table(table), sample.table(table))
    assert (tmp_path / "truth.csv").read_bytes() == (FOLDER / "truth.csv").read_bytes()


@pytest.mark.slow
def test_their_passes_are_those_of_the_reference(sample):
    """Nothing but time and power is made up."""
    reference = edgeprof.open(edgeprof.reference())
    for run in sample.runs.itertuples():
        wanted = {"board": run.board, "model": run.model, "quant": run.quant, "prompt_id": run.prompt_id}
        wanted |= {"window": 0} if run.kind == "score" else {}
        columns = ["position", "token_id", "next_id", "top1_id", "nll", "scored", "ticks"]
        mine, theirs = (
            data.table("tokens", columns, where=where).sort_values("position").reset_index(drop=True)
            for data, where in ((sample, {"run_id": run.run_id}), (reference, wanted))
        )
        pd.testing.assert_frame_equal(mine, theirs, check_dtype=False)


@pytest.mark.slow
def test_they_are_whole_and_say_what_they_are(sample):
    assert verify(FOLDER) == []
    assert set(sample.table("power")["meter"]) == {"synthetic"}
    assert sample.runs["tags"].str.contains("power and time are synthetic").all()
    assert sample.runs["capture_id"].str.startswith("synthetic-").all()
    missing = sample.table("power")["current_ua"].isna().mean()
    assert 0.003 < missing < 0.007


@pytest.mark.slow
def test_energy_keeps_to_the_truth(sample):
    """The exact energy is inside of what is stated in 93 % of the passes at least, and of every run."""
    truth = pd.read_csv(FOLDER / "truth.csv")
    runs = energy_of(sample)
    whole = truth[truth["phase"] == "run"].set_index("run_id")["energy_uj"].loc[runs.index]
    assert len(runs) == 12 and whole.between(runs["energy_low_uj"], runs["energy_high_uj"]).all()
    assert (runs["alignment"] == "edges").all() and (runs["meter"] == "synthetic").all()
    inside = pd.concat(
        [
            exact["energy_uj"].between(found["energy_low_uj"].to_numpy(), found["energy_high_uj"].to_numpy())
            for run, exact in truth[truth["phase"] != "run"].groupby("run_id")
            for found in [token_energy(sample, str(run))]
        ]
    )
    assert len(inside) == 4 * (82 + 89 + 255) and inside.mean() >= 0.93
    assert runs["net_uj"].notna().all() and (runs["net_uj"] < runs["energy_uj"]).all()


@pytest.mark.slow
def test_what_the_alignment_leaves_unknown_is_in_each_pass(sample):
    run = sample.runs["run_id"].iloc[0]
    found = measured_run(sample, run)
    passes = token_energy(sample, run)
    errors = {"error_ns": found.alignment.error_us * 1e3, "rate_ppm": abs(found.alignment.rate_ppm)}
    assert found.alignment.method == "edges" and min(errors.values()) > 0
    begins, ends = passes["begin_ns"], passes["end_ns"]
    stated = stated_energy(found.samples, begins, ends, edge_error_ns=1.0, **errors)  # a tick is a nanosecond here
    half = (passes["energy_high_uj"] - passes["energy_low_uj"]) / 2
    assert half.to_numpy() == pytest.approx(stated.error_uj, rel=1e-6)
    # Where two passes are of one power, what one loses the next one gains.
    assert (half > 1.2 * stated_energy(found.samples, begins, ends).error_uj).any()
