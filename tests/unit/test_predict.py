"""Predicting from a header: what is read, what is computed, what is refused."""

from __future__ import annotations

import dataclasses
import mmap

import pandas as pd
import pytest
from firmware_host import tiny_model
from headers import header

import edgeprof
from edgeprof import gguf_check, units
from edgeprof.calibration import Calibration, calibrate
from edgeprof.cost_model import CostModel
from edgeprof.errors import ModelError, UsageError
from edgeprof.footprint import Firmware, activation_bytes, footprint, kv_cache_bytes
from edgeprof.model_shape import read_shape
from edgeprof.modelfile import read_model_info
from edgeprof.prediction import NOT_CALIBRATED, predict_shape
from edgeprof.prediction_range import outside
from edgeprof.prediction_tables import memory_table, summary
from edgeprof.quantize import quantize

TINYLLAMA_PARAMS = 1_100_048_384


@pytest.fixture(scope="module")
def tinyllama(tmp_path_factory):
    return header(tmp_path_factory.mktemp("big") / "tinyllama.gguf")


@pytest.fixture(scope="module")
def rp2040():
    return calibrate("rp2040")


# -- the header ----------------------------------------------------------------------------------


def test_of_a_large_file_the_header_alone_is_read(tinyllama, tmp_path, monkeypatch):
    """A sparse file of the whole model, without weights on the disk: nothing maps it or reads behind the header."""
    alone = read_shape(tinyllama)
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(tinyllama.read_bytes())
    with whole.open("r+b") as file:
        file.truncate(alone.model_bytes)
    furthest = 0
    read = gguf_check._FileBytes.__getitem__

    def watched(self, part):
        nonlocal furthest
        furthest = max(furthest, part.stop)
        return read(self, part)

    def never(*_, **__):
        raise AssertionError("the file was mapped")

    monkeypatch.setattr(gguf_check._FileBytes, "__getitem__", watched)
    monkeypatch.setattr(mmap, "mmap", never)
    assert read_shape(whole) == alone
    assert furthest <= tinyllama.stat().st_size < 2_000_000
    assert alone.n_params == TINYLLAMA_PARAMS
    assert 600_000_000 < alone.model_bytes < 700_000_000
    assert (alone.n_layers, alone.kv_dim, alone.head_dim, alone.n_vocab) == (22, 256, 64, 32000)


def test_a_shape_says_what_the_whole_file_says(tmp_path):
    file = tiny_model(tmp_path / "m.gguf", kind="Q8_0", tied=False)
    shape, info = read_shape(file), read_model_info(file)
    for name in ("name", "quant", "n_params", "bits_per_weight", "n_layers", "dim", "n_heads", "n_kv_heads", "ff"):
        assert getattr(shape, name) == getattr(info, name), name
    assert shape.model_bytes == file.stat().st_size
    assert (shape.n_vocab, shape.n_ctx) == (info.n_vocab, info.n_ctx)
    assert {name: kind for name, (_, kind) in shape.tensors.items()} == info.tensor_types


@pytest.mark.parametrize("quant", ["F16", "Q8_0", "Q4_0", "Q4_K_M"])
def test_a_requantized_shape_is_what_quantize_writes(tmp_path, quant):
    file = tiny_model(tmp_path / "m.gguf", dim=256, ff=256)
    made = quantize(file, tmp_path / "q.gguf", quant)
    said = read_shape(file).quantized(quant)
    written = read_shape(made.path)
    assert said.model_bytes == made.model_bytes == made.path.stat().st_size
    assert said.tensors == written.tensors
    assert (said.quant, said.types) == (written.quant, written.types)


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_resized_has_the_size_of_one_made_so(tmp_path, tied):
    small = read_shape(tiny_model(tmp_path / "a.gguf", dim=64, ff=96, heads=4, kv_heads=2, layers=1, tied=tied))
    large = read_shape(tiny_model(tmp_path / "b.gguf", dim=128, ff=192, heads=8, kv_heads=4, layers=3, tied=tied))
    grown = small.resized(n_layers=3, width=2)
    assert grown.dimensions == large.dimensions and grown.tensors == large.tensors
    assert grown.model_bytes == large.model_bytes
    with pytest.raises(UsageError, match="0 layers"):
        small.resized(n_layers=0)


