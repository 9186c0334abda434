"""The magics and docs/notebook.md in a real kernel, on the default board."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from papermill.exceptions import PapermillExecutionError

import edgeprof
from edgeprof import resources

ROOT = Path(__file__).parents[2]
MODEL = resources.path("data/models/fable-0.5m-F16.gguf")
SECONDS = 180
pytestmark = [pytest.mark.once, pytest.mark.slow]


class Kernel:
    """A kernel, and what its cells said."""

    def __init__(self, folder):
        self.folder = folder
        self.manager, self.client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), extra_arguments=["--log-level=40"]
        )

    def run(self, code, on_text=lambda text: None):
        """Run a cell; return its status and all that it showed."""
        seen = {"text": "", "times": [], "errors": [], "data": [], "pages": []}

        def take(message):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                seen["text"] += content["text"]
                seen["times"].append(time.monotonic())
                on_text(seen["text"])
            elif kind == "error":
                seen["errors"].append(content)
            elif kind in ("execute_result", "display_data"):
                seen["data"].append(content["data"])

        reply = self.client.execute_interactive(code, timeout=SECONDS, output_hook=take)["content"]
        seen["pages"] = [p["data"]["text/plain"] for p in reply.get("payload", ()) if p["source"] == "page"]
        return reply["status"], seen

    def complete(self, code):
        self.client.complete(code)
        while True:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["msg_type"] == "complete_reply":
                return set(reply["content"]["matches"])

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    assert kernel.run("%load_ext edgeprof")[0] == "ok"
    yield kernel
    kernel.stop()


def processes_with(text):
    """Return the processes in whose command line a text is."""
    done = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if text in line]


def gone(text):
    end = time.monotonic() + 30
    while processes_with(text) and time.monotonic() < end:
        time.sleep(0.1)
    return processes_with(text) == []


def test_a_capture_returns_its_data_set_and_takes_variables(kernel):
    kernel.run(f"model, words = {str(MODEL)!r}, 'Once upon a time'")
    status, seen = kernel.run(
        'ds = %edgeprof capture wasm --model {model} --prompt "$words" --tokens 4 --out data --tag "who={1 + 1}"'
    )
    assert status == "ok", seen["errors"]
    assert "captured" in seen["text"] and seen["data"] == []
    status, seen = kernel.run("ds.run(0)")
    assert "decode_ticks_per_token" in seen["data"][0]["text/plain"] and "<table>" in seen["data"][0]["text/html"]
    ds = edgeprof.open(kernel.folder / "data")
    assert ds.run(0).prompt == "Once upon a time" and '"who": "2"' in ds.runs["tags"][0]
    assert len(ds.run(0).tokens) == ds.runs["passes"][0] > 4


def test_a_verb_that_writes_no_data_set_prints_and_returns_nothing(kernel):
    status, seen = kernel.run("%edgeprof boards")
    assert status == "ok" and "stm32f405" in seen["text"] and seen["data"] == []


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("%edgeprof bords", "UsageError", "Did you mean 'boards'"),
        ("%edgeprof capture wasm", "UsageError", "exit code 3. The following arguments are required: --out"),
        ("%edgeprof runs nowhere", "StorageError", "exit code 5. There is no data set at"),
        ("%edgeprof capture was --out x --prompt a", "UsageError", "Did you mean 'wasm'"),
        ("%edgeprof capture 'wasm", "UsageError", "No closing quotation"),
        ("%%edgeprof wasm --quan Q4_0\nA", "UsageError", "Unrecognized arguments: --quan"),
        ("%%edgeprof wasm\n \n", "UsageError", "asks for nothing"),
        ("%%edgeprof wasm --as 1x\nA", "UsageError", "--as gives the result a name"),
        ("%%edgeprof wasm --as for\nA", "UsageError", "--as gives the result a name"),
        ("%%edgeprof wasm --quant Q4_00\nA", "UsageError", "Q4_0"),
    ],
)
def test_what_fails_is_one_line(kernel, line, error, said):
    status, seen = kernel.run(line)
    assert status == "error"
    (content,) = seen["errors"]
    assert content["ename"] == error and said in content["evalue"]
    assert len(content["traceback"]) == 1 and content["traceback"][0].startswith(f"{error}: ")
    assert "\n" not in content["traceback"][0] and content["evalue"] not in seen["text"]


def test_what_was_judged_bad_is_an_error_of_its_own(kernel):
    status, seen = kernel.run("import edgeprof\n%edgeprof gate --data {edgeprof.reference('gate')}")
    assert status == "error" and "Gate: fail." in seen["text"]
    assert seen["errors"][0]["ename"] == "VerdictError" and "exit code 1" in seen["errors"][0]["evalue"]
    assert (
        kernel.run(
            "try:\n    get_ipython().run_line_magic('edgeprof', 'runs nowhere')\n"
            "except edgeprof.errors.StorageError as error:\n    assert error.exit_code == 5"
        )[0]
        == "ok"
    )


def test_interrupting_ends_a_capture_cleanly_and_keeps_it(kernel):
    out, begun = kernel.folder / "cut", threading.Event()
    prompts = " ".join(f"--prompt word{n}" for n in range(200))

    def interrupt():
        end = time.monotonic() + SECONDS
        while not list(out.glob("capture=*/journal/port-*/*.wire")) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1.0)  # in the middle of a run
        begun.set()
        # As the kernel manager does it, whose own call is for the main thread alone.
        os.killpg(os.getpgid(kernel.manager.provisioner.pid), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    status, seen = kernel.run(f"%edgeprof capture wasm --model {MODEL} {prompts} --tokens 100 --out cut")
    thread.join()
    assert begun.is_set() and status == "error"
    assert seen["errors"][0]["ename"] == "KeyboardInterrupt" and len(seen["errors"][0]["traceback"]) == 1
    assert "interrupted; what was captured is kept." in seen["text"] and "captured" in seen["text"]
    ds = edgeprof.open(out)
    assert 0 < len(ds.tokens) and len(ds.runs) < 200 and ds.problems == []
    assert gone(str(MODEL))
    assert kernel.run("%edgeprof runs cut")[0] == "ok"  # the kernel goes on, and nobody holds the capture


def test_a_kernel_that_is_killed_takes_its_capture_with_it(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.run("%load_ext edgeprof")
    kernel.client.execute(f"%edgeprof capture wasm --model {MODEL} --prompt a --tokens 60000 --out killed")
    end = time.monotonic() + SECONDS
    while not list(tmp_path.glob("killed/capture=*/journal/port-*/*.wire")) and time.monotonic() < end:
        time.sleep(0.1)
    kernel.stop()
    assert gone("--out killed")
    assert len(edgeprof.open(tmp_path / "killed").runs) <= 1


def test_output_comes_line_by_line(kernel):
    """A verb that says two things a while apart: a sweep's end comes long after its beginning."""
    code = "import sys, time; print('one', flush=True); time.sleep(2); print('two')"
    status, seen = kernel.run(
        "from edgeprof import verb_process\n"
        f"verb_process._START = {code!r}\n"
        "try:\n    get_ipython().run_line_magic('edgeprof', 'boards')\n"
        "finally:\n    import importlib; importlib.reload(verb_process)"
    )
    assert status == "ok" and seen["text"].split() == ["one", "two"]
    assert seen["times"][-1] - seen["times"][0] > 1


