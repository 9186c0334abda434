"""The cost model: what work is counted, that coefficients are found again, and that errors are honest."""

from __future__ import annotations

import handmade
import numpy as np
import pandas as pd
import pytest
from headers import header

from edgeprof.cost_model import SAMPLED, CostModel, fit_costs
from edgeprof.model_shape import read_shape
from edgeprof.observed import Observations, Setup, observations
from edgeprof.scaling import scaling_curves
from edgeprof.validation import held_out, held_out_of
from edgeprof.workload import COEFFICIENTS, macs, stage_work, weight_bytes_read

SIZES = {
    "a": {"layers": 2, "dim": 256, "heads": 8, "kv_heads": 2, "ff": 512, "vocab": 512, "context": 64},
    "b": {"layers": 1, "dim": 512, "heads": 8, "kv_heads": 4, "ff": 256, "vocab": 512, "context": 64},
    "c": {"layers": 3, "dim": 256, "heads": 4, "kv_heads": 4, "ff": 768, "vocab": 300, "context": 64},
}
TRUTH = {
    "macs:Q4_0": 5.0, "macs:Q8_0": 3.0, "rows": 30.0, "activations:Q8_32": 40.0, "unpacked:Q4_0": 7.0,
    "unpacked:Q8_0": 4.0, "rotations": 300.0, "cache_macs": 8.0, "exponentials": 90.0, "heads": 200.0, "normed": 15.0,
    "elements": 6.0, "logits": 10.0, "passes": 100.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    return [
        read_shape(header(folder / f"{name}-{kind}.gguf", kind, tied=True, **size))
        for name, size in SIZES.items()
        for kind in ("Q4_0", "Q8_0")
    ]


def stages(shapes, truth=TRUTH):
    """Return what the stages of some passes would take, exactly."""
    rows = [
        (i, stage, position, sum(truth[f] * n for f, n in stage_work(shape, stage, position).items()))
        for i, shape in enumerate(shapes)
        for stage in SAMPLED
        for position in range(0, 60, 6)
    ]
    table = pd.DataFrame(rows, columns=["shape", "stage", "position", "ticks"])
    return table.assign(model=[f"m{i // 2}" for i in table["shape"]], quant=[shapes[i].quant for i in table["shape"]],
                        same=table["shape"] // 2, passes=1)  # fmt: skip


def seen(shapes, table):
    return Observations("x", Setup("c99", "e", "1", "cycles"), table, list(shapes), (64, 64), None, {})


def test_work_counted_by_hand(shapes):
    a = shapes[0]
    assert macs(a, "attention") == {"Q4_0": 2 * (256 * 256 * 2 + 2 * 256 * 64)}
    assert macs(a, "feed_forward") == {"Q4_0": 2 * 3 * 256 * 512}
    assert macs(a, "head") == {"Q4_0": 256 * 512} and macs(a, "sampling") == {}
    work = stage_work(a, "attention", 9)
    assert work["cache_macs"] == 2 * 10 * 2 * 256 and work["exponentials"] == 10 * 2 * 8
    assert work["rows"] == 2 * (256 + 64 + 64 + 256) and work["activations:Q8_32"] == 2 * (256 + 256)
    assert stage_work(a, "feed_forward", 9)["activations:Q8_32"] == 2 * (256 + 512)
    assert weight_bytes_read(a, "head") == 256 * 512 * 18 // 32 and weight_bytes_read(a, "embedding") == 256 * 18 // 32
    everything = {f.partition(":")[0] for stage in SAMPLED for f in stage_work(a, stage, 0)}
    assert everything == set(COEFFICIENTS)


def test_a_change_of_form_prepares_the_input_again(tmp_path):
    """Q4_K and Q6_K share a form, Q8_0 does not: values in Q8_0 cost another preparation."""
    kinds = {"attn_v.weight": "Q8_0"}
    mixed = read_shape(header(tmp_path / "m.gguf", "Q4_K", kinds=kinds, **SIZES["a"]))
    work = stage_work(mixed, "attention", 0)
    assert work["activations:Q8_32"] == 2 * 256 and work["activations:Q8_256"] == 2 * (256 + 256)
    alike = read_shape(header(tmp_path / "n.gguf", "Q4_K", kinds={"attn_v.weight": "Q6_K"}, **SIZES["a"]))
    assert stage_work(alike, "attention", 0)["activations:Q8_256"] == 2 * (256 + 256)


def test_a_model_that_was_left_out_is_found_from_the_others(shapes):
    table = stages(shapes)
    errors = held_out_of(seen(shapes, table))
    assert set(errors["model"]) == {"m0", "m1", "m2"} and set(errors["phase"]) == {"prefill", "decode"}
    assert errors["error"].abs().max() < 0.02
    model = fit_costs(table, shapes)
    found = [model.pass_ticks(shape, 41) for shape in shapes]
    true = [sum(TRUTH[f] * n for s in SAMPLED for f, n in stage_work(shape, s, 41).items()) for shape in shapes]
    np.testing.assert_allclose(found, true, rtol=2e-3)
    assert model.ticks["macs:Q4_0"] == pytest.approx(5.0, rel=0.02)
    assert set(model.table()["coefficient"]) >= {"ticks_per_mac", "ticks_per_row", "ticks_per_pass"}
    assert min(model.ticks.values()) >= 0


def test_what_was_interrupted_does_not_shift_the_rest(shapes):
    """One observation in twenty took three times as long."""
    table = stages(shapes)
    hit = np.random.default_rng(3).random(len(table)) < 0.05
    model = fit_costs(table.assign(ticks=table["ticks"].where(~hit, 3 * table["ticks"])), shapes)
    for shape in shapes:
        true = sum(TRUTH[f] * n for s in SAMPLED for f, n in stage_work(shape, s, 41).items())
        assert model.pass_ticks(shape, 41) == pytest.approx(true, rel=0.02)


def test_no_work_takes_less_than_no_time(shapes):
    """Where some work costs nothing, noise would make half of its coefficients negative."""
    table = stages(shapes, TRUTH | dict.fromkeys(["rotations", "exponentials", "heads", "normed", "elements"], 0.0))
    table = table[table["ticks"] > 0]
    noise = np.random.default_rng(4).normal(1, 0.05, len(table))
    ticks = fit_costs(table.assign(ticks=table["ticks"] * noise), shapes).ticks
    assert min(ticks.values()) >= 0


def test_a_model_that_is_unlike_the_others_shows_as_an_error(shapes):
    """The error is that of predicting without a model: one that costs twice as much is half of what it should be."""
    table = stages(shapes)
    twice = table["ticks"].where(table["model"] != "m1", 2 * table["ticks"])
    errors = held_out_of(seen(shapes, table.assign(ticks=twice)))
    of = errors.groupby("model")["error"]
    assert of.max()["m1"] < -0.45
    assert of.max()["m0"] > 0.05


def test_a_model_that_was_captured_longer_does_not_count_for_more(shapes):
    table = stages(shapes[:4:2])
    table["ticks"] = table["ticks"].where(table["shape"] == 0, 1.1 * table["ticks"])
    longer = pd.concat([table, *[table[table["shape"] == 1]] * 9], ignore_index=True)
    once, again = (fit_costs(t, shapes[:4:2]).pass_ticks(shapes[0], 30) for t in (table, longer))
    assert again == pytest.approx(once, rel=0.005)


def test_an_embedding_in_a_new_type_is_as_dear_as_the_dearest(tmp_path):
    shape = read_shape(header(tmp_path / "m.gguf", "Q4_0", kinds={"token_embd.weight": "Q6_K"}, **SIZES["a"]))
    work = stage_work(shape, "embedding", 0)
    assert work["unpacked:Q6_K"] == 256
    dear = CostModel(TRUTH).stage_ticks(shape, "embedding", 0)
    assert dear == pytest.approx(sum(n * TRUTH.get(feature, TRUTH["unpacked:Q4_0"]) for feature, n in work.items()))


def test_models_of_the_same_dimensions_do_not_vouch_for_each_other(shapes):
    table = stages(shapes[:2])
    renamed = pd.concat([table, table.assign(model="other")], ignore_index=True)
    assert held_out_of(seen(shapes[:2], renamed)).empty


def test_a_type_of_one_model_alone_has_no_error(shapes):
    table = stages(shapes)
    types = [shapes[i].types for i in table["shape"]]
    errors = held_out_of(
        seen(shapes, table[[t == ("Q4_0",) or m == "m0" for t, m in zip(types, table["model"], strict=True)]])
    )
    of_one = errors[errors["model"] == "m0"]
    assert len(of_one) == 2 * 10 and set(errors["model"]) == {
        "m0",
        "m1",
        "m2",
    }  # two phases at ten positions, Q4_0 alone


def test_runs_whose_model_is_not_found_are_left_out_and_named():
    run = handmade.run(
        board="x", clock="cycles", kernel_variant="c99", emulator="e", emulator_version="1", image_bytes=1,
        static_ram_bytes=1, stack_reserved_bytes=1, model="nobody's", quant="Q4_0", n_params=7, bits_per_weight=4.5,
        n_ctx=64, status="ok", kind="generate",
    )  # fmt: skip
    data = handmade.dataset([run], [handmade.token(run["run_id"], 0, "prefill", 0, 100)])
    stage = {"run_id": run["run_id"], "position": 0, "stage": "attention", "ticks": 60}
    data._tail["stages", ("x", "nobody's", "Q4_0")] = handmade.table("stages", [stage])
    found = observations([data], "x")
    assert found is not None and found.stages.empty and "nobody's Q4_0" in found.notes[0]
    assert observations([data], "y") is None
    assert held_out(data).empty


@pytest.mark.slow
def test_curves_over_size_quantization_and_context(tmp_path):
    file = header(tmp_path / "m.gguf", "F16", tied=True, **SIZES["a"])
    data = scaling_curves(file, "rp2040", quants=("Q8_0", "F16"), layers=(1, 2), widths=(1, 2), contexts=(32, 64))
    assert len(data) == 16 and (data["position"] == data["n_ctx"] - 1).all()
    known = data[data["quant"] == "Q8_0"]
    assert known["decode_ticks_per_token"].notna().all() and set(known["status"]) == {"calibrated"}
    for column, by in (
        ("n_layers", ["width", "n_ctx"]),
        ("width", ["n_layers", "n_ctx"]),
        ("n_ctx", ["n_layers", "width"]),
    ):
        for _, part in known.groupby(by):
            ordered = part.sort_values(column)
            assert (np.diff(ordered["decode_ticks_per_token"]) > 0).all()
            assert (np.diff(ordered["ram_needed_bytes"]) > 0).all()
    never = data[data["quant"] == "F16"]
    assert never["decode_ticks_per_token"].isna().all() and set(never["status"]) == {"not calibrated"}
    assert not data.loc[data["width"] == 2, "inside"][data["quant"] == "Q8_0"].any()  # sixteen heads: never captured
