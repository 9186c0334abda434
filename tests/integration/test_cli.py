"""The command line: help, exit codes, one-paragraph messages, and quiet where nobody watches."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import handmade
import pytest
from handmade import harmful

import edgeprof
from edgeprof import boards, sources
from edgeprof.capture import Source, capture
from edgeprof.care import verify
from edgeprof.cli import VERBS, main
from edgeprof.driver import Generation
from edgeprof.transports import PortSettings

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "data" / "models" / "fable-1.2m-F16.gguf"
COMMAND = [sys.executable, "-m", "edgeprof"]


class Said:
    """What a command line came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def refused(self, code: int, *words: str) -> None:
        """One paragraph that says these words, no traceback, the documented code."""
        assert self.code == code, (self.code, self.err)
        message = self.err.strip()
        assert message.startswith("edgeprof: ") and "\n" not in message, message
        assert "Traceback" not in message and harmful(message) == []
        for word in words:
            assert word in message, (word, message)


@pytest.fixture
def cli(capsys, monkeypatch):
    """Run a command line in this process."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*words: object) -> Said:
        try:
            code = main([str(w) for w in words])
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


def command(*words: object, **more) -> Said:
    """Run a command line as a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=120, check=False, **more
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def data(tmp_path):
    """A data set of two groups."""
    handmade.stored(tmp_path / "data", "one")
    handmade.stored(tmp_path / "data", "two", quant="Q4_0")
    return tmp_path / "data"


# ---- help ----


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(cli, verb):
    said = cli(verb, "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: edgeprof {verb}")
    assert len(said.out.split("\n\n")[1]) > 40  # a description
    listed = re.findall(r"^  (-[-\w]+|\w+)[ ,].*", said.out, re.MULTILINE)
    assert "-h" in listed


def test_the_overview_names_every_verb_and_code(cli):
    said = cli("--help")
    assert said.code == 0
    for verb, (_, text) in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(text)}", said.out, re.MULTILINE)
    for code in (
        "0 done",
        "1 judged",
        "2 could not judge",
        "3 wrong use",
        "4 device",
        "5 storage",
        "70 internal",
        "130 interrupted",
    ):
        assert code in said.out
    assert cli().code == 3
    assert cli("--version").out == f"edgeprof {edgeprof.__version__}\n"


# ---- what works ----


def test_runs_compare_and_export(cli, data, tmp_path):
    said = cli("runs", data)
    assert said.code == 0 and len(said.out.splitlines()) == 4
    assert [r["quant"] for r in json.loads(cli("runs", data, "--json").out)] == ["Q8_0", "Q4_0"]
    said = cli("compare", data)
    assert said.code == 0 and "1.00×" in said.out and "note: Board fake" in said.out
    assert {r["quant"] for r in json.loads(cli("compare", data, "--json", "--baseline", "Q8_0").out)} == {
        "Q8_0",
        "Q4_0",
    }
    assert cli("export", data, "tokens").out.startswith("capture_id,run_id,window,position")
    said = cli("export", data, "--out", tmp_path / "m.csv")
    assert said.code == 0 and "2 rows" in said.out
    assert "perplexity" in (tmp_path / "m.csv").read_text(encoding="utf-8").splitlines()[0]


def test_boards_are_listed(cli):
    assert "wasm" in cli("boards").out
    assert [b["name"] for b in json.loads(cli("boards", "--json").out)] == boards.names()


def test_notebooks_are_copied_once(cli, tmp_path):
    assert cli("notebooks", tmp_path / "nb").out.count("copied  ") == len(list((ROOT / "notebooks").glob("*.ipynb")))
    (tmp_path / "nb" / "00_quickstart.ipynb").write_text("mine", encoding="utf-8")
    assert "kept" in cli("notebooks", tmp_path / "nb").out
    assert (tmp_path / "nb" / "00_quickstart.ipynb").read_text(encoding="utf-8") == "mine"


def test_verify_and_recover_good_data(cli, data):
    assert cli("verify", data).out == "2 captures checked, 0 damaged files.\n"
    said = cli("recover", data)
    assert (said.code, said.out) == (0, "nothing to recover: every capture is closed.\n")


def test_quantize(cli, tmp_path):
    said = cli("quantize", MODEL, "--to", "Q4_0", "--out", tmp_path)
    assert said.code == 0
    assert (tmp_path / "fable-1.2m-Q4_0.gguf").stat().st_size < MODEL.stat().st_size / 3


# ---- what does not: 3, wrong use ----


def test_an_unknown_verb_names_the_closest(cli):
    cli("compare2").refused(3, "no verb 'compare2'. Did you mean 'compare'?")


