"""``edgeprof gate`` on the reference data, and the CI templates that run it: their shell steps really run here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from edgeprof.cli import INTERNAL_ERROR, main
from edgeprof.gate_outputs import FILES

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "data" / "reference"
ACTION = ROOT / ".github" / "actions" / "edgeprof-gate" / "action.yml"
GITLAB = ROOT / "ci" / "gitlab" / "edgeprof-gate.yml"
COST = "decode_ticks_per_token"
MODEL = "model=fable-1-2m-????????"
CELLS = tuple(f"board={at}" for at in (
    f"wasm-*/{MODEL}/quant=q4-0-*", f"wasm-*/{MODEL}/quant=q8-0-*", f"rp2040-*/{MODEL}/quant=q4-0-*",
    f"rp2040-*/{MODEL}/quant=f16-*",
))  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.once]


def captures(data: Path, cell: str) -> set[Path]:
    return {path.parents[4] for path in data.glob(f"capture=*/segment=*/{cell}/runs.parquet")}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Return four cells of the reference data: three that ran on two boards, and one that did not fit."""
    out = tmp_path_factory.mktemp("gate") / "base"
    for cell in CELLS:
        found = captures(REFERENCE, cell)
        assert found, cell
        for path in found:
            shutil.copytree(path, out / path.name, dirs_exist_ok=True)
    return out


@pytest.fixture
def candidate(base, tmp_path):
    return Path(shutil.copytree(base, tmp_path / "candidate"))


def alter(data: Path, cell: str, table: str, **columns) -> None:
    """Change columns of a cell's table; a column is a value for all rows, or a function of what was there."""
    paths = list(data.glob(f"capture=*/segment=*/{cell}/{table}.parquet"))
    assert paths
    for path in paths:
        rows = pq.ParquetFile(path).read()
        for name, new in columns.items():
            at = rows.schema.get_field_index(name)
            field = rows.schema.field(at)
            old = rows.column(at)
            values = new(old).cast(field.type) if callable(new) else pa.array([new] * len(rows), field.type)
            rows = rows.set_column(at, field, values)
        pq.write_table(rows, path)


def slower(factor):
    def scaled(ticks):
        return pc.round(pc.multiply(pc.cast(ticks, pa.float64()), factor))

    return {"ticks": scaled, "ticks_start": scaled}


class Gate:
    def __init__(self, capsys):
        self.capsys = capsys

    def __call__(self, *words):
        code = main(["gate", *map(str, words)])
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err


