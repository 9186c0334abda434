"""Every notebook: executed, thin, readable, with nothing of anybody's machine in it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import papermill
import pytest

from edgeprof import report
from edgeprof.parameters import short_name, source_of

NOTEBOOKS = report.list_notebooks()
MAX_BYTES = 800_000
LOGIC = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.IfExp, ast.Lambda, ast.Try,
    ast.With, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Match, ast.Global,
)  # fmt: skip

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS)


def content(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [c | {"text": "".join(c["source"])} for c in content(path)["cells"] if c["cell_type"] == kind]


def has(cell: dict[str, Any], mime: str) -> bool:
    return any(mime in output.get("data", {}) for output in cell.get("outputs", ()))


def test_it_is_executed_from_top_to_bottom(path):
    code = cells(path, "code")
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    assert any(has(c, "text/html") for c in code), "no outputs are stored"
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])


def test_it_opens_anywhere(path):
    metadata = content(path)["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert set(metadata) <= {"kernelspec", "language_info"}
    assert path.stat().st_size < MAX_BYTES
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(home|root|tmp|Users|work|mnt|opt)/|[A-Z]:\\\\", text), "somebody's path"
    assert not re.search(r"\b0x[0-9a-f]{8,}", text), "an address in memory, which changes"


def test_its_parameters_are_what_papermill_sees(path):
    (cell,) = [c for c in cells(path, "code") if "parameters" in c["metadata"].get("tags", [])]
    declared = {}
    for line, node in zip(cell["text"].splitlines(), ast.parse(cell["text"]).body, strict=True):
        assert isinstance(node, ast.AnnAssign) and node.value is not None, line
        declared[node.target.id] = (ast.unparse(node.annotation), ast.literal_eval(node.value))
        assert "  # " in line, f"what is it for? {line}"
    seen = papermill.inspect_notebook(str(path))
    assert {n: (p["inferred_type_name"], ast.literal_eval(p["default"])) for n, p in seen.items()} == declared
    assert all(kind in ("str", "int", "float", "bool") or kind.startswith("list[") for kind, _ in declared.values())
    # A quality report reads what a build left, which is no data set: `edgeprof serve DATA` must not hand it one.
    assert declared[source_of(declared)] == declared["output_dir"] == ("str", "")
    assert next(iter(declared)) == source_of(declared)
    assert report.find_notebook(short_name(path.stem)) == path


def test_its_cells_hold_no_logic(path):
    for cell in cells(path, "code"):
        found = [type(node).__name__ for node in ast.walk(ast.parse(cell["text"])) if isinstance(node, LOGIC)]
        assert found == [], cell["text"]
        assert len(cell["text"].splitlines()) <= 15


def test_its_last_cell_records_results(path):
    assert "report.record(output_dir, " in cells(path, "code")[-1]["text"]


def test_it_says_what_it_asks_and_how_to_read_the_answer(path):
    text = cells(path, "markdown")
    assert re.match(r"# \S.*\n\n1\. ", text[0]["text"]), "a question, then what is done in three lines"
    assert sum(c["text"].count("\n# ") + c["text"].startswith("# ") for c in text) == 1
    waiting = ""
    for cell in content(path)["cells"]:
        source = "".join(cell["source"])
        if has(cell, "image/png"):
            assert not waiting, f"no 'How to read it' after: {waiting}"
            waiting = source
        elif cell["cell_type"] == "markdown" and "*How to read it:*" in source:
            waiting = ""
    assert not waiting, f"no 'How to read it' after: {waiting}"


def test_every_chart_stands_beside_its_figures(path):
    """A chart of the comparison follows its table; any other is followed by a table of what it shows."""
    code = cells(path, "code")
    compared = False
    for cell, following in zip(code, [*code[1:], {}], strict=True):
        compared = compared or (cell["text"].rstrip().endswith("comparison") and has(cell, "text/html"))
        if has(cell, "image/png"):
            of_comparison = compared and "tidy.tradeoff(comparison" in cell["text"]
            assert of_comparison or has(following, "text/html"), cell["text"]


def test_every_axis_has_its_unit(path):
    for cell in cells(path, "code"):
        for label in re.findall(r"xlabel=f?\"([^\"]*)\"|set_[xy]label\(\"([^\"]*)\"\)", cell["text"]):
            name = "".join(label)
            assert not name or "[" in name, name
