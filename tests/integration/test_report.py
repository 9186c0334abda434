"""Reports end to end: a kernel runs the notebook, and what comes out can be opened, read by programs, and trusted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import handmade
import nbformat
import pytest
from handmade import Tags, harmful
from nbformat import v4

import edgeprof
from edgeprof import notebook_run, report
from edgeprof.cli import main
from edgeprof.errors import CellError, ReportError

pytestmark = pytest.mark.slow


def notebook(path: Path, *sources: str) -> Path:
    cells = [v4.new_markdown_cell("# A notebook"), v4.new_code_cell(sources[0], metadata={"tags": ["parameters"]})]
    cells += [v4.new_code_cell(source) for source in sources[1:]]
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_parameters_arrive_and_results_are_recorded(tmp_path):
    path = notebook(
        tmp_path / "small.ipynb",
        'n: int = 1\nnames: list[str] = []\noutput_dir: str = ""',
        "import sys\nprint(n + 1, names)\nprint('a warning', file=sys.stderr)",
        "from edgeprof import report\nreport.record(output_dir, 'answer', {'n': n, 'names': names})",
    )
    made = report.make_report(path, tmp_path / "out", {"n": "41", "names": "a,b"})
    page = made.html.read_text(encoding="utf-8")
    assert "42 ['a', 'b']" in page and "a warning" not in page
    words = re.sub(r"<[^>]*>", " ", page.split("<main>")[1])
    assert "41" not in words  # neither the parameters nor code
    results = json.loads(made.results.read_text(encoding="utf-8"))
    assert results == {
        "results_version": 1,
        "edgeprof_version": edgeprof.__version__,
        "notebook": {"name": "small", "sha256": results["notebook"]["sha256"]},
        "parameters": {"n": 41, "names": ["a", "b"]},
        "inputs": {"data": "", "sha256": None},
        "results": {"answer": {"n": 41, "names": ["a", "b"]}},
    }
    executed = nbformat.read(made.notebook, as_version=4)
    assert [c.execution_count for c in executed.cells if c.cell_type == "code"] == [1, 2, 3, 4]
    assert sorted(p.name for p in made.html.parent.iterdir()) == ["notebook.ipynb", "report.html", "results.json"]


def test_a_failing_cell_says_all_and_leaves_no_old_report(tmp_path):
    path = notebook(tmp_path / "bad.ipynb", "n: int = 1", "x = 1", "raise ValueError(f'no {n}')", "print('never')")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("report.html", "results.json"):
        (out / name).write_text("yesterday's", encoding="utf-8")
    with pytest.raises(ReportError) as error:
        report.make_report(path, out, {"n": 7})
    message = str(error.value)
    for word in ("bad.ipynb", "cell [4]", "ValueError: no 7", '"n": 7', str(out / "notebook.ipynb")):
        assert word in message
    assert "\n" not in message
    assert [p.name for p in out.iterdir()] == ["notebook.ipynb"]
    assert "no 7" in (out / "notebook.ipynb").read_text(encoding="utf-8")


def test_a_cell_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook_run, "CELL_SECONDS", 3)
    path = notebook(tmp_path / "endless.ipynb", "n: int = 1", "import time\ntime.sleep(60)")
    with pytest.raises(CellError, match=r"endless\.ipynb failed in cell \[2\].* the cell took more than 3 s") as error:
        report.make_report(path, tmp_path / "out", {})
    assert error.value.source == "import time\ntime.sleep(60)"


def test_a_kernel_that_dies_says_in_which_cell(tmp_path):
    path = notebook(tmp_path / "dies.ipynb", "n: int = 1", "1", "import os\nos.kill(os.getpid(), 9)")
    with pytest.raises(CellError, match=r"dies\.ipynb failed in cell \[3\]") as error:
        report.make_report(path, tmp_path / "out", {})
    assert error.value.source.startswith("import os") and error.value.exit_code == 3


@pytest.mark.parametrize(
    ("execution", "where"),
    [
        ({"execution": {}}, 1),  # the kernel died before it could say that it had begun
        ({"execution": {"iopub.status.busy": "1"}}, 1),
        ({"execution": {"iopub.status.busy": "1", "shell.execute_reply": "2"}}, None),
        ({}, None),
    ],
)
def test_a_cell_that_the_kernel_never_answered_is_where_it_stopped(tmp_path, execution, where):
    cell = {"cell_type": "code", "source": ["1"], "outputs": [], "execution_count": None, "metadata": execution}
    path = tmp_path / "notebook.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    assert notebook_run.failed_cell(path)[0] == where


FIVE = ["notebook:", "cell:", "parameters:", "error:", "executed notebook:"]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("ValueError('no\\n%', n)", 3, "ValueError: ('no\\n%', 7)"),
        ("NotComparableError('too\\nfew')", 2, "NotComparableError: too few"),
        ("StorageError('full')", 5, "StorageError: full"),
        ("DeviceError('gone\\x1b[31m')", 4, "DeviceError: gone�[31m"),
        ("SystemExit(9)", 3, "SystemExit: 9"),
    ],
)
def test_a_failing_cell_is_said_in_five_lines(tmp_path, capsys, monkeypatch, raised, code, said):
    source = f"\n  \nfrom edgeprof.errors import *\nraise {raised}"
    path = notebook(tmp_path / "bad.ipynb", 'n: int = 1\noutput_dir: str = ""', source.lstrip(" "))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert main(["report", str(path), "-p", "n=7", "--out", str(tmp_path / "out")]) == code
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert [line[: len(name)] for line, name in zip(lines, FIVE, strict=True)] == FIVE
    executed = tmp_path / "out" / "notebook.ipynb"
    assert [line[19:] for line in lines] == [
        str(path), "[3] from edgeprof.errors import *", '{"n": 7}', said, str(executed),
    ]  # fmt: skip
    assert printed.out == ""  # no annotation where nobody reads it
    assert nbformat.read(executed, as_version=4).cells[-1].outputs[0].output_type == "error"


def test_github_gets_an_annotation(tmp_path, capsys, monkeypatch):
    notebook(tmp_path / "a,b.ipynb", "n: int = 1", "raise ValueError('50 % :: \\n::error::mine')")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.chdir(tmp_path)
    assert main(["report", "a,b.ipynb", "--out", "out"]) == 3
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 5
    (line,) = printed.out.splitlines()  # one command, whatever the error's text holds
    head = "::error file=a%2Cb.ipynb,title=a%2Cb.ipynb failed in cell [2]::cell:              [2] raise ValueError("
    assert line.startswith(head)
    assert "%0Aerror:             ValueError: 50 %25 :: ::error::mine%0A" in line


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A data set whose board, models and quantizations call themselves terrible things."""
    out = tmp_path_factory.mktemp("hostile")
    for i, name in enumerate(handmade.HOSTILE):
        handmade.stored(out, f"c{i:02d}", prompt_id=name[:80], board="<b>x</b>", model=name[:120], quant=name[:120])
    return out


