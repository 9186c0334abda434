"""Make the sample power data: synthetic, of no board and no meter that ever was.

python data/samples/synthetic-power/make_sample.py DIR      writes the data set and truth.csv into DIR

The passes are those of the reference data: what the emulated board ``wasm`` really counted. All else is made up here.

- **Time**: an emulated board counts WebAssembly instructions, which are no time. Here one of them takes a nanosecond.
- **Power**: the numbers of this file, and nothing else. A quantization's level is invented as well.
- **The meter**: it samples 8,000 times a second, is noisy, loses 0.5 % of its samples, and its clock is 20 ppm
  slow. Its input D0 sees a pin that the board toggles at run begin, at the end of each pass, and at run end.
- **The host**: it has each frame 0.1 to 0.3 ms after it was sent.

The meter's file is in the format of the PPK2's app, and goes the way of every meter's file. ``truth.csv`` has what the
model of the power integrates to over each run and each pass, in closed form.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import edgeprof
from edgeprof import journal, wire
from edgeprof.capture import Source, prepare
from edgeprof.care import recover
from edgeprof.energy.synthetic import Ramp, Steps, Waveform, bursts, sampled, truth_uj
from edgeprof.layout import CAPTURE_JSON, write_json
from edgeprof.meters.file import MeterOptions
from edgeprof.meters.importing import import_meters
from edgeprof.records import PHASES, STAGE, STAGES, TOKEN
from edgeprof.schema import device_columns

BOARD, MODEL = "wasm", "fable-1.2m"
QUANTS = {"Q8_0": 1.0, "Q4_K_M": 0.9, "Q4_0": 0.78, "TQ2_0": 0.7}
"""By what the levels of the phases are multiplied: invented."""
PROMPTS = ("lost-kite", "market-day")
PASSES_A_FRAME = 8
TICK_HZ = 1e9
VOLTAGE_MV = 3300.0
IDLE_UA = 1_800.0
LEVELS_UA = {"prefill": 29_000.0, "decode": 33_000.0, "score": 31_000.0}
BURST_UA, BURST_NS = 9_000.0, 1.5e6
"""At the begin of each pass."""
RIPPLE = Ramp(0.0, 400.0, 7.3e6)
IDLE_NS = 300e6
METER_HZ, DRIFT_PPM, NOISE_UA, MISSING, STEP_UA = 8_000, 20.0, 40.0, 0.005, 50.0
BEGAN = "2026-01-01T00:00:00+00:00"
SAYS = "power and time are synthetic: no board used this power, and 1e9 ticks a second is nominal"

HOST_KNOWS = ("model_sha256", "arch", "bits_per_weight", "emulator", "emulator_version", "emulator_flags")
TOTALS = ("boot", "status", "ticks_total", "passes", "n_generated")
"""What a board says of a run otherwise than by name."""

Float = npt.NDArray[np.float64]


def make(out: Path) -> None:
    """Write the data set and the truth."""
    ds, truths = edgeprof.open(edgeprof.reference()), []
    for seed, (quant, factor) in enumerate(QUANTS.items()):
        runs = chosen(ds, quant)
        passes = [passes_of(ds, run) for run in runs]
        stages = [ds.table("stages", where={"run_id": run["run_id"]}) for run in runs]
        *begins, end_ns = np.cumsum([IDLE_NS, *(run["ticks_total"] + IDLE_NS for run in runs)])
        board = f"synthetic-time-{quant}"
        write_board(out, board, runs, passes, stages, begins, seed)
        waves = power(passes, begins, factor)
        for number, (of, begin) in enumerate(zip(passes, begins, strict=True), start=1):
            truths.append(truth(f"{board}/0-{number:04d}", of, begin, waves))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"synthetic-power-{quant}.csv"
            file.write_text(meter_file(waves, end_ns, toggles(runs, passes, begins), seed), encoding="utf-8")
            options = MeterOptions(voltage_mv=VOLTAGE_MV, meter="synthetic", started_at=BEGAN)
            import_meters([file], out, measures=board, options=options, capture_id=file.stem)
    pd.concat(truths).to_csv(out / "truth.csv", index=False, float_format="%.4f")


def chosen(ds: edgeprof.Dataset, quant: str) -> list[dict[str, Any]]:
    """Return the runs of a file: some generations, then the evaluation, of which the first window is taken."""
    runs = ds.table("runs", where={"board": BOARD, "model": MODEL, "quant": quant, "status": "ok"})
    runs = runs[runs["prompt_id"].isin([*PROMPTS, "eval"])].sort_values(["kind", "prompt_id"])
    return [{k: v for k, v in row.items() if pd.notna(v)} for row in runs.to_dict("records")]


def passes_of(ds: edgeprof.Dataset, run: dict[str, Any]) -> pd.DataFrame:
    """Return a run's passes in order; an evaluation becomes one of a single window."""
    passes = ds.table("tokens", where={"run_id": run["run_id"]}).sort_values("ticks_start", kind="stable")
    if run["kind"] == "score":
        passes = passes[passes["window"] == 0]
        last = int((passes["ticks_start"] + passes["ticks"]).iloc[-1])
        run |= {"n_windows": 1, "passes": len(passes), "ticks_total": last + int(passes["ticks_start"].iloc[0])}
    return passes.reset_index(drop=True)