def test_an_experiment_is_shown_as_comparison_and_texts(kernel):
    status, seen = kernel.run(
        "%%edgeprof wasm --quant Q8_0 Q4_0 --tokens 4 --as first\n"
        "In Tambery there lived a girl.\n\n  Once upon a time\n"
    )
    assert status == "ok", seen["errors"]
    text = seen["data"][-1]["text/plain"]
    assert re.search(r"^Q8_0 .* baseline", text, re.MULTILINE)
    assert re.search(r"^Q4_0 .*× (worse|better)", text, re.MULTILINE)
    assert text.count("In Tambery there lived a girl.  ") == text.count("Once upon a time  ") == 2
    assert "<table>" in seen["data"][-1]["text/html"]
    status, seen = kernel.run("len(first.dataset.runs), list(first.comparison.table['quant']), _ is first")
    assert seen["data"][0]["text/plain"] == "(4, ['Q8_0', 'Q4_0'], True)"


@pytest.mark.parametrize(("asked", "said"), [("%edgeprof?", "%edgeprof capture --help"), ("%%edgeprof?", "--quant Q")])
def test_help_has_examples(kernel, asked, said):
    (page,) = kernel.run(asked)[1]["pages"]
    assert said in page and ":param" not in page


def test_every_option_of_an_experiment_is_in_its_help(kernel):
    from edgeprof.experiment import experiment_parser

    (page,) = kernel.run("%%edgeprof?")[1]["pages"]
    options = [o for action in experiment_parser()._actions for o in action.option_strings]
    assert len(options) > 4 and [o for o in options if o not in page] == []


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("%edgeprof ", {"capture", "boards", "gate"}, {"and"}),
        ("ds = %edgeprof cap", {"capture"}, {"boards"}),
        ("%edgeprof capture wasm --se", {"--seed", "--seconds", "--seal-every"}, {"--out"}),
        ("%%edgeprof rp", {"rp2040"}, {"wasm"}),
        ("%%edgeprof wasm --q", {"--quant"}, {"--out"}),
    ],
)
def test_tab_completes_verbs_options_and_boards(kernel, line, offered, not_offered):
    found = kernel.complete(line)
    assert offered <= found and not found & not_offered