# -- what the firmware would refuse --------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        ("'qwen2'", {"arch": "qwen2"}),
        ("blk.0.ffn_up.weight is BF16", {"kinds": {"blk.0.ffn_up.weight": "BF16"}}),
        ("blk.1.attn_q.weight is Q4_1", {"kinds": {"blk.1.attn_q.weight": "Q4_1"}}),
        ("output_norm.weight is F16", {"kinds": {"output_norm.weight": "F16"}}),
        ("no tensor blk.1.attn_v.weight", {"without": ("blk.1.attn_v.weight",)}),
        ("blk.0.attn_q.bias", {"extra": ("blk.0.attn_q.bias",)}),
        ("scales RoPE", {"fields": {"rope.scaling.type": "linear"}}),
        ("has the shape", {"fields": {"feed_forward_length": 512}}),
        ("does not divide", {"heads": 4, "kv_heads": 3}),
        ("is odd", {"fields": {"rope.dimension_count": 31}}),
        ("must be a number from 1 to 256", {"fields": {"block_count": 300}}),
        ("differ in width", {"fields": {"attention.value_length": 32}}),
    ],
)
def test_what_the_firmware_does_not_run_is_refused(tmp_path, said, changes):
    small = {"layers": 2, "dim": 256, "heads": 4, "kv_heads": 2, "ff": 256, "vocab": 64, "context": 64}
    with pytest.raises(ModelError, match="firmware cannot run") as error:
        read_shape(header(tmp_path / "m.gguf", **(small | changes)))
    assert said in str(error.value)


def test_a_damaged_header_is_refused(tinyllama, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tinyllama.read_bytes()[:-40])
    with pytest.raises(ModelError, match="ends too early"):
        read_shape(cut)
    with pytest.raises(ModelError, match="cannot be read"):
        read_shape(tmp_path / "absent.gguf")


# -- memory --------------------------------------------------------------------------------------


def test_memory_of_a_large_model_by_hand(tinyllama):
    shape = read_shape(tinyllama)
    assert kv_cache_bytes(shape, 2048) == 22 * 2048 * 2 * 2 * 256
    floats = 2048 + 2048 + 2048 + 256 + 5632 + 5632 + 256 + 32000 + 3 * 32 + 5632
    tokens = 264 * 4  # 257, rounded up to 8 bytes
    assert activation_bytes(shape, 256) == 22 * 120 + 4 * floats + 1032 and tokens > 1032
    taken = footprint(shape, 256, Firmware(1000, 100, 10))
    assert taken.ram_needed_bytes == 110 + taken.kv_cache_bytes + taken.activation_bytes
    assert taken.flash_needed_bytes == 1000 + shape.model_bytes


def test_without_captures_of_a_board_only_what_is_too_large_is_certain(tinyllama, tmp_path):
    nothing = Calibration("rp2040", None, CostModel({}), edgeprof.held_out([]))
    large = predict_shape(read_shape(tinyllama), nothing)
    assert large.fits is False and large.memory.ram_needed_bytes is None
    small = predict_shape(read_shape(tiny_model(tmp_path / "m.gguf")), nothing)
    assert small.fits is None and small.status == NOT_CALIBRATED and small.decode_ticks_per_token is None
    assert "no captures" in small.notes[0] and "never captured with any model" in summary(small)


# -- predictions ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_large_model_does_not_fit_and_lies_outside_of_what_was_captured(tinyllama, rp2040):
    p = predict_shape(read_shape(tinyllama), rp2040)
    assert p.fits is False and p.status == "calibrated"
    assert p.ram_bytes == 264 * 1024 and p.flash_bytes == 2 << 20
    assert any(text.startswith("parameters 1,100,048,384 (captured: ") for text in p.outside)
    assert "Beyond what was captured" in summary(p)
    assert p.stages["macs"].sum() == TINYLLAMA_PARAMS - 32000 * 2048 - 45 * 2048  # the embedding's row and the norms
    # Two thousand times the work of the captured models costs about as many times as much.
    assert 100 < p.decode_ticks_per_token / p.stages["macs"].sum() * 10 < 1000


@pytest.mark.slow
def test_a_type_that_was_never_captured_is_not_calibrated(tmp_path):
    small = {"layers": 1, "dim": 256, "heads": 4, "kv_heads": 2, "ff": 256, "vocab": 256, "context": 64}
    p = edgeprof.predict(header(tmp_path / "m.gguf", "F16", tied=True, **small), "stm32f405")
    assert p.status == NOT_CALIBRATED and p.fits is True
    assert "macs:F16" in p.missing and p.error is None
    assert p.decode_ticks_per_token is p.prefill_ticks_per_token is p.nominal_tok_s is None
    assert "stm32f405 was never captured with tensors in F16." in summary(p)


@pytest.mark.slow
def test_an_embedding_in_a_new_type_is_assumed_and_said_to_be(tmp_path, rp2040):
    small = {"layers": 1, "dim": 256, "heads": 8, "kv_heads": 2, "ff": 256, "vocab": 512, "context": 64}
    p = predict_shape(read_shape(header(tmp_path / "m.gguf", "Q4_0", **small)), rp2040)
    assert p.status == "calibrated" and any("unpacked:Q4_0" in note for note in p.notes)
    share = float(p.stages.set_index("stage")["ticks"]["embedding"]) / p.decode_ticks_per_token
    assert share < 0.02