@pytest.mark.nightly
def test_hostile_names_are_text_in_a_report(hostile, tmp_path, capsys):
    words = ["report", "compare_quantizations", hostile, "--out", tmp_path / "out", "-p", "board=<b>x</b>"]
    assert main([str(w) for w in words]) == 0, capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert {"script", "b", "q", "x"}.isdisjoint(tags.tags)
    allowed = {"src", "alt", "id", "class", "style", "lang", "charset", "name", "content", "http-equiv"}
    assert tags.attributes <= allowed | {"tabindex", "role", "aria-label"}
    assert tags.tags.count("img") == 6
    text = "".join(tags.texts)
    assert "<script>alert(1)</script>" in text and r"$\frac{" in text and "<b>x</b>" in text
    assert harmful(text.replace("\n", "")) == []
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert {r["model"] for r in results["results"]["comparison"]} == {n[:120] for n in handmade.HOSTILE}


def test_the_digest_follows_the_data(tmp_path):
    path = notebook(tmp_path / "n.ipynb", 'data: str = ""', "1")

    def digest(**given: str) -> str:
        made = report.make_report(path, tmp_path / "out", given)
        return json.loads(made.results.read_text(encoding="utf-8"))["inputs"]["sha256"]

    handmade.stored(tmp_path / "data", "one")
    first = digest(data=str(tmp_path / "data"))
    handmade.stored(tmp_path / "data", "two")
    assert digest(data=str(tmp_path / "data")) != first
    # Without a data set a notebook reads the reference, and says so.
    assert digest() == report.inputs_digest(edgeprof.reference())


def test_the_notebooks_make_reports_of_the_reference_data(tmp_path, capsys):
    assert main(["report", "inspect_run", edgeprof.reference(), "--out", str(tmp_path / "r"), "-p", "quant=Q4_0"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(tmp_path / "r" / "report.html"), str(tmp_path / "r" / "results.json")]
    assert said.err == ""
    results = json.loads((tmp_path / "r" / "results.json").read_text(encoding="utf-8"))
    (run,) = results["results"]["run"]
    assert (run["quant"], run["frames_lost"], run["status"]) == ("Q4_0", 0, "ok")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("board=wasp", "no run with board 'wasp'. Did you mean 'wasm'?"),
        pytest.param("baseline=Q4_1", "Did you mean 'Q4_0'?", marks=pytest.mark.nightly),
    ],
)
def test_a_value_that_the_data_do_not_have_names_the_closest(tmp_path, capsys, given, message):
    words = ["report", "compare_quantizations", edgeprof.reference(), "--out", str(tmp_path / "r"), "-p", given]
    assert main(words) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert message in lines[3] and "03_compare_quantizations.ipynb" in lines[0]