@pytest.mark.parametrize(
    "words",
    [["--wrong"], ["runs"], ["runs", "a", "b"], ["capture", "wasm"], ["capture", "x", "--out", "d", "--baud", "fast"]],
)
def test_wrong_options_show_the_usage(cli, words):
    said = cli(*words)
    assert said.code == 3
    assert said.err.startswith("usage: edgeprof") and "Traceback" not in said.err


def test_a_board_that_there_is_not(cli, tmp_path):
    cli("capture", "wasp", "--out", tmp_path).refused(3, "no board 'wasp'. Did you mean 'wasm'?")
    cli("capture", "wasm", "--out", tmp_path).refused(3, "needs a model to run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tokens", "0"], "--tokens must be from 1 to 65,535, not 0"), (["--tokens", "70000"], "--tokens must be"),
        (["--seed", "-1"], "--seed must be"), (["--temperature", "nan"], "--temperature must be"),
        (["--baud", "0"], "--baud must be"), (["--seconds", "-1"], "--seconds must be"),
        (["--idle", "0"], "--idle must be"), (["--eval-windows", "-1"], "--eval-windows must be"),
        (["--seal-every", "0"], "--seal-every must be"), (["--tag", "x"], "--tag takes NAME=VALUE"),
        (["--eval", "x.txt"], "--eval needs --model"), (["--prompts", "none.toml"], "none.toml cannot be read"),
    ],
)  # fmt: skip
def test_what_no_board_could_take_is_said_before_a_port_is_opened(cli, tmp_path, words, message):
    cli("capture", "loop://", "--out", tmp_path / "d", *words).refused(3, message)
    assert not (tmp_path / "d").exists()


def test_models_that_are_none(cli, tmp_path):
    whole = MODEL.read_bytes()
    for name, content in (
        ("cut", whole[:100_000]),
        ("head", whole[:50]),
        ("foreign", b"<html>not found"),
        ("empty", b""),
    ):
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(content)
        cli("capture", "wasm", "--model", path, "--prompt", "x", "--out", tmp_path / "d").refused(3, f"{name}.gguf")
        cli("quantize", path, "--to", "Q4_0", "--out", tmp_path).refused(3, f"{name}.gguf")
    cli("quantize", tmp_path / "none.gguf", "--to", "Q4_0").refused(3, "none.gguf", "No such file")
    cli("quantize", MODEL, "--to", "Q4_9", "--out", tmp_path).refused(3, "no quantization 'Q4_9'. Did you mean 'Q4_")
    cli("quantize", MODEL, "--to", "Q4_0", "--keep", "x", "--out", tmp_path).refused(3, "--keep takes TENSOR=TYPE")
    assert not (tmp_path / "d").exists()


def test_names_that_there_are_not(cli, data, tmp_path):
    cli("compare", data, "--by", "qant").refused(3, "Did you mean 'quant'?")
    cli("compare", data, "--baseline", "Q8_1").refused(3, "Did you mean 'Q8_0'?", "board 'fake'")
    cli("compare", data, "--smallest", "-3").refused(3, "a percentage above 0")
    cli("export", data, "tokns").refused(3, "Did you mean 'tokens'?")
    cli("report", "quickstrat", data).refused(3, "Did you mean '00_quickstart'?")
    cli("report").refused(3, "Which notebook?")
    cli("report", "quickstart", data, "-p", "x").refused(3, "-p takes NAME=VALUE")
    out = tmp_path / "r"
    cli("report", "quickstart", data, "--out", out, "-p", "dta=x").refused(3, "Did you mean 'data'?")
    assert not out.exists()
    plan = tmp_path / "plan.toml"
    plan.write_text("bords = []", encoding="utf-8")
    cli("sweep", plan, "--out", out).refused(3, "no key of the plan plan.toml 'bords'. Did you mean 'boards'?")
    cli("sweep", tmp_path / "none.toml", "--out", out).refused(3, "none.toml cannot be read")


# ---- 1 and 2: judged, or not to be judged ----


def test_verify_finds_a_changed_byte(cli, data):
    table = next(data.glob("capture=one/segment=0000/board=*/**/tokens.parquet"))
    whole = table.read_bytes()
    table.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    said = cli("verify", data)
    assert said.code == 1
    assert "damaged: " in said.out and "tokens.parquet" in said.out and "1 damaged files" in said.out
    table.unlink()
    assert "missing" in cli("verify", data).out
    table.write_bytes(whole)
    assert cli("verify", data).code == 0
    manifest = next(data.glob("capture=two/segment=0000/manifest.json"))
    for damaged in ("{", "[]", '{"format_version": 1}', '{"format_version": 1, "segment": 0, "files": null}'):
        manifest.write_text(damaged, encoding="utf-8")
        assert cli("verify", data).code == 1, damaged