def test_cost_grows_with_the_position_and_memory_with_the_context(rp2040):
    shape = read_shape(edgeprof.reference() + "/../models/fable-0.5m-F16.gguf").quantized("Q4_0")
    low, middle, high = (predict_shape(shape, rp2040, position=n).decode_ticks_per_token for n in (0, 100, 200))
    assert low < middle < high and high - middle == pytest.approx(middle - low)
    assert predict_shape(shape, rp2040).position == 128
    a, b = (predict_shape(shape, rp2040, n_ctx=n).memory for n in (64, 128))
    assert b.kv_cache_bytes == 2 * a.kv_cache_bytes and b.model_bytes == a.model_bytes
    with pytest.raises(UsageError, match="1 to 256"):
        predict_shape(shape, rp2040, n_ctx=257)
    with pytest.raises(UsageError, match="from 0 to 63"):
        predict_shape(shape, rp2040, n_ctx=64, position=64)


@pytest.mark.slow
def test_an_unknown_board_is_answered_with_the_closest():
    with pytest.raises(UsageError, match="'rp2040'"):
        calibrate("rp2400")


def test_ticks_are_nominal_where_they_are_no_time(rp2040):
    shape = read_shape(edgeprof.reference() + "/../models/fable-0.5m-F16.gguf").quantized("Q4_0")
    p = predict_shape(shape, rp2040)
    assert p.tok_s is None and p.nominal_tok_s == pytest.approx(125e6 / p.decode_ticks_per_token)
    timed = dataclasses.replace(
        rp2040, seen=dataclasses.replace(rp2040.seen, facts=rp2040.seen.facts | {"tick_hz": 1e6})
    )
    p = predict_shape(shape, timed)
    assert p.tok_s == pytest.approx(1e6 / p.decode_ticks_per_token)


@pytest.fixture
def small(rp2040):
    """Return a model that was captured on the board, and fits it."""
    return read_shape(edgeprof.reference() + "/../models/fable-0.5m-F16.gguf").quantized("Q4_0")


def told(calibration, clock=None, **facts):
    """Return a calibration whose board says something else of itself."""
    seen = calibration.seen
    setup = seen.setup if clock is None else seen.setup._replace(clock=clock)
    return dataclasses.replace(calibration, seen=dataclasses.replace(seen, setup=setup, facts=seen.facts | facts))


def test_ram_and_flash_must_both_suffice(small, rp2040):
    assert predict_shape(small, rp2040).fits is True
    for region, name in (("ram_bytes", "RAM"), ("flash_bytes", "flash")):
        p = predict_shape(small, told(rp2040, **{region: 1024}))
        assert p.fits is False
        says = dict(zip(memory_table(p)["memory"] + memory_table(p)["part"], memory_table(p)["how"], strict=True))
        needed = p.memory.ram_needed_bytes if name == "RAM" else p.memory.flash_needed_bytes
        assert says[f"{name}needed"] == f"DOES NOT FIT: {units.iec(needed - 1024)} over 1.00 KiB"
        assert sum(how.startswith("fits") for how in says.values()) == 1
    assert predict_shape(small, rp2040).memory.activation_bytes == activation_bytes(small, 256, pointer_bytes=4)


def test_a_timer_has_no_nominal_rate(small, rp2040):
    p = predict_shape(small, told(rp2040, clock="device_timer", tick_hz=1e6))
    assert p.tok_s is not None and p.nominal_tok_s is None


def test_a_prefill_pass_has_no_output(small, rp2040):
    p = predict_shape(small, rp2040)
    ticks = p.stages.set_index("stage")["ticks"]
    assert p.decode_ticks_per_token == pytest.approx(ticks.sum())
    assert p.prefill_ticks_per_token == pytest.approx(ticks.drop(["head", "sampling"]).sum())


def test_the_error_is_the_largest_of_the_same_quantization(small, rp2040):
    errors = pd.DataFrame({"quant": ["Q4_0", "Q4_0", "Q8_0"], "error": [0.05, -0.1, 0.5]})
    calibration = dataclasses.replace(rp2040, errors=errors)
    error, of = calibration.error_of(small)
    assert error == 0.1 and of.startswith("the largest of 2 passes of Q4_0")
    error, of = calibration.error_of(small.quantized("Q2_K"))
    assert error == 0.5 and of.startswith("the largest of 3 passes of all quantizations")
    assert "Error of cost: up to 10 % (the largest" in summary(predict_shape(small, calibration))
    assert calibration.error_of(small)[0] == predict_shape(small, calibration).error


def test_what_was_captured_is_inside(tinyllama):
    shape = read_shape(tinyllama)
    assert outside(shape, 64, 0, {"n_layers": (22, 22), "n_ctx": (64, 256), "position": (0, 9)}) == []
    assert outside(shape, 63, 0, {"n_ctx": (64, 256)}) == ["context 63 (captured: 64 to 256)"]


def test_the_range_is_named_dimension_by_dimension(tinyllama):
    shape = read_shape(tinyllama)
    checked = {"n_layers": (1, 30), "ff": (256, 512), "position": (0, 9), "n_ctx": (64, 256)}
    assert outside(shape, 256, 9, checked) == ["feed-forward width 5,632 (captured: 256 to 512)"]
    assert outside(shape, 512, 10, checked)[1:] == [
        "position 10 (captured: 0 to 9)",
        "context 512 (captured: 64 to 256)",
    ]