def write_board(
    out: Path, name: str, runs: list[dict[str, Any]], passes: list[pd.DataFrame], stages: list[pd.DataFrame],
    begins: list[float], seed: int,
) -> None:  # fmt: skip
    """Write a capture of the board: what it said in each run once more, at the nominal time."""
    facts = {k: runs[0][k] for k in HOST_KNOWS} | {"tags": {"synthetic": SAYS}}
    source = Source("synthetic:", "board", facts=facts)
    folder = prepare(out, [source], [], host_label="synthetic", capture_id=name, extra={})
    header = json.loads((folder / CAPTURE_JSON).read_text(encoding="utf-8"))
    write_json(folder / CAPTURE_JSON, header | {"monotonic_start_ns": 0, "started_at": BEGAN})
    writer, rng = journal.PortWriter(folder, 0), np.random.default_rng(seed)
    sent = [
        (number, *frame)
        for number, (run, of, timed, begin) in enumerate(zip(runs, passes, stages, begins, strict=True), start=1)
        for frame in frames(run, of, timed, int(begin))
    ]
    for seq, (number, at, frame) in enumerate(sent):
        data = wire.encode_frame(**frame, boot=1, run=number, seq=seq)
        writer.append(data, int(at + rng.uniform(1e5, 3e5)))
    writer.close()
    recover(folder)


def frames(
    run: dict[str, Any], passes: pd.DataFrame, stages: pd.DataFrame, begin: int
) -> list[tuple[int, dict[str, Any]]]:
    """Return when each frame of a run was sent, and what is in it."""
    known = run | {"tick_hz": TICK_HZ, "board_clock_hz": TICK_HZ}
    said = {k: str(known[k]) for k in device_columns("runs") if k in known and k not in TOTALS}
    found = [(begin, {"type_": wire.Type.RUN_BEGIN, "body": wire.encode_pairs(said), "n": len(said), "t0": begin})]
    for first in range(0, len(passes), PASSES_A_FRAME):
        of = passes.iloc[first : first + PASSES_A_FRAME]
        t0, end = int(of["ticks_start"].iloc[0]), int((of["ticks_start"] + of["ticks"]).iloc[-1])
        body = records(of, t0)
        found.append((begin + end, {"type_": wire.Type.TOKENS, "body": body, "n": len(of), "t0": begin + t0, "dt": 1}))
    timed = [stages[stages["position"] == position] for position in stages["position"].unique()]
    end = begin + int(run["ticks_total"])
    found += [
        (end, {"type_": wire.Type.STAGES, "body": stage_records(of), "n": len(of), "t0": end, "dt": 1}) for of in timed
    ]
    counts = (int(run["n_prompt"]), int(run["n_generated"]), len(found), int(run["passes"]), 0, len(timed), 0)
    body = wire.RUN_END.pack(wire.STATUS.index("ok"), *counts, begin)
    return [*found, (end, {"type_": wire.Type.RUN_END, "body": body, "n": 1, "t0": end})]