@pytest.fixture
def gate(capsys, monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return Gate(capsys)


@pytest.mark.slow
def test_an_unchanged_build_passes(gate, base, candidate, tmp_path):
    code, out, err = gate("--baseline", base, "--candidate", candidate, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.startswith("Gate: pass. 36 checks of 4 cells: 27 passed, 9 skipped.")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    checks = json.loads((tmp_path / "out" / "results.json").read_text())["checks"]
    assert {c["change_pct"] for c in checks if c.get("change_pct") is not None} == {0}
    assert {c["metric"] for c in checks if c["board"] == "wasm" and c["outcome"] == "pass"} >= {COST, "perplexity"}


@pytest.mark.slow
def test_one_slower_quantization_fails(gate, base, candidate, tmp_path):
    alter(candidate, CELLS[0], "tokens", **slower(1.12))
    code, out, _ = gate("--baseline", base, "--candidate", candidate, "--out", tmp_path / "out")
    assert code == 1
    assert re.search(rf"(?m)^fail +wasm +fable-1.2m +Q4_0 +{COST} .*\+12.00 % +10 %  worse$", out)
    root = ET.parse(tmp_path / "out" / "junit.xml").getroot()
    assert [suite.get("failures") for suite in root] == ["0", "4"]  # prefill, decode, TTFT and ITL of one cell
    assert {case.get("name").split()[1] for case in root.iter("testcase") if case.find("failure") is not None} == {
        "Q4_0"
    }


@pytest.mark.slow
def test_a_hundredth_of_a_percent_is_said_and_passes(gate, base, candidate):
    alter(candidate, CELLS[0], "tokens", **slower(1.0001))
    code, out, _ = gate("--baseline", base, "--candidate", candidate, "--all", "--json")
    assert code == 0
    (check,) = [c for c in json.loads(out)["checks"] if (c["board"], c["quant"], c["metric"]) == ("wasm", "Q4_0", COST)]
    assert check["change_pct"] == pytest.approx(0.01, abs=1e-4)
    assert "changed by +0.01 % (certain" in check["reason"]


@pytest.mark.slow
def test_a_limit_of_zero_takes_no_change_at_all(gate, base, candidate, tmp_path):
    (tmp_path / "gate.toml").write_text(f"[gate]\ndefaults = false\n[metric.{COST}]\nlimit_pct = 0\n")
    assert gate("--baseline", base, "--candidate", candidate, "--rules", tmp_path / "gate.toml")[0] == 0
    alter(candidate, CELLS[0], "tokens", **slower(1.0001))
    assert gate("--baseline", base, "--candidate", candidate, "--rules", tmp_path / "gate.toml")[0] == 1


@pytest.mark.slow
def test_a_missing_quantization_could_not_be_judged(gate, base, candidate):
    for path in captures(candidate, CELLS[1]):
        shutil.rmtree(path)
    code, out, _ = gate("--baseline", base, "--candidate", candidate)
    assert code == 2
    assert "could not judge: wasm fable-1.2m Q8_0: all metrics: missing." in out
    assert gate("--baseline", candidate, "--candidate", base)[0] == 0  # the other way round it is new


@pytest.mark.slow
def test_another_emulator_could_not_be_judged(gate, base, candidate):
    alter(candidate, CELLS[0], "runs", emulator_version="99")
    code, out, _ = gate("--baseline", base, "--candidate", candidate)
    assert code == 2
    assert out.count("emulator_version differs") == 1
    alter(candidate, CELLS[2], "tokens", **slower(1.5))
    assert gate("--baseline", base, "--candidate", candidate)[0] == 1  # a failure elsewhere wins


@pytest.mark.slow
def test_what_does_not_fit_any_more_fails(gate, base, candidate):
    alter(candidate, CELLS[2], "runs", status="does_not_fit")
    code, out, _ = gate("--baseline", base, "--candidate", candidate)
    assert code == 1
    assert re.search(r"(?m)^fail +rp2040 +fable-1.2m +Q4_0 +fits +fits +does not fit", out)


@pytest.mark.slow
def test_spoilt_numbers_are_no_pass(gate, base, candidate):
    alter(candidate, CELLS[0], "tokens", nll=float("nan"))
    assert gate("--baseline", base, "--candidate", candidate)[0] == 2


def test_damaged_files_are_no_pass(gate, base, candidate):
    victim = next(candidate.glob(f"capture=*/segment=*/{CELLS[0]}/tokens.parquet"))
    victim.write_bytes(victim.read_bytes()[:-100])
    code, _, err = gate("--baseline", base, "--candidate", candidate)
    assert code == 5
    assert "cannot be read" in err


@pytest.mark.slow
@pytest.mark.filterwarnings("always:.*is damaged:UserWarning")
def test_a_damaged_capture_is_no_pass(gate, base, candidate):
    captures(candidate, CELLS[3]).pop().joinpath("segment=0000", "manifest.json").write_text("{")
    code, out, err = gate("--baseline", base, "--candidate", candidate)
    assert code == 2
    assert "problem: " in out
    assert "warning" in err


def test_wrong_use(gate, base, tmp_path):
    (tmp_path / "gate.toml").write_text("[metric.decode_ticks_per_tokn]\nlimit_pct = 5\n")
    code, _, err = gate("--baseline", base, "--candidate", tmp_path, "--rules", tmp_path / "gate.toml")
    assert code == 3
    assert f"Did you mean '{COST}'?" in err
    for words in ((), ("--baseline", base), ("--candidate", base), ("--data", base, "--baseline", base)):
        code, _, err = gate(*words)
        assert (code, err.count("\n")) == (3, 1)
    assert gate("--data", base, "--allow-unlike", "emulators")[0] == 3


def test_what_is_no_data_set(gate, base, tmp_path):
    assert gate("--baseline", base, "--candidate", tmp_path / "nowhere")[0] == 5
    (tmp_path / "empty").mkdir()
    code, out, _ = gate("--baseline", tmp_path / "empty", "--candidate", base)
    assert code == 2
    assert "There is nothing to judge" in out
    assert gate("--baseline", base, "--candidate", tmp_path / "empty")[0] == 2


def test_what_cannot_be_opened_is_storage(gate, base, tmp_path):
    (tmp_path / "file").write_text("x")
    for path, words in (
        ("memory://x", "cannot be opened"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        (tmp_path / "file", "it is a file"),
    ):
        code, out, err = gate("--baseline", base, "--candidate", path)
        assert (code, out, err.count("\n")) == (5, "", 1)
        assert words in err
    err = gate("--baseline", base, "--candidate", "memory://me:secret@x")[2]
    assert "memory://***@x" in err
    assert "secret" not in err


def test_an_error_of_the_system_is_storage_and_a_fault_is_no_verdict(base, monkeypatch, capsys):
    def refuse(error):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr("edgeprof.gating.gate", fail)
        return main(["gate", "--data", str(base)]), capsys.readouterr().err

    code, err = refuse(OSError(28, "No space left on device", "out"))
    assert (code, err) == (
        5,
        "edgeprof: gate could not go on: No space left on device (out). See to it and run it again.\n",
    )
    code, err = refuse(ZeroDivisionError("by chance"))
    assert code == INTERNAL_ERROR
    assert code not in (0, 1, 2)
    assert "Traceback" in err
    assert "ZeroDivisionError: by chance" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pipe", "/dev/full"])
def test_an_output_that_cannot_be_written(base, candidate, tmp_path, name):
    alter(candidate, CELLS[0], "tokens", **slower(1.5))
    if name == "pipe":
        reading, writing = os.pipe()
        os.close(reading)
    elif Path(name).exists():
        writing = os.open(name, os.O_WRONLY)
    else:
        pytest.skip("only on systems with /dev/full")
    words = ("--baseline", str(base), "--candidate", str(candidate), "--out", str(tmp_path / "out"))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgeprof", "gate", *words], stdout=writing, stderr=subprocess.PIPE, text=True,
            check=False, env=environment(tmp_path), timeout=120,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    if name == "pipe":
        assert (done.returncode, done.stderr) == (1, "")  # the verdict stands
    else:
        assert (done.returncode, done.stderr.count("\n")) == (5, 1)
        assert "No space left on device" in done.stderr


def test_a_data_set_is_not_judged_by_itself(gate, base):
    for words in (("--data", base), ("--baseline", base, "--candidate", f"{base}/../base")):
        code, _, err = gate(*words)
        assert code == 2
        assert "no run has the tags side and pair" in err


@pytest.mark.slow
def test_on_github_the_log_and_the_summary_say_it(gate, base, candidate, tmp_path, monkeypatch):
    alter(candidate, CELLS[0], "tokens", **slower(1.12))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    (tmp_path / "summary").write_text("before\n")
    _, out, _ = gate("--baseline", base, "--candidate", candidate)
    assert sum(line.startswith("::error title=") for line in out.splitlines()) == 4
    assert (tmp_path / "summary").read_text().startswith("before\n## edgeprof gate: fail\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary"))
    code, _, err = gate("--baseline", base, "--candidate", candidate)
    assert code == 1
    assert "summary cannot be written" in err


# The templates.


def loaded(path: Path):
    if not path.exists():
        pytest.skip("only on a clone of the repository")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def judging() -> dict:
    (step,) = [s for s in loaded(ACTION)["runs"]["steps"] if s.get("id") == "gate"]
    return step


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "EDGEPROF_"))}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return kept | {"PATH": path, "HOME": str(folder)} | more


