"""The tables of predictions say what was predicted, what is not known, and nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

import edgeprof
from edgeprof import resources
from edgeprof.calibration import calibrate, first_calibrated
from edgeprof.errors import ModelError, NotComparableError, UsageError
from edgeprof.model_shape import read_shape
from edgeprof.prediction import predict_shape
from edgeprof.prediction_tables import held_out_table, quant_table, range_table, scaling_table, stage_parts
from edgeprof.scaling import NO_KERNEL

SIZES = resources.path("data/reference/sizes")
MODEL = resources.path("data/models/fable-1.2m-F16.gguf")


@pytest.fixture(scope="module")
def shape():
    return read_shape(MODEL)


@pytest.fixture(scope="module")
def calibration():
    return calibrate("stm32f405", SIZES)


@pytest.mark.slow
def test_a_file_is_predicted_at_the_quantization_that_was_asked_for(shape, calibration):
    p = edgeprof.predict(MODEL, "stm32f405", SIZES, quant="q4_0")
    expected = predict_shape(shape.quantized("Q4_0"), calibration)
    assert p.quant == "Q4_0" and p.memory.model_bytes < shape.model_bytes / 3
    assert p.decode_ticks_per_token == expected.decode_ticks_per_token is not None
    with pytest.raises(UsageError, match="Q4_0"):
        edgeprof.predict(MODEL, "stm32f405", SIZES, quant="Q4_00")


@pytest.mark.slow
def test_what_the_firmware_has_no_kernel_for_is_refused():
    with pytest.raises(ModelError, match="BF16"):
        edgeprof.predict(MODEL, "stm32f405", SIZES, quant="BF16")
    (row,) = edgeprof.scaling_curves(MODEL, "wasm", SIZES, quants=["Q5_1"], layers=[2], widths=[1]).to_dict("records")
    assert row["status"] == NO_KERNEL and pd.isna(row["fits"]) and pd.isna(row["decode_ticks_per_token"])


@pytest.mark.slow
def test_the_stages_of_a_prediction_are_those_of_its_pass(shape, calibration):
    p = predict_shape(shape.quantized("Q4_0"), calibration)
    parts = stage_parts(p)
    assert parts["ticks_per_pass"].sum() == pytest.approx(p.decode_ticks_per_token)
    assert parts["share"].sum() == pytest.approx(1)
    assert set(parts["group"]) == {"Q4_0"}
    assert stage_parts(predict_shape(shape.quantized("BF16"), calibration)).empty


@pytest.mark.slow
def test_the_range_says_where_a_model_lies(shape, calibration):
    p = predict_shape(shape.resized(width=8).quantized("Q4_0"), calibration, n_ctx=64)
    table = range_table(shape.resized(width=8), p).set_index("dimension")
    low, high = p.calibrated_range["dim"]
    assert table.loc["width"].tolist() == ["2,048", f"{low:,}", f"{high:,}", "OUTSIDE"]
    assert table.loc["width of a head", "so it lies"] == "inside"
    assert (table["so it lies"] == "OUTSIDE").sum() == len(p.outside)
    unknown = range_table(shape, predict_shape(shape, calibrate("host", SIZES)))
    assert set(unknown["so it lies"]) == {"not known"} and set(unknown["captured from"]) == {"–"}


def test_the_largest_error_keeps_its_sign():
    rows = [("a", 10, "x", 0.01), ("a", 10, "x", -0.02), ("a", 10, "y", 0.03), ("b", 20, "x", 0.001)]
    errors = pd.DataFrame(rows, columns=["model", "n_params", "board", "error"])
    table = held_out_table(errors)
    assert table.columns.tolist() == ["left out", "parameters", "x", "y"]
    assert table.to_numpy().tolist() == [["a", "10", "-2.0 %", "+3.0 %"], ["b", "20", "+0.1 %", "–"]]
    assert held_out_table(errors.iloc[:0]).empty


def curves(**changes) -> pd.DataFrame:
    rows = {
        "quant": ["Q8_0", "Q8_0", "Q4_0", "Q4_0"], "n_layers": [1, 2, 1, 2], "width": 1, "n_ctx": 64,
        "n_params": [1000, 2000, 1000, 2000], "decode_ticks_per_token": [1e6, 2e6, 0.5e6, None],
        "fits": pd.array([True, False, None, True], "boolean"), "inside": [True, False, False, True],
        "ram_needed_bytes": 2048.0, "flash_needed_bytes": [1024.0, None, 1.0, 1.0], "error": [0.013, None, None, None],
        "status": ["calibrated", "calibrated", "calibrated", "not calibrated"],
    }  # fmt: skip
    return pd.DataFrame(rows | changes)


def test_the_curves_as_a_table_mark_what_is_beyond_and_what_does_not_fit():
    table = scaling_table(curves())
    assert table.columns.tolist() == ["quantization", "context", "1,000", "2,000"]
    assert table.to_numpy().tolist() == [["Q8_0", "64", "1.00", "2.00*†"], ["Q4_0", "64", "0.500*", "–"]]


def test_the_quantizations_as_a_table_say_what_is_not_known():
    table = quant_table(curves())
    assert table["fits"].tolist() == ["yes", "NO", "–", "yes"]
    assert table["error up to"].tolist() == ["1.3 %", "–", "–", "–"]
    assert table["decode [tick]"].tolist() == ["1.000 M", "2.000 M", "500.0 k", "–"]
    assert table["flash"].tolist() == ["1.00 KiB", "–", "1 B", "1 B"]
    assert table["cost"].tolist()[-1] == "not calibrated"


@pytest.mark.slow
def test_the_first_board_is_one_that_can_be_predicted(tmp_path):
    first = first_calibrated(SIZES)
    assert len(calibrate(first, SIZES).seen.stages)
    assert first == min(b for b in edgeprof.open(SIZES).runs["board"].unique())
    empty = tmp_path / "data"
    empty.mkdir()
    with pytest.raises(NotComparableError, match="models="):
        first_calibrated(str(empty))