def test_under_papermill_a_verb_that_fails_fails_the_notebook(tmp_path):
    cells = ["%load_ext edgeprof", "%edgeprof runs nowhere", "open('after', 'w')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(notebook, tmp_path / "in.ipynb")
    with pytest.raises(PapermillExecutionError, match="StorageError"):
        papermill.execute_notebook(
            tmp_path / "in.ipynb", tmp_path / "out.ipynb", kernel_name="python3", cwd=tmp_path, progress_bar=False,
            extra_arguments=["--log-level=40"],
        )  # fmt: skip
    assert not (tmp_path / "after").exists()
    done = [sys.executable, "-m", "edgeprof", "report", str(tmp_path / "in.ipynb"), "--out", str(tmp_path / "report")]
    assert subprocess.run(done, capture_output=True, check=False).returncode != 0


@pytest.mark.nightly
def test_the_page_s_cells_run_in_order(tmp_path):
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```i?python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(cells) >= 8
    kernel = Kernel(tmp_path)
    try:
        for cell in cells:
            status, seen = kernel.run(cell)
            assert status == "ok", (cell, seen["errors"])
            assert "Warning" not in seen["text"], seen["text"]
            if ".plot." in cell:
                assert any("image/png" in data for data in seen["data"]), cell
    finally:
        kernel.stop()


@pytest.mark.parametrize(("seconds", "shown"), [(0, ""), (1.5, "edgeprof: this is why\n")])
@pytest.mark.parametrize("code", [0, 5])
def test_why_a_verb_failed_is_known_however_slowly_it_ends(monkeypatch, seconds, shown, code):
    from edgeprof import verb_process

    program = f"import sys, time; print('edgeprof: this is why', flush=True); time.sleep({seconds}); sys.exit({code})"
    monkeypatch.setattr(verb_process, "_START", program)
    said: list[str] = []
    assert verb_process.run_verb(["runs"], said.append) == (code, "this is why" if code else "")
    assert "".join(said) == (shown if code else "edgeprof: this is why\n")
