"""Predictions in words and as tables of strings; nothing is computed here."""

from __future__ import annotations

import pandas as pd

from edgeprof import units
from edgeprof.model_shape import KERNELS, ModelShape
from edgeprof.prediction import NOT_CALIBRATED, Prediction
from edgeprof.prediction_range import placed

__all__ = [
    "cost_table", "held_out_table", "memory_table", "quant_table", "range_table", "scaling_table", "stage_parts",
    "summary",
]  # fmt: skip


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


def stage_parts(prediction: Prediction) -> pd.DataFrame:
    """Return the predicted stages of a decode pass as :func:`edgeprof.plots.plot_stages` takes them.

    Where cost is not calibrated there are none: some stages may be known, but they are not the pass.
    """
    stages = prediction.stages if prediction.status != NOT_CALIBRATED else prediction.stages.iloc[:0]
    ticks = stages["ticks"].astype(float)
    return pd.DataFrame(
        {"group": prediction.quant, "stage": stages["stage"], "ticks_per_pass": ticks, "share": ticks / ticks.sum()}
    )


def range_table(shape: ModelShape, prediction: Prediction) -> pd.DataFrame:
    """Return where a model lies in the range in which the board was captured, dimension by dimension."""
    p = prediction
    rows = []
    for name, (words, value) in placed(shape, p.n_ctx, p.position).items():
        low, high = p.calibrated_range.get(name, (None, None))
        inside = "not known" if low is None or high is None else "inside" if low <= value <= high else "OUTSIDE"
        rows.append((words, units.exact(value), units.exact(low), units.exact(high), inside))
    return pd.DataFrame(rows, columns=["dimension", "this model", "captured from", "captured to", "so it lies"])


def held_out_table(errors: pd.DataFrame, across: str = "board") -> pd.DataFrame:
    """Return the largest error of each model that was left out, in percent and with its sign.

    Parameters
    ----------
    errors
        From :func:`edgeprof.held_out`.
    across
        What a column is: ``board``, ``quant`` or ``phase``.
    """
    table: dict[str, list[str]] = {"left out": [], "parameters": []}
    names = list(dict.fromkeys(errors[across].astype(str)))
    table |= {name: [] for name in names}
    for (model, n_params), part in errors.groupby(["model", "n_params"]):
        table["left out"].append(str(model))
        table["parameters"].append(units.exact(n_params))
        for name in names:
            found = part.loc[part[across] == name, "error"].to_numpy(float)
            table[name].append(units.percent(max(found, key=abs, default=None)))
    return pd.DataFrame(table)


def quant_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Return what each quantization would take and cost, and which are not calibrated.

    Parameters
    ----------
    curves
        From :func:`edgeprof.scaling_curves`, of one size and context.
    """
    return pd.DataFrame(
        {
            "quantization": curves["quant"],
            "RAM": curves["ram_needed_bytes"].map(units.iec),
            "flash": curves["flash_needed_bytes"].map(units.iec),
            "fits": [_answer(fits) for fits in curves["fits"]],
            "decode [tick]": curves["decode_ticks_per_token"].map(lambda v: units.si(v, digits=4)),
            "error up to": [units.percent(e).lstrip("+") for e in curves["error"]],
            "cost": curves["status"],
        }
    )


def scaling_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Return what a decode pass would cost in million ticks: a row a quantization and context, a column a size.

    ``*`` lies beyond what was captured, and ``†`` does not fit.
    """
    shown = curves.assign(cell=curves.apply(_cell, axis=1), n_params=curves["n_params"].map(units.exact))
    sizes = list(dict.fromkeys(shown.sort_values(["width", "n_layers"])["n_params"]))
    wide = shown.pivot_table(index=["quant", "n_ctx"], columns="n_params", values="cell", aggfunc="first", sort=False)
    head = pd.DataFrame(
        {
            "quantization": [str(quant) for quant, _ in wide.index],
            "context": [units.exact(n_ctx) for _, n_ctx in wide.index],
        }
    )
    return pd.concat([head, wide[sizes].fillna(units.UNKNOWN).reset_index(drop=True)], axis=1)


def _cell(row: pd.Series) -> str:
    if pd.isna(row["decode_ticks_per_token"]):
        return units.UNKNOWN
    beyond, large = not row["inside"], pd.notna(row["fits"]) and not row["fits"]
    return units.significant(row["decode_ticks_per_token"] / 1e6) + "*" * beyond + "†" * large


def _answer(fits: bool | None) -> str:
    return units.UNKNOWN if pd.isna(fits) else "yes" if fits else "NO"
