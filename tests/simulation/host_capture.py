"""Real noise to resample: pairs that the board ``host`` measured, one number a run and metric, kept in a small file.

``python tests/simulation/host_capture.py FOLDER`` measures them anew: in pairs with no change, and with a firmware that
does one matrix product of each pass twice. It takes about half an hour; ``--keep`` writes ``host_noise.csv`` from the
data sets in FOLDER.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from machine import machine  # noqa: E402

import edgeprof  # noqa: E402
from edgeprof import firmware  # noqa: E402
from edgeprof.firmware.build import build  # noqa: E402
from edgeprof.paired_sweep import run_paired_sweep  # noqa: E402
from edgeprof.pairs import matched_runs  # noqa: E402
from edgeprof.run_values import DECODE_MEDIAN, all_run_values  # noqa: E402
from edgeprof.sweep import load_plan  # noqa: E402

FILE = Path(__file__).with_name("host_noise.csv")
METRICS = (
    DECODE_MEDIAN, "decode_ticks_per_token", "prefill_ticks_per_token", "ttft_ticks", "itl_p50_ticks", "itl_p95_ticks",
    "itl_p99_ticks", "ticks_total",
)  # fmt: skip
QUANTS = ("F16", "Q8_0", "Q5_0", "Q4_0", "TQ2_0", "Q2_K")
UNCHANGED, SLOWER = "unchanged", "slower"
PLAN = """\
boards = ["host"]
{firmware}
n_generate = 64
keep_wire = "none"
seed = 11
[[model]]
file = "{model}"
quants = {quants}
[[prompt]]
id = "a"
text = "Once upon a time there was a river that ran backwards"
"""
PRODUCT = "    times(s, s->gate, &w->gate, s->xb);\n"


def slower_firmware(folder: Path) -> Path:
    """Compile the firmware with one product of the first layer done twice: a few percent of a pass."""
    root = folder / "firmware"
    shutil.copytree(firmware.path(), root, dirs_exist_ok=True)
    source = root / "llm" / "forward.c"
    text = source.read_text(encoding="utf-8")
    if text.count(PRODUCT) != 1:
        raise ValueError("the firmware's feed-forward is not what it was: choose another product to do twice")
    source.write_text(text.replace(PRODUCT, f"{PRODUCT}    if (l == 0)\n    {PRODUCT}"), encoding="utf-8")
    build("host", folder, root)
    image = folder / "host.elf"
    image.chmod(0o755)
    return image


def measure(folder: Path) -> None:
    """Measure 40 pairs of each quantization with no change, and 12 of the slower firmware against the usual one."""
    folder.mkdir(parents=True, exist_ok=True)
    model = (TESTS.parent / "data" / "models" / "fable-1.2m-F16.gguf").as_posix()
    image = slower_firmware(folder).resolve().as_posix()
    for name, line in (("base", ""), (SLOWER, f'firmware = {{ host = "{image}" }}')):
        text = PLAN.format(model=model, quants=json.dumps(QUANTS), firmware=line)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    base = folder / "base.toml"
    run_paired_sweep(load_plan(base), str(base), folder / UNCHANGED, pairs=40)
    run_paired_sweep(load_plan(folder / f"{SLOWER}.toml"), str(base), folder / SLOWER, pairs=12)


def keep(folder: Path, file: Path = FILE) -> None:
    """Write a line a run: when it was measured, what, in which pair on which side, and its metrics in microseconds."""
    lines = []
    for name in (UNCHANGED, SLOWER):
        dataset = edgeprof.open(folder / name)
        runs = dataset.runs
        found = matched_runs(runs)
        ids = {*found["base"], *found["candidate"]}
        runs = runs[runs["run_id"].isin(ids)]
        values = all_run_values(dataset.tokens[dataset.tokens["run_id"].isin(ids)], runs)
        values["ticks_total"] = runs["ticks_total"].to_numpy(float)
        about = runs.set_index("run_id")
        began = dataset.captures.set_index("capture_id")["started_at"].astype("datetime64[ns, UTC]")
        for pair in found.itertuples():
            for side, run in (("base", pair.base), ("candidate", pair.candidate)):
                seconds = (began[about.loc[run, "capture_id"]] - began.min()).total_seconds()
                numbers = [f"{v / 1000:.5g}" for v in values.loc[run, list(METRICS)]]
                lines.append([name, f"{seconds:.0f}", about.loc[run, "quant"], pair.pair.split("/")[1], side, *numbers])
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write(f"# {json.dumps(machine())}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["sweep", "seconds", "quant", "pair", "side", *METRICS])
        writer.writerows(lines)


def load(file: Path = FILE) -> dict[str, np.ndarray]:
    """Return, by sweep, logs of shape (quantizations, pairs, 2, metrics): pairs in order of time; base, candidate."""
    with file.open(encoding="utf-8") as lines:
        next(lines)
        rows = list(csv.DictReader(lines))
    found = {}
    for sweep in (UNCHANGED, SLOWER):
        mine = [row for row in rows if row["sweep"] == sweep]
        by_quant = []
        for quant in QUANTS:
            pairs: dict[str, dict[str, list[float]]] = {}
            for row in sorted((r for r in mine if r["quant"] == quant), key=lambda r: int(r["pair"])):
                pairs.setdefault(row["pair"], {})[row["side"]] = [float(row[m]) for m in METRICS]
            by_quant.append([[sides["base"], sides["candidate"]] for sides in pairs.values()])
        least = min(map(len, by_quant))
        found[sweep] = np.log(np.array([pairs[:least] for pairs in by_quant]))
    return found


def measured_on(file: Path = FILE) -> dict[str, object]:
    """Return the machine that the file was measured on, as :func:`machine.machine` describes it."""
    with file.open(encoding="utf-8") as lines:
        return dict(json.loads(next(lines).removeprefix("#")))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="only write host_noise.csv from what is there")
    args = parser.parse_args()
    if not args.keep:
        measure(args.folder)
    keep(args.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