def run_action(folder: Path, baseline: str, candidate: str, rules: str = "") -> tuple[int, str]:
    """Run the action's step as GitHub's runner does; return its exit code and the verdict that it put out."""
    inputs = {"baseline": baseline, "candidate": candidate, "rules": rules, "out": "found"}
    step = judging()
    env = {k: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: inputs[m[1]], v) for k, v in step["env"].items()}
    (folder / "step.sh").write_text(step["run"])
    output = folder / "output"
    output.write_text("")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"], cwd=folder, capture_output=True, text=True,
        check=False, env=environment(folder, GITHUB_OUTPUT=str(output), GITHUB_ACTIONS="true", **env),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, output.read_text()


@pytest.mark.slow
def test_the_action_judges(base, candidate, tmp_path):
    assert run_action(tmp_path, str(base), "candidate") == (0, "verdict=pass\n")
    assert {path.name for path in (tmp_path / "found").iterdir()} == set(FILES)
    alter(candidate, CELLS[0], "tokens", **slower(1.12))
    assert run_action(tmp_path, str(base), "candidate") == (1, "verdict=fail\n")
    assert json.loads((tmp_path / "found" / "badge.json").read_text())["message"] == "fail"
    (tmp_path / "loose rules.toml").write_text("".join(f"[metric.{m}]\nlimit_pct = 15\n" for m in (
        COST, "prefill_ticks_per_token", "ttft_ticks", "itl_p95_ticks")))  # fmt: skip
    assert run_action(tmp_path, str(base), "candidate", "loose rules.toml") == (0, "verdict=pass\n")