MATRIX = """\
notebook: small.ipynb
parameters: {n: 2}
matrix: {what: [fine, bad, dies]}
include: [{what: far, n: 5}]
"""


def test_a_matrix_makes_what_it_can_and_ends_with_the_worst(tmp_path, capsys):
    notebook(
        tmp_path / "small.ipynb",
        'what: str = ""\nn: int = 1\noutput_dir: str = ""',
        "import os\nfrom edgeprof import report\nfrom edgeprof.errors import StorageError\n"
        "if what == 'bad':\n    raise StorageError('full')\nif what == 'dies':\n    os.kill(os.getppid(), 9)",
        "report.record(output_dir, 'headline', {'n': n, 'what': what})",
    )
    (tmp_path / "m.yaml").write_text(MATRIX, encoding="utf-8")
    assert main(["report", "--matrix", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "out"), "--jobs", "2"]) == 5
    said = capsys.readouterr()
    assert said.out.splitlines() == ["2 of 4 reports made", str(tmp_path / "out" / "index.html")]
    bad, dies = sorted(line for line in said.err.splitlines() if line.startswith("edgeprof: "))
    assert "small.ipynb failed in cell [3] with StorageError: full" in bad
    assert dies.startswith("edgeprof: dies-") and "ended with signal 9 and said nothing" in dies
    reports = json.loads((tmp_path / "out" / "index.json").read_text(encoding="utf-8"))["reports"]
    found = {r["parameters"]["what"]: (r["status"], r["headlines"]) for r in reports}
    assert found["fine"] == ("made", {"n": "2", "what": "fine"})
    assert found["far"] == ("made", {"n": "5", "what": "far"})
    assert found["bad"] == ("failed in cell [3]", {"error": "StorageError: full"})
    assert found["dies"][0].startswith("failed")
    assert all(re.fullmatch(r"(fine|bad|dies|far-5)-[0-9a-f]{8}", r["folder"]) for r in reports)


def test_a_matrix_that_is_wrong_makes_nothing(tmp_path, capsys):
    notebook(tmp_path / "small.ipynb", "n: int = 1")
    (tmp_path / "m.yaml").write_text("notebook: small.ipynb\nmatrix: {n: [1, x]}", encoding="utf-8")
    assert main(["report", "--matrix", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "out")]) == 3
    assert "the set x: Parameter 'n' is of type int" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_list_is_a_table_and_json(capsys):
    assert main(["report", "--list"]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["notebook", "parameter", "type", "default", "help"]
    column = head.index("type")
    assert {line[column - 1] for line in lines} == {" "}
    assert main(["report", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(lines)
    tokens = next(r for r in rows if (r["notebook"], r["parameter"]) == ("01_capture", "tokens"))
    assert (tokens["type"], tokens["default"], tokens["help"]) == ("int", 16, "how many tokens it generates")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--list", "--index", "x"], "--list and --index are two things"),
        (["--matrix", "x", "--leaderboard", "y"], "--matrix and --leaderboard are two things"),
        (["--matrix", "x", "quickstart"], "--matrix takes no notebook"),
        (["--list", "-p", "a=b"], "--list takes no notebook and no -p"),
        (["quickstart", "--json"], "--json is for --list"),
        (["quickstart", "--jobs", "2"], "--jobs is for --matrix"),
    ],
)
def test_two_things_at_once_are_refused(capsys, words, message):
    assert main(["report", *words]) == 3
    assert message in capsys.readouterr().err


def test_the_leaderboard_of_a_data_set(tmp_path, capsys):
    assert main(["report", "--leaderboard", edgeprof.reference(), "--out", str(tmp_path)]) == 0
    kinds = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["leaderboard.html", "leaderboard.json", "leaderboard.md"]
    assert main(["report", "--index", str(tmp_path), "--leaderboard", edgeprof.reference()]) == 0
    assert "<h3>wasm</h3>" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert main(["report", "--leaderboard", str(tmp_path / "none"), "--out", str(tmp_path)]) == 5


@pytest.mark.parametrize(
    "name",
    [
        "00_quickstart",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("02_inspect_run", "03_compare_quantizations", "04_memory_budget")
        ),
    ],
)
def test_a_notebook_needs_nothing_but_the_data(tmp_path, name):
    """Of a board, models and prompts that the reference data do not have, without a vocabulary and an image."""
    handmade.stored(tmp_path / "data", "one", "first")
    handmade.stored(tmp_path / "data", "two", "second", quant="Q4_0")
    made = report.make_report(report.find_notebook(name), tmp_path / "out", {"data": str(tmp_path / "data")})
    assert json.loads(made.results.read_text(encoding="utf-8"))["results"]