def records(passes: pd.DataFrame, t0: int) -> bytes:
    """Return passes as a frame holds them."""
    out = np.zeros(len(passes), TOKEN)
    out["start"] = passes["ticks_start"] - t0
    for field, column, unknown in (
        ("ticks", "ticks", 0), ("token", "token_id", 0), ("next", "next_id", 0), ("top1", "top1_id", 0),
        ("nll", "nll", 0), ("position", "position", 0), ("window", "window", 0xFFFF), ("n_batch", "n_batch", 1),
    ):  # fmt: skip
        out[field] = passes[column].fillna(unknown)
    phases = PHASES.to_pylist()
    known = 8 * passes["nll"].notna() + 16 * passes["next_id"].notna() + 32 * passes["top1_id"].notna()
    out["flags"] = passes["phase"].map(phases.index) + 4 * passes["scored"] + known
    return out.tobytes()


def stage_records(stages: pd.DataFrame) -> bytes:
    """Return the stages of a pass as a frame holds them."""
    out = np.zeros(len(stages), STAGE)
    out["position"], out["ticks"] = stages["position"], stages["ticks"]
    out["stage"] = stages["stage"].map(STAGES.index)
    return out.tobytes()


def power(passes: list[pd.DataFrame], begins: list[float], factor: float) -> list[Waveform]:
    """Return the model of the current: idle, a level a phase, a burst at the begin of each pass, a ripple."""
    edges, levels, starts = [0.0], [IDLE_UA], []
    for of, begin in zip(passes, begins, strict=True):
        begin_ns, end_ns = spans(of, float(begin))
        edges += [*begin_ns, float(end_ns[-1])]
        levels += [*(factor * of["phase"].map(LEVELS_UA)), IDLE_UA]
        starts.append(begin_ns)
    return [Steps(np.array(edges), np.array(levels)), bursts(np.concatenate(starts), BURST_NS, BURST_UA), RIPPLE]


def spans(passes: pd.DataFrame, begin: float) -> tuple[Float, Float]:
    """Return when passes begin and end, in nanoseconds; a tick is one."""
    begins = begin + passes["ticks_start"].to_numpy(np.float64)
    return begins, begins + passes["ticks"].to_numpy(np.float64)


def truth(run_id: str, passes: pd.DataFrame, begin: float, waves: list[Waveform]) -> pd.DataFrame:
    """Return the exact energy of a run, in the first row, and of each of its passes."""
    begins, ends = spans(passes, begin)
    rows = pd.DataFrame({"run_id": run_id, "position": passes["position"], "phase": passes["phase"]})
    rows["energy_uj"] = truth_uj(waves, VOLTAGE_MV, begins, ends)
    whole = {"run_id": run_id, "position": None, "phase": "run"}
    whole["energy_uj"] = truth_uj(waves, VOLTAGE_MV, begins[0], ends[-1])
    return pd.concat([pd.DataFrame([whole]), rows]).astype({"position": "Int64"})


def toggles(runs: list[dict[str, Any]], passes: list[pd.DataFrame], begins: list[float]) -> Float:
    """Return when the board toggles its pin: at run begin, at the end of each pass, at run end."""
    return np.concatenate(
        [
            np.concatenate(([begin], spans(of, begin)[1], [begin + run["ticks_total"]]))
            for run, of, begin in zip(runs, passes, begins, strict=True)
        ]
    )


def meter_file(waves: list[Waveform], end_ns: float, pin: Float, seed: int) -> str:
    """Return what the synthetic meter recorded, as the PPK2's app writes it."""
    period_ns = 1e9 / METER_HZ
    samples, true = sampled(
        waves, begin_ns=0.0, end_ns=end_ns, period_ns=period_ns, seed=seed, voltage_mv=VOLTAGE_MV, drift_ppm=DRIFT_PPM,
        missing=MISSING, noise_ua=NOISE_UA, averages=True,
    )  # fmt: skip
    rounded = np.round(samples.current_ua / STEP_UA) * STEP_UA
    high = np.searchsorted(pin, true, side="right") % 2
    rows = (
        f"{k * period_ns / 1e6:.3f},{ua:.0f},{level}-------"
        for k, (ua, level) in enumerate(zip(rounded, high, strict=True))
        if ua == ua  # else it is missing
    )
    return "\n".join(("Timestamp(ms),Current(uA),D0-D7", *rows, ""))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
