"""Energy as a notebook shows it: what is drawn is what was measured; synthetic power is called so wherever it is."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import edgeprof
from edgeprof import plots, resources
from edgeprof.energy import tidy, tidy_passes
from edgeprof.energy.battery import battery_life
from edgeprof.energy.of_dataset import energy_of, token_energy
from edgeprof.errors import NotComparableError, UsageError

mpl.use("Agg")
FOLDER = resources.path("data/samples/synthetic-power")
BATTERY = {"capacity_mah": 220.0, "voltage_mv": 3300.0, "sleep_current_ua": 5.0}


@pytest.fixture(scope="module")
def sample():
    return edgeprof.open(FOLDER)


@pytest.fixture(scope="module")
def runs(sample):
    return tidy.measured_runs(sample)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.slow
def test_runs_have_their_energy_and_what_they_are_of(sample, runs):
    some = runs.head(3)
    pd.testing.assert_series_equal(some["energy_uj"], energy_of(sample, some.index)["energy_uj"], check_like=True)
    assert list(dict.fromkeys(runs["group"])) == ["Q8_0", "Q4_K_M", "Q4_0", "TQ2_0"]
    generations = runs[runs["kind"] == "generate"]
    assert np.allclose(generations["net_token_uj"] * 64, generations["net_uj"])
    assert runs.loc[runs["kind"] == "score", "net_token_uj"].isna().all()


@pytest.mark.slow
def test_without_power_the_reason_is_told(sample):
    with pytest.raises(NotComparableError, match=r"No finished run in .* has energy\. .*howto-meter"):
        tidy.measured_runs(edgeprof.open(edgeprof.reference("gate")))
    with pytest.raises(UsageError, match="no board with a finished run 'wasn'.*wasm"):
        tidy.measured_runs(sample, "wasn")


@pytest.mark.slow
def test_the_table_of_belief_says_synthetic(runs):
    table = tidy.belief_table(runs)
    assert set(table["meter"]) == {"synthetic"} and set(table["aligned by"]) == {"edges"}
    assert table["energy known to [%]"].str.startswith("± 0.0").all()


@pytest.mark.slow
def test_a_part_is_the_mean_of_the_group_s_runs(runs):
    found = tidy.parts(runs, {"token": "generated_token", "bit": "gained_bit"}).set_index(["group", "part"])
    mine = runs[runs["group"] == "Q4_0"]
    assert found.loc[("Q4_0", "token"), "energy_high_uj"] == pytest.approx(mine["generated_token_high_uj"].mean())
    (bit,) = mine["gained_bit_uj"].dropna()
    assert found.loc[("Q4_0", "bit"), "energy_uj"] == bit


def test_digits_tell_an_interval_s_ends_apart():
    data = pd.DataFrame([[1234.5, 1230.2, 1238.8], [0.12, 0.118, 0.122], [np.nan] * 3], columns=tidy.ENERGY)
    assert tidy.with_interval(data).tolist() == [
        "1,234.5 [1,230.2, 1,238.8]",
        "0.1200 [0.1180, 0.1220]",
        "–",
    ]


@pytest.mark.slow
def test_a_stretch_has_the_samples_of_its_passes(sample, runs):
    run = tidy.first_generation(runs)
    power, passes = tidy_passes.stretch(sample, run, count=6)
    assert passes["phase"].tolist() == ["prefill"] * 3 + ["decode"] * 3
    assert power["t_ns"].between(passes["begin_ns"].iloc[0], passes["end_ns"].iloc[-1]).all()
    own = power[power["t_ns"].between(passes["begin_ns"].iloc[4], passes["end_ns"].iloc[4])]
    assert own["power_uw"].mean() == pytest.approx(passes["mean_power_uw"].iloc[4], rel=0.02)


@pytest.mark.slow
def test_positions_are_of_the_first_generation(sample, runs):
    data = tidy_passes.positions(sample, runs)
    passes = token_energy(sample, tidy.first_generation(runs))
    decode = passes.loc[passes["phase"] == "decode", "energy_uj"]
    assert data.loc[data["group"] == "Q8_0", "energy_uj"].tolist() == decode.tolist()


@pytest.mark.slow
def test_stages_have_an_energy_or_a_reason(sample, runs):
    table = tidy_passes.stage_table(sample, tidy.first_generation(runs)).set_index("stage")
    assert "needs 2 samples" in table.loc["embedding", "why not"]
    evaluation = str(runs.index[runs["kind"] == "score"][0])
    assert "no stages" in tidy_passes.stage_table(sample, evaluation)["why not"].iloc[0]


@pytest.mark.slow
def test_a_battery_is_what_battery_life_says(runs):
    token = tidy.parts(runs, {"token": "net_token"})
    (row,) = tidy.batteries(token[token["group"] == "Q8_0"], [1000], **BATTERY).to_dict("records")
    energy = token.loc[token["group"] == "Q8_0", "energy_uj"].iloc[0]
    assert row["days"] == battery_life(tokens_per_day=1000, energy_per_token_uj=energy, **BATTERY).days
    assert row["days_low"] < row["days"] < row["days_high"]


@pytest.mark.slow
def test_the_truth_is_only_of_synthetic_power(sample, runs):
    table = tidy_passes.truth_table(sample, runs.head(3))
    assert len(table) == 3 and table["passes inside of their interval"].str.contains(" of ").all()
    assert tidy_passes.truth_table(edgeprof.open(edgeprof.reference("gate")), runs).empty


def titles(data, **columns):
    """Return the titles of all plots of energy over data whose column ``meter`` says so."""
    passes = pd.DataFrame({"position": [0], "phase": ["decode"], "begin_ns": [0.0], "end_ns": [1e6]})
    data = data.assign(**columns)
    drawn = (
        plots.plot_token_energy(data), plots.plot_energy(data, of="a token"), plots.plot_battery(data),
        plots.plot_power(data, passes=passes),
        plots.plot_front(data, "energy_uj", "days", xlabel="energy [uJ]", ylabel="time [day]"),
    )  # fmt: skip
    return [ax.get_title(loc="left") for ax in drawn]


@pytest.mark.slow
def test_every_title_says_that_power_is_synthetic():
    data = pd.DataFrame(
        {
            "group": ["a", "b"], "part": "gross", "position": [0, 1], "t_ns": [0.0, 1e6], "power_uw": [1.0, 2.0],
            "energy_uj": [1.0, 2.0], "energy_low_uj": [0.9, 1.9], "energy_high_uj": [1.1, 2.1],
            "tokens_per_day": [10, 20], "days": [9.0, 8.0], "days_low": [8.0, 7.0], "days_high": [10.0, 9.0],
            "on_front": True, "dominated_by": None,
        }
    )  # fmt: skip
    assert all("synthetic power, of no board" in title for title in titles(data, meter="synthetic"))
    assert all("synthetic power, of no board" in title for title in titles(data, meter=["ppk2", "synthetic ramp"]))
    assert not any("synthetic" in title for title in titles(data, meter="ppk2"))


def test_of_no_generation_there_are_empty_plots_and_tables():
    columns = [f"{name}{end}" for name in ("energy", "net_token") for end in ("_uj", "_low_uj", "_high_uj")]
    none = pd.DataFrame(columns=["group", "meter", *columns])
    energy = tidy.parts(none, {"gross": "energy"})
    assert plots.plot_energy(energy, of="a generation").get_title(loc="left") == "Energy of a generation"
    assert plots.plot_battery(tidy.batteries(energy, [10, 100], **BATTERY)).get_ylabel() == "battery life [day]"
    assert tidy.parts_table(energy).empty and tidy.battery_table(tidy.batteries(energy, [10], **BATTERY)).empty