def test_there_is_nothing_to_compare(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    cli("compare", tmp_path / "empty").refused(2, "nothing to compare", "the data set is empty", "edgeprof demo")
    assert (cli("runs", tmp_path / "empty").code, cli("runs", tmp_path / "empty").out) == (0, "(none)\n")


def test_unlike_runs_are_not_compared(cli, data):
    handmade.stored(data, "three", quant="Q5_0", clock="cycles")
    cli("compare", data).refused(2, "cannot be compared: their clocks count different things (cycles, instructions)")


# ---- 4: devices ----


def test_a_port_that_there_is_not(cli, tmp_path):
    cli("capture", "/dev/ttyNONE", "--out", tmp_path / "d").refused(
        4, "There is no port /dev/ttyNONE", "Attached serial"
    )
    cli("capture", "nonsense://x", "--out", tmp_path / "d").refused(4, "nonsense")
    assert list((tmp_path / "d").iterdir()) == []  # no empty capture is left behind


@pytest.mark.slow
def test_a_mute_board(cli, board, tmp_path, monkeypatch):
    monkeypatch.setattr("edgeprof.driver.HELLO_SECONDS", 0.2)
    said = cli("capture", board("--mode", "mute").url, "--out", tmp_path / "d", "--prompt", "x")
    said.refused(4, "did not answer", "--baud", "What came is kept in")


@pytest.mark.slow
def test_what_a_board_says_reaches_no_terminal_as_it_is(cli, board, tmp_path):
    """A listening capture of a stream: quiet, closed after a while, whole."""
    # It goes on all the while: what came before the port was open is gone, and on a busy machine that takes seconds.
    one = board("--stream", "1000", "--bytes-per-second", "4000", "--wait")
    one.go()
    said = cli("capture", one.url, "--out", tmp_path / "d", "--seconds", "8", "--label", "bench")
    assert said.code == 0 and said.err == ""
    assert re.fullmatch(r"captured \S+ into .* \(.* bytes: .* run.*\); next: edgeprof runs .*\n", said.out)
    assert cli("verify", tmp_path / "d").code == 0


# ---- 5: storage ----


@pytest.mark.parametrize("verb", ["runs", "compare", "export", "verify", "recover"])
def test_a_data_set_that_there_is_not(cli, tmp_path, verb):
    cli(verb, tmp_path / "none").refused(5, "none")


def test_a_folder_that_cannot_be_written(cli, data, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    inside = tmp_path / "file" / "x"
    cli("capture", "loop://", "--out", inside).refused(5, "cannot be written")
    cli("quantize", MODEL, "--to", "Q4_0", "--out", inside).refused(5, "cannot be written")
    cli("export", data, "--out", inside).refused(5, "cannot be written")
    cli("notebooks", inside).refused(5, "cannot be written")
    cli("report", "inspect_run", data, "--out", inside).refused(5, "cannot be written")
    cli("report", "inspect_run", tmp_path / "none", "--out", tmp_path / "r").refused(5, "no data set at")


def test_a_newer_data_set_is_refused_and_the_rest_stays_readable(data):
    for path in data.glob("capture=two/**/*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | {"format_version": 99}), encoding="utf-8")
    said = command("runs", data)
    assert said.code == 0 and len(said.out.splitlines()) == 3
    assert said.err.startswith("edgeprof: warning: ") and "format version 99" in said.err
    shutil.rmtree(next(data.glob("capture=one")))
    command("runs", data).refused(5, "format version 99; this edgeprof reads up to 1", "pip install --upgrade")


# ---- hostile text ----


@pytest.mark.parametrize("name", handmade.HOSTILE)
def test_hostile_names_in_tables_and_messages(cli, tmp_path, name):
    name = name[:80]
    handmade.stored(tmp_path, "one", board=name, model=name, quant=name, firmware=name)
    handmade.stored(tmp_path, "two", board=name, model=name, quant="F16", clock="fuel")
    assert harmful(cli("runs", tmp_path).out.replace("\n", "")) == []
    cli("compare", tmp_path).refused(2, "cannot be compared")
    shutil.rmtree(tmp_path / "capture=two")
    said = cli("compare", tmp_path)
    assert said.code == 0 and harmful(said.out.replace("\n", "")) == []
    cli("compare", tmp_path, "--baseline", "none").refused(3, "no baseline quant 'none'")


# ---- processes: SIGINT, pipes, and who is watching ----


def started(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="only on systems with signals")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_an_interrupted_capture_is_whole_and_a_live_one_is_not_recovered(board, tmp_path, number):
    one, out = board("--stream", "1000", "--bytes-per-second", "20000", "--wait"), tmp_path / "d"
    with started("capture", one.url, "--out", out) as running, contextlib.ExitStack() as stack:
        stack.callback(running.kill)
        wait_for(lambda: list(out.glob("capture=*/journal/port-00/*.wire")))
        one.go()
        wait_for(lambda: sum(p.stat().st_size for p in out.glob("capture=*/journal/port-00/*.wire")) > 20_000)
        command("recover", out).refused(5, "is being written by another process")
        running.send_signal(number)
        said, wrong = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.fullmatch(r"captured \S+ into .* \(.* bytes: .* runs, .* passes.*\); next: edgeprof runs .*\n", said)
    forecast, interrupted = wrong.splitlines()
    assert "GB are free" in forecast and interrupted == "edgeprof: interrupted; what was captured is kept."
    assert command("verify", out).out.endswith("1 capture checked, 0 damaged files.\n")
    runs = edgeprof.open(out).runs
    assert len(runs) > 0 and runs["frames_lost"].fillna(0).sum() == 0


@pytest.mark.slow
def test_a_sweep_is_quiet_where_nobody_watches(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'boards = ["wasm"]\nn_generate = 3\n[[model]]\nfile = "{MODEL.as_posix()}"\nquants = ["Q8_0"]\n'
        '[[prompt]]\nid = "a"\ntext = "Once"\n',
        encoding="utf-8",
    )
    said = command("sweep", plan, "--out", tmp_path / "d", "--jobs", "1")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("1 captures made in ")
    again = command("sweep", plan, "--out", tmp_path / "d")
    assert (again.code, again.err) == (0, "") and again.out.startswith("0 captures made in ")
    assert edgeprof.open(tmp_path / "d").runs["status"].tolist() == ["ok"]


@pytest.mark.skipif(os.name != "posix", reason="only on systems with /bin/sh")
def test_a_reader_that_has_seen_enough_is_no_error(data):
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m edgeprof export "$1" tokens | head -n 1; "$0" -m edgeprof runs "$1" | true',
         sys.executable, str(data)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("capture_id,")


# ---- a model that is too large for its board ----


@pytest.mark.slow
@pytest.mark.parametrize(("option", "column"), [("ram", "ram_needed_bytes"), ("flash", "flash_needed_bytes")])
def test_a_model_that_does_not_fit_is_a_result(cli, tmp_path, option, column):
    facts, vocab = sources.model_facts(MODEL)
    with boards.start("wasm", MODEL, **{option: 100_000}) as running:
        source = Source(running.url, "wasm", PortSettings(), facts | running.facts, vocab)
        made = capture([source], tmp_path, [Generation("a", "Once", 3)])
    assert made.failed == {}
    (run,) = edgeprof.open(tmp_path).runs.to_dict("records")
    assert run["status"] == "does_not_fit"
    assert run[column] > 100_000 == run[f"{option}_bytes"]
    said = cli("runs", tmp_path)
    assert said.code == 0 and "does_not_fit" in said.out
    said = cli("compare", tmp_path)
    assert said.code == 0 and "does not fit" in said.out


@pytest.mark.slow
def test_an_interrupted_sweep_ends_at_once(tmp_path):
    plan, data = tmp_path / "plan.toml", tmp_path / "data"
    models = MODEL.parent
    plan.write_text(
        f"""boards = ["wasm"]
n_generate = 8
[[prompt]]
id = "p"
text = "In Elvary there lived"
[eval]
file = "{models}/eval.txt"
[[model]]
file = "{models}/fable-1.2m-F16.gguf"
quants = ["F16", "Q8_0"]
""",
        encoding="utf-8",
    )
    process = subprocess.Popen([*COMMAND, "sweep", plan, "--out", data], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    wires = "capture=*/journal/port-00/*.wire"
    while time.monotonic() < deadline and not any(p.stat().st_size > 5000 for p in data.glob(wires)):
        time.sleep(0.05)  # until a run has begun
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert time.monotonic() - began < 20  # the captures under way alone would take longer
    assert not [f for f in verify(data) if f.damage]
    assert list(data.glob("capture=*")) and not list(data.glob("capture=*/journal"))
    cut = edgeprof.open(data).runs
    assert "aborted" in set(cut["status"])
