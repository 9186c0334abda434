"""Sweeps in pairs by the command line, on boards that really run: an exact clock, and this machine's noisy one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edgeprof
from edgeprof import boards, sweep
from edgeprof.metrics import METRICS
from edgeprof.noise_floor import Noise, noise_floors
from edgeprof.pairs import matched_runs
from edgeprof.run_values import DECODE_MEDIAN, all_run_values

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "data" / "models" / "fable-0.5m-F16.gguf"
FIRMWARE = Path(sweep.__file__).parent / "firmware" / "prebuilt" / "wasm.wasm"
PLAN = """
boards = ["{board}"]
n_generate = 8
{more}
[[model]]
file = "{model}"
quants = ["F16", "Q4_0"]
[[prompt]]
id = "a"
text = "Once"
"""

pytestmark = [pytest.mark.slow, pytest.mark.once]


def written(folder: Path, name: str, board: str = "wasm", more: str = "") -> Path:
    (folder / name).write_text(PLAN.format(board=board, model=MODEL.as_posix(), more=more), encoding="utf-8")
    return folder / name


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "edgeprof", "sweep", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


def both_sides(folder: Path):
    """Return the metrics of the base's runs and of the candidate's, pair by pair."""
    data = edgeprof.open(folder)
    values, found = all_run_values(data.tokens, data.runs), matched_runs(data.runs)
    return [values.loc[found[side]].reset_index(drop=True) for side in ("base", "candidate")]


@pytest.mark.slow
def test_another_image_with_the_same_code_counts_the_same(tmp_path):
    note = b"\x00\x05\x04note"  # a custom section of WebAssembly: another file, which does nothing else
    (tmp_path / "noted.wasm").write_bytes(FIRMWARE.read_bytes() + note)
    base, out = written(tmp_path, "base.toml"), tmp_path / "data"
    plan = written(tmp_path, "plan.toml", more='firmware = { wasm = "noted.wasm" }')
    said = command(plan, "--against", base, "--out", out)
    assert (said.returncode, said.stderr) == (0, "")
    note_said, done = said.stdout.splitlines()
    assert note_said == "note: one pair of each cell on wasm: an exact clock says the same again every time."
    assert done.startswith("2 pairs measured in ")
    one, other = both_sides(out)
    assert len(one) == 2 and one["decode_ticks_per_token"].notna().all()
    assert one.drop(columns="flash_needed_bytes").equals(other.drop(columns="flash_needed_bytes"))
    assert list(other["flash_needed_bytes"] - one["flash_needed_bytes"]) == [len(note)] * 2
    images = edgeprof.open(out).runs["firmware_sha256"]
    assert images.nunique() == 2  # so it is a change, and no noise
    assert Noise.of(edgeprof.open(out)).floors == {}


@pytest.mark.slow
def test_a_build_held_against_itself_is_exactly_equal_and_quantizations_are_not(tmp_path):
    plan, out = written(tmp_path, "plan.toml"), tmp_path / "data"
    assert command(plan, "--against", plan, "--out", out, "--pairs", 2).stdout.startswith("4 pairs measured in ")
    floors = noise_floors(edgeprof.open(out).runs, edgeprof.open(out).tokens)
    assert {DECODE_MEDIAN, "ttft_ticks", "ram_needed_bytes"} <= set(floors["metric"])
    assert set(floors["floor_pct"]) == {0.0} and set(floors["pair_deviation_pct"]) == {0.0}
    assert command(plan, "--against", "F16", "--out", out).stdout.splitlines()[-1].startswith("1 pairs measured in ")
    one, other = both_sides(out)
    changed = one["decode_ticks_per_token"] != other["decode_ticks_per_token"]
    assert list(changed) == [False] * 4 + [True]


@pytest.mark.nightly
@pytest.mark.skipif(bool(boards.why_not("host")), reason="needs a C compiler")
def test_the_noise_of_this_machine_is_measured(tmp_path):
    plan, out = written(tmp_path, "plan.toml", "host"), tmp_path / "data"
    said = command(plan, "--against", plan, "--out", out, "--pairs", 3)
    assert said.stdout.splitlines()[-1].startswith("6 pairs measured in "), said.stderr
    assert "fewer than 6 pairs on host have no interval" in said.stdout
    noise = Noise.of(edgeprof.open(out))
    for metric in (DECODE_MEDIAN, "ttft_ticks"):  # a clock in nanoseconds, and a machine that does other things, too
        assert 0 < noise.floor("host", metric) < 10, metric
    assert noise.floor("host", "model_bytes") == 0.0 and noise.sessions("host", DECODE_MEDIAN) is None
    again = command(plan, "--against", plan, "--out", out, "--pairs", 4)
    assert again.stdout.splitlines()[-1].startswith("2 pairs measured in ")
    sessions = Noise.of(edgeprof.open(out)).sessions("host", DECODE_MEDIAN)
    assert sessions is not None and len(sessions) == 2 and len(set(sessions)) == 2
    assert {row.pairs for row in noise_floors(edgeprof.open(out).runs, edgeprof.open(out).tokens).itertuples()
            if row.metric in METRICS and METRICS[row.metric].unit == "tick"} == {8}  # fmt: skip


def test_pairs_without_a_base_is_wrong_use(tmp_path):
    said = command(written(tmp_path, "plan.toml"), "--pairs", 3, "--out", tmp_path / "d")
    assert said.returncode == 3 and "--pairs is for --against BASE" in said.stderr
    said = command(tmp_path / "plan.toml", "--against", "Q4_1", "--out", tmp_path / "d")
    assert said.returncode == 3 and "Did you mean 'Q4_0'?" in said.stderr
    said = command(tmp_path / "plan.toml", "--against", "F16", "--pairs", 0, "--out", tmp_path / "d")
    assert said.returncode == 3 and "0 pairs of each cell are none" in said.stderr