@pytest.mark.parametrize("baseline", ["", "base; touch harm", "$(touch harm)", "--help"])
def test_the_action_takes_names_as_names(candidate, tmp_path, baseline):
    code, verdict = run_action(tmp_path, baseline, "candidate")
    assert code in (2, 5)
    assert verdict == "verdict=could not judge\n"
    assert not (tmp_path / "harm").exists()


def test_the_action_is_pinned_and_interpolates_nothing_into_shells():
    action = loaded(ACTION)
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
            ci = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
            assert step["uses"] in ci  # one version of an action in the whole repository
        else:
            assert step["shell"] == "bash"
    assert action["outputs"]["verdict"]["value"] == "${{ steps.gate.outputs.verdict }}"
    used = set(re.findall(r"inputs\.([\w-]+)", ACTION.read_text(encoding="utf-8")))
    assert used == set(action["inputs"])


def run_gitlab(folder: Path, **variables: str) -> int:
    """Run the job's script as GitLab's runner does, but for the installation; return its exit code."""
    job = loaded(GITLAB)["edgeprof-gate"]
    script = [line for line in job["script"] if "pip install" not in line]
    assert len(script) == len(job["script"]) - 1
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(script)], cwd=folder, capture_output=True, text=True, check=False,
        env=environment(folder, **{k: str(v) for k, v in job["variables"].items()} | variables),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode


@pytest.mark.slow
def test_the_gitlab_job_judges(base, candidate, tmp_path):
    sides = {"EDGEPROF_BASELINE": str(base), "EDGEPROF_CANDIDATE": "candidate"}
    assert run_gitlab(tmp_path, **sides) == 0
    job = loaded(GITLAB)["edgeprof-gate"]
    for report in job["artifacts"]["reports"].values():
        assert (tmp_path / report).is_file()
    assert job["artifacts"]["when"] == "always"
    alter(candidate, CELLS[0], "tokens", **slower(1.12))
    assert run_gitlab(tmp_path, **sides) == 1
    found = json.loads((tmp_path / "edgeprof-gate" / "gl-code-quality.json").read_text())
    assert len(found) == 4
    assert run_gitlab(tmp_path, EDGEPROF_CANDIDATE="candidate") == 2
