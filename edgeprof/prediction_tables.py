"""A prediction in words and as tables of strings; nothing is computed here."""

from __future__ import annotations

import pandas as pd

from edgeprof import units
from edgeprof.model_shape import KERNELS
from edgeprof.prediction import NOT_CALIBRATED, Prediction

__all__ = ["cost_table", "memory_table", "summary"]


def memory_table(prediction: Prediction) -> pd.DataFrame:
    """Return what the model takes of RAM and flash, part by part; the last row of each says whether that fits."""
    m = prediction.memory
    rows = [
        ("RAM", "KV cache", m.kv_cache_bytes, "exact"),
        ("RAM", "activations", m.activation_bytes, "exact"),
        ("RAM", "static data", m.static_ram_bytes, "exact"),
        ("RAM", "stack", m.stack_reserved_bytes, "upper bound"),
        ("RAM", "needed", m.ram_needed_bytes, _verdict(m.ram_needed_bytes, prediction.ram_bytes)),
        ("flash", "model file", m.model_bytes, "exact"),
        ("flash", "code and constants", m.image_bytes, "exact"),
        ("flash", "needed", m.flash_needed_bytes, _verdict(m.flash_needed_bytes, prediction.flash_bytes)),
    ]
    table = pd.DataFrame(rows, columns=["memory", "part", "size [byte]", "how"])
    table.loc[table["size [byte]"].isna(), "how"] = "not known"
    return table.assign(**{"size [byte]": table["size [byte]"].map(units.exact)})


def _verdict(needed: int | None, has: int) -> str:
    if needed is None:
        return "not known"
    if needed <= has:
        return f"fits: {units.iec(needed)} of {units.iec(has)}"
    return f"DOES NOT FIT: {units.iec(needed - has)} over {units.iec(has)}"


def cost_table(prediction: Prediction) -> pd.DataFrame:
    """Return what a decode pass costs, stage by stage, and the whole of decode and prefill passes."""
    p = prediction
    clock = f"ticks ({p.clock})" if p.clock else "ticks"
    rows = [
        (f"decode: {stage}", units.si(ticks, digits=4), units.exact(macs), units.exact(read))
        for stage, ticks, macs, read in p.stages.itertuples(index=False)
    ]
    rows += [
        ("decode: all of it", units.si(p.decode_ticks_per_token, digits=4), units.exact(p.stages["macs"].sum()),
         units.exact(p.stages["weight_bytes_read"].sum())),
        ("prefill: all of it, without output", units.si(p.prefill_ticks_per_token, digits=4), units.UNKNOWN,
         units.UNKNOWN),
    ]  # fmt: skip
    columns = ["a token", clock, "multiply-accumulates", "weights read [byte]"]
    return pd.DataFrame(rows, columns=columns)


def summary(prediction: Prediction) -> str:
    """Return a prediction's rate, error and range in a few sentences."""
    p = prediction
    if p.status == NOT_CALIBRATED:
        types = sorted({kind for feature in p.missing if (kind := feature.partition(":")[2]) in KERNELS})
        what = f"with tensors in {', '.join(types)}" if p.clock else "with any model"
        return f"Cost is not calibrated: {p.board} was never captured {what}. Capture it and name the data set."
    said = []
    if p.tok_s is not None:
        said.append(f"{units.significant(p.tok_s)} tokens a second.")
    elif p.nominal_tok_s is not None:
        said.append(f"Nominally (a tick a cycle, no wait states) {units.significant(p.nominal_tok_s)} tokens a second.")
    error = "not known" if p.error is None else f"up to {units.significant(100 * p.error, 2)} %"
    said.append(f"Error of cost: {error} ({p.error_of}).")
    if p.outside:
        said.append(f"Beyond what was captured, where that error need not hold: {'; '.join(p.outside)}.")
    else:
        said.append("Within the range that was captured.")
    return " ".join(said)
